/*
 * NPY files, for tests: header as numpy writes it, data as given.
 *
 * Owns: nothing; appends to a bytebuf. Threads: one.
 */
#ifndef TESTS_SUPPORT_TINYNPY_H
#define TESTS_SUPPORT_TINYNPY_H

#include "tests/support/bytebuf.h"

/* descr "<f4", shape "(2, 3)". */
void tinynpy(struct bytebuf *b, const char *descr, const char *shape, const void *data, size_t len);
/* Any text as header, of any version. */
void tinynpy_header(struct bytebuf *b, unsigned version, const char *text, const void *data,
                    size_t len);

#endif
