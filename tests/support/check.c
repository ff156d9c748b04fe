/* See check.h. Messages go through cmocka, so that they stand with the test they belong to. */
#include "tests/support/check.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Prints "what: " and the rest, and leaves the test. */
#define FAIL(what, file, line, ...)  \
    do {                             \
        print_error("%s: ", (what)); \
        print_error(__VA_ARGS__);    \
        print_error("\n");           \
        _fail((file), (line));       \
    } while (0)

static const char *shown(const char *text) {
    return text ? text : "(null)";
}

void check_not_ok(int rc, const struct err *err, const char *what, const char *file, int line) {
    if (err && err->code != ERR_OK)
        FAIL(what, file, line,
             "returned %d: %s: %s [tensor \"%s\" file \"%s\" offset %" PRId64 " pointer \"%s\"]",
             rc, err_name(err->code), err->text, err->tensor, err->file, (int64_t)err->offset,
             err->pointer);
    FAIL(what, file, line, "returned %d, and no error was set", rc);
}

void check_fails(int failed, struct err *err, enum err_code code, const char *what,
                 const char *file, int line) {
    if (!failed)
        FAIL(what, file, line, "succeeded, expected %s", err_name(code));
    if (err->code != code)
        FAIL(what, file, line, "failed with %s (%s), expected %s", err_name(err->code), err->text,
             err_name(code));
    if (!err->text[0])
        FAIL(what, file, line, "failed with %s and without a word", err_name(code));
    err_clear(err);
}

void check_not_true(const char *what, const char *file, int line) {
    FAIL(what, file, line, "is not so");
}

void check_int(int64_t got, int64_t want, const char *what, const char *file, int line) {
    if (got != want)
        FAIL(what, file, line, "is %" PRId64 ", expected %" PRId64, got, want);
}

void check_uint(uint64_t got, uint64_t want, const char *what, const char *file, int line) {
    if (got != want)
        FAIL(what, file, line, "is %" PRIu64 ", expected %" PRIu64, got, want);
}

void check_num(double got, double want, double tolerance, const char *what, const char *file,
               int line) {
    if (!(got == want || fabs(got - want) <= tolerance))
        FAIL(what, file, line, "is %.17g, expected %.17g within %g", got, want, tolerance);
}

void check_text(const char *got, const char *want, const char *what, const char *file, int line) {
    if (got == want || (got && want && strcmp(got, want) == 0))
        return;
    FAIL(what, file, line, "is\n    %s\nexpected\n    %s", shown(got), shown(want));
}

void check_holds(const char *got, const char *part, const char *what, const char *file, int line) {
    if (!got || !strstr(got, part))
        FAIL(what, file, line, "does not hold \"%s\":\n    %s", part, shown(got));
}

void check_bytes(const void *got, const void *want, size_t len, const char *what, const char *file,
                 int line) {
    const unsigned char *a = got, *b = want;
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i])
            FAIL(what, file, line, "byte %zu of %zu is 0x%02x, expected 0x%02x", i, len, a[i],
                 b[i]);
}
