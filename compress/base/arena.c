/*
 * Bump arena: a stack of blocks, newest on top. A request larger than the usual block gets a block
 * of its own size. Under AddressSanitizer what is not handed out is poisoned, so a use after rewind
 * or past an allocation's end is seen.
 */
#include "compress/base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define GAP 16 /* poisoned bytes between neighbours */
#else
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#define GAP 0
#endif

#define ALIGN 16
#define FIRST_BLOCK_BYTES (4 * 1024)
#define BLOCK_BYTES_MAX (256 * 1024) /* blocks double up to this: few mallocs, little slack */

struct block {
    struct block *below;
    size_t bytes; /* room behind this header */
    size_t used;
    size_t pad;
};

static_assert(sizeof(struct block) % ALIGN == 0, "the first allocation of a block is aligned");

struct arena {
    struct block *top;
    size_t cap_bytes;
    size_t taken_bytes;
    size_t next_block_bytes;
};

struct arena *arena_new(size_t cap_bytes) {
    struct arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        return NULL;
    arena->cap_bytes = cap_bytes;
    arena->next_block_bytes = FIRST_BLOCK_BYTES;
    return arena;
}

static void pop_block(struct arena *arena) {
    struct block *block = arena->top;
    arena->top = block->below;
    arena->taken_bytes -= sizeof *block + block->bytes;
    UNPOISON(block + 1, block->bytes);
    free(block);
}

void arena_free(struct arena *arena) {
    if (!arena)
        return;
    while (arena->top)
        pop_block(arena);
    free(arena);
}

static int push_block(struct arena *arena, size_t need) {
    size_t bytes = arena->next_block_bytes > need ? arena->next_block_bytes : need;
    size_t left = arena->cap_bytes - arena->taken_bytes;
    if (left < sizeof(struct block) || bytes > left - sizeof(struct block)) {
        bytes = need; /* near the cap: take just what is needed */
        if (left < sizeof(struct block) || bytes > left - sizeof(struct block))
            return -1;
    }
    struct block *block = malloc(sizeof *block + bytes);
    if (!block)
        return -1;
    *block = (struct block){.below = arena->top, .bytes = bytes};
    POISON(block + 1, bytes);
    arena->top = block;
    arena->taken_bytes += sizeof *block + bytes;
    if (arena->next_block_bytes < BLOCK_BYTES_MAX)
        arena->next_block_bytes *= 2;
    return 0;
}

void *arena_alloc(struct arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t need = (bytes + ALIGN - 1) / ALIGN * ALIGN + GAP;
    struct block *block = arena->top;
    if (!block || block->bytes - block->used < need) {
        if (push_block(arena, need) < 0)
            return NULL;
        block = arena->top;
    }
    char *at = (char *)(block + 1) + block->used;
    block->used += need;
    UNPOISON(at, bytes);
    return memset(at, 0, bytes);
}

void *arena_calloc(struct arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return arena_alloc(arena, bytes);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len) {
    if (len == SIZE_MAX)
        return NULL;
    char *copy = arena_alloc(arena, len + 1);
    if (copy)
        memcpy(copy, text, len);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text) {
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = len < 0 ? NULL : arena_alloc(arena, (size_t)len + 1);
    if (text)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

void *arena_grow(struct arena *arena, void *array, size_t *capacity, size_t want, size_t size) {
    if (want <= *capacity)
        return array;
    size_t grown = *capacity ? *capacity : 8;
    while (grown < want) {
        if (grown > SIZE_MAX / 2)
            return NULL;
        grown *= 2;
    }
    void *moved = arena_calloc(arena, grown, size);
    if (!moved)
        return NULL;
    if (*capacity)
        memcpy(moved, array, *capacity * size);
    *capacity = grown;
    return moved;
}

struct arena_mark arena_mark(const struct arena *arena) {
    return (struct arena_mark){arena->top, arena->top ? arena->top->used : 0};
}

void arena_rewind(struct arena *arena, struct arena_mark mark) {
    while (arena->top && arena->top != mark.block)
        pop_block(arena);
    if (arena->top) {
        assert(mark.used <= arena->top->used);
        POISON((char *)(arena->top + 1) + mark.used, arena->top->used - mark.used);
        arena->top->used = mark.used;
    }
}

size_t arena_used_bytes(const struct arena *arena) {
    return arena->taken_bytes;
}
