/*
 * What a job leaves behind: log, report, artifact (the file itself, or a virtual tar when there are
 * several), and the artifact's files one by one.
 */
#include "api/routes/routes.h"

#include "api/json/views.h"
#include "api/routes/job_find.h"
#include "storage/blob/tarlay.h"
#include "storage/tables/events_tbl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- log ---- */

struct log_text {
    struct job_row row;
    char *text;
    size_t len;
};

static void log_free(void *state) {
    struct log_text *log = state;
    free(log->text);
    free(log);
}

static void add_line(FILE *out, const struct event_row *event) {
    char time[32];
    struct json_t *data = NULL;
    view_time_text(event->time_ms, time);
    if (jspec_parse(event->data, strlen(event->data), &data, NULL))
        return;
    const char *level = json_text(json_get(data, "level"));
    const char *text = json_text(json_get(data, "text"));
    fprintf(out, "%s %-7s %s\n", time, level ? level : "info", text ? text : "");
    jspec_free(data);
}

/* On a pool thread: ten thousand lines are more than an HTTP thread should print. */
static int gather_log(struct request *r, struct err *err) {
    struct log_text *log = r->state;
    FILE *out = open_memstream(&log->text, &log->len);
    if (!out)
        return err_set(err, ERR_NO_MEMORY, "no memory for the log");
    int rc = 0;
    int64_t after = 0;
    for (size_t count = 1; rc == 0 && count > 0;) {
        struct arena_mark mark = arena_mark(r->arena);
        struct event_row *rows;
        struct db_conn *conn = request_read(r, err);
        rc = conn ? events_tbl_since_of(conn, log->row.n, "log", after, 500, r->arena, &rows,
                                        &count, err)
                  : -1;
        request_read_end(r, conn);
        rc = rc < 0 ? -1 : 0;
        for (size_t i = 0; rc == 0 && i < count; i++)
            add_line(out, &rows[i]);
        if (rc == 0 && count)
            after = rows[count - 1].id;
        arena_rewind(r->arena, mark);
    }
    if (fclose(out) && rc == 0)
        rc = err_set(err, ERR_NO_MEMORY, "no memory for the log");
    return rc;
}

static int reply_log(struct request *r, struct err *err) {
    struct log_text *log = r->state;
    char *text = log->text;
    log->text = NULL;
    return reply_content(
        r,
        &(struct reply_content){
            .type = "text/plain; charset=utf-8", .bytes = log->len, .text = text, .fd = -1},
        err);
}

int job_log(struct request *r, struct err *err) {
    struct log_text *log = calloc(1, sizeof *log);
    if (!log)
        return err_set(err, ERR_NO_MEMORY, "no memory for the log");
    r->state = log;
    r->state_free = log_free;
    return job_find_now(r, &log->row, NULL, err) ? -1
                                                 : request_offload(r, gather_log, reply_log, err);
}

/* ---- report ---- */

static int not_yet(const struct job_row *row, const char *what, struct err *err) {
    return err_set(err, ERR_NOT_FOUND, "the job is %s: %s", row->state, what);
}

/* On a pool thread: the report of a large model has megabytes. */
static int read_report(struct request *r, struct err *err) {
    struct job_row row;
    const char *report = NULL;
    struct db_conn *conn = request_read(r, err);
    int rc = conn ? job_find(r, conn, &row, NULL, err) : -1;
    if (rc == 0)
        rc = jobs_tbl_report(conn, row.n, r->arena, &report, err);
    request_read_end(r, conn);
    if (rc < 0)
        return -1;
    if (!report)
        return not_yet(&row, "it has no report", err);
    return reply_static(r, 200, "application/json", report, strlen(report));
}

int job_report(struct request *r, struct err *err) {
    return request_offload(r, read_report, read_report, err);
}

/* ---- artifact ---- */

struct artifact {
    struct job_row row;
    struct blob_entry *files;
    size_t count;
};

static int find_artifact(struct request *r, struct artifact *ret, struct err *err) {
    struct db_conn *conn = request_read(r, err);
    int rc = conn ? job_find(r, conn, &ret->row, NULL, err) : -1;
    if (rc == 0 && jobs_tbl_files(conn, ret->row.n, r->arena, &ret->files, &ret->count, err) < 0)
        rc = -1;
    request_read_end(r, conn);
    if (rc)
        return -1;
    return ret->row.artifact_sha256 && ret->count ? 0
                                                  : not_yet(&ret->row, "it has no artifact", err);
}

static int reply_file(struct request *r, const struct blob_entry *file, struct err *err) {
    int fd;
    uint64_t bytes;
    if (blob_open_fd(r->service->store->blobs, &file->digest, &fd, &bytes, err))
        return -1;
    const char *slash = strrchr(file->path, '/');
    return reply_content(r,
                         &(struct reply_content){.type = reply_type_of(file->path),
                                                 .bytes = bytes,
                                                 .digest = &file->digest,
                                                 .filename = slash ? slash + 1 : file->path,
                                                 .fd = fd},
                         err);
}

struct tar_reading {
    struct tarlay *tar;
    struct tarlay_reader *reader;
    uint64_t bytes;
};

static ssize_t tar_read(void *self, uint64_t pos, char *buf, size_t max) {
    struct tar_reading *tar = self;
    if (pos >= tar->bytes)
        return REPLY_END;
    size_t n = tar->bytes - pos < max ? (size_t)(tar->bytes - pos) : max;
    struct err err = ERR_INIT;
    return tarlay_read(tar->reader, pos, buf, n, &err) ? REPLY_BROKEN : (ssize_t)n;
}

static void tar_free(void *self) {
    struct tar_reading *tar = self;
    tarlay_reader_free(tar->reader);
    tarlay_free(tar->tar);
    free(tar);
}

static const struct reply_reader tar_reader = {tar_read, tar_free};

static int reply_tar(struct request *r, const struct artifact *artifact, struct err *err) {
    struct digest digest;
    if (!digest_from_hex(artifact->row.artifact_sha256, &digest))
        return err_set(err, ERR_DB, "the stored digest of the artifact is malformed");
    struct tar_reading *tar = calloc(1, sizeof *tar);
    if (!tar)
        return err_set(err, ERR_NO_MEMORY, "no memory for the tar");
    if (tarlay_new(artifact->files, artifact->count, &tar->tar, err) ||
        tarlay_reader_new(tar->tar, r->service->store->blobs, &tar->reader, err)) {
        tar_free(tar);
        return -1;
    }
    tar->bytes = tarlay_bytes(tar->tar);
    if (tar->bytes != artifact->row.artifact_bytes) {
        tar_free(tar);
        return err_set(err, ERR_BUG, "the tar has another length than when the job finished");
    }
    const char *filename =
        arena_printf(r->arena, "%s-%s.tar", artifact->row.model_name, artifact->row.recipe_name);
    return reply_content(r,
                         &(struct reply_content){.type = "application/x-tar",
                                                 .bytes = tar->bytes,
                                                 .digest = &digest,
                                                 .filename = filename,
                                                 .fd = -1,
                                                 .reader = &tar_reader,
                                                 .reader_self = tar},
                         err);
}

int job_artifact(struct request *r, struct err *err) {
    struct artifact artifact;
    if (find_artifact(r, &artifact, err))
        return -1;
    return artifact.row.artifact_lone ? reply_file(r, &artifact.files[0], err)
                                      : reply_tar(r, &artifact, err);
}

int job_artifact_list(struct request *r, struct err *err) {
    struct artifact artifact;
    if (find_artifact(r, &artifact, err))
        return -1;
    char prefix[80];
    snprintf(prefix, sizeof prefix, "/v1/jobs/%s/artifacts/", artifact.row.id);
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_key(&b, "items");
    jbuf_array(&b);
    for (size_t i = 0; i < artifact.count; i++)
        view_file(&b, &artifact.files[i], prefix);
    jbuf_array_end(&b);
    jbuf_kv_string(&b, "next", NULL);
    jbuf_kv_bool(&b, "lone", artifact.row.artifact_lone);
    jbuf_object_end(&b);
    return reply_json(r, 200, &b, err);
}

int job_artifact_file(struct request *r, struct err *err) {
    struct artifact artifact;
    if (find_artifact(r, &artifact, err))
        return -1;
    for (size_t i = 0; i < artifact.count; i++)
        if (strcmp(artifact.files[i].path, r->args[1]) == 0)
            return reply_file(r, &artifact.files[i], err);
    return err_set(err, ERR_NOT_FOUND, "the artifact has no file %.200s", r->args[1]);
}
