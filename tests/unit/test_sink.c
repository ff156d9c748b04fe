/* Log lines on standard error: with the time for people, with a priority for the journal. */
#include "daemon/sink.h"

#include "compress/base/log.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What two lines look like when standard error is a file and JOURNAL_STREAM names it, or another.
 */
static char *lines_in(bool journal, const char *level) {
    struct tempdir dir;
    struct err err = ERR_INIT;
    struct stat st;
    char stream[64];
    tempdir_make(&dir);
    int fd = open(tempdir_path(&dir, "log"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int before = dup(STDERR_FILENO);
    CHECK(fd >= 0 && before >= 0 && fstat(fd, &st) == 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev,
             (uintmax_t)st.st_ino + !journal);
    setenv("JOURNAL_STREAM", stream, 1);
    dup2(fd, STDERR_FILENO);
    int result = sink_install(level, &err);
    log_line(LOG_LEVEL_WARN, "one %d", 1);
    log_line(LOG_LEVEL_DEBUG, "two");
    dup2(before, STDERR_FILENO);
    close(before);
    close(fd);
    CHECK_OK(result, &err);
    char *text = tempdir_read(&dir, "log", NULL);
    tempdir_free(&dir);
    return text;
}

static void the_journal_gets_priorities(void **state) {
    char *text = lines_in(true, "debug");
    CHECK_TEXT(text, "<4>one 1\n<7>two\n");
    free(text);
}

/* The variable is inherited by shells whose standard error is a terminal. */
static void others_get_the_time(void **state) {
    char *text = lines_in(false, "info");
    CHECK_HOLDS(text, "Z warn  one 1\n");
    CHECK(text[0] == '2' && !strstr(text, "two"));
    free(text);
}

static void an_unknown_level_is_refused(void **state) {
    struct err err = ERR_INIT;
    CHECK_FAILS(sink_install("loud", &err), &err, ERR_BAD_FIELD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_journal_gets_priorities),
        cmocka_unit_test(others_get_the_time),
        cmocka_unit_test(an_unknown_level_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
