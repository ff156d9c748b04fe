/*
 * Protocol buffers to be written: messages as lists of segments, so that sizes are exact before a
 * byte is written and ranges of an input file or encoded tensors can stand in the middle.
 *
 * A message within a message is made first and then moved into its parent, which then knows its
 * length. Running out of memory is remembered (`failed`) and reported once, by pbout_lay().
 *
 * Owns: nothing but what lives in the arena. Threads: one.
 */
#ifndef COMPRESS_FORMATS_PBOUT_H
#define COMPRESS_FORMATS_PBOUT_H

#include "compress/formats/layout.h"
#include "compress/formats/pbwire.h"

struct pbout_piece;

struct pbout {
    struct arena *arena;
    struct pbout_piece *first, *last;
    uint64_t bytes;
    bool failed;
};

void pbout_init(struct pbout *out, struct arena *arena);

void pbout_varint(struct pbout *out, uint32_t number, uint64_t value);
void pbout_float(struct pbout *out, uint32_t number, float value);
void pbout_bytes(struct pbout *out, uint32_t number, const void *data, size_t len);
void pbout_text(struct pbout *out, uint32_t number, const char *text);
/* Moves the child, which is empty afterwards. */
void pbout_message(struct pbout *out, uint32_t number, struct pbout *child);
/* The child's fields at the end of out's own. */
void pbout_append(struct pbout *out, struct pbout *child);
/* Tag and length of a field whose content of `bytes` bytes is put next. */
void pbout_header(struct pbout *out, uint32_t number, uint64_t bytes);

/* Content and whole fields, not checked: a range of an input file, a part of a tensor. */
void pbout_copy(struct pbout *out, size_t resolver_index, struct pbwire_span span);
void pbout_part(struct pbout *out, const struct tensor *tensor, enum part_kind part,
                uint64_t bytes);

/* All of it at the end of a file. */
int pbout_lay(const struct pbout *out, struct layout *layout, struct layout_file *file,
              struct err *err);

#endif
