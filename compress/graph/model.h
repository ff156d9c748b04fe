/*
 * A model: tensors, metadata, and (later) a graph of operators. The thing that formats read, passes
 * act on and formats lay out again.
 *
 * Tensors stay in their files. A tensor knows how it is stored (encoding and parts, each a byte
 * range of a file) and how it is *wanted*; a pass that quantizes changes only the latter. `wanted`
 * equal to `stored` means the bytes are copied. A model of several components (a diffusers folder)
 * is one flat list whose tensors name their component.
 *
 * Owns: its arena, its open sources. Borrows: the resolver, which must outlive it. Threads: read
 * from many once opened; change from one.
 */
#ifndef COMPRESS_GRAPH_MODEL_H
#define COMPRESS_GRAPH_MODEL_H

#include "compress/base/files.h"
#include "compress/base/limits.h"
#include "compress/base/strmap.h"
#include "compress/codecs/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct format;
struct arch;
struct graph;
struct ranges;

enum role { /* bits, so that a selector can name a family */
            ROLE_NONE = 0,
            ROLE_ATTN_QKV = 1 << 0,
            ROLE_ATTN_OUT = 1 << 1,
            ROLE_MLP = 1 << 2,
            ROLE_EMBED = 1 << 3,
            ROLE_HEAD = 1 << 4,
            ROLE_NORM = 1 << 5,
            ROLE_CONV = 1 << 6,
            ROLE_FIRST = 1 << 7, /* of the first block or product; beside one of the above */
            ROLE_LAST = 1 << 8,  /* of the last one */
            ROLE_BIAS = 1 << 9,
            ROLE_OTHER = 1 << 10,
            ROLE_ATTN = ROLE_ATTN_QKV | ROLE_ATTN_OUT,
};

enum part_kind { PART_DATA, PART_SCALE, PART_ZERO_POINT, PART_SHAPE, PART_G_IDX, PART_KINDS };

/* A byte range of an input file. */
struct part {
    const char *name; /* in the container; NULL = the part does not exist */
    enum dtype dtype; /* as the container states it */
    uint32_t file;    /* index into model.files */
    uint64_t offset;
    uint64_t bytes;
};

struct tensor {
    const char *name;      /* logical name: "model.layers.0.self_attn.q_proj.weight" */
    const char *component; /* "unet", or "" for a single model */
    unsigned role;         /* enum role bits */
    bool is_linear;        /* the weight of a Linear module, [out, in] */
    bool is_embedding;     /* the weight of an Embedding module */
    /* Names of the graph's nodes that read it, at once or through ones that only move or convert
     * it; none without a graph. */
    const char *const *readers;
    size_t reader_count;
    unsigned rank;
    uint64_t
        dims[LIMIT_RANK]; /* row-major, slowest first (GGUF's order is turned round on reading) */
    uint64_t elements;

    struct encoding stored;
    struct part parts[PART_KINDS];

    struct encoding wanted; /* starts equal to stored */
    struct encode_options options;
    const char *decided_by; /* JSON pointer of the recipe rule that set `wanted`, or NULL */
    bool removed;           /* a pass took it out: not written, the report says so */
};

struct model_file {
    const char *path; /* "" for memory */
    uint64_t bytes;
    size_t resolver_index; /* SIZE_MAX: memory, no file (model_add_memory) */
    struct source *source; /* open while the model is; NULL for files that hold no tensors */
};

/* A fact for people and for GET /v1/models: ordered, small. */
struct model_fact {
    const char *key;   /* "layers", "hidden_size", "vocab_size" ... */
    const char *value; /* as text */
};

struct model {
    struct arena *arena;       /* owned: everything below lives in it */
    struct resolver *resolver; /* borrowed */
    const struct format *format;
    const struct arch *arch;  /* never NULL: the last row is the generic one */
    const char *architecture; /* as the file names it: "llama", "LlamaForCausalLM"; "" unknown */
    struct model_file *files; /* those that hold tensors */
    size_t file_count;
    struct tensor *tensors; /* in file order */
    size_t tensor_count;
    uint64_t parameters;    /* elements of all tensors that are not buffers */
    uint64_t bytes;         /* of all files of the model */
    enum dtype float_dtype; /* the model's own float type: that of most of its weights */
    bool tied_embeddings;
    const char *quantization; /* scheme of an already quantized source, or NULL */
    /* Why its tensors cannot be decoded (they are listed as they are stored, and can be neither
     * compressed nor requantized: ERR_UNSUPPORTED); NULL when they can. */
    const char *opaque_quantization;
    struct model_fact *facts;
    size_t fact_count;
    struct graph *graph; /* what it computes, in the arena; NULL: the format does not say */
    /* What running the original must find out before this model can be written (ranges.h), in the
     * arena; NULL: nothing. */
    struct ranges *ranges;
    void *private; /* the format's own index, in the arena */
};

/* An empty model with an arena of its own; NULL when out of memory. */
struct model *model_new(struct resolver *files);
void model_free(struct model *model); /* closes the sources; not the resolver */

/* Registers a file that holds tensors and opens its source. -1 with err set. */
int model_add_file(struct model *model, size_t resolver_index, uint32_t *ret_file, struct err *err);
/* The same for tensors that no file holds as bytes (ONNX stores some as lists of varints) and that
 * were decoded into the arena, or are still to be computed. At most twice. */
int model_add_memory(struct model *model, const void *data, size_t len, uint32_t *ret_file,
                     struct err *err);
/* What every format does at the end of its open: elements, wanted = stored, the architecture row
 * (when the format has not chosen it), roles (of the graph, when there is one, else by the
 * architecture's names), parameters, bytes, float_dtype, tied_embeddings
 * (which a format may have set already). Checks LIMIT_ELEMENTS again. */
int model_finish(struct model *model, struct err *err);
/* Appends a fact; key and value are copied. -1 with ERR_NO_MEMORY. */
int model_add_fact(struct model *model, const char *key, const char *value, struct err *err);

/* Matrix view: see codecs/codec.h. GGUF blocks and 2-D: cols = last dimension. Higher ranks: rows =
 * first dimension, cols = product of the rest, unless the encoding is a GGUF block or transposed.
 */
void tensor_matrix(const struct tensor *tensor, const struct encoding *e, uint64_t *ret_rows,
                   uint64_t *ret_cols);

/* What all parts of a tensor weigh as it is stored. */
uint64_t tensor_stored_bytes(const struct tensor *tensor);

/* By (component, name); NULL when there is none. Linear-time is fine for a few; formats keep maps.
 */
struct tensor *model_tensor(const struct model *model, const char *component, const char *name);

const char *role_text(unsigned role, char *text, size_t cap); /* "attn_qkv,first" */
/* 0 when the name is not a role. "attn" is both attention roles. */
unsigned role_by_name(const char *name);
const char *role_name_at(size_t i); /* NULL past the end */

#endif
