/* See ctl_server.h. */
#include "daemon/ctl_server.h"

#include "compress/base/limits.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

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

int session_json(struct session *session, const char *method, const char *path, const char *json,
                 struct json_t **ret_document, char **ret_text) {
    struct err err = ERR_INIT;
    struct client_answer answer = {0};
    int code = CTL_DONE;
    if (client_call(session->client, method, path, json, &answer, &err) < 0 ||
        (answer.status >= 300 && client_problem(&answer, &session->findings, &err) < 0) ||
        (ret_document && jspec_parse(answer.body, answer.len, ret_document, &err) < 0)) {
        code = session_fail(session, &err, false);
    } else if (ret_text) {
        *ret_text = answer.body;
        answer.body = NULL;
    }
    client_answer_free(&answer);
    return code;
}

const char *session_path(struct session *session, const char *collection, const char *name,
                         const char *tail) {
    char *escaped = client_escape(name, false);
    const char *path =
        arena_printf(session->arena, "%s/%s%s", collection, escaped ? escaped : "", tail);
    free(escaped);
    return path ? path : "/";
}

void session_print(const char *text) {
    fputs(text, stdout);
    size_t len = strlen(text);
    if (len && text[len - 1] != '\n')
        putchar('\n');
    fflush(stdout);
}
