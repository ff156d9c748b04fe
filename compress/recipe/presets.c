/*
 * The preset table: recipes with a name.
 *
 * expected_ratio is 16-bit bytes ÷ result of a large model, where embeddings (which stay at 16 bits
 * on safetensors) weigh little; a format's own overhead is inside: 16 bit of scale per group of 128
 * (4.125 bits), 32 of per-block scale in q4_1 (5 bits) ...
 */
#include "compress/recipe/recipe.h"

#include <string.h>

#define QUANTIZE(scheme_and_more) \
    "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":" scheme_and_more "}]}"
#define FOLDERS "safetensors, pytorch"
#define GRAPHS FOLDERS ", onnx"
#define ANY "safetensors, pytorch, gguf"

static const struct preset table[] = {
    {"f16", "16-bit floats (IEEE half)", QUANTIZE("\"f16\""), 1.0, ANY ", onnx"},
    {"bf16", "16-bit floats (bfloat16)", QUANTIZE("\"bf16\""), 1.0, ANY},
    {"fp8", "8-bit float weights per channel, activations in fp8 at run time",
     QUANTIZE("\"fp8_e4m3\""), 2.0, FOLDERS},
    {"int8", "8-bit integer weights per channel, 16-bit activations (W8A16)", QUANTIZE("\"int8\""),
     2.0, GRAPHS},
    {"w8a8", "8-bit integer weights per channel, 8-bit activations per token (W8A8)",
     QUANTIZE("\"int8\",\"activations\":\"dynamic\""), 2.0, GRAPHS},
    {"w8a8-static", "8-bit integers throughout, ranges of activations from a calibration set (QDQ)",
     QUANTIZE("\"int8\",\"activations\":\"static\""), 2.0, "onnx"},
    {"int4-g128", "4-bit integer weights in groups of 128 (W4A16)",
     QUANTIZE("\"int4\",\"granularity\":\"group\",\"group_size\":128"), 3.88, GRAPHS},
    {"gguf-q8_0", "GGUF blocks of 8.5 bits", QUANTIZE("\"q8_0\""), 1.88, "gguf"},
    {"gguf-q5_1", "GGUF blocks of 6 bits", QUANTIZE("\"q5_1\""), 2.67, "gguf"},
    {"gguf-q5_0", "GGUF blocks of 5.5 bits", QUANTIZE("\"q5_0\""), 2.91, "gguf"},
    {"gguf-q4_1", "GGUF blocks of 5 bits", QUANTIZE("\"q4_1\""), 3.2, "gguf"},
    {"gguf-q4_0", "GGUF blocks of 4.5 bits", QUANTIZE("\"q4_0\""), 3.56, "gguf"},
};

const struct preset *preset_at(size_t i) {
    return i < sizeof table / sizeof table[0] ? &table[i] : NULL;
}

const struct preset *preset_by_name(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}
