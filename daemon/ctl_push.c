/*
 * push: a model or dataset, a file or folder → a name on the server.
 *
 * Each file goes up as a blob under its own digest and is skipped when the server has it, so a push
 * that was broken off goes on where it stopped, and a folder that changed a little costs little.
 * Then one request makes the model or dataset of the blobs.
 */
#include "compress/base/dirfiles.h"
#include "compress/base/jbuf.h"
#include "compress/base/limits.h"
#include "compress/exec/dataset.h"
#include "compress/formats/format.h"
#include "daemon/ctl_server.h"
#include "daemon/ctl_verbs.h"

#include <stdlib.h>
#include <string.h>

#define STEP_BYTES (1 * MIB)
#define NAME_MAX_BYTES 128

struct push {
    struct session *session;
    struct progress_state state;
};

static int moved(void *self, uint64_t bytes) {
    struct push *push = self;
    push->state.done += bytes;
    if (push->session->term)
        term_progress(push->session->term, &push->state);
    return session_stopped();
}

static void begin_stage(struct push *push, const char *stage, unsigned index, uint64_t total) {
    push->state = (struct progress_state){
        .stage = stage, .unit = "bytes", .stage_index = index, .stages = 2, .total = total};
}

static int hash_source(struct push *push, struct source *source, struct digest *ret,
                       struct err *err) {
    struct hasher *hasher = hasher_new();
    char *buf = malloc(STEP_BYTES);
    int result = hasher && buf ? 0 : err_set(err, ERR_NO_MEMORY, "no memory to hash a file");
    for (uint64_t at = 0; result == 0 && at < source->bytes;) {
        size_t n = source->bytes - at < STEP_BYTES ? (size_t)(source->bytes - at) : STEP_BYTES;
        result = source_read(source, at, buf, n, err);
        if (result == 0) {
            hasher_update(hasher, buf, n);
            at += n;
            if (moved(push, n))
                result = err_set(err, ERR_CANCELLED, "broken off");
        }
    }
    if (result == 0)
        *ret = hasher_final(hasher);
    hasher_free(hasher);
    free(buf);
    return result;
}

/* Uploads unless it is there. */
static int try_blob(struct push *push, struct source *source, const char *path, struct err *err) {
    struct client *client = push->session->client;
    struct client_answer answer = {0};
    int result = client_call(client, "HEAD", path, NULL, &answer, err);
    if (result == 0 && answer.status == 200) {
        moved(push, source->bytes);
    } else if (result == 0) {
        client_answer_free(&answer);
        const struct client_meter meter = {push, moved};
        result = client_put(client, path, source, &meter, &answer, err);
        if (result == 0 && answer.status >= 300)
            result = client_problem(&answer, &push->session->findings, err);
    }
    client_answer_free(&answer);
    return result;
}

/* Again from the file's start when the server went away in between. */
static int put_blob(struct push *push, struct source *source, const struct digest *digest,
                    struct err *err) {
    struct patience patience = {0};
    struct err why = ERR_INIT;
    char hex[DIGEST_HEX_LEN + 1], path[128];
    uint64_t before = push->state.done;
    digest_hex(digest, hex);
    snprintf(path, sizeof path, "/v1/blobs/sha256:%s", hex);
    while (try_blob(push, source, path, &why) < 0) {
        if (!session_again(push->session, &patience, &why)) {
            *err = why;
            return -1;
        }
        err_clear(&why);
        push->state.done = before;
    }
    return 0;
}

static int each_file(struct push *push, struct resolver *files, struct digest *digests, bool upload,
                     struct err *err) {
    for (size_t i = 0; i < files->count; i++) {
        struct source *source;
        if (files->ops->open(files, i, &source, err) < 0)
            return -1;
        int result = upload ? put_blob(push, source, &digests[i], err)
                            : hash_source(push, source, &digests[i], err);
        source_close(source);
        if (result < 0)
            return err_at_file(err, files->files[i].path, ERR_NO_OFFSET);
    }
    return 0;
}

static const char *kind_of(const struct push_what *what) {
    return what->dataset ? "dataset" : "model";
}

static const char *collection_of(const struct push_what *what) {
    return what->dataset ? "/v1/datasets" : "/v1/models";
}

static char *body_of(const char *name, const struct resolver *files, const struct digest *digests) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "name", name);
    jbuf_key(&b, "files");
    jbuf_array(&b);
    for (size_t i = 0; i < files->count; i++) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(&digests[i], hex);
        jbuf_object(&b);
        jbuf_kv_string(&b, "path", files->files[i].path);
        jbuf_key(&b, "digest");
        jbuf_stringf(&b, "sha256:%s", hex);
        jbuf_object_end(&b);
    }
    jbuf_array_end(&b);
    jbuf_object_end(&b);
    return jbuf_take(&b, NULL);
}

/* Where the last part of a path begins; *ret_len without slashes at its end. */
static const char *last_part(const char *path, size_t *ret_len) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    size_t start = len;
    while (start > 0 && path[start - 1] != '/')
        start--;
    *ret_len = len - start;
    return path + start;
}

static const char name_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

/* "tiny-llama" of "models/tiny-llama/", "model.gguf" of a file; what no name may hold becomes '-',
 * one for each character. */
static const char *name_of(struct arena *arena, const char *path) {
    char *resolved = strspn(path, "./") == strlen(path) ? realpath(path, NULL) : NULL; /* "." */
    size_t len;
    const char *part = last_part(resolved ? resolved : path, &len);
    char *name = arena_strndup(arena, part, len);
    free(resolved);
    char *to = name;
    for (const char *c = name; c && *c; c++)
        if (((unsigned char)*c & 0xc0) != 0x80)
            *to++ = strchr(name_letters, *c) ? *c : '-';
    if (to)
        *to = 0;
    while (name && *name && strchr("._-", *name))
        name++;
    if (name && strlen(name) > NAME_MAX_BYTES)
        name[NAME_MAX_BYTES] = 0;
    return name && *name ? name : NULL;
}

static int check_name(const char *name, struct err *err) {
    size_t len = strlen(name);
    if (len >= 1 && len <= NAME_MAX_BYTES && strspn(name, name_letters) == len &&
        !strchr("._-", name[0]))
        return 0;
    return err_set(err, ERR_BAD_REQUEST,
                   "'%s' is no name: up to %d letters, digits, '.', '_' and '-', the first a "
                   "letter or digit",
                   name, NAME_MAX_BYTES);
}

/* Do the server's files have these paths and sizes? Their digests are compared by the server. */
static bool looks_same(const struct json_t *there, const struct resolver *files) {
    struct json_t *theirs = json_get(there, "files");
    if (json_array_len(theirs) != files->count)
        return false;
    for (size_t i = 0; i < files->count; i++) {
        bool found = false;
        for (size_t k = 0; !found && k < files->count; k++) {
            const struct json_t *file = json_array_at(theirs, k);
            const char *path = json_text(json_get(file, "path"));
            int64_t bytes;
            found = path && strcmp(path, files->files[i].path) == 0 &&
                    json_int(json_get(file, "bytes"), &bytes) &&
                    (uint64_t)bytes == files->files[i].bytes;
        }
        if (!found)
            return false;
    }
    return true;
}

static int look_at_name(struct session *session, const struct push_what *what,
                        const struct resolver *files, struct err *err) {
    struct client_answer answer = {0};
    struct json_t *there = NULL;
    int result =
        client_call(session->client, "GET",
                    session_path(session, collection_of(what), what->name, ""), NULL, &answer, err);
    if (result == 0 && answer.status != 200 && client_problem(&answer, NULL, err) < 0) {
        if (err->code == ERR_NOT_FOUND)
            err_clear(err); /* free */
        else
            result = -1;
    } else if (result == 0 && !what->replace &&
               (jspec_parse(answer.body, answer.len, &there, NULL) < 0 ||
                !looks_same(there, files))) {
        result = err_set(err, ERR_NAME_TAKEN,
                         "the name %s stands for other files on the server (--replace moves it, "
                         "--name takes another)",
                         what->name);
    }
    jspec_free(there);
    client_answer_free(&answer);
    return result;
}

/* From the headers: is it what it is said to be? */
static int look_at_files(const struct push_what *what, struct resolver *files, struct err *err) {
    struct model *model = NULL;
    struct dataset *dataset = NULL;
    int result =
        what->dataset ? dataset_open(files, &dataset, err) : format_open(files, &model, err);
    dataset_free(dataset);
    model_free(model);
    return result;
}

int step_look(struct session *session, struct push_what *what) {
    struct err err = ERR_INIT;
    struct resolver *files = NULL;
    bool given = what->name != NULL;
    if (!given)
        what->name = name_of(session->arena, what->path);
    if (!what->name)
        what->name = kind_of(what);
    int result = check_name(what->name, &err);
    if (result == 0)
        result = dirfiles_open(what->path, true, &files, &err);
    if (result == 0)
        result = look_at_name(session, what, files, &err);
    if (result == 0)
        result = look_at_files(what, files, &err);
    resolver_close(files);
    if (result < 0)
        return session_fail(session, &err, false);
    size_t len;
    const char *part = last_part(what->path, &len);
    if (!given && session->term &&
        (strlen(what->name) != len || strncmp(what->name, part, len) != 0))
        term_line(session->term, "%.*s goes to the server as %s", (int)len, part, what->name);
    return CTL_DONE;
}

int step_push(struct session *session, const struct push_what *what) {
    struct err err = ERR_INIT;
    struct resolver *files = NULL;
    struct digest *digests = NULL;
    struct push push = {.session = session};
    char *body = NULL, *text = NULL;
    int code = CTL_DONE;
    if (dirfiles_open(what->path, true, &files, &err) < 0)
        goto fail;
    digests = calloc(files->count, sizeof *digests);
    if (!digests) {
        err_set(&err, ERR_NO_MEMORY, "no memory for a list of files");
        goto fail;
    }
    uint64_t total = 0;
    for (size_t i = 0; i < files->count; i++)
        total += files->files[i].bytes;
    begin_stage(&push, "hash", 0, total);
    if (each_file(&push, files, digests, false, &err) < 0)
        goto fail;
    begin_stage(&push, "upload", 1, total);
    if (each_file(&push, files, digests, true, &err) < 0)
        goto fail;
    if (session->term)
        term_clear(session->term);
    body = body_of(what->name, files, digests);
    if (!body) {
        err_set(&err, ERR_NO_MEMORY, "no memory for a request");
        goto fail;
    }
    char address[64];
    snprintf(address, sizeof address, "%s%s", collection_of(what),
             what->replace ? "?replace=true" : "");
    code = session_json(session, "POST", address, body, NULL, &text);
    if (code == CTL_DONE && session->json)
        session_print_event(kind_of(what), text);
    else if (code == CTL_DONE && !session->quiet) {
        char size[32];
        printf("%s %s: %zu file%s, %s\n", kind_of(what), what->name, files->count,
               files->count == 1 ? "" : "s", term_bytes(total, size, sizeof size));
    }
    goto out;
fail:
    if (session_stopped()) {
        err_clear(&err);
        err_set(&err, ERR_CANCELLED, "stopped; pushing again does not send again what has arrived");
    }
    code = session_fail(session, &err, false);
out:
    free(body);
    free(text);
    free(digests);
    resolver_close(files);
    return code;
}

static int run(const struct ctl_call *call) {
    struct session session;
    int code = session_open(call, &session);
    struct push_what what = {.path = call->args[0],
                             .name = ctl_text(call, "name"),
                             .replace = ctl_flag(call, "replace"),
                             .dataset = ctl_flag(call, "dataset")};
    session_catch_signals();
    if (code == CTL_DONE)
        code = step_look(&session, &what);
    if (code == CTL_DONE)
        code = step_push(&session, &what);
    session_close(&session);
    return code;
}

static const struct ctl_option options[] = {
    {.name = "name",
     .letter = 'n',
     .kind = CTL_TEXT,
     .value = "NAME",
     .doc = "Name on the server; default: the last part of PATH."},
    {.name = "dataset",
     .kind = CTL_FLAG,
     .doc = "PATH is a dataset: .npz, .safetensors or .npy, or a folder of them."},
    {.name = "replace", .kind = CTL_FLAG, .doc = "Move the name if it stands for other files."},
    CTL_SERVER_OPTIONS,
};

const struct ctl_verb ctl_push = {
    .name = "push",
    .args = "PATH",
    .doc = "Upload a model or dataset, a file or folder, to the server.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .min_args = 1,
    .max_args = 1,
    .run = run,
    .more = "Files that the server has already are not sent again.\n"
            "Links to files are followed, wherever they lead; links to folders are refused.\n",
};
