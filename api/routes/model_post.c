/* POST /v1/models and /v1/datasets: one out of blobs that the team has uploaded before. */
#include "api/routes/routes.h"

#include "api/routes/intake.h"
#include "compress/base/limits.h"
#include "compress/base/pathset.h"
#include "storage/tables/blobs_tbl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct blob_entry *)a)->path, ((const struct blob_entry *)b)->path);
}

/* One element of `files`. */
static void read_file(struct request *r, struct db_conn *conn, struct json_t *value, size_t i,
                      struct blob_entry *ret, struct violations *list) {
    char pointer[40];
    const char *path = NULL, *digest = NULL;
    snprintf(pointer, sizeof pointer, "/files/%zu", i);
    const char *at = arena_strdup(r->arena, pointer);
    const struct jspec rows[] = {
        {.key = "path", .kind = JSPEC_STRING, .dest = &path, .required = true},
        {.key = "digest", .kind = JSPEC_STRING, .dest = &digest, .required = true},
    };
    if (jspec_read(value, at ? at : "", rows, 2, ERR_BAD_FIELD, r->arena, list))
        return;
    struct digest parsed;
    uint64_t bytes = 0;
    struct err err = ERR_INIT;
    if (!path_ok(path))
        violations_add(list, ERR_BAD_FIELD, jspec_pointer(at, "path", r->arena),
                       "not a relative path without \"..\"");
    else if (strncmp(digest, "sha256:", 7) != 0 || !digest_from_hex(digest + 7, &parsed))
        violations_add(list, ERR_BAD_FIELD, jspec_pointer(at, "digest", r->arena),
                       "must be sha256: and 64 hex digits");
    else if (blobs_tbl_find(conn, r->principal.team, &parsed, &bytes, &err) <= 0)
        violations_add(list, ERR_BAD_FIELD, jspec_pointer(at, "digest", r->arena),
                       "there is no blob %s; upload it first", digest);
    else
        *ret = (struct blob_entry){path, parsed, bytes};
}

static int read_files(struct request *r, struct json_t *files, struct intake *in,
                      struct violations *list, struct err *err) {
    size_t count = json_array_len(files);
    if (count < 1 || count > LIMIT_MODEL_FILES) {
        violations_add(list, ERR_BAD_FIELD, "/files", "must have 1 to %d elements",
                       LIMIT_MODEL_FILES);
        return violations_result(list, err);
    }
    struct blob_entry *entries = ARENA_ARRAY(r->arena, struct blob_entry, count);
    struct db_conn *conn = entries ? request_read(r, err) : NULL;
    if (!conn)
        return err_set(err, ERR_NO_MEMORY, "no memory for the file list");
    for (size_t i = 0; i < count; i++)
        read_file(r, conn, json_array_at(files, i), i, &entries[i], list);
    request_read_end(r, conn);
    if (violations_result(list, err))
        return -1;
    qsort(entries, count, sizeof *entries, by_path);
    struct pathset set;
    pathset_init(&set, r->arena);
    for (size_t i = 0; i < count; i++)
        if (pathset_add(&set, entries[i].path) != 1)
            violations_add(list, ERR_BAD_FIELD, "/files",
                           "the path %.200s stands twice, or is a folder as well", entries[i].path);
    in->entries = entries;
    in->count = count;
    in->lone = count == 1;
    return violations_result(list, err);
}

/* May run on a pool thread. */
static int read_body(struct request *r, struct err *err) {
    struct json_t *body;
    const char *name = NULL;
    struct json_t *files = NULL;
    struct violations *list = request_violations(r);
    struct intake *in = NULL;
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "no memory for the request");
    if (jspec_parse(r->body.text, r->body.len, &body, err))
        return -1;
    const struct jspec rows[] = {
        {.key = "name", .kind = JSPEC_STRING, .dest = &name, .required = true},
        {.key = "files", .kind = JSPEC_ARRAY, .dest = &files, .required = true},
    };
    int rc = jspec_read(body, "", rows, 2, ERR_BAD_FIELD, r->arena, list);
    if (rc)
        violations_result(list, err);
    else if (intake_new(r, name, &in, err) || read_files(r, files, in, list, err))
        rc = -1;
    jspec_free(body);
    return rc;
}

int model_post(struct request *r, struct err *err) {
    return request_read_body(r, read_body, intake_take, err);
}
