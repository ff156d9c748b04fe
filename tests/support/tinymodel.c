/* See tinymodel.h. */
#include "tests/support/tinymodel.h"

#include "compress/base/half.h"
#include "tests/support/tinygguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HIDDEN = 128, MLP = 256, VOCAB = 64, LAYERS = 2 };

/* Weights of a tensor follow from its name. */
static uint64_t seed_of(const char *name) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h | 1;
}

static uint32_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

/* Sum of four uniforms: near enough to a normal distribution. */
static float weight(uint64_t *state) {
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)next(state) * 0x1p-32f - 0.5f;
    return sum * 0.035f;
}

static uint64_t elements_of(const struct tinymodel_tensor *t) {
    uint64_t n = 1;
    for (unsigned i = 0; i < t->rank; i++)
        n *= t->dims[i];
    return n;
}

static void put_value(struct bytebuf *out, enum dtype dtype, float value, uint64_t index) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (dtype == DTYPE_F32)
        bytebuf_u32(out, bits);
    else if (dtype == DTYPE_F16)
        bytebuf_u16(out, half_to_f16(value));
    else if (dtype == DTYPE_BF16)
        bytebuf_u16(out, half_to_bf16(value));
    else
        bytebuf_u64(out, index);
}

static void put_values(struct bytebuf *out, const struct tinymodel_tensor *t,
                       struct tinymodel_poke poke) {
    uint64_t state = seed_of(t->name);
    uint64_t n = elements_of(t);
    for (uint64_t i = 0; i < n; i++) {
        float value = weight(&state) + (strstr(t->name, "norm") ? 1.0f : 0.0f);
        if (poke.tensor && poke.index == i && strcmp(poke.tensor, t->name) == 0)
            value = poke.value;
        put_value(out, t->dtype, value, i);
    }
}

void tinymodel_safetensors(struct bytebuf *out, const struct tinymodel_tensor *tensors,
                           size_t count, struct tinymodel_poke poke) {
    struct bytebuf header = {0};
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tinymodel_tensor *t = &tensors[i];
        uint64_t end = at + elements_of(t) * dtype_row(t->dtype)->bytes;
        char text[300];
        snprintf(text, sizeof text, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "{",
                 t->name, dtype_row(t->dtype)->safetensors);
        bytebuf_text(&header, text);
        for (unsigned k = 0; k < t->rank; k++) {
            snprintf(text, sizeof text, "%s%" PRIu64, k ? "," : "", t->dims[k]);
            bytebuf_text(&header, text);
        }
        snprintf(text, sizeof text, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, end);
        bytebuf_text(&header, text);
        at = end;
    }
    bytebuf_text(&header, "}");
    while (header.len % 8)
        bytebuf_text(&header, " ");
    bytebuf_u64(out, header.len);
    bytebuf_raw(out, header.at, header.len);
    bytebuf_free(&header);
    for (size_t i = 0; i < count; i++)
        put_values(out, &tensors[i], poke);
}

/* The weights of one layer: Hugging Face's name, llama.cpp's, shape. */
static const struct {
    const char *hf, *gguf;
    unsigned rank;
    uint64_t dims[2];
} layer[] = {
    {"input_layernorm", "attn_norm", 1, {HIDDEN}},
    {"self_attn.q_proj", "attn_q", 2, {HIDDEN, HIDDEN}},
    {"self_attn.k_proj", "attn_k", 2, {HIDDEN / 2, HIDDEN}},
    {"self_attn.v_proj", "attn_v", 2, {HIDDEN / 2, HIDDEN}},
    {"self_attn.o_proj", "attn_output", 2, {HIDDEN, HIDDEN}},
    {"post_attention_layernorm", "ffn_norm", 1, {HIDDEN}},
    {"mlp.gate_proj", "ffn_gate", 2, {MLP, HIDDEN}},
    {"mlp.up_proj", "ffn_up", 2, {MLP, HIDDEN}},
    {"mlp.down_proj", "ffn_down", 2, {HIDDEN, MLP}},
};

enum { PER_LAYER = sizeof layer / sizeof layer[0], TENSORS = 3 + LAYERS * PER_LAYER };

struct names {
    char text[TENSORS][64];
};

static void list_tensors(struct tinymodel_tensor *ret, struct names *names, int gguf) {
    static const char *const outer[3][2] = {
        {"model.embed_tokens.weight", "token_embd.weight"},
        {TINY_NORM, "output_norm.weight"},
        {"lm_head.weight", "output.weight"},
    };
    size_t n = 0;
    enum dtype dtype = gguf ? DTYPE_F32 : DTYPE_BF16;
    for (size_t i = 0; i < 3; i++) {
        ret[n] = (struct tinymodel_tensor){outer[i][gguf], dtype, 2, {VOCAB, HIDDEN}};
        if (i == 1)
            ret[n] = (struct tinymodel_tensor){outer[i][gguf], dtype, 1, {HIDDEN}};
        n++;
    }
    for (int l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < PER_LAYER; i++, n++) {
            snprintf(names->text[n], sizeof names->text[n],
                     gguf ? "blk.%d.%s.weight" : "model.layers.%d.%s.weight", l,
                     gguf ? layer[i].gguf : layer[i].hf);
            ret[n] = (struct tinymodel_tensor){names->text[n], dtype, layer[i].rank, {0}};
            memcpy(ret[n].dims, layer[i].dims, sizeof layer[i].dims);
        }
}

static void write_text(const struct tempdir *dir, const char *folder, const char *name,
                       const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    tempdir_write(dir, path, text, strlen(text));
}

void tinymodel_folder(const struct tempdir *dir, const char *name, struct tinymodel_poke poke) {
    static const char config[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\",\n"
        " \"hidden_size\": 128, \"intermediate_size\": 256, \"num_hidden_layers\": 2,\n"
        " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 64,\n"
        " \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\"}\n";
    struct tinymodel_tensor tensors[TENSORS];
    struct names names;
    list_tensors(tensors, &names, 0);
    struct bytebuf file = {0};
    tinymodel_safetensors(&file, tensors, TENSORS, poke);
    char path[256];
    snprintf(path, sizeof path, "%s/model.safetensors", name);
    tempdir_write(dir, path, file.at, file.len);
    bytebuf_free(&file);
    write_text(dir, name, "config.json", config);
    write_text(dir, name, "tokenizer.json", "{\"version\": \"1.0\"}\n");
    write_text(dir, name, "notes/README.txt", "goes along\n");
}

void tinymodel_gguf(const struct tempdir *dir, const char *name, struct tinymodel_poke poke) {
    struct tinymodel_tensor tensors[TENSORS];
    struct names names;
    list_tensors(tensors, &names, 1);
    struct bytebuf file = {0};
    tinygguf_start(&file, 3, TENSORS, 5);
    tinygguf_text(&file, "general.architecture", "llama");
    tinygguf_text(&file, "general.license", "none");
    tinygguf_u32(&file, "general.file_type", 0);
    tinygguf_u32(&file, "llama.block_count", LAYERS);
    tinygguf_tokens(&file, "tokenizer.ggml.tokens", VOCAB);
    uint64_t at = 0;
    for (size_t i = 0; i < TENSORS; i++) {
        const struct tinymodel_tensor *t = &tensors[i];
        /* Fastest first, and a zero that ends them. */
        uint64_t dims[3] = {t->dims[t->rank - 1], t->rank > 1 ? t->dims[0] : 0, 0};
        tinygguf_info(&file, t->name, dims, 0, at);
        at += elements_of(t) * 4; /* every one a multiple of 32 bytes */
    }
    bytebuf_align(&file, 32);
    for (size_t i = 0; i < TENSORS; i++)
        put_values(&file, &tensors[i], poke);
    tempdir_write(dir, name, file.at, file.len);
    bytebuf_free(&file);
}
