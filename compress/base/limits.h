/*
 * Every numeric ceiling on what comes from outside, each with the reason for its value. Ceilings
 * that an operator may want to move are settings (daemon/config); their defaults stand here too.
 */
#ifndef COMPRESS_BASE_LIMITS_H
#define COMPRESS_BASE_LIMITS_H

#include <stdint.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Largest models today have 61 layers x 256 experts x 3 matrices = 47k tensors; room for four
 * times. */
#define LIMIT_TENSORS 200000
/* ONNX and PyTorch stop at 64, GGUF at 4, real weights at 5 (3-D convolution). */
#define LIMIT_RANK 8
/* Longest seen in the wild ~120; a name must also fit a file name's worth of JSON pointer. */
#define LIMIT_TENSOR_NAME_BYTES 512
/* 2^48 elements = 512 TB of bf16: beyond any file, and products of it by 8 bits still fit 64. */
#define LIMIT_ELEMENTS (UINT64_C(1) << 48)
/* A safetensors header of 16 MB describes 150,000 tensors; a JSON tree of it stays below 200 MB. */
#define LIMIT_SAFETENSORS_HEADER_BYTES (16 * MIB)
/* GGUF metadata is dominated by the vocabulary: 256k tokens + merges is ~10 MB. */
#define LIMIT_GGUF_HEADER_BYTES (256 * MIB)
#define LIMIT_GGUF_KEYS 65536
#define LIMIT_GGUF_KEY_BYTES 65535 /* the GGUF specification's own limit (2^16-1) */
#define LIMIT_GGUF_ARRAY_LEN (16 * 1000 * 1000)
/* Writers use 32, some a page (4 to 64 KB); every tensor is padded to it, so it bounds how much a
 * tiny file can be blown up. */
#define LIMIT_GGUF_ALIGNMENT (1 * MIB)
/* A pickle of a state dict costs ~150 bytes a tensor. */
#define LIMIT_PICKLE_BYTES (64 * MIB)
#define LIMIT_PICKLE_DEPTH 64
#define LIMIT_PICKLE_MEMO 4000000
#define LIMIT_ZIP_ENTRIES 500000
/* numpy itself reads no header above 10,000 bytes unless told to. */
#define LIMIT_NPY_HEADER_BYTES (64 * KIB)
/* What a dataset keeps of compressed arrays, all together: 60,000 pictures of 28 x 28 floats are
 * 188 MB. */
#define LIMIT_DATASET_KEEP_BYTES (256 * MIB)
/* Arrays of a dataset: one per input and output of a graph, which have a few hundred at most. */
#define LIMIT_DATASET_ARRAYS 4096
/* config.json, index.json and other small files that are parsed whole. */
#define LIMIT_JSON_FILE_BYTES (16 * MIB)
#define LIMIT_JSON_DEPTH 64
/* A folder of a model: shards, tokenizer, code. */
#define LIMIT_MODEL_FILES 4096
#define LIMIT_PATH_BYTES 512
#define LIMIT_PATH_DEPTH 16
/* Exported transformers have some 100 nodes a layer; room for models a hundred times as deep. */
#define LIMIT_GRAPH_NODES 500000
/* Bodies within bodies, functions within functions: hand-written models have 3. */
#define LIMIT_GRAPH_DEPTH 16
/* Elements of a constant that shape inference computes by itself. */
#define LIMIT_FOLD_ELEMENTS 65536
/* Recipes are written by hand; per-tensor rules may be generated. */
#define LIMIT_RECIPE_BYTES (1 * MIB)
#define LIMIT_RECIPE_STAGES 32
#define LIMIT_RECIPE_RULES 4096
/* Violations reported at once: more than anybody reads, few enough to answer. */
#define LIMIT_VIOLATIONS 256
/* JSON request bodies other than recipes. */
#define LIMIT_BODY_BYTES (2 * MIB)

/* Arena caps. */
#define LIMIT_MODEL_ARENA_BYTES (512 * MIB) /* headers of one model, parsed */
#define LIMIT_RECIPE_ARENA_BYTES (64 * MIB)
#define LIMIT_REQUEST_ARENA_BYTES (64 * MIB) /* a report of LIMIT_TENSORS rows is some 50 MB */

#endif
