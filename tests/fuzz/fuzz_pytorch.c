/* PyTorch checkpoints: zip directory, pickle, storages; layout as safetensors and back. */
#include "tests/fuzz/fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static const char *const schemes[] = {"int8", "bf16", "fp8_e4m3", "f32", NULL};
    fuzz_model("pytorch", "m.pt", schemes, data, len);
    return 0;
}
