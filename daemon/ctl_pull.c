/*
 * pull: a job's artifact → a file or folder here.
 *
 * Every file is written beside OUT, hashed on the way and compared with the digest the server
 * states; a transfer that breaks is resumed where it stopped. The model's headers are then read by
 * the same code that will be asked to load it. OUT appears only when all that is true.
 */
#include "compress/base/dir_outputs.h"
#include "compress/base/jbuf.h"
#include "compress/formats/format.h"
#include "daemon/beside.h"
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <stdlib.h>
#include <string.h>

#define EMPTY_ANSWERS 5 /* in a row that end in order and bring nothing */

struct pull {
    struct session *session;
    const char *id;
    struct progress_state state;
    bool lone;
};

static int moved(void *self, uint64_t bytes) {
    struct pull *pull = self;
    pull->state.done += bytes;
    if (pull->session->term)
        term_progress(pull->session->term, &pull->state);
    return session_stopped();
}

/* All of one file into the sink, over as many transfers as it takes. */
static int fetch(struct pull *pull, const char *path, uint64_t bytes, struct sink *sink,
                 struct err *err) {
    const struct client_meter meter = {pull, moved};
    struct patience patience = {0};
    unsigned empty = 0;
    while (sink->written < bytes) {
        struct client_answer answer = {0};
        struct err why = ERR_INIT;
        uint64_t before = sink->written;
        int result =
            client_get(pull->session->client, path, sink->written, sink, &meter, &answer, &why);
        if (result == 0 && answer.status >= 300)
            result = client_problem(&answer, &pull->session->findings, &why);
        client_answer_free(&answer);
        empty++;
        if (sink->written > before)
            patience.tries = empty = 0;
        if (result < 0 && !session_again(pull->session, &patience, &why)) {
            *err = why;
            return -1;
        }
        if (result == 0 && empty > EMPTY_ANSWERS)
            return err_set(err, ERR_NETWORK, "the server sends less than it says");
    }
    return 0;
}

/* What the server lists, which is not believed. */
struct listed {
    const char *path;
    struct digest digest;
    int64_t bytes;
};

struct listing {
    struct listed *files;
    size_t count;
    uint64_t bytes;
    bool lone;
};

static bool read_file(const struct json_t *item, struct listed *ret) {
    const char *hex = json_text(json_get(item, "sha256"));
    ret->path = json_text(json_get(item, "path"));
    return ret->path && path_ok(ret->path) && hex && digest_from_hex(hex, &ret->digest) &&
           json_int(json_get(item, "bytes"), &ret->bytes) && ret->bytes >= 0;
}

static int read_listing(const struct json_t *document, struct arena *arena, struct listing *ret,
                        struct err *err) {
    struct json_t *items = json_get(document, "items");
    *ret = (struct listing){.count = json_array_len(items)};
    json_bool(json_get(document, "lone"), &ret->lone);
    if (ret->count == 0)
        return err_set(err, ERR_STATE, "the job has no artifact");
    ret->files = ARENA_ARRAY(arena, struct listed, ret->count);
    if (!ret->files)
        return err_set(err, ERR_NO_MEMORY, "no memory for a list of files");
    bool sense = !ret->lone || ret->count == 1;
    for (size_t i = 0; sense && i < ret->count; i++) {
        sense = read_file(json_array_at(items, i), &ret->files[i]);
        ret->bytes += sense ? (uint64_t)ret->files[i].bytes : 0;
    }
    return sense ? 0 : err_set(err, ERR_NETWORK, "the server's list of files makes no sense");
}

static int pull_file(struct pull *pull, struct outputs *outputs, const struct listed *file,
                     struct err *err) {
    struct digest got;
    char *escaped = client_escape(file->path, true);
    const char *url = session_path(pull->session, "/v1/jobs", pull->id, "/artifacts/");
    url = arena_printf(pull->session->arena, "%s%s", url, escaped ? escaped : "");
    free(escaped);
    struct sink *sink;
    if (!url)
        return err_set(err, ERR_NO_MEMORY, "no memory for a request");
    if (outputs->ops->create(outputs, file->path, (uint64_t)file->bytes, &sink, err) < 0)
        return -1;
    if (fetch(pull, url, (uint64_t)file->bytes, sink, err) < 0) {
        sink_abort(sink);
        return err_at_file(err, file->path, ERR_NO_OFFSET);
    }
    if (sink_finish(sink, &got, err) < 0)
        return -1;
    if (!digest_equal(&got, &file->digest)) {
        err_set(err, ERR_BAD_DIGEST, "%s does not have the digest that the server states",
                file->path);
        return err_at_file(err, file->path, ERR_NO_OFFSET);
    }
    return 0;
}

/* Reads the headers of what was written. */
static int check_model(struct outputs *outputs, struct err *err) {
    struct resolver *files;
    struct model *model = NULL;
    if (outputs->ops->reopen(outputs, &files, err) < 0)
        return -1;
    int result = format_open(files, &model, err);
    model_free(model);
    resolver_close(files);
    return result < 0 ? err_context(err, "the pulled model does not open") : 0;
}

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int pull_all(struct pull *pull, const struct json_t *document, const char *out, bool force,
                    const char **ret_out, struct err *err) {
    struct listing list;
    if (read_listing(document, pull->session->arena, &list, err) < 0)
        return -1;
    pull->state = (struct progress_state){
        .stage = "download", .unit = "bytes", .stages = 1, .total = list.bytes};
    struct beside *beside = NULL;
    struct dir_outputs *outputs = NULL;
    const char *name = list.lone ? last_part(list.files[0].path) : "model";
    int result = beside_check(out, NULL, force, err);
    if (result == 0)
        result = beside_new(out, name, !list.lone, force, list.bytes, &beside, err);
    if (result == 0)
        result = dir_outputs_new(beside_path(beside), list.lone, &outputs, err);
    for (size_t i = 0; result == 0 && i < list.count; i++)
        result = pull_file(pull, dir_outputs_base(outputs), &list.files[i], err);
    if (result == 0)
        result = check_model(dir_outputs_base(outputs), err);
    if (result == 0)
        result = beside_publish(beside, err);
    if (result == 0)
        *ret_out = arena_strdup(pull->session->arena, beside_out(beside));
    dir_outputs_free(outputs);
    beside_free(beside);
    return result;
}

static void print_pulled(const char *out, uint64_t bytes) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "out", out);
    jbuf_kv_uint(&b, "bytes", bytes);
    jbuf_object_end(&b);
    char *text = jbuf_take(&b, NULL);
    if (text)
        session_print_event("pulled", text);
    free(text);
}

int step_pull(struct session *session, const char *id, const char *out, bool force) {
    struct pull pull = {.session = session, .id = id};
    struct err err = ERR_INIT;
    struct json_t *list = NULL;
    const char *written = NULL;
    int code =
        session_get(session, session_path(session, "/v1/jobs", id, "/artifacts"), &list, NULL);
    if (code != CTL_DONE)
        return code;
    if (pull_all(&pull, list, out, force, &written, &err) < 0) {
        if (session_stopped()) {
            err_clear(&err);
            err_set(&err, ERR_CANCELLED, "stopped; %s was not written, the artifact stays", out);
        }
        code = session_fail(session, &err, false);
    } else {
        if (session->term)
            term_clear(session->term);
        char size[32];
        if (session->json)
            print_pulled(written ? written : out, pull.state.total);
        else if (!session->quiet)
            printf("%s: %s, every digest verified\n", written ? written : out,
                   term_bytes(pull.state.total, size, sizeof size));
    }
    jspec_free(list);
    return code;
}

static int run(const struct ctl_call *call) {
    struct session session;
    int code = session_open(call, &session);
    session_catch_signals();
    if (code == CTL_DONE)
        code =
            step_pull(&session, call->args[0], ctl_text(call, "output"), ctl_flag(call, "force"));
    session_close(&session);
    return code;
}

static const struct ctl_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = CTL_TEXT,
     .value = "OUT",
     .required = true,
     .doc = "The file or folder to write; must not exist."},
    {.name = "force", .letter = 'f', .kind = CTL_FLAG, .doc = "Replace OUT."},
    CTL_SERVER_OPTIONS,
};

const struct ctl_verb ctl_pull = {
    .name = "pull",
    .args = "JOB",
    .doc = "Download a job's artifact and verify it.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
