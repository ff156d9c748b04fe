/*
 * Tiling: how a tensor is cut into pieces that workers take one by one.
 *
 * A tile is a run of whole rows in every encoding that matters (as the tensor is stored, as it is
 * wanted, as it came out), because codecs work on rows and share no scale across them. Encodings
 * may see the same elements as different matrices (a convolution is [out, in*h*w] in safetensors
 * and [out*in*h, w] for GGUF blocks); a tile is therefore counted in elements and each encoding
 * asks for its own rows.
 *
 * Tiles are small enough for a worker's f32 copy, the bytes it came from and the bytes it becomes
 * to stay in a core's L2 cache; their size depends on nothing but the tensor, so sums kept per tile
 * and added in order do not depend on the number of threads. A row that shares a scale is never
 * cut: one longer than a tile is a tile. Plain numbers have no rows in this sense (every element is
 * one), so a flat vector of any length is cut like anything else.
 */
#ifndef COMPRESS_GRAPH_TILING_H
#define COMPRESS_GRAPH_TILING_H

#include "compress/codecs/codec.h"
#include "compress/graph/model.h"

#include <stddef.h>
#include <stdint.h>

/* 64 Ki elements = 256 KiB as f32, 128 KiB as bf16, 64 KiB as int8: together below the 512 KiB of
 * the smallest L2 in sight, and ~50 us of work, a thousand times the cost of handing out a tile. */
#define TILE_ELEMENTS (UINT64_C(1) << 16)

struct tiling {
    uint64_t elements;
    uint64_t tile_elements; /* of every tile but the last */
    size_t count;           /* 0 for an empty tensor */
};

/* A tile seen as rows of one encoding's matrix; [elements, 1] for plain numbers. */
struct tile_rows {
    uint64_t row0;
    uint64_t rows;
    uint64_t cols;
};

/* Tiles that are whole rows in both encodings. Where they see the tensor from different sides, only
 * those of b: a is then read as b's transpose, from memory (tensor_reader.h). */
struct tiling tiling_of(const struct tensor *tensor, const struct encoding *a,
                        const struct encoding *b);
uint64_t tiling_start(const struct tiling *tiling, size_t tile);    /* flat element index */
uint64_t tiling_elements(const struct tiling *tiling, size_t tile); /* of this tile */
struct tile_rows tiling_rows(const struct tiling *tiling, size_t tile, const struct tensor *tensor,
                             const struct encoding *e);
/* Bytes of DATA that a full tile takes in an encoding. */
uint64_t tiling_data_bytes(const struct tiling *tiling, const struct tensor *tensor,
                           const struct encoding *e);

#endif
