/*
 * What goes into config.json, or into a bare file's metadata, about quantized weights.
 *
 * All modules under one scheme: one group with target "Linear", and every other Linear named in
 * `ignore`. Several schemes: one group each, naming its modules. `format` stands in every group
 * and on top ("mixed-precision" there when groups differ). Names are exact, never patterns.
 * Texts live in the arena. Threads: one at a time.
 */
#ifndef COMPRESS_FORMATS_CT_WRITE_H
#define COMPRESS_FORMATS_CT_WRITE_H

#include "compress/formats/ct.h"

/* The quantization_config object of what the model is wanted as, JSON; *ret NULL when nothing is
 * quantized. */
int ct_write_config(const struct model *model, struct arena *arena, const char **ret,
                    struct err *err);

/* The metadata note (ct_read.h) of the tensors of one model file; *ret NULL when none of them is
 * quantized. */
int ct_write_note(const struct model *model, uint32_t file, struct arena *arena, const char **ret,
                  struct err *err);

/* What today's runtimes stumble over: modules that vLLM fuses into one (q/k/v, gate/up) but the
 * recipe treats differently; zero points in transformers. */
void ct_write_warnings(const struct model *model, struct violations *warnings);

#endif
