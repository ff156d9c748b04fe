/*
 * GET /v1/jobs/{id}/events: what happened to a job, and what happens.
 *
 * Three forms of one thing, by Accept: server-sent events, newline-delimited JSON (the default), a
 * page. A stream replays from the id the client has seen, then sleeps until the writer has
 * committed something for its job. It ends when its last event was terminal and the job still is (a
 * retried job goes on). A thousand streams share the pool threads and one timer thread; a silent
 * stream owns its request and this struct, no text.
 */
#include "api/routes/routes.h"

#include "api/http/problem.h"
#include "api/json/views.h"
#include "api/routes/cursor.h"
#include "api/routes/job_find.h"
#include "compress/base/counters.h"
#include "storage/tables/events_tbl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Read at once: enough to catch up quickly, few enough to stay far below 5 ms. */
#define EVENTS_BATCH 64

struct event_stream {
    struct request *request;
    struct event_sub *sub;
    struct timer ping;
    atomic_bool ping_due;
    bool sse;
    bool counted;
    bool last_was_terminal;
    bool ended; /* what is in `text` is the rest */
    int64_t job_n;
    int64_t after;
    char *text; /* formatted and not yet sent */
    size_t len, sent;
};

static void stream_free(void *self) {
    struct event_stream *stream = self;
    struct service *service = stream->request->service;
    timers_cancel(service->timers, &stream->ping);
    if (stream->sub)
        engine_unsubscribe(service->engine, stream->sub);
    if (stream->counted) {
        atomic_fetch_sub(&service->streams, 1);
        counter_add(COUNTER_HTTP_STREAMS, -1);
    }
    free(stream->text);
    free(stream);
}

static void wake(void *self) {
    struct event_stream *stream = self;
    suspend_wake(&stream->request->suspend);
}

static void ping(void *self) {
    struct event_stream *stream = self;
    atomic_store(&stream->ping_due, true);
    suspend_wake(&stream->request->suspend);
}

/* Appends one event in the stream's form. */
static void add_event(struct event_stream *stream, struct jbuf *b, int64_t id, const char *type,
                      const char *json, size_t len) {
    char head[96];
    if (stream->sse) {
        int n = snprintf(head, sizeof head, "id: %lld\nevent: %s\ndata: ", (long long)id, type);
        b->need_comma = false;
        jbuf_raw(b, head, (size_t)n);
    }
    b->need_comma = false;
    jbuf_raw(b, json, len);
    b->need_comma = false;
    jbuf_raw(b, stream->sse ? "\n\n" : "\n", stream->sse ? 2 : 1);
}

/* An event of our own making, not stored: {id, type, job, time, data}. */
static void add_made_event(struct event_stream *stream, struct jbuf *b, int64_t id,
                           const char *type, void (*data)(struct jbuf *b, const void *of),
                           const void *of) {
    char time[32];
    struct jbuf one;
    jbuf_init(&one);
    view_time_text(db_now_ms(), time);
    jbuf_object(&one);
    jbuf_kv_int(&one, "id", id);
    jbuf_kv_string(&one, "type", type);
    jbuf_kv_string(&one, "job", stream->request->args[0]);
    jbuf_kv_string(&one, "time", time);
    jbuf_key(&one, "data");
    data(&one, of);
    jbuf_object_end(&one);
    size_t len = 0;
    char *text = jbuf_take(&one, &len);
    if (text)
        add_event(stream, b, id, type, text, len);
    free(text);
}

struct late_problem {
    const struct err *err;
    const struct request *request;
};

static void late_problem(struct jbuf *b, const void *of) {
    const struct late_problem *late = of;
    problem_json(b, late->err, NULL, late->request->path, late->request->id);
}

static void gap_data(struct jbuf *b, const void *of) {
    const int64_t *up_to = of;
    jbuf_object(b);
    jbuf_kv_int(b, "up_to", *up_to);
    jbuf_object_end(b);
}

static void keep_text(struct event_stream *stream, struct jbuf *b) {
    stream->sent = 0;
    stream->text = jbuf_take(b, &stream->len);
    if (!stream->text) {
        stream->len = 0;
        stream->ended = true;
    }
}

/* After the last event: is the job over, or gone? */
static int is_over(struct event_stream *stream, bool *ret, struct err *err) {
    struct request *r = stream->request;
    struct job_row row;
    struct db_conn *conn = request_read(r, err);
    int found = conn ? jobs_tbl_find_n(conn, stream->job_n, r->arena, &row, err) : -1;
    int64_t last = 0;
    if (found > 0 && events_tbl_last_id(conn, stream->job_n, &last, err) < 0)
        found = -1;
    request_read_end(r, conn);
    if (found < 0)
        return -1;
    *ret = !found || (job_row_terminal(&row) && last <= stream->after);
    return 0;
}

/* Formats what is new. 1: there is text, 0: nothing new, -1: err. */
static int fetch(struct event_stream *stream, struct err *err) {
    struct request *r = stream->request;
    struct event_text *events;
    size_t count;
    if (engine_events(r->service->engine, stream->job_n, stream->after, EVENTS_BATCH, r->arena,
                      &events, &count, err))
        return -1;
    bool ping_due = atomic_exchange(&stream->ping_due, false);
    if (!count && (stream->last_was_terminal || ping_due)) {
        bool over;
        if (is_over(stream, &over, err))
            return -1;
        stream->ended = over;
    }
    if (!count && (!ping_due || stream->ended))
        return 0;
    struct jbuf b;
    jbuf_init(&b);
    for (size_t i = 0; i < count; i++)
        add_event(stream, &b, events[i].id, events[i].type, events[i].json, events[i].len);
    if (count) {
        stream->after = events[count - 1].id;
        stream->last_was_terminal = events[count - 1].terminal;
    } else {
        /* A blank line is no line of NDJSON and no event of SSE. */
        b.need_comma = false;
        jbuf_raw(&b, stream->sse ? ": ping\n\n" : "\n", stream->sse ? 8 : 1);
    }
    keep_text(stream, &b);
    timers_set(r->service->timers, &stream->ping, SERVICE_PING_MS);
    return 1;
}

static ssize_t stream_read(void *self, uint64_t pos, char *buf, size_t max) {
    struct event_stream *stream = self;
    struct request *r = stream->request;
    (void)pos;
    for (;;) {
        if (stream->sent < stream->len) {
            size_t n = stream->len - stream->sent < max ? stream->len - stream->sent : max;
            memcpy(buf, stream->text + stream->sent, n);
            stream->sent += n;
            if (stream->sent == stream->len) {
                free(stream->text);
                stream->text = NULL;
                stream->len = stream->sent = 0;
            }
            return (ssize_t)n;
        }
        if (stream->ended || atomic_load(&r->service->draining))
            return REPLY_END;
        struct err err = ERR_INIT;
        struct arena_mark mark = arena_mark(r->arena);
        int rc = fetch(stream, &err);
        arena_rewind(r->arena, mark);
        if (rc < 0) {
            struct jbuf b;
            jbuf_init(&b);
            add_made_event(stream, &b, stream->after, "error", late_problem,
                           &(struct late_problem){&err, r});
            keep_text(stream, &b);
            stream->ended = true;
        } else if (rc == 0 && !stream->ended && request_suspend(r)) {
            return 0;
        }
    }
}

static const struct reply_reader stream_reader = {stream_read, stream_free};

/* The id the client has seen: ?after= or Last-Event-ID. */
static int read_after(struct request *r, int64_t *ret, bool *ret_given, struct err *err) {
    const char *header = request_header(r, "Last-Event-ID");
    *ret_given = false;
    *ret = 0;
    if (request_query(r, "after")) {
        *ret = request_query_int(r, "after", 0);
        *ret_given = true;
    } else if (header && *header) {
        size_t n = strspn(header, "0123456789");
        if (header[n] || n > 18)
            return err_set(err, ERR_BAD_REQUEST, "the Last-Event-ID is not one of this server's");
        *ret = strtoll(header, NULL, 10);
        *ret_given = true;
    }
    return 0;
}

static int reply_page(struct request *r, const struct job_row *row, int64_t after,
                      struct err *err) {
    unsigned limit = (unsigned)request_query_int(r, "limit", CURSOR_LIMIT_DEFAULT);
    struct event_text *events;
    size_t count;
    if (engine_events(r->service->engine, row->n, after, limit + 1, r->arena, &events, &count, err))
        return -1;
    bool more = count > limit;
    if (more)
        count = limit;
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_key(&b, "items");
    jbuf_array(&b);
    for (size_t i = 0; i < count; i++)
        jbuf_raw(&b, events[i].json, events[i].len);
    jbuf_array_end(&b);
    jbuf_key(&b, "next");
    if (more)
        jbuf_stringf(&b, "%lld", (long long)events[count - 1].id);
    else
        jbuf_null(&b);
    jbuf_object_end(&b);
    return reply_json(r, 200, &b, err);
}

/* Were rows thinned away behind the id the client gave? Then say so first. */
static int add_gap(struct event_stream *stream, struct err *err) {
    int64_t up_to = 0;
    int found = engine_events_gap(stream->request->service->engine, stream->job_n, stream->after,
                                  &up_to, err);
    if (found <= 0)
        return found;
    struct jbuf b;
    jbuf_init(&b);
    add_made_event(stream, &b, stream->after, "gap", gap_data, &up_to);
    keep_text(stream, &b);
    return 0;
}

static int start_stream(struct request *r, const struct job_row *row, int64_t after, bool sse,
                        struct err *err) {
    struct service *service = r->service;
    struct event_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return err_set(err, ERR_NO_MEMORY, "no memory for the stream");
    *stream = (struct event_stream){
        .request = r,
        .ping = {.fire = ping, .self = stream},
        .sse = sse,
        .job_n = row->n,
        .after = after,
        /* A job that is over may have no event left to send: look. */
        .last_was_terminal = job_row_terminal(row),
    };
    atomic_init(&stream->ping_due, false);
    reply_stream(r, sse ? "text/event-stream" : "application/x-ndjson", &stream_reader, stream);
    stream->counted = true;
    counter_add(COUNTER_HTTP_STREAMS, 1);
    if (atomic_fetch_add(&service->streams, 1) >= service->options.max_streams)
        return err_set(err, ERR_OVERLOADED, "all %u event streams are in use",
                       service->options.max_streams);
    if (add_gap(stream, err))
        return -1;
    stream->sub = engine_subscribe(service->engine, row->n, wake, stream);
    if (!stream->sub || !timers_set(service->timers, &stream->ping, SERVICE_PING_MS))
        return err_set(err, ERR_OVERLOADED, "no memory for the stream");
    reply_header(r, "Cache-Control", "no-store");
    reply_header(r, "X-Accel-Buffering", "no");
    return 0;
}

int job_events(struct request *r, struct err *err) {
    struct job_row row;
    int64_t after, last = 0;
    bool given;
    if (read_after(r, &after, &given, err))
        return -1;
    struct db_conn *conn = request_read(r, err);
    int rc = conn ? job_find(r, conn, &row, NULL, err) : -1;
    if (rc == 0 && events_tbl_last_id(conn, row.n, &last, err) < 0)
        rc = -1;
    request_read_end(r, conn);
    if (rc)
        return -1;
    bool sse = request_accepts(r, "text/event-stream");
    if (!sse && !request_accepts(r, "application/x-ndjson") &&
        request_accepts(r, "application/json"))
        return reply_page(r, &row, after, err);
    if (r->head)
        return reply_static(r, 200, sse ? "text/event-stream" : "application/x-ndjson", "", 0);
    if (given && job_row_terminal(&row) && after >= last)
        return reply_empty(r, 204);
    return start_stream(r, &row, after, sse, err);
}
