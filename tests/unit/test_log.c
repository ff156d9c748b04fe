/* Lines reach the sink up to its level, whole or cut, never formatted for nobody. */
#include "compress/base/log.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

static char last[4096];
static enum log_level last_level;
static unsigned lines;

static void keep(void *self, enum log_level level, const char *text) {
    assert_ptr_equal(self, &lines);
    lines++;
    last_level = level;
    snprintf(last, sizeof last, "%s", text);
}

static void levels(void **state) {
    log_line(LOG_LEVEL_ERROR, "nobody listens");
    log_set_sink(keep, &lines, LOG_LEVEL_WARN);
    log_line(LOG_LEVEL_DEBUG, "quiet");
    log_line(LOG_LEVEL_INFO, "quiet");
    CHECK_UINT(lines, 0);
    log_line(LOG_LEVEL_WARN, "disk %d%% full", 93);
    CHECK_UINT(lines, 1);
    CHECK_TEXT(last, "disk 93% full");
    CHECK_INT(last_level, LOG_LEVEL_WARN);
    log_line(LOG_LEVEL_ERROR, "worse");
    CHECK_INT(last_level, LOG_LEVEL_ERROR);
    log_set_sink(NULL, NULL, LOG_LEVEL_DEBUG);
    log_line(LOG_LEVEL_ERROR, "gone");
    CHECK_UINT(lines, 2);
}

static void long_lines_are_cut(void **state) {
    log_set_sink(keep, &lines, LOG_LEVEL_DEBUG);
    log_line(LOG_LEVEL_DEBUG, "%05000d", 1);
    CHECK_UINT(strlen(last), 2047);
    log_set_sink(NULL, NULL, LOG_LEVEL_DEBUG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(long_lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
