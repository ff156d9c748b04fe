/*
 * What is wrong with a recipe, a body or a model, all at once: checks collect, they do not stop at
 * the first finding. Becomes the `errors` array of a problem document.
 *
 * Everything is copied into the arena; at most LIMIT_VIOLATIONS are kept, `total` counts all.
 */
#ifndef COMPRESS_BASE_VIOLATIONS_H
#define COMPRESS_BASE_VIOLATIONS_H

#include "compress/base/arena.h"
#include "compress/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct violation {
    enum err_code code;
    const char *pointer; /* JSON pointer, "" when it has none */
    const char *detail;
    const char *tensor; /* NULL when it names none; so below */
    const char *file;
    uint64_t offset; /* ERR_NO_OFFSET when it has none */
    const char *group;
    const char *nearest; /* the nearest feasible value, as text */
};

struct violations {
    struct arena *arena;
    struct violation *items;
    size_t count;
    size_t capacity;
    size_t total;
};

void violations_init(struct violations *list, struct arena *arena);

/* Adds one; returns it so that the caller can fill further fields (never NULL: past the ceiling or
 * when the arena is full it is a scratch row that is not kept). */
struct violation *violations_add(struct violations *list, enum err_code code, const char *pointer,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Adds what an err says. */
void violations_add_err(struct violations *list, const struct err *err);

/* 0 when the list is empty; else sets err to the first one's code and "<n> problems; first: ..."
 * and returns -1. */
int violations_result(const struct violations *list, struct err *err);

#endif
