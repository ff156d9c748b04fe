/* See client.h. */
#include "daemon/client.h"

#include "compress/base/jspec.h"
#include "compress/base/nearest.h"
#include "compressd_version.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_SECONDS 10L
#define STALL_SECONDS 90L /* streams carry a ping every 15 s */

struct client {
    CURL *curl;
    char *url;           /* without trailing slash */
    char *authorization; /* header line or NULL */
    bool (*stopped)(void);
    char curl_error[CURL_ERROR_SIZE];
};

static void trim(char *text) {
    size_t len = strlen(text);
    while (len && strchr(" \t\r\n", text[len - 1]))
        text[--len] = 0;
    size_t skip = strspn(text, " \t");
    memmove(text, text + skip, len - skip + 1);
}

/* What ~/.config/compressd/client.conf says; malloc'd texts or NULL. */
struct conf {
    char *url, *token;
};

static void conf_release(struct conf *conf) {
    free(conf->url);
    free(conf->token);
}

/* One line, of which comments and white space around have been cut. */
static int conf_line(struct conf *conf, char *line, const char *where, struct err *err) {
    char *equals = strchr(line, '=');
    if (!equals)
        return err_set(err, ERR_BAD_FIELD, "%s: expected key = value", where);
    *equals++ = 0;
    trim(line);
    trim(equals);
    char **to = strcmp(line, "url") == 0     ? &conf->url
                : strcmp(line, "token") == 0 ? &conf->token
                                             : NULL;
    if (!to) {
        const char *near = nearest_of(line, nearest_of(line, NULL, "url"), "token");
        err_set(err, ERR_BAD_FIELD, "%s: there is no setting '%s', only url and token", where,
                line);
        return near ? err_nearest(err, "%s", near) : -1;
    }
    free(*to);
    *to = strdup(equals);
    return *to ? 0 : err_set(err, ERR_NO_MEMORY, "no memory for the settings");
}

static int conf_read(struct conf *ret, struct err *err) {
    char path[1024], line[4096], where[1100];
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    if (xdg && *xdg)
        snprintf(path, sizeof path, "%s/compressd/client.conf", xdg);
    else
        snprintf(path, sizeof path, "%s/.config/compressd/client.conf", home ? home : "");
    FILE *file = fopen(path, "re");
    if (!file && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "cannot read %s", path);
    int result = 0;
    for (unsigned number = 1; result == 0 && fgets(line, sizeof line, file); number++) {
        snprintf(where, sizeof where, "%s:%u", path, number);
        if (!strchr(line, '\n') && !feof(file))
            result = err_set(err, ERR_BAD_FIELD, "%s: the line is too long", where);
        trim(line);
        if (result == 0 && line[0] && line[0] != '#')
            result = conf_line(ret, line, where, err);
    }
    fclose(file);
    return result;
}

static char *pick(const char *given, const char *variable, const char *from_file,
                  const char *otherwise) {
    const char *environment = getenv(variable);
    const char *value = given                         ? given
                        : environment && *environment ? environment
                        : from_file                   ? from_file
                                                      : otherwise;
    return value ? strdup(value) : NULL;
}

int client_new(const char *url, const char *token, struct client **ret, struct err *err) {
    struct conf conf = {0};
    if (conf_read(&conf, err) < 0) {
        conf_release(&conf);
        return -1;
    }
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        conf_release(&conf);
        return err_set(err, ERR_NO_MEMORY, "no memory for a connection");
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    client->curl = curl_easy_init();
    client->url = pick(url, "COMPRESSD_URL", conf.url, "http://127.0.0.1:8080");
    char *secret = pick(token, "COMPRESSD_TOKEN", conf.token, NULL);
    conf_release(&conf);
    if (secret) {
        size_t cap = strlen(secret) + 32;
        client->authorization = malloc(cap);
        if (client->authorization)
            snprintf(client->authorization, cap, "Authorization: Bearer %s", secret);
    }
    bool whole = client->curl && client->url && (!secret || client->authorization);
    free(secret);
    if (!whole) {
        client_free(client);
        return err_set(err, ERR_NO_MEMORY, "no memory for a connection");
    }
    for (size_t len = strlen(client->url); len && client->url[len - 1] == '/';)
        client->url[--len] = 0;
    *ret = client;
    return 0;
}

void client_free(struct client *client) {
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    free(client->url);
    free(client->authorization);
    free(client);
}

const char *client_url(const struct client *client) {
    return client->url;
}

void client_set_stopped(struct client *client, bool (*stopped)(void)) {
    client->stopped = stopped;
}

void client_answer_free(struct client_answer *answer) {
    free(answer->body);
    *answer = (struct client_answer){0};
}

/* ---- one transfer ---- */

struct transfer {
    struct client *client;
    struct curl_slist *headers;
    struct client_answer *answer;
    size_t capacity;
    bool failed; /* ours: memory, sink, source; `why` says it */
    struct err why;
    const struct client_meter *meter;
    /* upload */
    struct source *source;
    uint64_t at;
    /* download */
    struct sink *sink;
    /* lines */
    int (*line)(void *self, const char *text);
    void *line_self;
    bool stopped;
};

static int keep(struct transfer *t, const char *data, size_t len) {
    struct client_answer *a = t->answer;
    if (a->len + len + 1 > t->capacity) {
        size_t capacity = (a->len + len + 1) * 2;
        char *grown = realloc(a->body, capacity);
        if (!grown) {
            t->failed = true;
            return err_set(&t->why, ERR_NO_MEMORY, "no memory for the answer");
        }
        a->body = grown;
        t->capacity = capacity;
    }
    memcpy(a->body + a->len, data, len);
    a->len += len;
    a->body[a->len] = 0;
    return 0;
}

static bool is_success(struct transfer *t) {
    long status = 0;
    curl_easy_getinfo(t->client->curl, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static int meter(struct transfer *t, size_t bytes) {
    if (!t->meter || t->meter->moved(t->meter->self, bytes) == 0)
        return 0;
    t->failed = true;
    return err_set(&t->why, ERR_CANCELLED, "broken off");
}

/* Hands over whole lines from the buffer. */
static int split_lines(struct transfer *t) {
    struct client_answer *a = t->answer;
    char *start = a->body;
    for (char *end; (end = memchr(start, '\n', a->len - (size_t)(start - a->body)));
         start = end + 1) {
        *end = 0;
        if (*start && t->line(t->line_self, start) != 0) {
            t->stopped = true;
            return -1;
        }
    }
    size_t rest = a->len - (size_t)(start - a->body);
    memmove(a->body, start, rest + 1);
    a->len = rest;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *self) {
    struct transfer *t = self;
    size_t len = size * count;
    if (t->sink && is_success(t)) {
        if (sink_write(t->sink, data, len, &t->why) < 0) {
            t->failed = true;
            return 0;
        }
        return meter(t, len) < 0 ? 0 : len;
    }
    if (keep(t, data, len) < 0)
        return 0;
    if (t->line && is_success(t) && split_lines(t) < 0)
        return 0;
    return len;
}

static size_t on_read(char *data, size_t size, size_t count, void *self) {
    struct transfer *t = self;
    uint64_t left = t->source->bytes - t->at;
    size_t len = size * count < left ? size * count : (size_t)left;
    if (source_read(t->source, t->at, data, len, &t->why) < 0) {
        t->failed = true;
        return CURL_READFUNC_ABORT;
    }
    t->at += len;
    return meter(t, len) < 0 ? CURL_READFUNC_ABORT : len;
}

/* The library calls this about once a second even when nothing moves: a stream that is silent, a
 * server that does not answer. */
static int on_pulse(void *self, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                    curl_off_t up) {
    struct transfer *t = self;
    if (!t->client->stopped || !t->client->stopped())
        return 0;
    t->failed = true;
    return err_set(&t->why, ERR_CANCELLED, "broken off");
}

/* A connection that broke is made again, with the body from its start. */
static int on_seek(void *self, curl_off_t offset, int origin) {
    struct transfer *t = self;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->source->bytes)
        return CURL_SEEKFUNC_FAIL;
    t->at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int begin(struct transfer *t, const char *path, struct err *err) {
    CURL *curl = t->client->curl;
    size_t cap = strlen(t->client->url) + strlen(path) + 1;
    char *url = malloc(cap);
    *t->answer = (struct client_answer){.from = t->client->url};
    t->why = ERR_INIT;
    if (!url || keep(t, "", 0) < 0) {
        free(url);
        return err_set(err, ERR_NO_MEMORY, "no memory for a request");
    }
    snprintf(url, cap, "%s%s", t->client->url, path);
    curl_easy_reset(curl); /* keeps the connection */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    free(url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->client->curl_error);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "compressctl/" COMPRESSD_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_pulse);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    t->client->curl_error[0] = 0;
    if (t->client->authorization)
        t->headers = curl_slist_append(t->headers, t->client->authorization);
    return 0;
}

static int finish(struct transfer *t, struct err *err) {
    CURL *curl = t->client->curl;
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, t->headers);
    CURLcode rc = curl_easy_perform(curl);
    curl_slist_free_all(t->headers);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &t->answer->status);
    if (t->stopped)
        return 0;
    if (t->failed) {
        if (err && err->code == ERR_OK)
            *err = t->why;
        return -1;
    }
    /* A refusal before the end of our body is an answer, not a broken connection. */
    if (rc == CURLE_OK || (rc == CURLE_SEND_ERROR && t->answer->status >= 400))
        return 0;
    return err_set(err, ERR_NETWORK, "%s: %s", t->client->url,
                   t->client->curl_error[0] ? t->client->curl_error : curl_easy_strerror(rc));
}

int client_call(struct client *client, const char *method, const char *path, const char *json,
                struct client_answer *ret, struct err *err) {
    struct transfer t = {.client = client, .answer = ret};
    if (begin(&t, path, err) < 0)
        return -1;
    curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
    if (json) {
        t.headers = curl_slist_append(t.headers, "Content-Type: application/json");
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(json));
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, json);
    } else if (strcmp(method, "POST") == 0) {
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, "");
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(client->curl, CURLOPT_NOBODY, 1L);
    }
    return finish(&t, err);
}

int client_put(struct client *client, const char *path, struct source *source,
               const struct client_meter *meter, struct client_answer *ret, struct err *err) {
    struct transfer t = {.client = client, .answer = ret, .source = source, .meter = meter};
    if (begin(&t, path, err) < 0)
        return -1;
    t.headers = curl_slist_append(t.headers, "Content-Type: application/octet-stream");
    curl_easy_setopt(client->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(client->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)source->bytes);
    curl_easy_setopt(client->curl, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(client->curl, CURLOPT_READDATA, &t);
    curl_easy_setopt(client->curl, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(client->curl, CURLOPT_SEEKDATA, &t);
    curl_easy_setopt(client->curl, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
    return finish(&t, err);
}

int client_get(struct client *client, const char *path, uint64_t offset, struct sink *sink,
               const struct client_meter *meter, struct client_answer *ret, struct err *err) {
    struct transfer t = {.client = client, .answer = ret, .sink = sink, .meter = meter};
    if (begin(&t, path, err) < 0)
        return -1;
    char range[64];
    if (offset) {
        snprintf(range, sizeof range, "Range: bytes=%llu-", (unsigned long long)offset);
        t.headers = curl_slist_append(t.headers, range);
    }
    curl_easy_setopt(client->curl, CURLOPT_BUFFERSIZE, 512L * 1024);
    if (finish(&t, err) < 0)
        return -1;
    if (offset && ret->status == 200)
        return err_set(err, ERR_NETWORK, "the server does not resume downloads");
    return 0;
}

int client_lines(struct client *client, const char *path, int (*line)(void *self, const char *text),
                 void *self, struct client_answer *ret, struct err *err) {
    struct transfer t = {.client = client, .answer = ret, .line = line, .line_self = self};
    if (begin(&t, path, err) < 0)
        return -1;
    t.headers = curl_slist_append(t.headers, "Accept: application/x-ndjson");
    return finish(&t, err);
}

/* ---- problems ---- */

static enum err_code code_of(const char *type, long status) {
    const char *slug = type ? strrchr(type, '/') : NULL;
    int code;
    for (unsigned i = 0; slug && (code = err_code_at(i)) >= 0; i++)
        if (code && strcmp(err_slug((enum err_code)code), slug + 1) == 0)
            return (enum err_code)code;
    return status >= 500 ? ERR_NETWORK : ERR_BAD_FIELD;
}

static const char *text_of(const struct json_t *object, const char *key) {
    return json_text(json_get(object, key));
}

static void add_finding(struct violations *list, enum err_code code, const struct json_t *item) {
    const char *pointer = text_of(item, "pointer");
    const char *detail = text_of(item, "detail");
    struct violation *v =
        violations_add(list, code, pointer ? pointer : "", "%s", detail ? detail : "");
    const char *text;
    int64_t offset;
    if ((text = text_of(item, "tensor")))
        v->tensor = arena_strdup(list->arena, text);
    if ((text = text_of(item, "file")))
        v->file = arena_strdup(list->arena, text);
    if ((text = text_of(item, "group")))
        v->group = arena_strdup(list->arena, text);
    if ((text = text_of(item, "nearest")))
        v->nearest = arena_strdup(list->arena, text);
    if (json_int(json_get(item, "offset"), &offset))
        v->offset = (uint64_t)offset;
}

int client_problem(const struct client_answer *answer, struct violations *list, struct err *err) {
    struct json_t *problem = NULL;
    if (jspec_parse(answer->body, answer->len, &problem, NULL) < 0 || !text_of(problem, "type")) {
        jspec_free(problem);
        return err_set(err, ERR_NETWORK, "%s is no compressd: it answered %ld in its own words",
                       answer->from ? answer->from : "this", answer->status);
    }
    enum err_code code = code_of(text_of(problem, "type"), answer->status);
    const char *detail = text_of(problem, "detail");
    struct json_t *errors = json_get(problem, "errors");
    for (size_t i = 0; list && i < json_array_len(errors); i++)
        add_finding(list, code, json_array_at(errors, i));
    err_set(err, code, "%s", detail ? detail : err_title(code));
    jspec_free(problem);
    return -1;
}

char *client_escape(const char *text, bool keep_slash) {
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    char *out = malloc(3 * strlen(text) + 1);
    char *at = out;
    for (; out && *text; text++) {
        if (strchr(plain, *text) || (keep_slash && *text == '/'))
            *at++ = *text;
        else
            at += sprintf(at, "%%%02X", (unsigned char)*text);
    }
    if (out)
        *at = 0;
    return out;
}
