/* See events_tbl.h. */
#include "storage/tables/events_tbl.h"

#include "compress/base/counters.h"
#include "storage/db/stmt.h"

static const struct stmt_field event_fields[] = {
    {STMT_INT, offsetof(struct event_row, id)},      {STMT_INT, offsetof(struct event_row, job_n)},
    {STMT_TEXT, offsetof(struct event_row, job_id)}, {STMT_TEXT, offsetof(struct event_row, type)},
    {STMT_INT, offsetof(struct event_row, time_ms)}, {STMT_TEXT, offsetof(struct event_row, data)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define EVENT_COLUMNS "e.id, e.job, j.id, e.type, e.time_ms, e.data"

int events_tbl_append(struct db_conn *conn, int64_t job_n, const char *type, const char *data_json,
                      int64_t now_ms, int64_t *ret_id, struct err *err) {
    if (stmt_run(conn, "INSERT INTO event (job, type, time_ms, data) VALUES (?1, ?2, ?3, ?4)",
                 ARGS(ARG_INT(job_n), ARG_TEXT(type), ARG_INT(now_ms), ARG_TEXT(data_json)),
                 err) < 0)
        return -1;
    if (ret_id)
        *ret_id = stmt_last_id(conn);
    counter_add(COUNTER_EVENTS_STORED, 1);
    return 0;
}

int events_tbl_since(struct db_conn *conn, int64_t job_n, int64_t after, unsigned limit,
                     struct arena *arena, struct event_row **ret, size_t *ret_count,
                     struct err *err) {
    void *rows = NULL;
    if (stmt_list(conn,
                  "SELECT " EVENT_COLUMNS " FROM event e JOIN job j ON j.n = e.job "
                  "WHERE e.job = ?1 AND e.id > ?2 ORDER BY e.id LIMIT ?3",
                  ARGS(ARG_INT(job_n), ARG_INT(after), ARG_INT(limit)), event_fields,
                  COUNT(event_fields), sizeof(struct event_row), arena, &rows, ret_count, err) < 0)
        return -1;
    *ret = rows;
    return 0;
}

int events_tbl_since_any(struct db_conn *conn, int64_t after, unsigned limit, struct arena *arena,
                         struct event_row **ret, size_t *ret_count, struct err *err) {
    void *rows = NULL;
    if (stmt_list(conn,
                  "SELECT " EVENT_COLUMNS " FROM event e JOIN job j ON j.n = e.job "
                  "WHERE e.id > ?1 ORDER BY e.id LIMIT ?2",
                  ARGS(ARG_INT(after), ARG_INT(limit)), event_fields, COUNT(event_fields),
                  sizeof(struct event_row), arena, &rows, ret_count, err) < 0)
        return -1;
    *ret = rows;
    return 0;
}

int events_tbl_since_of(struct db_conn *conn, int64_t job_n, const char *type, int64_t after,
                        unsigned limit, struct arena *arena, struct event_row **ret,
                        size_t *ret_count, struct err *err) {
    void *rows = NULL;
    if (stmt_list(conn,
                  "SELECT " EVENT_COLUMNS " FROM event e JOIN job j ON j.n = e.job "
                  "WHERE e.job = ?1 AND e.id > ?2 AND e.type = ?3 ORDER BY e.id LIMIT ?4",
                  ARGS(ARG_INT(job_n), ARG_INT(after), ARG_TEXT(type), ARG_INT(limit)),
                  event_fields, COUNT(event_fields), sizeof(struct event_row), arena, &rows,
                  ret_count, err) < 0)
        return -1;
    *ret = rows;
    return 0;
}

int events_tbl_last_id(struct db_conn *conn, int64_t job_n, int64_t *ret, struct err *err) {
    return stmt_number(conn, "SELECT coalesce(max(id), 0) FROM event WHERE job = ?1",
                       ARGS(ARG_INT(job_n)), ret, err) < 0
               ? -1
               : 0;
}

int events_tbl_newest_id(struct db_conn *conn, int64_t *ret, struct err *err) {
    return stmt_number(conn, "SELECT coalesce(max(id), 0) FROM event", NO_ARGS, ret, err) < 0 ? -1
                                                                                              : 0;
}

int events_tbl_gap(struct db_conn *conn, int64_t job_n, int64_t after, int64_t *ret_id,
                   struct err *err) {
    return stmt_number(conn, "SELECT up_to_id FROM event_gap WHERE job = ?1 AND up_to_id > ?2",
                       ARGS(ARG_INT(job_n), ARG_INT(after)), ret_id, err);
}

static int note_gap(struct db_conn *conn, int64_t job_n, int64_t up_to_id, struct err *err) {
    return stmt_run(conn,
                    "INSERT INTO event_gap (job, up_to_id) VALUES (?1, ?2) "
                    "ON CONFLICT (job) DO UPDATE SET up_to_id = max(up_to_id, excluded.up_to_id)",
                    ARGS(ARG_INT(job_n), ARG_INT(up_to_id)), err) < 0
               ? -1
               : 0;
}

int events_tbl_thin(struct db_conn *conn, int64_t job_n, struct err *err) {
    int64_t count = 0, newest = 0;
    if (stmt_number(conn,
                    "SELECT count(*) FROM event WHERE job = ?1 AND type IN ('progress', 'metric')",
                    ARGS(ARG_INT(job_n)), &count, err) < 0 ||
        events_tbl_last_id(conn, job_n, &newest, err) < 0)
        return -1;
    if (count > EVENTS_PROGRESS_MAX) {
        /* Every second one goes; what is left still spans the whole job. */
        if (stmt_run(conn,
                     "DELETE FROM event WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER "
                     "(ORDER BY id) AS k FROM event WHERE job = ?1 AND type IN ('progress', "
                     "'metric')) WHERE k % 2 = 1)",
                     ARGS(ARG_INT(job_n)), err) < 0 ||
            note_gap(conn, job_n, newest, err) < 0)
            return -1;
    }
    if (stmt_number(conn, "SELECT count(*) FROM event WHERE job = ?1 AND type = 'log'",
                    ARGS(ARG_INT(job_n)), &count, err) < 0)
        return -1;
    if (count > EVENTS_LOG_MAX) {
        int64_t cut = 0;
        if (stmt_number(conn,
                        "SELECT id FROM event WHERE job = ?1 AND type = 'log' ORDER BY id DESC "
                        "LIMIT 1 OFFSET ?2",
                        ARGS(ARG_INT(job_n), ARG_INT(EVENTS_LOG_MAX)), &cut, err) < 0 ||
            stmt_run(conn, "DELETE FROM event WHERE job = ?1 AND type = 'log' AND id <= ?2",
                     ARGS(ARG_INT(job_n), ARG_INT(cut)), err) < 0 ||
            note_gap(conn, job_n, cut, err) < 0)
            return -1;
    }
    return 0;
}
