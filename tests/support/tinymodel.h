/*
 * Small models with the shape of real ones, the same bytes every time.
 *
 *   folder   a Llama-like Hugging Face folder: config.json, model.safetensors (bf16),
 * tokenizer.json, notes/README.txt; two layers, hidden 128, MLP 256, vocabulary 64, untied head
 *   gguf     the same weights under llama.cpp's names, f32, norms included, tokens and a license
 * key
 *
 * Values are near-normal with a deviation of 0.02, so every codec has something to round. Single
 * values can be overwritten to make a model bad on purpose. Failure ends the test.
 */
#ifndef TESTS_SUPPORT_TINYMODEL_H
#define TESTS_SUPPORT_TINYMODEL_H

#include "compress/tensor/dtype.h"
#include "tests/support/bytebuf.h"
#include "tests/support/tempdir.h"

#include <stddef.h>
#include <stdint.h>

struct tinymodel_tensor {
    const char *name;
    enum dtype dtype; /* F32, F16, BF16, or I64 (counting up) */
    unsigned rank;
    uint64_t dims[4];
};

/* One value of one tensor, written over what the generator made. */
struct tinymodel_poke {
    const char *tensor; /* NULL: no poke */
    uint64_t index;
    float value;
};

/* A safetensors file of these tensors. */
void tinymodel_safetensors(struct bytebuf *out, const struct tinymodel_tensor *tensors,
                           size_t count, struct tinymodel_poke poke);

void tinymodel_folder(const struct tempdir *dir, const char *name, struct tinymodel_poke poke);
void tinymodel_gguf(const struct tempdir *dir, const char *name, struct tinymodel_poke poke);

/* Names in a tiny folder and a tiny GGUF, for pokes and selectors. */
#define TINY_Q_PROJ "model.layers.0.self_attn.q_proj.weight" /* [128, 128] */
#define TINY_DOWN_PROJ "model.layers.1.mlp.down_proj.weight" /* [128, 256] */
#define TINY_NORM "model.norm.weight"                        /* [128] */
#define TINY_GGUF_DOWN "blk.1.ffn_down.weight"               /* [128, 256] */

#endif
