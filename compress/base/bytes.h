/*
 * Borrowed byte slices and a bounds-checked little-endian cursor: the only way in which a parser
 * walks over bytes from outside.
 *
 * A cursor never reads past its end: a short read sets `failed`, returns zero and stays failed, so
 * a parser may read a whole record and test once. All formats we read are little-endian; loads go
 * through memcpy, so no alignment is assumed. Threads: one at a time.
 */
#ifndef COMPRESS_BASE_BYTES_H
#define COMPRESS_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *at;
    size_t len;
};

struct cursor {
    const uint8_t *at;
    size_t left;
    uint64_t offset; /* of `at` in the file, for messages */
    bool failed;
};

static inline struct cursor cursor_over(const void *data, size_t len, uint64_t offset) {
    return (struct cursor){data, len, offset, false};
}

/* The next len bytes, borrowed; {NULL,0} and failed when fewer are left. */
static inline struct bytes cursor_take(struct cursor *c, uint64_t len) {
    if (c->failed || len > c->left) {
        c->failed = true;
        return (struct bytes){NULL, 0};
    }
    struct bytes out = {c->at, (size_t)len};
    c->at += len;
    c->left -= (size_t)len;
    c->offset += len;
    return out;
}

static inline uint16_t load_u16(const void *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t load_u32(const void *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t load_u64(const void *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store_u16(void *p, uint16_t v) {
    memcpy(p, &v, sizeof v);
}

static inline void store_u32(void *p, uint32_t v) {
    memcpy(p, &v, sizeof v);
}

static inline void store_u64(void *p, uint64_t v) {
    memcpy(p, &v, sizeof v);
}

static inline uint8_t cursor_u8(struct cursor *c) {
    struct bytes b = cursor_take(c, 1);
    return b.at ? b.at[0] : 0;
}

static inline uint16_t cursor_u16(struct cursor *c) {
    struct bytes b = cursor_take(c, 2);
    return b.at ? load_u16(b.at) : 0;
}

static inline uint32_t cursor_u32(struct cursor *c) {
    struct bytes b = cursor_take(c, 4);
    return b.at ? load_u32(b.at) : 0;
}

static inline uint64_t cursor_u64(struct cursor *c) {
    struct bytes b = cursor_take(c, 8);
    return b.at ? load_u64(b.at) : 0;
}

/* a*b and a+b that say when they do not fit. */
static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *ret) {
    return !__builtin_mul_overflow(a, b, ret);
}

static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *ret) {
    return !__builtin_add_overflow(a, b, ret);
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "compressd reads little-endian formats in place and needs a little-endian machine"
#endif

#endif
