/* See job_find.h. */
#include "api/routes/job_find.h"

#include "api/http/byterange.h"
#include "api/json/views.h"
#include "jobs/job.h"

#include <stdio.h>
#include <string.h>

int job_find(struct request *r, struct db_conn *conn, struct job_row *ret, int64_t *ret_position,
             struct err *err) {
    int found = strlen(r->args[0]) == JOB_ID_LEN
                    ? jobs_tbl_find(conn, r->principal.team, r->args[0], r->arena, ret, err)
                    : 0;
    if (found < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "there is no job %.60s", r->args[0]);
    if (ret_position) {
        *ret_position = -1;
        if (strcmp(ret->state, job_state_name(JOB_QUEUED)) == 0)
            return jobs_tbl_position(conn, ret, ret_position, err) < 0 ? -1 : 0;
    }
    return 0;
}

int job_find_now(struct request *r, struct job_row *ret, int64_t *ret_position, struct err *err) {
    struct db_conn *conn = request_read(r, err);
    if (!conn)
        return -1;
    int rc = job_find(r, conn, ret, ret_position, err);
    request_read_end(r, conn);
    return rc;
}

bool job_row_terminal(const struct job_row *row) {
    int state = job_state_by_name(row->state);
    return state >= 0 && job_state_terminal((enum job_state)state);
}

int job_reply(struct request *r, unsigned status, const struct job_row *row, int64_t position,
              struct err *err) {
    if (job_row_terminal(row)) {
        char etag[32];
        snprintf(etag, sizeof etag, "\"r%lld\"", (long long)row->revision);
        reply_headerf(r, "ETag", "%s", etag);
        if (r->route->method == METHOD_GET && status == 200 &&
            etag_listed(request_header(r, "If-None-Match"), etag, true))
            return reply_empty(r, 304);
    }
    struct jbuf b;
    jbuf_init(&b);
    view_job(&b, row, position);
    return reply_json(r, status, &b, err);
}
