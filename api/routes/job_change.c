/* Cancel, retry, delete, and PATCH of priority and labels: each one closure of the writer. */
#include "api/routes/routes.h"

#include "api/http/byterange.h"
#include "api/routes/job_find.h"
#include "api/routes/labels.h"
#include "jobs/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct change {
    struct job_row row;
    int64_t position;
    bool changed;
    const char *labels; /* NULL: stay */
    int64_t priority;   /* -1: stays */
};

static struct change *change_new(struct request *r, struct err *err) {
    struct change *change = ARENA_NEW(r->arena, struct change);
    if (!change)
        err_set(err, ERR_NO_MEMORY, "no memory for the request");
    r->state = change;
    return change;
}

static int changed(struct request *r, struct err *err) {
    const struct change *change = r->state;
    return job_reply(r, change->changed ? 202 : 200, &change->row, change->position, err);
}

static int cancel(struct db_conn *conn, struct request *r, struct err *err) {
    struct change *change = r->state;
    if (queue_cancel(r->service->engine, conn, r->principal.team, r->args[0], &change->changed,
                     err))
        return -1;
    return job_find(r, conn, &change->row, &change->position, err);
}

int job_cancel(struct request *r, struct err *err) {
    return change_new(r, err) ? request_write(r, cancel, changed, err) : -1;
}

static int retry(struct db_conn *conn, struct request *r, struct err *err) {
    struct change *change = r->state;
    if (queue_retry(r->service->engine, conn, r->principal.team, r->args[0], &change->changed, err))
        return -1;
    return job_find(r, conn, &change->row, &change->position, err);
}

int job_retry(struct request *r, struct err *err) {
    return change_new(r, err) ? request_write(r, retry, changed, err) : -1;
}

static int drop(struct db_conn *conn, struct request *r, struct err *err) {
    return queue_delete(r->service->engine, conn, r->principal.team, r->args[0], err);
}

static int dropped(struct request *r, struct err *err) {
    (void)err;
    return reply_empty(r, 204);
}

int job_delete(struct request *r, struct err *err) {
    return request_write(r, drop, dropped, err);
}

/* ---- PATCH ---- */

static int patch(struct db_conn *conn, struct request *r, struct err *err) {
    struct change *change = r->state;
    if (job_find(r, conn, &change->row, NULL, err))
        return -1;
    char etag[32];
    snprintf(etag, sizeof etag, "\"r%lld\"", (long long)change->row.revision);
    if (!etag_listed(request_header(r, "If-Match"), etag, false))
        return err_set(err, ERR_PRECONDITION, "the job is at revision %s", etag);
    if (queue_edit(r->service->engine, conn, r->principal.team, r->args[0], 0,
                   (int)change->priority, change->labels, err))
        return -1;
    return job_find(r, conn, &change->row, &change->position, err);
}

static int read_patch(struct request *r, struct change *change, struct err *err) {
    struct violations *list = request_violations(r);
    struct json_t *body, *labels = NULL;
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "no memory for the request");
    if (jspec_parse(r->body.text, r->body.len, &body, err))
        return -1;
    change->priority = -1;
    const struct jspec rows[] = {
        {.key = "priority", .kind = JSPEC_INT, .dest = &change->priority, .max = JOB_PRIORITY_MAX},
        {.key = "labels", .kind = JSPEC_OBJECT, .dest = &labels},
    };
    jspec_read(body, "", rows, 2, ERR_BAD_FIELD, r->arena, list);
    if (labels) {
        char *text = labels_read(labels, "/labels", r->arena, list);
        change->labels = text ? arena_strdup(r->arena, text) : NULL;
        free(text);
    }
    jspec_free(body);
    return violations_result(list, err);
}

int job_patch(struct request *r, struct err *err) {
    struct change *change = change_new(r, err);
    if (!change)
        return -1;
    if (!request_header(r, "If-Match"))
        return err_set(err, ERR_NO_PRECONDITION,
                       "send If-Match with the revision you have seen, for example \"r1\"");
    return read_patch(r, change, err) ? -1 : request_write(r, patch, changed, err);
}
