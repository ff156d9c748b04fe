/* See ctl_server.h. */
#include "daemon/ctl_server.h"

#include "compress/base/limits.h"
#include "compress/base/nearest.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AWAY_TRIES 30 /* with the pause: a minute, a restart takes seconds */
#define AWAY_SECONDS 2

static volatile sig_atomic_t stop_asked;

static void ask_stop(int number) {
    (void)number;
    stop_asked = 1;
}

void session_catch_signals(void) {
    struct sigaction action = {.sa_handler = ask_stop};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool session_stopped(void) {
    return stop_asked != 0;
}

int session_open(const struct ctl_call *call, struct session *ret) {
    struct err err = ERR_INIT;
    *ret = (struct session){
        .call = call,
        .json = ctl_flag(call, "json"),
        .quiet = ctl_flag(call, "quiet"),
        .arena = arena_new(64 * MIB),
    };
    signal(SIGPIPE, SIG_IGN);
    if (!ret->arena) {
        err_set(&err, ERR_NO_MEMORY, "no memory to start");
        return ctl_fail(&err, NULL, ret->json, false);
    }
    violations_init(&ret->findings, ret->arena);
    ret->term = term_new(ret->json ? stdout : stderr, ret->quiet  ? TERM_SILENT
                                                      : ret->json ? TERM_JSON
                                                                  : TERM_AUTO);
    if (client_new(ctl_text(call, "url"), ctl_text(call, "token"), &ret->client, &err) < 0)
        return session_fail(ret, &err, false);
    client_set_stopped(ret->client, session_stopped);
    return CTL_DONE;
}

void session_close(struct session *session) {
    term_free(session->term);
    client_free(session->client);
    arena_free(session->arena);
}

int session_fail(struct session *session, const struct err *err, bool working) {
    if (session->term)
        term_clear(session->term);
    return ctl_fail(err, &session->findings, session->json, working);
}

bool session_may_retry(const struct err *err) {
    return err->code == ERR_NETWORK || err_kind(err->code) == ERR_KIND_BUSY;
}

bool session_again(struct session *session, struct patience *patience, const struct err *why) {
    if (session_stopped() || !session_may_retry(why) || ++patience->tries > AWAY_TRIES)
        return false;
    if (!patience->told && session->term)
        term_line(session->term, "the server is away, trying again (%s)", why->text);
    patience->told = true;
    session->findings.count = session->findings.total = 0; /* they were its refusal */
    sleep(AWAY_SECONDS);
    return !session_stopped();
}

static int call(struct session *session, const char *method, const char *path, const char *json,
                struct json_t **ret_document, char **ret_text, struct err *err) {
    struct client_answer answer = {0};
    int result = client_call(session->client, method, path, json, &answer, err);
    if (result == 0 && answer.status >= 300)
        result = client_problem(&answer, &session->findings, err);
    if (result == 0 && ret_document && jspec_parse(answer.body, answer.len, ret_document, NULL) < 0)
        result = err_set(err, ERR_NETWORK, "%s is no compressd: its answer is no JSON",
                         client_url(session->client));
    if (result == 0 && ret_text) {
        *ret_text = answer.body;
        answer.body = NULL;
    }
    client_answer_free(&answer);
    return result;
}

/* "there is no model tiny-lama": the tool asks which there are. One page of them is enough: where
 * there are more, a guess helps little. */
static void suggest(struct session *session, struct err *err) {
    struct violation *first = session->findings.count ? &session->findings.items[0] : NULL;
    const char *text = first ? first->detail : err->text, *best = NULL;
    char kind[16], name[160];
    if (err->nearest[0] || (first && first->nearest) ||
        sscanf(text, "there is no %15s %159s", kind, name) != 2 ||
        (strcmp(kind, "model") != 0 && strcmp(kind, "recipe") != 0))
        return;
    struct json_t *page = NULL;
    struct session quiet = {.client = session->client, .arena = session->arena};
    violations_init(&quiet.findings, session->arena);
    const char *path = strcmp(kind, "model") == 0 ? "/v1/models?limit=200" : "/v1/recipes";
    if (call(&quiet, "GET", path, NULL, &page, NULL, NULL) < 0)
        return;
    struct json_t *items = json_get(page, "items");
    for (size_t i = 0; i < json_array_len(items); i++) {
        const char *candidate = json_text(json_get(json_array_at(items, i), "name"));
        best = candidate ? nearest_of(name, best, candidate) : best;
    }
    if (best && first)
        first->nearest = arena_strdup(session->arena, best);
    else if (best)
        err_nearest(err, "%s", best);
    jspec_free(page);
}

int session_json(struct session *session, const char *method, const char *path, const char *json,
                 struct json_t **ret_document, char **ret_text) {
    struct err err = ERR_INIT;
    if (call(session, method, path, json, ret_document, ret_text, &err) == 0)
        return CTL_DONE;
    suggest(session, &err);
    return session_fail(session, &err, false);
}

int session_get(struct session *session, const char *path, struct json_t **ret_document,
                char **ret_text) {
    struct patience patience = {0};
    struct err err = ERR_INIT;
    while (call(session, "GET", path, NULL, ret_document, ret_text, &err) < 0) {
        if (!session_again(session, &patience, &err))
            return session_fail(session, &err, false);
        err_clear(&err);
    }
    return CTL_DONE;
}

void session_how_to_go_on(const struct session *session, const char *watch, const char *pull,
                          const char *out) {
    if (session->json)
        return;
    if (watch)
        fprintf(stderr, "go on with: compressctl watch %s\n", watch);
    if (pull)
        fprintf(stderr, "%s compressctl pull %s -o %s\n",
                watch ? "  and then:" : "go on with:", pull, out ? out : "OUT");
}

const char *session_path(struct session *session, const char *collection, const char *name,
                         const char *tail) {
    char *escaped = client_escape(name, false);
    const char *path =
        arena_printf(session->arena, "%s/%s%s", collection, escaped ? escaped : "", tail);
    free(escaped);
    return path ? path : "/";
}

void session_print_document(const struct session *session, const char *text) {
    struct json_t *document = NULL;
    char *pretty = NULL;
    if (!session->json && jspec_parse(text, strlen(text), &document, NULL) == 0)
        pretty = json_pretty(document);
    session_print(pretty ? pretty : text);
    free(pretty);
    jspec_free(document);
}

void session_print_event(const char *type, const char *json) {
    printf("{\"type\":\"%s\",\"data\":%.*s}\n", type, (int)strcspn(json, "\r\n"), json);
    fflush(stdout);
}

void session_print(const char *text) {
    fputs(text, stdout);
    size_t len = strlen(text);
    if (len && text[len - 1] != '\n')
        putchar('\n');
    fflush(stdout);
}
