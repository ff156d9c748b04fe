/*
 * What a Hugging Face folder's config.json says about a model: architecture, tied embeddings, facts
 * for people, and how it is quantized. Read by every reader of such folders (safetensors, PyTorch).
 *
 * Everything lives in the model's arena. Threads: one at a time.
 */
#ifndef COMPRESS_FORMATS_HF_CONFIG_H
#define COMPRESS_FORMATS_HF_CONFIG_H

#include "compress/formats/ct_read.h"
#include "compress/graph/model.h"

struct hf_config {
    bool present;
    const char *model_type;   /* "llama"; "" when absent */
    const char *architecture; /* "LlamaForCausalLM", or the model type, or "" */
    bool tied;                /* tie_word_embeddings is stated and true */
    struct ct_source quantization;
};

/* Reads <folder>config.json (folder "" or "unet/"); absent is no failure. Facts are added to the
 * model when `with_facts`. ERR_BAD_JSON or ERR_TOO_LARGE name the file. */
int hf_config_read(struct model *model, const char *folder, bool with_facts, struct hf_config *ret,
                   struct err *err);

#endif
