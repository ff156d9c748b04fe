/* See crash.h. */
#include "jobs/crash.h"

#include "compress/base/log.h"
#include "compress/base/problemdoc.h"
#include "jobs/engine_private.h"
#include "jobs/job.h"
#include "storage/tables/events_tbl.h"
#include "storage/tables/meta_tbl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define THREAD_NAME_BYTES 16 /* the kernel's limit, with its NUL */

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
static int mark_fd = -1; /* open before it is needed: a handler may only write */

/* Marks the death with the name of the thread that died: "signal 06 job". Only functions that a
 * signal handler may call. */
static void on_fatal(int signal) {
    char mark[12 + THREAD_NAME_BYTES] = "signal 00 ";
    mark[7] = (char)('0' + signal / 10 % 10);
    mark[8] = (char)('0' + signal % 10);
    prctl(PR_GET_NAME, mark + 10);
    size_t len = strlen(mark);
    mark[len] = '\n';
    if (mark_fd >= 0 && write(mark_fd, mark, len + 1) > 0)
        fsync(mark_fd);
    raise(signal); /* SA_RESETHAND: the default now takes its course, with a core dump if wanted */
}

int crash_install(const struct store *store, struct err *err) {
    mark_fd = openat(store->data_fd, "died", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (mark_fd < 0)
        return err_set_errno(err, ERR_IO, errno, "%s/died", store->data_dir);
    for (size_t i = 0; i < sizeof fatal_signals / sizeof fatal_signals[0]; i++) {
        struct sigaction action = {.sa_handler = on_fatal, .sa_flags = SA_RESETHAND | SA_NODEFER};
        sigemptyset(&action.sa_mask);
        sigaction(fatal_signals[i], &action, NULL);
    }
    return 0;
}

/* Threads that work for jobs and nothing else: the runner's (see runner.c), the team's, and the one
 * that hashes what is written. A death anywhere else, the front end's for example, is no job's
 * fault. */
static bool works_for_jobs(const char *thread) {
    return strcmp(thread, CRASH_JOB_THREAD) == 0 || strncmp(thread, "team-", 5) == 0 ||
           strcmp(thread, "sink-hash") == 0;
}

/* Was the last death marked by a thread that works for jobs? */
static bool is_marked(const struct store *store) {
    int fd = openat(store->data_fd, "died", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    char text[64] = "", thread[THREAD_NAME_BYTES] = "";
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    /* Several threads may have died at once; the first one counts. */
    if (n <= 0 || sscanf(text, "signal %*2[0-9] %15[^\n]", thread) != 1)
        return false;
    log_line(LOG_LEVEL_WARN, "the server died in thread %s", thread);
    return works_for_jobs(thread);
}

static void clear_mark(const struct store *store) {
    int fd = openat(store->data_fd, "died", O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    else if (errno != ENOENT)
        log_line(LOG_LEVEL_WARN, "the mark of the last crash could not be cleared");
}

/* The stage it died in. What is stored lags behind by up to half a second, but one that was still a
 * suspect had not got past the stage it died in before. */
static int stage_of(const struct job_row *row) {
    int64_t stage = 0;
    struct json_t *progress = NULL;
    if (row->progress_json &&
        jspec_parse(row->progress_json, strlen(row->progress_json), &progress, NULL) == 0)
        json_int(json_get(progress, "stage_index"), &stage);
    jspec_free(progress);
    return row->suspect && row->stage_died > stage ? row->stage_died : (int)stage;
}

struct recovery {
    struct engine *engine;
    bool unclean, counted;
};

static int put_back(struct recovery *recovery, struct db_conn *conn, const struct job_row *row,
                    bool alone, struct err *err) {
    struct engine *engine = recovery->engine;
    if (!recovery->unclean) { /* stopped cleanly while its end could not be stored */
        int done = jobs_tbl_requeue(conn, row->n, row->attempt, err);
        if (done != 0)
            return done < 0 ? -1
                            : queue_state_event(engine, conn, row->n, "queued", row->revision + 1,
                                                row->attempt, err);
    }
    int deaths = row->deaths + (recovery->counted && alone && row->suspect);
    struct err why = ERR_INIT;
    err_set(
        &why, ERR_CRASHED,
        "the server died %d times while this job was running alone, last in stage %d; the model "
        "triggers a defect, please report it",
        deaths, stage_of(row));
    char *problem = problemdoc_json(&why, NULL);
    if (!problem)
        return err_set(err, ERR_NO_MEMORY, "no memory to recover jobs");
    const char *state = strcmp(row->state, "cancelling") == 0 ? "cancelled"
                        : deaths >= JOB_MAX_DEATHS            ? "failed"
                                                              : "queued";
    int done = jobs_tbl_after_crash(conn, row, stage_of(row), deaths, JOB_MAX_DEATHS, problem,
                                    db_now_ms(), err);
    if (done >= 0 && strcmp(state, "failed") == 0)
        done = events_tbl_append(conn, row->n, "error", problem, db_now_ms(), NULL, err);
    free(problem);
    log_line(LOG_LEVEL_WARN, "job %s was running when the server died (%d counted): %s", row->id,
             deaths, state);
    return done < 0 ? -1
                    : queue_state_event(engine, conn, row->n, state, row->revision + 1,
                                        row->attempt, err);
}

static int recover(struct db_conn *conn, void *ctx, struct err *err) {
    struct recovery *recovery = ctx;
    struct arena *arena = arena_new(LIMIT_MODEL_ARENA_BYTES);
    if (!arena)
        return err_set(err, ERR_NO_MEMORY, "no memory to recover jobs");
    const char *text = NULL;
    int result = -1;
    int found = meta_tbl_get(conn, META_RUNNING, arena, &text, err);
    if (found < 0)
        goto out;
    recovery->unclean = found == 1;
    uint64_t kills_now = budget_oom_kills(), kills_then = kills_now;
    if (meta_tbl_get(conn, META_OOM_KILLS, arena, &text, err) == 1)
        kills_then = strtoull(text, NULL, 10);
    bool marked = is_marked(recovery->engine->store);
    recovery->counted = recovery->unclean && (marked || kills_now > kills_then);
    struct job_row *rows;
    size_t count;
    if (jobs_tbl_running(conn, arena, &rows, &count, err) < 0)
        goto out;
    for (size_t i = 0; i < count; i++)
        if (put_back(recovery, conn, &rows[i], count == 1, err) < 0)
            goto out;
    if (models_tbl_drop_orphans(conn, err) < 0)
        goto out;
    char kills[32];
    snprintf(kills, sizeof kills, "%" PRIu64, kills_now);
    if (meta_tbl_set(conn, META_OOM_KILLS, kills, err) < 0 ||
        meta_tbl_set(conn, META_RUNNING, "yes", err) < 0)
        goto out;
    result = 0;
out:
    arena_free(arena);
    return result;
}

int crash_recover(struct engine *engine, struct err *err) {
    struct recovery recovery = {.engine = engine};
    if (writer_run(engine->store->writer, recover, &recovery, err) < 0)
        return -1;
    clear_mark(engine->store); /* behind the commit: until then the death must not be forgotten */
    return 0;
}

static int set_running(struct db_conn *conn, void *ctx, struct err *err) {
    return meta_tbl_set(conn, META_RUNNING, *(bool *)ctx ? "yes" : NULL, err);
}

int crash_mark_running(struct store *store, bool running, struct err *err) {
    return writer_run(store->writer, set_running, &running, err);
}
