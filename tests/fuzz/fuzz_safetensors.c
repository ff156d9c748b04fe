/* safetensors, one file: header, metadata, notes about quantized weights; layout and back. */
#include "tests/fuzz/fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static const char *const schemes[] = {"int8", "f16", "int4", "bf16", "fp8_e4m3", NULL};
    fuzz_model("safetensors", "m.safetensors", schemes, data, len);
    return 0;
}
