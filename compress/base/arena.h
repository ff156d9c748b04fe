/*
 * A capped bump arena: many small things with one lifetime.
 *
 * Memory comes in blocks that are never moved; everything dies with arena_free() or with
 * arena_rewind() to a mark. A cap (bytes handed to the arena by the system) makes a hostile header
 * fail with NULL instead of eating the machine. Weights never live in an arena.
 *
 * Owns: its blocks. Threads: one at a time.
 */
#ifndef COMPRESS_BASE_ARENA_H
#define COMPRESS_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena_mark {
    void *block;
    size_t used;
};

struct arena *arena_new(size_t cap_bytes); /* NULL when out of memory */
void arena_free(struct arena *arena);      /* NULL is fine */

/* 16-byte aligned, zeroed; NULL when the cap or memory is exhausted or count*size overflows. */
void *arena_alloc(struct arena *arena, size_t bytes);
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/* NUL-terminated copies; NULL as above. */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Array that doubles: returns the (possibly moved) array with room for at least want elements; the
 * old copy stays in the arena until rewind. *capacity is updated. NULL as above, array untouched.
 */
void *arena_grow(struct arena *arena, void *array, size_t *capacity, size_t want, size_t size);

struct arena_mark arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, struct arena_mark mark);

size_t arena_used_bytes(const struct arena *arena); /* blocks taken from the system */

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_calloc((arena), (count), sizeof(type)))

#endif
