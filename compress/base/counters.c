/* See counters.h. */
#include "compress/base/counters.h"

#include <stdatomic.h>

static _Atomic int64_t values[COUNTER_COUNT];

static const struct {
    const char *name, *kind, *help;
} table[COUNTER_COUNT] = {
#define COUNTER_ROW(name, prometheus, kind, help) {prometheus, kind, help},
    COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
};

void counter_add(enum counter counter, int64_t by) {
    atomic_fetch_add_explicit(&values[counter], by, memory_order_relaxed);
}

void counter_set(enum counter counter, int64_t value) {
    atomic_store_explicit(&values[counter], value, memory_order_relaxed);
}

int64_t counter_get(enum counter counter) {
    return atomic_load_explicit(&values[counter], memory_order_relaxed);
}

const char *counter_name(enum counter counter) {
    return table[counter].name;
}

const char *counter_kind(enum counter counter) {
    return table[counter].kind;
}

const char *counter_help(enum counter counter) {
    return table[counter].help;
}
