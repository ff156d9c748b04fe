/* GET /v1/models, /v1/models/{name}, /v1/models/{name}/files/{path}; DELETE /v1/models/{name}; and
 * the same of /v1/datasets: the route says which kind. */
#include "api/routes/routes.h"

#include "api/http/request.h"
#include "api/json/views.h"
#include "api/routes/cursor.h"
#include "compress/formats/format.h"
#include "compress/recipe/inspect.h"
#include "storage/tables/models_tbl.h"

#include <stdlib.h>
#include <string.h>

struct shown {
    struct model_row row;
    struct blob_entry *files;
    size_t count;
    char *tensors;
};

static void shown_free(void *state) {
    struct shown *shown = state;
    free(shown->tensors);
    free(shown);
}

int model_list(struct request *r, struct err *err) {
    struct model_list_query query = {
        .team = r->principal.team,
        .kind = r->route->kind,
        .limit = (unsigned)request_query_int(r, "limit", CURSOR_LIMIT_DEFAULT),
    };
    if (cursor_read(r, &query.before_version, err))
        return -1;
    unsigned limit = query.limit++; /* one more tells whether there is a next page */
    struct model_row *rows;
    size_t count;
    struct db_conn *conn = request_read(r, err);
    int rc = conn ? models_tbl_list(conn, &query, r->arena, &rows, &count, err) : -1;
    request_read_end(r, conn);
    if (rc < 0)
        return -1;
    bool more = count > limit;
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_key(&b, "items");
    jbuf_array(&b);
    for (size_t i = 0; i < count && i < limit; i++)
        view_model(&b, &rows[i]);
    jbuf_array_end(&b);
    cursor_write(r, &b, more ? rows[limit - 1].version : 0);
    jbuf_object_end(&b);
    return reply_json(r, 200, &b, err);
}

static int find(struct request *r, struct shown *shown, struct err *err) {
    struct db_conn *conn = request_read(r, err);
    if (!conn)
        return -1;
    int rc = models_tbl_find(conn, r->route->kind, r->principal.team, r->args[0], r->arena,
                             &shown->row, err);
    if (rc > 0 &&
        models_tbl_files(conn, shown->row.version, r->arena, &shown->files, &shown->count, err) < 0)
        rc = -1;
    request_read_end(r, conn);
    if (rc == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no %s %.140s", model_kind_name(r->route->kind),
                       r->args[0]);
    return rc < 0 ? -1 : 0;
}

static int show(struct request *r, struct err *err) {
    struct shown *shown = r->state;
    struct jbuf b;
    jbuf_init(&b);
    view_model_whole(&b, &shown->row, shown->files, shown->count, shown->tensors);
    return reply_json(r, 200, &b, err);
}

/* Reads the headers again, on a pool thread: the list of tensors is not kept. */
static int list_tensors(struct request *r, struct err *err) {
    struct shown *shown = r->state;
    struct resolver *files;
    struct model *model;
    if (blob_resolver(r->service->store->blobs, shown->files, shown->count, shown->row.lone, &files,
                      err))
        return -1;
    int rc = format_open(files, &model, err);
    if (rc == 0) {
        size_t len;
        char *text = inspect_json(model, true, &len);
        struct json_t *json = NULL;
        if (text && jspec_parse(text, len, &json, err) == 0)
            shown->tensors = json_canonical(json_get(json, "tensors"));
        if (!shown->tensors)
            rc = err_set(err, ERR_NO_MEMORY, "no memory for the list of tensors");
        jspec_free(json);
        free(text);
        model_free(model);
    }
    resolver_close(files);
    return rc;
}

int model_get(struct request *r, struct err *err) {
    struct shown *shown = calloc(1, sizeof *shown);
    if (!shown)
        return err_set(err, ERR_NO_MEMORY, "no memory for the answer");
    r->state = shown;
    r->state_free = shown_free;
    if (find(r, shown, err))
        return -1;
    return request_query_bool(r, "tensors") ? request_offload(r, list_tensors, show, err)
                                            : show(r, err);
}

int model_file(struct request *r, struct err *err) {
    struct shown shown = {0};
    if (find(r, &shown, err))
        return -1;
    for (size_t i = 0; i < shown.count; i++) {
        const struct blob_entry *file = &shown.files[i];
        if (strcmp(file->path, r->args[1]) != 0)
            continue;
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
    return err_set(err, ERR_NOT_FOUND, "the %s %s has no file %.200s",
                   model_kind_name(r->route->kind), shown.row.name, r->args[1]);
}

static int drop(struct db_conn *conn, struct request *r, struct err *err) {
    return models_tbl_delete(conn, r->route->kind, r->principal.team, r->args[0], err);
}

static int deleted(struct request *r, struct err *err) {
    (void)err;
    return reply_empty(r, 204);
}

int model_delete(struct request *r, struct err *err) {
    return request_write(r, drop, deleted, err);
}
