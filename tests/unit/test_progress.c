/* Every pointer may be missing; what is there is called. */
#include "compress/base/progress.h"
#include "tests/support/check.h"

#include <stdio.h>

struct heard {
    unsigned reports;
    struct progress_state state;
    bool cancelled;
    char level[16], text[2048];
};

static void on_report(void *self, const struct progress_state *state) {
    struct heard *heard = self;
    heard->reports++;
    heard->state = *state;
}

static bool on_question(void *self) {
    return ((struct heard *)self)->cancelled;
}

static void on_log(void *self, const char *level, const char *text) {
    struct heard *heard = self;
    snprintf(heard->level, sizeof heard->level, "%s", level);
    snprintf(heard->text, sizeof heard->text, "%s", text);
}

static void nobody_is_fine(void **state) {
    const struct progress nobody = {0};
    const struct progress_state at = {.stage = "verify"};
    struct err err = ERR_INIT;
    for (int i = 0; i < 2; i++) {
        const struct progress *p = i ? &nobody : NULL;
        progress_report(p, &at);
        progress_logf(p, "info", "x");
        CHECK(!progress_cancelled(p));
        CHECK_OK(progress_check(p, &err), &err);
    }
}

static void somebody_hears(void **state) {
    struct heard heard = {0};
    const struct progress p = {&heard, on_report, on_question, on_log};
    const struct progress_state at = {.stage = "quantize", .unit = "bytes", .done = 5, .total = 9};
    struct err err = ERR_INIT;
    progress_report(&p, &at);
    CHECK_UINT(heard.reports, 1);
    CHECK_UINT(heard.state.done, 5);
    progress_logf(&p, "warning", "%s overflows %d", "w", 3);
    CHECK_TEXT(heard.level, "warning");
    CHECK_TEXT(heard.text, "w overflows 3");
    CHECK_OK(progress_check(&p, &err), &err);
    heard.cancelled = true;
    CHECK(progress_cancelled(&p));
    CHECK_FAILS(progress_check(&p, &err), &err, ERR_CANCELLED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_fine),
        cmocka_unit_test(somebody_hears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
