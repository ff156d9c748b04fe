/* See allocfail.h. */
#include "tests/support/allocfail.h"

#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_long countdown = -1; /* allocations until one fails; negative: none will */
static atomic_bool fired;
static atomic_bool armed;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

static bool must_fail(void) {
    if (!atomic_load(&armed) || atomic_fetch_sub(&countdown, 1) != 0)
        return false;
    atomic_store(&fired, true);
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t bytes) {
    return must_fail() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t size) {
    return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t bytes) {
    return must_fail() ? NULL : __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return must_fail() ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__wrap_strndup(const char *text, size_t len) {
    len = strnlen(text, len);
    char *copy = __wrap_malloc(len + 1);
    if (!copy)
        return NULL;
    copy[len] = 0;
    return memcpy(copy, text, len);
}

char *__wrap_strdup(const char *text) {
    return __wrap_strndup(text, strlen(text));
}

void allocfail_arm(unsigned skip) {
    json_set_alloc_funcs(__wrap_malloc, free);
    atomic_store(&fired, false);
    atomic_store(&countdown, (long)skip);
    atomic_store(&armed, true);
}

bool allocfail_disarm(void) {
    atomic_store(&armed, false);
    return atomic_load(&fired);
}
