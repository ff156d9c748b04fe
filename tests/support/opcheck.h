/*
 * Checks of operators written as lines (opcase.h): the numbers that come out, or the words that
 * come back. A failed check names the line and ends its test.
 */
#ifndef TESTS_SUPPORT_OPCHECK_H
#define TESTS_SUPPORT_OPCHECK_H

#include "tests/support/opcase.h"

/* Output 0 of the case has these numbers, each within tolerance * max(1, |number|). NaN matches
 * NaN, infinities themselves. */
#define OPCHECK(text, tolerance, ...)                                   \
    opcheck_numbers((text), (tolerance), (const double[]){__VA_ARGS__}, \
                    sizeof((const double[]){__VA_ARGS__}) / sizeof(double))
void opcheck_numbers(const char *text, double tolerance, const double *want, size_t count);
/* The same of output `out`. */
#define OPCHECK_OUT(text, out, tolerance, ...)                                \
    opcheck_output((text), (out), (tolerance), (const double[]){__VA_ARGS__}, \
                   sizeof((const double[]){__VA_ARGS__}) / sizeof(double))
void opcheck_output(const char *text, size_t out, double tolerance, const double *want,
                    size_t count);
/* Output `out` is "f32[2,3]". */
void opcheck_type(const char *text, size_t out, const char *want);
/* The case is refused, when it is made, inferred or run, with this code and these words. */
void opcheck_refused(const char *text, enum err_code code, const char *part);
/* What inference makes of the case when only ranks are told: "f32[?,4]". */
void opcheck_symbolic(const char *text, const char *want);

#endif
