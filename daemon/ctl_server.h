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

/* How long a server that went away is waited for. Begin with zeros; `tries` may be set back to 0
 * whenever something arrived. */
struct patience {
    unsigned tries;
    bool told;
};
/* After a failure: true when it was waited and it is time to try again. Says once that the server
 * is away. False: the failure is final, or a signal came (session_stopped()). */
bool session_again(struct session *session, struct patience *patience, const struct err *why);

/* One call whose answer is JSON. On 2xx *ret_document is yours (jspec_free); may be NULL to drop
 * it. *ret_text, if asked for, is the text (free). */
int session_json(struct session *session, const char *method, const char *path, const char *json,
                 struct json_t **ret_document, char **ret_text);
/* GET, asked again while the server is away. */
int session_get(struct session *session, const char *path, struct json_t **ret_document,
                char **ret_text);
/* "/v1/jobs/<escaped id>/tail", in the session's arena; NULL never (memory is checked by the
 * arena's caller failing the request). */
const char *session_path(struct session *session, const char *collection, const char *name,
                         const char *tail);
/* Prints a JSON text as it came, with a newline. */
void session_print(const char *text);
/* The same under --json, else indented. */
void session_print_document(const struct session *session, const char *text);
/* {"type": …, "data": <the JSON text>} on one line. */
void session_print_event(const char *type, const char *json);

/* SIGINT and SIGTERM set a flag that the steps look at. */
void session_catch_signals(void);
bool session_stopped(void);

/* What a push sends, and under which name. */
struct push_what {
    const char *path;
    const char *name; /* NULL: the path's last part, made a name that the server takes */
    bool replace;
    bool dataset; /* else a model */
};
/* What can be said of a push before a byte is read or sent: the server is there and lets us in, the
 * name is good and free (or stands for files of these sizes, or `replace`), the headers make sense.
 * Sets what->name (arena) when it is NULL. */
int step_look(struct session *session, struct push_what *what);
/* Needs a name. */
int step_push(struct session *session, const struct push_what *what);
struct submit_options {
    bool typed; /* --json: print {"type":"job","data":…} instead of the job alone */
    const char *job_name;
    const char *labels;  /* "k=v,k=v" or NULL */
    const char *dataset; /* its name on the server, or NULL */
    long priority;       /* -1: default */
    bool requantize;
};
/* recipe: a preset or saved name, a file, or JSON. *ret_id in the arena. */
int step_submit(struct session *session, const char *model, const char *recipe,
                const struct submit_options *options, const char **ret_id);
/* Follows the events to the job's end. CTL_FAILED, CTL_CANCELLED or CTL_DONE. After a signal
 * CTL_CANCELLED, without a word: what becomes of the job is for the caller to say. */
int step_watch(struct session *session, const char *id);
/* Says how to go on, on standard error: watching the job, pulling its artifact. Either id may be
 * NULL. */
void session_how_to_go_on(const struct session *session, const char *watch, const char *pull,
                          const char *out);
/* Into OUT, which appears only when every file has its digest and, for a model, its headers parse.
 */
int step_pull(struct session *session, const char *id, const char *out, bool force);

/* Is there such a recipe: a name that the server knows, a file or text that is a recipe? */
int step_check_recipe(struct session *session, const char *recipe);
/* The body of a plan or job: {"model":…, "recipe":…} with whatever options say. malloc'd. */
char *submit_body(struct session *session, const char *model, const char *recipe,
                  const struct submit_options *options, struct err *err);

#endif
