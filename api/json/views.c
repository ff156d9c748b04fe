/* See views.h. */
#include "api/json/views.h"

#include "compress/base/err.h"
#include "compress/base/jspec.h"
#include "compress/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *digits(char *at, int value, int count, char behind) {
    for (int i = count - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
    at[count] = behind;
    return at + count + 1;
}

void view_time_text(int64_t ms, char ret[32]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char *at = digits(ret, tm.tm_year + 1900, 4, '-');
    at = digits(at, tm.tm_mon + 1, 2, '-');
    at = digits(at, tm.tm_mday, 2, 'T');
    at = digits(at, tm.tm_hour, 2, ':');
    at = digits(at, tm.tm_min, 2, ':');
    at = digits(at, tm.tm_sec, 2, '.');
    at = digits(at, (int)(ms % 1000), 3, 'Z');
    *at = 0;
}

void view_time(struct jbuf *b, const char *key, int64_t ms) {
    char text[32];
    if (ms)
        view_time_text(ms, text);
    jbuf_kv_string(b, key, ms ? text : NULL);
}

static void link_to(struct jbuf *b, const char *key, const char *id, const char *rest) {
    jbuf_key(b, key);
    jbuf_stringf(b, "/v1/jobs/%s%s", id, rest);
}

void view_job(struct jbuf *b, const struct job_row *row, int64_t queue_position) {
    jbuf_object(b);
    jbuf_kv_string(b, "id", row->id);
    jbuf_kv_string(b, "name", row->name);
    jbuf_kv_int(b, "revision", row->revision);
    jbuf_kv_string(b, "state", row->state);
    jbuf_kv_string(b, "model", row->model_name);
    jbuf_kv_string(b, "dataset", row->dataset_name);
    jbuf_kv_string(b, "recipe", row->recipe_name);
    jbuf_kv_raw(b, "labels", row->labels_json && *row->labels_json ? row->labels_json : "{}");
    jbuf_kv_int(b, "priority", row->priority);
    jbuf_kv_int(b, "attempt", row->attempt);
    view_time(b, "created_at", row->created_ms);
    view_time(b, "started_at", row->started_ms);
    view_time(b, "finished_at", row->finished_ms);
    jbuf_kv_raw(b, "progress", row->progress_json);
    if (queue_position < 0)
        jbuf_kv_raw(b, "queue_position", NULL);
    else
        jbuf_kv_int(b, "queue_position", queue_position);
    jbuf_kv_raw(b, "problem", row->problem_json);
    jbuf_kv_raw(b, "summary", row->summary_json);
    jbuf_key(b, "artifact");
    if (row->artifact_sha256) {
        jbuf_object(b);
        jbuf_kv_uint(b, "bytes", row->artifact_bytes);
        jbuf_kv_string(b, "sha256", row->artifact_sha256);
        jbuf_kv_int(b, "files", row->artifact_files);
        jbuf_object_end(b);
    } else {
        jbuf_null(b);
    }
    jbuf_key(b, "links");
    jbuf_object(b);
    link_to(b, "self", row->id, "");
    link_to(b, "events", row->id, "/events");
    link_to(b, "log", row->id, "/log");
    if (row->artifact_sha256) {
        link_to(b, "report", row->id, "/report");
        link_to(b, "artifact", row->id, "/artifact");
        link_to(b, "artifacts", row->id, "/artifacts");
    }
    jbuf_object_end(b);
    jbuf_object_end(b);
}

static void model_fields(struct jbuf *b, const struct model_row *row) {
    jbuf_kv_string(b, "name", row->name);
    jbuf_kv_int(b, "version", row->version);
    view_time(b, "created_at", row->created_ms);
    jbuf_kv_bool(b, "lone", row->lone);
    if (row->kind == MODEL_KIND_DATASET) {
        jbuf_kv_string(b, "kind", row->format);
        jbuf_kv_uint(b, "samples", row->samples);
    } else {
        jbuf_kv_string(b, "format", row->format);
        jbuf_kv_string(b, "architecture", row->architecture);
        jbuf_kv_uint(b, "parameters", row->parameters);
    }
    jbuf_kv_uint(b, "bytes", row->bytes);
}

void view_model(struct jbuf *b, const struct model_row *row) {
    jbuf_object(b);
    model_fields(b, row);
    jbuf_object_end(b);
}

/* What inspection found beyond the columns of the row. */
static int add_found(void *ctx, const char *key, struct json_t *value) {
    static const char *const elsewhere[] = {"name",    "version",      "created_at", "lone",
                                            "format",  "architecture", "parameters", "bytes",
                                            "tensors", "files",        "kind",       "samples"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (strcmp(key, elsewhere[i]) == 0)
            return 0;
    char *text = json_canonical(value);
    jbuf_kv_raw(ctx, key, text);
    free(text);
    return 0;
}

void view_model_whole(struct jbuf *b, const struct model_row *row, const struct blob_entry *files,
                      size_t count, const char *tensors_json) {
    jbuf_object(b);
    model_fields(b, row);
    struct json_t *found = NULL;
    if (row->inspection && jspec_parse(row->inspection, strlen(row->inspection), &found, NULL) == 0)
        json_each(found, add_found, b);
    jspec_free(found);
    char prefix[300];
    snprintf(prefix, sizeof prefix, "/v1/%ss/%s/files/", model_kind_name(row->kind), row->name);
    jbuf_key(b, "files");
    jbuf_array(b);
    for (size_t i = 0; i < count; i++)
        view_file(b, &files[i], prefix);
    jbuf_array_end(b);
    if (tensors_json)
        jbuf_kv_raw(b, "tensors", tensors_json);
    jbuf_object_end(b);
}

static void digest_fields(struct jbuf *b, const struct digest *digest, uint64_t bytes) {
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(digest, hex);
    jbuf_key(b, "digest");
    jbuf_stringf(b, "sha256:%s", hex);
    jbuf_kv_string(b, "sha256", hex);
    jbuf_kv_uint(b, "bytes", bytes);
}

void view_file(struct jbuf *b, const struct blob_entry *file, const char *url_prefix) {
    jbuf_object(b);
    jbuf_kv_string(b, "path", file->path);
    digest_fields(b, &file->digest, file->bytes);
    if (url_prefix) {
        char *escaped = view_escape_path(file->path);
        jbuf_key(b, "url");
        jbuf_stringf(b, "%s%s", url_prefix, escaped ? escaped : "");
        free(escaped);
    }
    jbuf_object_end(b);
}

void view_blob(struct jbuf *b, const struct digest *digest, uint64_t bytes) {
    jbuf_object(b);
    digest_fields(b, digest, bytes);
    jbuf_object_end(b);
}

char *view_escape_path(const char *path) {
    char *out = malloc(3 * strlen(path) + 1);
    if (!out)
        return NULL;
    char *at = out;
    for (const unsigned char *s = (const unsigned char *)path; *s; s++) {
        bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                     (*s >= '0' && *s <= '9') || strchr("-._~/", *s);
        at += sprintf(at, plain ? "%c" : "%%%02X", *s);
    }
    *at = 0;
    return out;
}
