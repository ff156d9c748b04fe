/*
 * GET /v1/jobs and /v1/jobs/{id}, the latter with ?wait=.
 *
 * Reading one job is the most frequent request there is: one pooled connection, one prepared
 * statement, one text. A waiting one subscribes to the job's events, sleeps, and looks at the row
 * again after every wake until it has changed or its time is over.
 */
#include "api/routes/routes.h"

#include "api/json/views.h"
#include "api/routes/cursor.h"
#include "api/routes/job_find.h"
#include "jobs/job.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Exactly `count` digits, then one of `behind` ('\0' counts; NULL: anything). */
static bool digits(const char **at, int count, const char *behind, int *ret) {
    int value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = 10 * value + (**at - '0');
    }
    *ret = value;
    if (!behind)
        return true;
    if (!**at || !strchr(behind, **at))
        return false;
    (*at)++;
    return true;
}

/* RFC 3339 → milliseconds since 1970; false when it is not one. */
static bool parse_time(const char *text, int64_t *ret) {
    struct tm tm = {0};
    int ms = 0, zone_hours = 0, zone_minutes = 0;
    const char *at = text;
    if (!digits(&at, 4, "-", &tm.tm_year) || !digits(&at, 2, "-", &tm.tm_mon) ||
        !digits(&at, 2, "Tt ", &tm.tm_mday) || !digits(&at, 2, ":", &tm.tm_hour) ||
        !digits(&at, 2, ":", &tm.tm_min) || !digits(&at, 2, NULL, &tm.tm_sec))
        return false;
    if (*at == '.') {
        int scale = 100, digit;
        for (at++; digits(&at, 1, NULL, &digit); scale /= 10)
            ms += scale * digit;
    }
    int sign = *at == '-' ? -1 : 1;
    if (*at == 'Z' || *at == 'z') {
        at++;
    } else {
        if (*at != '+' && *at != '-' && *at != ' ') /* a plus sign that was not escaped */
            return false;
        at++;
        if (!digits(&at, 2, ":", &zone_hours) || !digits(&at, 2, NULL, &zone_minutes))
            return false;
    }
    if (*at || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret = ((int64_t)timegm(&tm) - sign * (zone_hours * 3600 + zone_minutes * 60)) * 1000 + ms;
    return true;
}

static int read_query(struct request *r, struct job_list_query *query, struct err *err) {
    query->team = r->principal.team;
    query->limit = (unsigned)request_query_int(r, "limit", CURSOR_LIMIT_DEFAULT);
    query->state = request_query(r, "state");
    query->model = request_query(r, "model");
    query->recipe = request_query(r, "recipe");
    if (query->state && job_state_by_name(query->state) < 0)
        return err_set(err, ERR_BAD_QUERY, "state: there is no state %.40s", query->state);
    const char *label = request_query(r, "label");
    if (label) {
        const char *colon = strchr(label, ':');
        if (!colon)
            return err_set(err, ERR_BAD_QUERY, "label: expected key:value");
        query->label_key = arena_strndup(r->arena, label, (size_t)(colon - label));
        query->label_value = colon + 1;
    }
    const char *after = request_query(r, "created_after");
    if (after && !parse_time(after, &query->created_after_ms))
        return err_set(err, ERR_BAD_QUERY, "created_after: not an RFC 3339 time");
    return cursor_read(r, &query->before_n, err);
}

/* A page without filters is a walk along an index; with some it may pass over many rows, and is
 * looked for on a pool thread. */
static int list(struct request *r, struct err *err) {
    struct job_list_query query = {0};
    if (read_query(r, &query, err))
        return -1;
    unsigned limit = query.limit++; /* one more tells whether there is a next page */
    struct job_row *rows;
    size_t count;
    struct db_conn *conn = request_read(r, err);
    int rc = conn ? jobs_tbl_list(conn, &query, r->arena, &rows, &count, err) : -1;
    request_read_end(r, conn);
    if (rc < 0)
        return -1;
    bool more = count > limit;
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_key(&b, "items");
    jbuf_array(&b);
    for (size_t i = 0; i < count && i < limit; i++)
        view_job(&b, &rows[i], -1);
    jbuf_array_end(&b);
    cursor_write(r, &b, more ? rows[limit - 1].n : 0);
    jbuf_object_end(&b);
    return reply_json(r, 200, &b, err);
}

int job_list(struct request *r, struct err *err) {
    struct job_list_query query = {0};
    if (read_query(r, &query, err))
        return -1;
    bool filtered =
        query.state || query.model || query.recipe || query.label_key || query.created_after_ms;
    return filtered ? request_offload(r, list, list, err) : list(r, err);
}

/* ---- one job ---- */

struct job_wait {
    struct request *request;
    struct event_sub *sub;
    struct timer timer;
    int64_t until_ms;
    int64_t revision; /* -1: until terminal */
};

static void job_wait_free(void *state) {
    struct job_wait *wait = state;
    struct service *service = wait->request->service;
    timers_cancel(service->timers, &wait->timer);
    if (wait->sub)
        engine_unsubscribe(service->engine, wait->sub);
    free(wait);
}

static void wake(void *self) {
    struct job_wait *wait = self;
    suspend_wake(&wait->request->suspend);
}

static int look_again(struct request *r, struct err *err) {
    struct job_wait *wait = r->state;
    struct job_row row;
    int64_t position;
    struct arena_mark mark = arena_mark(r->arena);
    if (job_find_now(r, &row, &position, err))
        return -1;
    bool over = wait->revision < 0 ? job_row_terminal(&row) : row.revision != wait->revision;
    if (over || timers_now_ms() >= wait->until_ms || atomic_load(&r->service->draining))
        return job_reply(r, 200, &row, position, err);
    arena_rewind(r->arena, mark);
    return request_sleep(r, look_again, err);
}

int job_get(struct request *r, struct err *err) {
    struct job_row row;
    int64_t position;
    if (job_find_now(r, &row, &position, err))
        return -1;
    int64_t wait_s = request_query_int(r, "wait", 0);
    int64_t revision = request_query_int(r, "revision", -1);
    if (!wait_s || (revision < 0 ? job_row_terminal(&row) : row.revision != revision))
        return job_reply(r, 200, &row, position, err);
    struct job_wait *wait = calloc(1, sizeof *wait);
    if (!wait)
        return err_set(err, ERR_NO_MEMORY, "no memory to wait");
    *wait = (struct job_wait){.request = r,
                              .timer = {.fire = wake, .self = wait},
                              .until_ms = timers_now_ms() + wait_s * 1000,
                              .revision = revision};
    r->state = wait;
    r->state_free = job_wait_free;
    wait->sub = engine_subscribe(r->service->engine, row.n, wake, wait);
    if (!wait->sub || !timers_set(r->service->timers, &wait->timer, wait_s * 1000))
        return err_set(err, ERR_OVERLOADED, "no memory to wait");
    return look_again(r, err); /* what happened before we subscribed */
}
