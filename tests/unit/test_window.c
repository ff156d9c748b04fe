/* Sizes that windows make, against PyTorch's rules worked out by hand. */
#include "compress/graph/window.h"

#include "tests/support/check.h"

static void fits(const struct window *w, uint64_t n, uint64_t want_out, uint64_t want_begin) {
    uint64_t out = 0, begin = 0;
    CHECK(window_fit(w, 0, n, &out, &begin));
    CHECK_UINT(out, want_out);
    CHECK_UINT(begin, want_begin);
}

static void counts_windows(void **state) {
    struct window w = {.kernel = {3}, .stride = {2}, .dilation = {1}, .begin = {1}, .end = {1}};
    fits(&w, 7, 4, 1);
    fits(&w, 8, 4, 1);
    w.ceil = true;
    fits(&w, 7, 4, 1);
    fits(&w, 8, 5, 1);
    w.dilation[0] = 2; /* spans 5 */
    fits(&w, 8, 4, 1);
    w = (struct window){.kernel = {1}, .stride = {3}, .dilation = {1}, .ceil = true};
    fits(&w, 2, 1, 0); /* a second one would begin behind the input */
}

static void pads_to_the_same(void **state) {
    struct window w = {.kernel = {4}, .stride = {2}, .dilation = {1}, .pads = WINDOW_SAME_UPPER};
    fits(&w, 7, 4, 1); /* 3 pads */
    w.pads = WINDOW_SAME_LOWER;
    fits(&w, 7, 4, 2);
    w.kernel[0] = 1;
    fits(&w, 7, 4, 0);
}

static void does_not_fit(void **state) {
    struct window w = {.kernel = {3}, .stride = {1}, .dilation = {2}, .begin = {1}, .end = {1}};
    uint64_t out, begin;
    CHECK_UINT(window_span(&w, 0), 5);
    CHECK(!window_fit(&w, 0, 2, &out, &begin));
    fits(&w, 3, 1, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_windows),
        cmocka_unit_test(pads_to_the_same),
        cmocka_unit_test(does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
