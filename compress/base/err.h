/*
 * The error object: what failed, in which words, and where to look.
 *
 * Caller-owned, fixed-size, never allocates. A function that can fail takes `struct err *err` last
 * and returns 0 or -1 (or NULL); on failure the first err_set() wins, callers may only add context.
 * All functions accept err == NULL (the caller does not want to know).
 *
 * Owns: nothing. Threads: an object belongs to one thread at a time.
 */
#ifndef COMPRESS_BASE_ERR_H
#define COMPRESS_BASE_ERR_H

#include "compress/base/err_codes.h"

#include <stdint.h>

enum err_code {
#define ERR_ENUM(name, number, kind, slug, title) ERR_##name = number,
    ERR_CODES(ERR_ENUM)
#undef ERR_ENUM
};

enum err_kind {
    ERR_KIND_NONE,
    ERR_KIND_INPUT,     /* the request, recipe or model is at fault */
    ERR_KIND_LIMIT,     /* a ceiling was hit */
    ERR_KIND_MISSING,   /* no such thing */
    ERR_KIND_CONFLICT,  /* forbidden by the present state */
    ERR_KIND_DENIED,    /* forbidden to this caller */
    ERR_KIND_BUSY,      /* try again later */
    ERR_KIND_ENV,       /* disk, memory, database, network */
    ERR_KIND_CANCELLED, /* asked to stop */
    ERR_KIND_BUG,       /* our own promise was broken */
};

#define ERR_NO_OFFSET UINT64_MAX

struct err {
    enum err_code code;
    uint64_t offset;   /* byte in `file`, or ERR_NO_OFFSET */
    char file[160];    /* path inside the model, or "" */
    char tensor[200];  /* tensor name, or "" */
    char pointer[160]; /* RFC 6901 JSON pointer into the recipe or body, or "" */
    char nearest[64];  /* the nearest value that would have worked, or "" */
    char text[512];    /* one sentence, no trailing newline */
};

#define ERR_INIT ((struct err){.code = ERR_OK, .offset = ERR_NO_OFFSET})

/* Sets code and text unless an error is already set. Always returns -1, so that `return
 * err_set(...)`. */
int err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Same, and appends ": <strerror(errno_value)>"; ENOSPC and EDQUOT become ERR_NO_SPACE, ENOMEM
 * ERR_NO_MEMORY, whatever code was given. */
int err_set_errno(struct err *err, enum err_code code, int errno_value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "context: " in front of the text. Returns -1. */
int err_context(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Subjects: set only where still empty, so the innermost caller wins. Return -1. Names from files
 * are made printable (control bytes and invalid UTF-8 become '?') and cut to fit. */
int err_at_tensor(struct err *err, const char *name);
int err_at_file(struct err *err, const char *path, uint64_t offset);
int err_at_pointer(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int err_nearest(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Callers, compilers and analysers may know that these always return -1. */
static inline int err_failed(void) {
    return -1;
}
#define err_set(...) (err_set(__VA_ARGS__), err_failed())
#define err_set_errno(...) (err_set_errno(__VA_ARGS__), err_failed())
#define err_context(...) (err_context(__VA_ARGS__), err_failed())
#define err_at_tensor(...) (err_at_tensor(__VA_ARGS__), err_failed())
#define err_at_file(...) (err_at_file(__VA_ARGS__), err_failed())
#define err_at_pointer(...) (err_at_pointer(__VA_ARGS__), err_failed())
#define err_nearest(...) (err_nearest(__VA_ARGS__), err_failed())

void err_clear(struct err *err);

enum err_kind err_kind(enum err_code code);
const char *err_slug(enum err_code code);
const char *err_title(enum err_code code);
const char *err_name(enum err_code code); /* "BAD_MODEL" */

/* Walk over the table, for tests, documentation and the problem pages: row i, or -1 past the end.
 */
int err_code_at(unsigned i);

#endif
