/* See opcheck.h. */
#include "tests/support/opcheck.h"

#include "tests/support/check.h"

#include <math.h>
#include <string.h>

static void run(const char *text, struct opcase *ret) {
    struct err err = ERR_INIT;
    if (opcase_run(text, 1, ret, &err) < 0)
        fail_msg("%s: %s", text, err.text);
}

void opcheck_numbers(const char *text, double tolerance, const double *want, size_t count) {
    opcheck_output(text, 0, tolerance, want, count);
}

void opcheck_output(const char *text, size_t which, double tolerance, const double *want,
                    size_t count) {
    struct opcase c;
    run(text, &c);
    const struct array *out = c.out[which];
    if (out->elements != count)
        fail_msg("%s: %llu elements, not %zu", text, (unsigned long long)out->elements, count);
    for (size_t i = 0; i < count; i++) {
        double got = array_number(out, i);
        bool same = got == want[i] || (isnan(got) && isnan(want[i])) ||
                    fabs(got - want[i]) <= tolerance * fmax(1, fabs(want[i]));
        if (!same)
            fail_msg("%s: element %zu of output %zu is %.9g, not %.9g", text, i, which, got,
                     want[i]);
    }
    opcase_free(&c);
}

void opcheck_type(const char *text, size_t out, const char *want) {
    struct opcase c;
    char got[128];
    run(text, &c);
    array_describe(c.out[out], got, sizeof got);
    opcase_free(&c);
    if (strcmp(got, want) != 0)
        fail_msg("%s: %s, not %s", text, got, want);
}

void opcheck_refused(const char *text, enum err_code code, const char *part) {
    struct opcase c;
    struct err err = ERR_INIT;
    if (opcase_run(text, 1, &c, &err) == 0) {
        opcase_free(&c);
        fail_msg("%s: not refused", text);
    }
    if (err.code != code || !strstr(err.text, part))
        fail_msg("%s: refused with '%s'", text, err.text);
}

void opcheck_symbolic(const char *text, const char *want) {
    struct opcase c;
    struct err err = ERR_INIT;
    struct fact *facts;
    char got[128];
    if (opcase_new(text, 1, &c, &err) < 0 || opcase_facts(&c, OPCASE_SYMBOLS, &facts, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    type_describe(&facts[0].type, c.graph->symbols, got, sizeof got);
    opcase_free(&c);
    if (strcmp(got, want) != 0)
        fail_msg("%s: inferred %s, not %s", text, got, want);
}
