/* See sink.h. */
#include "daemon/sink.h"

#include "compress/base/log.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *name;
    int syslog; /* priority of RFC 5424 */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", 3},
    [LOG_LEVEL_WARN] = {"warn", 4},
    [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};

static bool journal;

static void to_stderr(void *self, enum log_level level, const char *text) {
    char line[2200];
    int len;
    if (journal) {
        len = snprintf(line, sizeof line, "<%d>%s\n", levels[level].syslog, text);
    } else {
        struct timespec now;
        struct tm utc;
        char when[32];
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
        len = snprintf(line, sizeof line, "%s.%03ldZ %-5s %s\n", when, now.tv_nsec / 1000000,
                       levels[level].name, text);
    }
    if (len >= (int)sizeof line) {
        len = sizeof line - 1;
        line[len - 1] = '\n';
    }
    if (write(STDERR_FILENO, line, (size_t)len) < 0)
        return; /* nobody is left to tell */
}

/* systemd says which file is its journal; the variable alone may have been inherited by a shell
 * whose standard error is something else (systemd.exec(5)). */
static bool is_journal(int fd) {
    const char *stream = getenv("JOURNAL_STREAM");
    char ours[64];
    struct stat st;
    if (!stream || fstat(fd, &st) < 0)
        return false;
    snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(stream, ours) == 0;
}

int sink_install(const char *level, struct err *err) {
    journal = is_journal(STDERR_FILENO);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(levels[i].name, level) == 0) {
            log_set_sink(to_stderr, NULL, (enum log_level)i);
            return 0;
        }
    return err_set(err, ERR_BAD_FIELD, "'log-level' takes error, warn, info or debug, not '%s'",
                   level);
}
