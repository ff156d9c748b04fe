/* Progress as a bar, as lines, as JSON; rates and times in words. */
#include "daemon/term.h"
#include "tests/support/check.h"

#include "compress/base/jspec.h"

#include <stdlib.h>
#include <string.h>

/* A stage of 100 MB at 10 MB/s, reported a hundred times a second. */
static char *play(enum term_style style, double seconds) {
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    struct term *term = term_new(out, style);
    struct progress_state s = {.stage = "verify",
                               .unit = "bytes",
                               .stages = 2,
                               .stage_index = 1,
                               .total = (uint64_t)(seconds * 1e7)};
    for (double at = 0; at < seconds; at += 0.01) {
        s.done = (uint64_t)(at * 1e7);
        term_progress_at(term, &s, 1000 + at);
    }
    s.done = s.total;
    term_progress_at(term, &s, 1000 + seconds);
    term_free(term);
    fclose(out);
    return text;
}

static unsigned count(const char *text, const char *part) {
    unsigned n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

static void bar(void **state) {
    char *text = play(TERM_BAR, 10);
    CHECK(count(text, "\r") > 80 && count(text, "\r") < 110); /* ten a second */
    CHECK_HOLDS(text, "verify     [############------------]  50 %      10 MB/s  5 s left");
    CHECK_HOLDS(text, "[########################] 100 %");
    CHECK_UINT(count(text, "\n"), 0);
    CHECK_TEXT(text + strlen(text) - 4, "\r\033[K"); /* and is gone at the end */
    free(text);
}

/* The longest line of a bar drawn on so many columns. */
static size_t longest(unsigned columns, char **ret_sample) {
    char *text;
    size_t len, most = 0;
    FILE *out = open_memstream(&text, &len);
    struct term *term = term_new(out, TERM_BAR);
    struct progress_state s = {
        .stage = "quantize", .unit = "bytes", .stages = 1, .total = 10000000000};
    term_set_columns(term, columns);
    for (int i = 0; i <= 100; i++) {
        s.done = s.total / 100 * (uint64_t)i;
        term_progress_at(term, &s, 1000 + i);
    }
    fflush(out);
    for (char *at = text; (at = strchr(at, '\r'));) {
        char *end = strstr(++at, "\033[K");
        size_t n = (size_t)(end - at);
        most = n > most ? n : most;
        if (n > 20 && !*ret_sample)
            *ret_sample = strndup(at, n);
    }
    term_free(term);
    fclose(out);
    free(text);
    return most;
}

static void a_narrow_terminal_never_wraps(void **state) {
    for (unsigned columns = 1; columns < 200; columns++) {
        char *sample = NULL;
        size_t most = longest(columns, &sample);
        CHECK(most < columns);
        CHECK(columns < 60 || (sample && strstr(sample, "[")));
        free(sample);
    }
}

/* A second attempt begins again at nothing: no rate comes of that. */
static void backwards(void **state) {
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    struct term *term = term_new(out, TERM_JSON);
    struct progress_state s = {.stage = "quantize", .unit = "bytes", .stages = 1, .total = 1000};
    const uint64_t done[] = {0, 800, 0, 100};
    for (size_t i = 0; i < 4; i++) {
        s.done = done[i];
        term_progress_at(term, &s, 10 + (double)i);
    }
    term_free(term);
    fclose(out);
    CHECK_UINT(count(text, "\"rate\":null"), 2);
    CHECK_HOLDS(text, "\"rate\":800");
    CHECK_HOLDS(text, "\"rate\":100");
    free(text);
}

static void lines(void **state) {
    char *text = play(TERM_LINES, 10);
    CHECK_UINT(count(text, "\n"), 4);
    CHECK_HOLDS(text, "verify: 25 %, 10 MB/s\n");
    CHECK_HOLDS(text, "verify: 100 %, 10 MB/s\n");
    CHECK_UINT(count(text, "\r"), 0);
    free(text);
    text = play(TERM_LINES, 0.5); /* a short stage says only that it is over */
    CHECK_UINT(count(text, "\n"), 1);
    free(text);
}

static void json(void **state) {
    char *text = play(TERM_JSON, 10);
    CHECK(count(text, "\n") >= 20 && count(text, "\n") <= 22); /* two a second, first and last */
    char *last = NULL;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        last = line;
    struct json_t *object;
    struct err err = ERR_INIT;
    CHECK(last);
    CHECK_OK(jspec_parse(last, strlen(last), &object, &err), &err);
    CHECK_TEXT(json_text(json_get(object, "type")), "progress");
    const struct json_t *data = json_get(object, "data");
    int64_t done;
    double rate;
    CHECK(json_int(json_get(data, "done"), &done) && done == 100000000);
    CHECK(json_number(json_get(data, "rate"), &rate));
    CHECK_NUM(rate, 1e7, 1e6);
    CHECK_TEXT(json_text(json_get(data, "unit")), "bytes");
    jspec_free(object);
    free(text);
}

static void silent(void **state) {
    char *text = play(TERM_SILENT, 3);
    CHECK_TEXT(text, "");
    free(text);
}

static void words(void **state) {
    char text[40];
    CHECK_TEXT(term_bytes(7, text, sizeof text), "7 B");
    CHECK_TEXT(term_bytes(999, text, sizeof text), "999 B");
    CHECK_TEXT(term_bytes(1000, text, sizeof text), "1.0 kB");
    CHECK_TEXT(term_bytes(999999, text, sizeof text), "1.0 MB");
    CHECK_TEXT(term_bytes(1940000000, text, sizeof text), "1.9 GB");
    CHECK_TEXT(term_bytes(812000, text, sizeof text), "812 kB");
    CHECK_TEXT(term_count(4196608, text, sizeof text), "4.2 M");
    CHECK_TEXT(term_count(12, text, sizeof text), "12");
    CHECK_TEXT(term_seconds(0.137, text, sizeof text), "0.14 s");
    CHECK_TEXT(term_seconds(12.4, text, sizeof text), "12 s");
    CHECK_TEXT(term_seconds(59.7, text, sizeof text), "1 min 00 s");
    CHECK_TEXT(term_seconds(3725, text, sizeof text), "1 h 02 min");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bar),       cmocka_unit_test(lines),
        cmocka_unit_test(json),      cmocka_unit_test(silent),
        cmocka_unit_test(words),     cmocka_unit_test(a_narrow_terminal_never_wraps),
        cmocka_unit_test(backwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
