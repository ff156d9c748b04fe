/*
 * A string → index map that lives in an arena: tensor names, file paths, keys.
 *
 * Keys are borrowed (they must outlive the map) and compared byte by byte. The hash is seeded per
 * process, so names from a file cannot be chosen to collide. Threads: reads may run in parallel
 * once no one inserts any more.
 */
#ifndef COMPRESS_BASE_STRMAP_H
#define COMPRESS_BASE_STRMAP_H

#include <stddef.h>
#include <stdint.h>

struct arena;

struct strmap {
    struct arena *arena;
    struct strmap_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

#define STRMAP_NONE UINT32_MAX

void strmap_init(struct strmap *map, struct arena *arena);

/* Index stored for key, or STRMAP_NONE. */
uint32_t strmap_get(const struct strmap *map, const char *key);

/* Inserts key → index. Returns 1 when inserted, 0 when the key was already there (map unchanged),
 * -1 when the arena is exhausted. */
int strmap_put(struct strmap *map, const char *key, uint32_t index);

#endif
