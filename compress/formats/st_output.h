/*
 * Safetensors outputs: what can be written, and where every byte goes. Also for PyTorch sources,
 * which come out as safetensors.
 *
 * Every tensor stays in its file (a quantized weight with the file of its codes), files keep their
 * names; pytorch_model*.bin become model*.safetensors, X.pt becomes X.safetensors. A folder comes
 * back whole: config.json is edited, the index made anew, README.md gets a section, weights of the
 * same model in other containers are left out with a warning, everything else is copied.
 *
 * Order inside a file. The container allows no gaps, and readers need every stored tensor aligned
 * to its element size. A unit is a tensor's stored parts in the order DATA, SCALE, ZERO_POINT,
 * SHAPE. Units whose parts are all aligned when the unit begins at a multiple of 8, and whose total
 * is a multiple of 8, come first, in source order; the parts of all others follow, those with the
 * largest elements first:
 *
 *   | header (8n bytes) | unit | unit | ... | 8-byte parts | 4-byte | 2-byte | 1-byte parts |
 */
#ifndef COMPRESS_FORMATS_ST_OUTPUT_H
#define COMPRESS_FORMATS_ST_OUTPUT_H

#include "compress/formats/format.h"

int st_adapt(const struct model *model, const struct tensor *tensor, struct encoding *wanted,
             const char *pointer, struct violations *list);
int st_lay_out(const struct model *model, const struct output_facts *facts, struct layout *layout,
               struct violations *warnings, struct err *err);

/* Under which name a file of the source comes out; NULL when the arena is exhausted. */
const char *st_output_path(const char *path, struct arena *arena);

#endif
