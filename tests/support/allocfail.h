/*
 * Makes the n-th allocation fail, to see that every function comes home from it.
 *
 * The linker's --wrap sends malloc, calloc, realloc, strdup, strndup and aligned_alloc of our own
 * objects through this module, jansson is given the same functions, and everything else (libc's and
 * other libraries' own allocations) is left alone; so it works under the sanitizers too. A program
 * that wants it depends on dep_allocfail.
 *
 * The usual loop: for n = 0, 1, 2 ... arm(n), run, disarm(); stop when nothing failed any more.
 *
 * Threads: allocations are counted from all threads; arm and disarm from one.
 */
#ifndef TESTS_SUPPORT_ALLOCFAIL_H
#define TESTS_SUPPORT_ALLOCFAIL_H

#include <stdbool.h>

/* The allocation after `skip` further ones returns NULL; later ones work again. */
void allocfail_arm(unsigned skip);
/* Stops counting. Did one fail? */
bool allocfail_disarm(void);

#endif
