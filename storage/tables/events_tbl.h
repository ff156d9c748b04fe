/*
 * Statements on `event`: what happened to jobs, in commit order.
 *
 * The id is one server-wide, always growing number (AUTOINCREMENT on the single writer, so ids grow
 * in commit order). Log lines are events of type `log`. At most EVENTS_PROGRESS_MAX progress and
 * metric rows and EVENTS_LOG_MAX log rows are kept per job.
 */
#ifndef STORAGE_TABLES_EVENTS_TBL_H
#define STORAGE_TABLES_EVENTS_TBL_H

#include "compress/base/arena.h"
#include "storage/db/db.h"

#define EVENTS_PROGRESS_MAX 2000
#define EVENTS_LOG_MAX 10000

struct event_row {
    int64_t id;
    int64_t job_n;
    const char *job_id;
    const char *type;
    int64_t time_ms;
    const char *data; /* JSON object */
};

/* Appends; returns the id in *ret_id (may be NULL). */
int events_tbl_append(struct db_conn *conn, int64_t job_n, const char *type, const char *data_json,
                      int64_t now_ms, int64_t *ret_id, struct err *err);
/* Rows of a job with id > after, oldest first, at most `limit`. */
int events_tbl_since(struct db_conn *conn, int64_t job_n, int64_t after, unsigned limit,
                     struct arena *arena, struct event_row **ret, size_t *ret_count,
                     struct err *err);
/* Only of one type (the log). */
int events_tbl_since_of(struct db_conn *conn, int64_t job_n, const char *type, int64_t after,
                        unsigned limit, struct arena *arena, struct event_row **ret,
                        size_t *ret_count, struct err *err);
/* Of all jobs, in commit order: what the fan-out reads after each group. */
int events_tbl_since_any(struct db_conn *conn, int64_t after, unsigned limit, struct arena *arena,
                         struct event_row **ret, size_t *ret_count, struct err *err);
int events_tbl_newest_id(struct db_conn *conn, int64_t *ret, struct err *err);
int events_tbl_last_id(struct db_conn *conn, int64_t job_n, int64_t *ret, struct err *err);
/* Rows up to this id may have been thinned away, and it is above `after`: 1 found, 0 none. */
int events_tbl_gap(struct db_conn *conn, int64_t job_n, int64_t after, int64_t *ret_id,
                   struct err *err);
/* Thins progress rows by halving when there are more than EVENTS_PROGRESS_MAX, drops oldest log
 * lines. */
int events_tbl_thin(struct db_conn *conn, int64_t job_n, struct err *err);

#endif
