/*
 * Understanding quantized sources: what a configuration or a file's note says, and folding the
 * stored pieces of one weight into one tensor.
 *
 * dtypes and shapes alone give a tensor's encoding (ct.h); config.json only says that the file is
 * to be read so. A file without config.json says it in its metadata:
 *
 *   "compressd.encodings": {"version": 1,
 *                           "schemes": [{"codec": "int8", "granularity": "channel",
 *                                        "group_size": 0, "symmetric": true, "packing": "words",
 *                                        "dynamic_activations": false}, ...],
 *                           "tensors": {"X.weight": 0, ...}}      name → index of its scheme
 *
 * Everything lives in the arena given. Threads: one at a time.
 */
#ifndef COMPRESS_FORMATS_CT_READ_H
#define COMPRESS_FORMATS_CT_READ_H

#include "compress/formats/ct.h"

struct json_t;

#define CT_NOTE "compressd.encodings"

struct ct_source {
    const char *scheme; /* NULL: not quantized; else "compressed-tensors pack-quantized", "gptq" */
    const char *opaque; /* a sentence: why it cannot be decoded; or NULL */
    bool activations;   /* input activations are quantized at run time */
    unsigned bits;      /* the only width that occurs, or 0: several or unknown */
    /* From a configuration: modules that are not quantized, by exact name; or NULL. */
    struct strmap *ignore;
    /* From a note: the tensors it names, and each one's encoding (scale dtype aside). NULL from a
     * configuration: whatever looks like a quantized weight is one. */
    struct strmap *names;
    const struct encoding *encodings;
};

/* From config.json's quantization_config object. Unknown methods are no failure: see `opaque`. */
int ct_read_config(const struct json_t *quantization_config, struct arena *arena,
                   struct ct_source *ret, struct err *err);
/* From the text under CT_NOTE in `file`. ERR_BAD_MODEL. */
int ct_read_note(const char *text, const char *file, struct arena *arena, struct ct_source *ret,
                 struct err *err);

/* One stored tensor as a header lists it. */
struct ct_raw {
    const struct safetensors_entry *entry;
    uint32_t file;
    uint64_t offset; /* in the file */
    const char *component;
    bool folded; /* became a part of another tensor */
};

/*
 * Tries to fold raw[i] and its companions (by name through `names`: name → index into raw, of one
 * component) into one tensor. 1: *ret is filled, the companions are marked; 0: a plain tensor; -1:
 * malformed. A weight that is quantized in a way we cannot decode gives 0 and sets from->opaque.
 * Reads the 16 bytes of weight_shape.
 */
int ct_fold(struct ct_source *from, const struct model *model, struct ct_raw *raw, size_t i,
            const struct strmap *names, struct tensor *ret, struct err *err);

#endif
