/* GGUF: header, keys, tensor infos; layout and back. */
#include "tests/fuzz/fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static const char *const schemes[] = {"q4_0", "f16", "q8_0", "f32", NULL};
    fuzz_model("gguf", "m.gguf", schemes, data, len);
    return 0;
}
