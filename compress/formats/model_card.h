/*
 * The model card: README.md keeps its text, and a section of ours at its end says what was done.
 *
 *   <!-- compressd:begin -->
 *   ## Compression
 *   ... recipe, sizes, how many tensors are stored as what ...
 *   <!-- compressd:end -->
 *
 * A section from an earlier run is replaced. Same model and recipe, same text: no time, host or
 * path.
 */
#ifndef COMPRESS_FORMATS_MODEL_CARD_H
#define COMPRESS_FORMATS_MODEL_CARD_H

#include "compress/formats/format.h"

/* `old` (old_len bytes) is the card as it was, or NULL. The text lives in the arena. */
int model_card_write(const struct model *model, const struct output_facts *facts, const char *old,
                     size_t old_len, struct arena *arena, const char **ret, size_t *ret_len,
                     struct err *err);

#endif
