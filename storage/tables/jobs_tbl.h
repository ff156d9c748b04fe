/*
 * Statements on `job`, `job_label`, `job_file` and `job_report`.
 *
 * Which transitions are legal is jobs/job.h's business; here the guard stands in each statement's
 * WHERE, so a statement that changes no row says "lost the race" (returns 0) instead of doing harm.
 * The attempt number is the fencing token: a worker that was declared dead cannot finish a job that
 * was claimed again. Functions return 1 done / found, 0 not, -1 err. Strings of returned rows live
 * in the arena.
 */
#ifndef STORAGE_TABLES_JOBS_TBL_H
#define STORAGE_TABLES_JOBS_TBL_H

#include "compress/base/arena.h"
#include "storage/blob/blobs.h"
#include "storage/db/db.h"

#define JOB_ID_LEN 26

struct job_row {
    int64_t n;      /* internal number */
    const char *id; /* public: time-ordered, 26 characters */
    const char *team;
    const char *name; /* or NULL */
    const char *state;
    int64_t revision;
    int priority;
    int attempt;
    int64_t model_version; /* 0: the files are gone */
    const char *model_name;
    const char *dataset_name; /* as submitted, or NULL; what it reads: job_data_tbl.h */
    const char *recipe_name;
    const char *recipe_json;
    const char *recipe_digest;
    const char *labels_json;                                /* an object, canonical */
    int64_t created_ms, queued_ms, started_ms, finished_ms; /* 0: not yet */
    uint64_t peak_bytes;                                    /* what admission reserves */
    uint64_t disk_bytes;
    const char *progress_json; /* or NULL */
    const char *problem_json;  /* or NULL */
    const char *summary_json;  /* or NULL */
    uint64_t artifact_bytes;
    const char *artifact_sha256; /* hex or NULL */
    int artifact_files;
    bool artifact_lone; /* one file, served as itself; else as a tar */
    bool suspect;       /* was running when the process died */
    int deaths;         /* crashes that count against it */
    int stage_died;     /* index of the stage it died in, -1 none */
};

struct job_list_query {
    const char *team;
    const char *state; /* or NULL; so below */
    const char *model;
    const char *recipe;
    const char *label_key, *label_value;
    int64_t created_after_ms;
    int64_t before_n; /* keyset cursor, 0 = newest */
    unsigned limit;
};

/* `id` a new time-ordered identifier: 10 characters of time, 16 random (Crockford base 32, lower
 * case). */
void jobs_tbl_new_id(int64_t now_ms, char ret[JOB_ID_LEN + 1]);

/* Inserts as queued; fills n, revision, attempt, created_ms, queued_ms. */
int jobs_tbl_insert(struct db_conn *conn, struct job_row *row, int64_t now_ms, struct err *err);
int jobs_tbl_find(struct db_conn *conn, const char *team, const char *id, struct arena *arena,
                  struct job_row *ret, struct err *err);
int jobs_tbl_find_n(struct db_conn *conn, int64_t n, struct arena *arena, struct job_row *ret,
                    struct err *err);
int jobs_tbl_list(struct db_conn *conn, const struct job_list_query *query, struct arena *arena,
                  struct job_row **ret, size_t *ret_count, struct err *err);
/* Jobs that will be claimed before this queued one, counted up to JOBS_POSITION_MAX: with tens of
 * thousands waiting each read of a queued job would count them all (2.5 ms at 33,000). */
#define JOBS_POSITION_MAX 1000
int jobs_tbl_position(struct db_conn *conn, const struct job_row *row, int64_t *ret,
                      struct err *err);
int jobs_tbl_count(struct db_conn *conn, const char *state, int64_t *ret, struct err *err);

/* The next job that claim would take, without taking it. `suspects` selects suspects or the others.
 */
int jobs_tbl_peek(struct db_conn *conn, bool suspects, struct arena *arena, struct job_row *ret,
                  struct err *err);
/* One statement: queued → running, attempt + 1, for job n. */
int jobs_tbl_claim(struct db_conn *conn, int64_t n, int64_t now_ms, struct arena *arena,
                   struct job_row *ret, struct err *err);
int jobs_tbl_progress(struct db_conn *conn, int64_t n, int attempt, const char *progress_json,
                      struct err *err);
/* Past the stage it died in: no longer a suspect. Where it is now is stored with that (NULL: as it
 * is), so that the next death is not put down to an earlier stage again. */
int jobs_tbl_clear_suspect(struct db_conn *conn, int64_t n, int attempt, const char *progress_json,
                           struct err *err);

struct job_finish {
    const char *state; /* succeeded, failed, cancelled */
    const char *problem_json;
    const char *summary_json;
    const char *report_json;
    const char *progress_json; /* NULL keeps what was stored last */
    const struct blob_entry *files;
    size_t file_count;
    bool lone;
    uint64_t artifact_bytes;
    const char *artifact_sha256;
};
/* running or cancelling, this attempt → terminal, with report and files. */
int jobs_tbl_finish(struct db_conn *conn, int64_t n, int attempt, const struct job_finish *finish,
                    int64_t now_ms, struct err *err);
/* running, this attempt → queued again (shutdown), at its old place in the queue. */
int jobs_tbl_requeue(struct db_conn *conn, int64_t n, int attempt, struct err *err);
/* queued → cancelled, or running → cancelling. *ret_state: what it is now. 0: some other state. */
int jobs_tbl_cancel(struct db_conn *conn, int64_t n, int64_t now_ms, const char **ret_state,
                    struct err *err);
/* failed or cancelled → queued, cleared. 0: some other state, or the files of its model or data
 * are gone. */
int jobs_tbl_retry(struct db_conn *conn, int64_t n, int64_t now_ms, struct err *err);
/* PATCH: sets priority and labels (both given), revision + 1. if_revision 0: whatever it is; else 0
 * is returned when the job has moved on. */
int jobs_tbl_edit(struct db_conn *conn, int64_t n, int64_t if_revision, int priority,
                  const char *labels_json, struct err *err);
/* Terminal only (0 otherwise): with its events, report and files. */
int jobs_tbl_delete(struct db_conn *conn, int64_t n, struct err *err);

int jobs_tbl_report(struct db_conn *conn, int64_t n, struct arena *arena, const char **ret,
                    struct err *err);
int jobs_tbl_files(struct db_conn *conn, int64_t n, struct arena *arena, struct blob_entry **ret,
                   size_t *ret_count, struct err *err);

/* After an unclean exit: every running job. */
int jobs_tbl_running(struct db_conn *conn, struct arena *arena, struct job_row **ret,
                     size_t *ret_count, struct err *err);
/* running → queued as a suspect; cancelling → cancelled; deaths as given; at `max_deaths` → failed
 * with problem_json. */
int jobs_tbl_after_crash(struct db_conn *conn, const struct job_row *row, int stage_died,
                         int deaths, int max_deaths, const char *problem_json, int64_t now_ms,
                         struct err *err);

#endif
