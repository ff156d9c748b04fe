/*
 * One GGUF file, read: its keys, its tensor infos, and where everything stands. The byte layout is
 * drawn in gguf.h.
 *
 * The header is walked through a small window, so a vocabulary of megabytes costs no memory: of a
 * key only its name, type and place are kept, and the value of numbers and short texts.
 *
 * Owns: nothing, all lives in the arena. Borrows: the source during the call. Threads: any, once
 * read. Expected failures: ERR_BAD_MODEL (with file and offset), ERR_UNSUPPORTED (version 1,
 * big-endian, arrays of arrays), ERR_TOO_LARGE (a ceiling of limits.h).
 */
#ifndef COMPRESS_FORMATS_GGUF_FILE_H
#define COMPRESS_FORMATS_GGUF_FILE_H

#include "compress/base/arena.h"
#include "compress/base/files.h"
#include "compress/base/strmap.h"
#include "compress/codecs/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GGUF_MAGIC "GGUF"
#define GGUF_HEADER_BYTES 24
#define GGUF_DEFAULT_ALIGNMENT 32
#define GGUF_MAX_RANK 4

enum gguf_value {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_TEXT,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_VALUES, /* how many there are */
};

struct gguf_key {
    const char *name;
    uint64_t offset; /* of the pair, in the file */
    uint64_t bytes;  /* of the pair: name, type and value */
    enum gguf_value type;
    enum gguf_value element_type; /* ARRAY */
    uint64_t count;               /* ARRAY: elements. TEXT: bytes */
    uint64_t bits;                /* numbers: the little-endian value, zero above its width */
    const char *text;             /* TEXT up to GGUF_SHORT_TEXT bytes, else NULL */
};

#define GGUF_SHORT_TEXT 1024

struct gguf_info {
    const char *name;
    unsigned rank;
    uint64_t dims[GGUF_MAX_RANK]; /* slowest first: turned round from the file's order */
    uint64_t elements;
    struct encoding stored;
    uint64_t offset; /* in the file */
    uint64_t bytes;
};

struct gguf_file {
    uint32_t version;
    uint32_t alignment;
    struct gguf_key *keys; /* in file order */
    size_t key_count;
    struct strmap key_index;
    struct gguf_info *infos; /* in file order */
    size_t info_count;
    uint64_t data_offset;
};

int gguf_file_read(struct source *source, struct arena *arena, struct gguf_file *ret,
                   struct err *err);

/* NULL when there is no such key. */
const struct gguf_key *gguf_file_key(const struct gguf_file *file, const char *name);
/* The value of an integer key, whatever its width; false when absent, negative or not an integer.
 */
bool gguf_file_uint(const struct gguf_file *file, const char *name, uint64_t *ret);
/* The value of a short text key; NULL when absent, long or not a text. */
const char *gguf_file_text(const struct gguf_file *file, const char *name);

/* ggml's type number of an encoding, or -1 when a GGUF file cannot hold it; and the way back. */
int gguf_file_type_of(const struct encoding *e);
bool gguf_file_encoding_of(uint32_t type, struct encoding *ret);

#endif
