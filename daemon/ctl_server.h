/*
 * What the verbs that talk to a server share: the connection, answers as JSON, and the four steps
 * of the main job – push, submit, watch, pull – which have verbs of their own and together are
 * `run`.
 *
 * A step returns an exit code and has printed what went wrong. Owns: a session owns its connection,
 * arena and terminal. Threads: one.
 */
#ifndef DAEMON_CTL_SERVER_H
#define DAEMON_CTL_SERVER_H

#include "compress/base/jspec.h"
#include "daemon/client.h"
#include "daemon/ctl_args.h"
#include "daemon/ctl_out.h"
#include "daemon/term.h"

#define CTL_SERVER_OPTIONS                                                              \
    {.name = "url",                                                                     \
     .kind = CTL_TEXT,                                                                  \
     .value = "URL",                                                                    \
     .doc = "The server; default: COMPRESSD_URL, client.conf, http://127.0.0.1:8080."}, \
    {                                                                                   \
        .name = "token", .kind = CTL_TEXT, .value = "TOKEN",                            \
        .doc = "Access token; default: COMPRESSD_TOKEN, client.conf."                   \
    }

struct session {
    const struct ctl_call *call;
    struct client *client;
    struct arena *arena;
    struct violations findings;
    struct term *term;
    bool json, quiet;
};

/* CTL_DONE, or an exit code. Close it either way. */
int session_open(const struct ctl_call *call, struct session *ret);
void session_close(struct session *session);
/* Prints err (with the findings) and gives the exit code. */
int session_fail(struct session *session, const struct err *err, bool working);

/* Is it worth asking again after a while: the network failed, or the server is busy or restarts? */
bool session_may_retry(const struct err *err);

/* One call whose answer is JSON. On 2xx *ret_document is yours (jspec_free); may be NULL to drop
 * it. *ret_text, if asked for, is the text (free). */
int session_json(struct session *session, const char *method, const char *path, const char *json,
                 struct json_t **ret_document, char **ret_text);
/* "/v1/jobs/<escaped id>/tail", in the session's arena; NULL never (memory is checked by the
 * arena's caller failing the request). */
const char *session_path(struct session *session, const char *collection, const char *name,
                         const char *tail);
/* Prints a JSON text as it came, with a newline. */
void session_print(const char *text);

/* SIGINT and SIGTERM set a flag that the steps look at. */
void session_catch_signals(void);
bool session_stopped(void);

/* name: NULL takes the path's last part. The name used is in *ret_name (arena). */
int step_push(struct session *session, const char *path, const char *name, bool replace,
              const char **ret_name);
struct submit_options {
    const char *job_name;
    const char *labels; /* "k=v,k=v" or NULL */
    long priority;      /* -1: default */
    bool requantize;
};
/* recipe: a preset or saved name, a file, or JSON. *ret_id in the arena. */
int step_submit(struct session *session, const char *model, const char *recipe,
                const struct submit_options *options, const char **ret_id);
/* Follows the events to the job's end. CTL_FAILED, CTL_CANCELLED or CTL_DONE. */
int step_watch(struct session *session, const char *id);
/* Into OUT, which appears only when every file has its digest and, for a model, its headers parse.
 */
int step_pull(struct session *session, const char *id, const char *out, bool force);

/* The body of a plan or job: {"model":…, "recipe":…} with whatever options say. malloc'd. */
char *submit_body(struct session *session, const char *model, const char *recipe,
                  const struct submit_options *options, struct err *err);

#endif
