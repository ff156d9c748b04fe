/* NPY headers: what is accepted lies within the file to the last byte. */
#include "compress/formats/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct npy npy = {0};
    struct err err = ERR_INIT;
    struct source *source = source_over_memory(data, len, "a.npy");
    if (!source)
        abort();
    int status = npy_read_header(source, &npy, &err);
    if (status < 0 && (err.code == ERR_OK || err_kind(err.code) == ERR_KIND_BUG))
        abort();
    if (status == 0) {
        uint64_t elements = 1;
        for (unsigned d = 0; d < npy.rank; d++)
            elements *= npy.dims[d];
        if (npy.rank > LIMIT_RANK || elements != npy.elements ||
            npy.data_offset + npy.elements * dtype_row(npy.dtype)->bytes != len)
            abort();
    }
    source_close(source);
    return 0;
}
