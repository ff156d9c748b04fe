/*
 * Checks on top of cmocka that say what was expected and what came: numbers in decimal, texts and
 * bytes with the first difference, errors with their words. A failed check ends its test.
 *
 * Threads: the test's own thread only (cmocka jumps out of a failed check).
 */
#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

/* cmocka.h wants these before itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/base/err.h"

/* Behind fail_msg() and all the others; older headers of cmocka do not say that it never returns.
 */
void _fail(const char *file, int line) __attribute__((noreturn));

/* call returned 0; else the err's words are printed. */
#define CHECK_OK(call, err)                                           \
    do {                                                              \
        int check_rc = (call);                                        \
        if (check_rc != 0)                                            \
            check_not_ok(check_rc, (err), #call, __FILE__, __LINE__); \
    } while (0)
/* call failed (non-zero) with this code; the err is cleared for the next check. */
#define CHECK_FAILS(call, err, code) \
    check_fails((call) != 0, (err), (code), #call, __FILE__, __LINE__)

#define CHECK(truth) ((truth) ? (void)0 : check_not_true(#truth, __FILE__, __LINE__))
#define CHECK_INT(got, want) check_int((got), (want), #got, __FILE__, __LINE__)
#define CHECK_UINT(got, want) check_uint((got), (want), #got, __FILE__, __LINE__)
/* |got - want| <= tolerance; NaN matches nothing. */
#define CHECK_NUM(got, want, tolerance) \
    check_num((got), (want), (tolerance), #got, __FILE__, __LINE__)
#define CHECK_TEXT(got, want) check_text((got), (want), #got, __FILE__, __LINE__)
/* got holds part. */
#define CHECK_HOLDS(got, part) check_holds((got), (part), #got, __FILE__, __LINE__)
#define CHECK_BYTES(got, want, len) check_bytes((got), (want), (len), #got, __FILE__, __LINE__)

/* What compilers and analysers must know: behind a failed check nothing goes on. */
void check_not_ok(int rc, const struct err *err, const char *what, const char *file, int line)
    __attribute__((noreturn));
void check_not_true(const char *what, const char *file, int line) __attribute__((noreturn));

void check_fails(int failed, struct err *err, enum err_code code, const char *what,
                 const char *file, int line);
void check_int(int64_t got, int64_t want, const char *what, const char *file, int line);
void check_uint(uint64_t got, uint64_t want, const char *what, const char *file, int line);
void check_num(double got, double want, double tolerance, const char *what, const char *file,
               int line);
void check_text(const char *got, const char *want, const char *what, const char *file, int line);
void check_holds(const char *got, const char *part, const char *what, const char *file, int line);
void check_bytes(const void *got, const void *want, size_t len, const char *what, const char *file,
                 int line);

#endif
