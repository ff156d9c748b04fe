/*
 * The architecture table: what tensor names mean. Rows are tried in order against the architecture
 * the file states (config.json `model_type`, GGUF `general.architecture`), the last row fits
 * everything.
 *
 * A row lists glob patterns → role and whether the tensor is the weight of a `Linear` or
 * `Embedding` module (compressed-tensors can express nothing else: GPT-2's transposed Conv1D and
 * convolutions are not). `#` in a pattern stands for a run of digits and gives the block number
 * (first/last roles). Later the same rows build graphs.
 */
#ifndef COMPRESS_GRAPH_ARCH_H
#define COMPRESS_GRAPH_ARCH_H

#include "compress/graph/model.h"

struct arch_pattern {
    const char *glob;
    unsigned role;
    bool is_linear;
    bool is_embedding;
};

struct arch {
    const char *name;               /* "llama" */
    const char *const *model_types; /* NULL-terminated */
    const struct arch_pattern *patterns;
    size_t pattern_count;
    const char *doc;
    /* The output projection's module, which is absent from the file when it is tied: a container
     * that lists modules must name it all the same. NULL: none. */
    const char *head_module;
    bool moe; /* mixture of experts: refused with a clear 422 for now */
};

const struct arch *arch_at(size_t i);
const struct arch *arch_for(const char *model_type); /* never NULL */
/* The row that fits everything. */
const struct arch *arch_generic(void);
/* Sets role, is_linear (2-D alone), is_embedding of every tensor, and first/last block bits. What
 * the model's own row does not name gets the generic row's role, and is not called linear: that a
 * name looks like a Linear's is no proof where the architecture is known. -1 with ERR_NO_MEMORY. */
int arch_assign_roles(struct model *model, struct err *err);

#endif
