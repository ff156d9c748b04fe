/*
 * Opening safetensors models: a lone file, shards under an index, a Hugging Face folder, a
 * diffusers folder (model_index.json; one component per subfolder that holds weights).
 *
 * Which files are the model's: with an index, those it names, and its weight_map must agree with
 * the shards' headers to the tensor; without one, beside a config.json the main file
 * (model.safetensors, diffusion_pytorch_model.safetensors) when there is one, else every
 * .safetensors of the folder, except those that repeat tensors of the main file. The rest is for
 * st_output to copy or to leave out.
 *
 * Quantized weights in compressed-tensors' layouts become one tensor each (ct_read.h).
 */
#ifndef COMPRESS_FORMATS_ST_OPEN_H
#define COMPRESS_FORMATS_ST_OPEN_H

#include "compress/base/files.h"
#include "compress/formats/safetensors.h"
#include "compress/graph/model.h"

/* model->private of an opened safetensors model: the notes (__metadata__) of each model file. */
struct st_notes {
    const struct safetensors_note *items;
    size_t count;
};

bool st_sniff(struct resolver *files, struct err *err);
int st_open(struct resolver *files, struct model *model, struct err *err);

/* No config.json and no pipeline: plain files that promise nothing to a runtime. Their quantized
 * weights are described in their own metadata. */
bool st_is_bare(const struct model *model);
/* What that means for a model: nobody says which matrices are Linear, so all are but embeddings and
 * norms. */
void st_call_matrices_linear(struct model *model);

/* Paths. "unet/" of "unet/x.safetensors", "" at the top; the length of that prefix. */
size_t st_folder_len(const char *path);
bool st_has_suffix(const char *path, const char *suffix);

#endif
