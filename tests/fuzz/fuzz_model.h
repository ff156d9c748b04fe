/*
 * What the fuzz targets of model formats share: open the bytes as a lone file or a folder, read
 * small tensors, ask for another encoding where the format allows one, lay the model out, and open
 * what was laid out.
 *
 * Aborts when a promise is broken: a failure without a reason or blamed on us, a layout that does
 * not add up, an output that its own reader refuses. Weights are not encoded anew (zeros stand
 * for them): the bytes of headers are at stake here.
 */
#ifndef TESTS_FUZZ_FUZZ_MODEL_H
#define TESTS_FUZZ_FUZZ_MODEL_H

#include "compress/base/files.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct layout;
struct model;

/* format: a name of the format table. path: of the lone file. schemes: NULL-terminated codec names,
 * "/dynamic" or "/static" behind them where activations are quantized too; one is taken by the
 * input's length, so that all get their turn. */
void fuzz_model(const char *format, const char *path, const char *const *schemes,
                const uint8_t *data, size_t len);

/* The same for a folder of files. `turn` chooses the scheme. */
void fuzz_model_folder(const char *format, const char *const *schemes, size_t turn,
                       const struct resolver_file *files, const void *const *data, size_t count);

/* For targets that change a model themselves. The failure must have a reason that is not ours. */
void fuzz_check_reason(const struct err *err);
/* Renders the layout (when it is small) and opens it: that must succeed, with as many tensors. */
void fuzz_reopen(const struct model *model, const struct layout *layout);

#endif
