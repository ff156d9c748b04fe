/*
 * watch: a job's events to its end, as a bar on a terminal, plain lines elsewhere, NDJSON under
 * --json.
 *
 * A stream that breaks is taken up again behind the last event seen, a few times, so a restart of
 * the server does not end a watch.
 */
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EMPTY_STREAMS 5 /* in a row that end in order although the job goes on */

struct watch {
    struct session *session;
    int64_t last_id;
    char stage[32]; /* the term keeps a borrowed pointer to it */
    char unit[16];
    char state[16];
};

/* Seconds of "2026-01-31T12:00:00.123Z"; events are replayed faster than they happened. */
static double seconds_of(const char *time) {
    struct tm tm = {0};
    double seconds;
    if (!time)
        return 0;
    // NOLINTNEXTLINE(cert-err34-c): two or four digits fit
    int found = sscanf(time, "%4d-%2d-%2dT%2d:%2d:%lfZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                       &tm.tm_hour, &tm.tm_min, &seconds);
    if (found != 6)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (double)timegm(&tm) + seconds;
}

static void show_progress(struct watch *w, const struct json_t *data, const char *time) {
    struct progress_state state = {.stage = w->stage, .unit = w->unit};
    int64_t number = 0;
    const char *stage = json_text(json_get(data, "stage"));
    const char *unit = json_text(json_get(data, "unit"));
    snprintf(w->stage, sizeof w->stage, "%s", stage ? stage : "");
    snprintf(w->unit, sizeof w->unit, "%s", unit ? unit : "");
    if (json_int(json_get(data, "stage_index"), &number))
        state.stage_index = (unsigned)number;
    if (json_int(json_get(data, "stages"), &number))
        state.stages = (unsigned)number;
    if (json_int(json_get(data, "done"), &number))
        state.done = (uint64_t)number;
    if (json_int(json_get(data, "total"), &number))
        state.total = (uint64_t)number;
    term_progress_at(w->session->term, &state, seconds_of(time));
}

static void show_log(struct watch *w, const struct json_t *data) {
    const char *level = json_text(json_get(data, "level"));
    const char *text = json_text(json_get(data, "text"));
    term_line(w->session->term, "%s: %s", level ? level : "info", text ? text : "");
}

static void show_state(struct watch *w, const struct json_t *data) {
    const char *state = json_text(json_get(data, "state"));
    snprintf(w->state, sizeof w->state, "%s", state ? state : "");
    int64_t attempt = 0;
    if (json_int(json_get(data, "attempt"), &attempt) && attempt > 1 &&
        strcmp(w->state, "running") == 0)
        term_line(w->session->term, "running (attempt %lld)", (long long)attempt);
    else
        term_line(w->session->term, "%s", w->state);
}

static int on_line(void *self, const char *text) {
    struct watch *w = self;
    struct json_t *event = NULL;
    int64_t id = 0;
    if (jspec_parse(text, strlen(text), &event, NULL) < 0)
        return session_stopped();
    if (json_int(json_get(event, "id"), &id) && id > w->last_id)
        w->last_id = id;
    const char *type = json_text(json_get(event, "type"));
    const struct json_t *data = json_get(event, "data");
    if (w->session->json) {
        session_print(text);
        if (type && strcmp(type, "state") == 0) {
            const char *state = json_text(json_get(data, "state"));
            snprintf(w->state, sizeof w->state, "%s", state ? state : "");
        }
    } else if (type && w->session->term) {
        if (strcmp(type, "progress") == 0)
            show_progress(w, data, json_text(json_get(event, "time")));
        else if (strcmp(type, "log") == 0)
            show_log(w, data);
        else if (strcmp(type, "state") == 0)
            show_state(w, data);
    }
    jspec_free(event);
    return session_stopped();
}

static bool is_over(const char *state) {
    return strcmp(state, "succeeded") == 0 || strcmp(state, "failed") == 0 ||
           strcmp(state, "cancelled") == 0;
}

/* 0: the stream ended in order; -1 with err. */
static int stream(struct watch *w, const char *id, struct err *err) {
    struct client_answer answer = {0};
    char tail[64];
    snprintf(tail, sizeof tail, "/events?after=%lld", (long long)w->last_id);
    const char *path = session_path(w->session, "/v1/jobs", id, tail);
    int result = client_lines(w->session->client, path, on_line, w, &answer, err);
    if (result == 0 && answer.status >= 300)
        result = client_problem(&answer, &w->session->findings, err);
    client_answer_free(&answer);
    return result;
}

/* The end in words. */
static int conclude(struct session *session, const char *id) {
    struct json_t *job = NULL;
    int code = session_get(session, session_path(session, "/v1/jobs", id, ""), &job, NULL);
    if (code != CTL_DONE)
        return code;
    const char *state = json_text(json_get(job, "state"));
    if (state && strcmp(state, "failed") == 0) {
        char *problem = json_canonical(json_get(job, "problem"));
        struct client_answer answer = {.status = 422, .body = problem, .len = 0};
        struct err err = ERR_INIT;
        answer.len = problem ? strlen(problem) : 0;
        if (problem)
            client_problem(&answer, &session->findings, &err);
        else
            err_set(&err, ERR_BUG, "the job failed and does not say why");
        code = session_fail(session, &err, true);
        if (code == CTL_REFUSED)
            code = CTL_FAILED;
        free(problem);
    } else if (state && strcmp(state, "cancelled") == 0) {
        code = CTL_CANCELLED;
        if (!session->json)
            fprintf(stderr, "compressctl: the job was cancelled\n");
    } else if (!session->json && !session->quiet) {
        const struct json_t *summary = json_get(job, "summary");
        char in[32], out[32];
        int64_t bytes_in = 0, bytes_out = 0;
        double ratio = 0, sqnr = 0;
        json_int(json_get(summary, "bytes_in"), &bytes_in);
        json_int(json_get(summary, "bytes_out"), &bytes_out);
        json_number(json_get(summary, "ratio"), &ratio);
        printf("succeeded: %s -> %s, ratio %.2f", term_bytes((uint64_t)bytes_in, in, sizeof in),
               term_bytes((uint64_t)bytes_out, out, sizeof out), ratio);
        if (json_number(json_get(summary, "worst_sqnr_db"), &sqnr))
            printf(", worst tensor %.1f dB", sqnr);
        const struct json_t *quality = json_get(summary, "quality");
        double value = 0, before = 0;
        if (json_number(json_get(quality, "value"), &value)) {
            const char *metric = json_text(json_get(quality, "metric"));
            printf(", %s ", metric ? metric : "");
            if (json_number(json_get(quality, "before"), &before))
                printf("%.6g -> ", before);
            printf("%.6g", value);
        }
        const char *sha256 = json_text(json_get(json_get(job, "artifact"), "sha256"));
        printf(", verified\n  sha256 %s\n", sha256 ? sha256 : "");
    }
    jspec_free(job);
    return code;
}

int step_watch(struct session *session, const char *id) {
    struct watch watch = {.session = session};
    struct patience patience = {0};
    struct err err = ERR_INIT;
    unsigned empty = 0;
    while (!is_over(watch.state)) {
        int64_t before = watch.last_id;
        err_clear(&err);
        int result = stream(&watch, id, &err);
        if (session_stopped()) {
            if (session->term)
                term_clear(session->term);
            return CTL_CANCELLED;
        }
        if (watch.last_id > before) {
            patience.tries = 0;
            empty = 0;
        }
        if (result < 0 && before == 0 && watch.last_id == 0 && !patience.told &&
            err.code == ERR_NETWORK)
            return session_fail(session, &err, false); /* it was never there */
        if (result < 0 && !session_again(session, &patience, &err) && !session_stopped())
            return session_fail(session, &err, false);
        if (result < 0 || is_over(watch.state))
            continue;
        if (++empty > EMPTY_STREAMS) {
            err_set(&err, ERR_NETWORK, "the stream of events ends before the job does");
            return session_fail(session, &err, false);
        }
        sleep(empty > 1); /* the first is followed at once: a retry may have come in between */
    }
    if (session->term)
        term_clear(session->term);
    return conclude(session, id);
}

static int run(const struct ctl_call *call) {
    struct session session;
    int code = session_open(call, &session);
    session_catch_signals();
    if (code == CTL_DONE)
        code = step_watch(&session, call->args[0]);
    if (session_stopped()) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_CANCELLED, "stopped watching; the job goes on");
        code = session_fail(&session, &err, false);
    }
    if (session_stopped() || code == CTL_NETWORK)
        session_how_to_go_on(&session, call->args[0], NULL, NULL);
    session_close(&session);
    return code;
}

static const struct ctl_option options[] = {CTL_SERVER_OPTIONS};

const struct ctl_verb ctl_watch = {
    .name = "watch",
    .args = "JOB",
    .doc = "Follow a job live to its end.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
