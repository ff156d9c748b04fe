/* See intake.h. */
#include "api/routes/intake.h"

#include "api/json/views.h"
#include "api/routes/cursor.h"
#include "api/routes/discard.h"
#include "compress/exec/dataset.h"
#include "compress/formats/format.h"
#include "compress/formats/npy.h"
#include "compress/formats/onnx.h"
#include "compress/recipe/inspect.h"
#include "storage/tables/blobs_tbl.h"

#include <stdlib.h>
#include <string.h>

static void intake_free(void *state);
static int inspect(struct request *r, struct err *err);
static int inspected(struct request *r, struct err *err);

int intake_new(struct request *r, const char *name, struct intake **ret, struct err *err) {
    if (!name_ok(name))
        return err_set(err, ERR_BAD_NAME, "%.140s is not a name", name);
    const char *if_none_match = request_header(r, "If-None-Match");
    bool must_be_new = if_none_match && strcmp(if_none_match, "*") == 0;
    if (must_be_new) {
        struct model_row row;
        struct db_conn *conn = request_read(r, err);
        int found = conn ? models_tbl_find(conn, r->route->kind, r->principal.team, name, r->arena,
                                           &row, err)
                         : -1;
        request_read_end(r, conn);
        if (found < 0)
            return -1;
        if (found)
            return err_set(err, ERR_PRECONDITION, "there is a %s %s already",
                           model_kind_name(r->route->kind), name);
    }
    struct intake *in = calloc(1, sizeof *in);
    if (!in)
        return err_set(err, ERR_NO_MEMORY, "no memory for the upload");
    in->service = r->service;
    in->kind = r->route->kind;
    in->name = name;
    in->replace = request_query_bool(r, "replace");
    in->must_be_new = must_be_new;
    in->tar_err = ERR_INIT;
    atomic_init(&in->tar_over, true);
    r->state = in;
    r->state_free = intake_free;
    *ret = in;
    return 0;
}

static void intake_free(void *state) {
    struct intake *in = state;
    discard_staged(in->service, in->staged);
    untar_free(in->untar);
    free(in->inspection);
    free(in);
}

/* ---- one staged file as the files of a model ---- */

struct staged_files {
    struct resolver base;
    struct resolver_file file;
    struct staged *staged;
};

static int staged_files_open(struct resolver *resolver, size_t index, struct source **ret,
                             struct err *err) {
    (void)index;
    struct staged_files *files = (struct staged_files *)resolver;
    return staged_source(files->staged, files->file.path, ret, err);
}

static void staged_files_close(struct resolver *resolver) {
    (void)resolver; /* lives on the stack of inspect() */
}

static const struct resolver_ops staged_files_ops = {staged_files_open, staged_files_close};

/* ---- steps ---- */

int intake_take(struct request *r, struct err *err) {
    return request_offload(r, inspect, inspected, err);
}

/* A file sent without ?filename= is called by what its first bytes say; what they do not say is not
 * guessed, so that the problem is about the file that was sent. */
static const char *file_name(struct staged *staged, enum model_kind kind, struct err *err) {
    enum { TAR_MAGIC_AT = 257, HEAD_BYTES = 512 };
    struct source *source;
    char head[HEAD_BYTES] = "";
    if (staged_source(staged, "the body", &source, err))
        return NULL;
    size_t n = source->bytes < sizeof head ? (size_t)source->bytes : sizeof head;
    int rc = n ? source_read(source, 0, head, n, err) : 0;
    source_close(source);
    if (rc)
        return NULL;
    bool dataset = kind == MODEL_KIND_DATASET;
    if (memcmp(head, "GGUF", 4) == 0 && !dataset)
        return "model.gguf";
    if (npy_sniff(head, n) && dataset)
        return "data.npy";
    if (memcmp(head, "PK\3\4", 4) == 0)
        return dataset ? "data.npz" : "model.pt";
    if (n > 8 && head[8] == '{') /* safetensors: eight bytes of length, then JSON */
        return dataset ? "data.safetensors" : "model.safetensors";
    if (onnx_begins(head, n) && !dataset)
        return "model.onnx";
    if (memcmp(head + TAR_MAGIC_AT, "ustar", 5) == 0)
        err_set(err, ERR_UNKNOWN_FORMAT,
                "the body is a tar: send it with Content-Type: application/x-tar");
    else
        err_set(err, ERR_UNKNOWN_FORMAT,
                "the body begins like no %s file; a folder is sent as a tar (Content-Type: "
                "application/x-tar), another file with ?filename=",
                dataset ? "NPZ, NPY or safetensors" : "safetensors, GGUF, PyTorch or ONNX");
    return NULL;
}

static int list_files(struct request *r, struct intake *in, struct err *err) {
    if (in->staged) {
        struct digest digest;
        if (staged_seal(in->staged, &digest, err))
            return -1;
        const char *path = request_query(r, "filename");
        if (!path)
            path = file_name(in->staged, in->kind, err);
        in->entries = path ? ARENA_NEW(r->arena, struct blob_entry) : NULL;
        if (!in->entries)
            return err_set(err, ERR_NO_MEMORY, "no memory for the file list");
        in->entries[0] = (struct blob_entry){path, digest, staged_bytes(in->staged)};
        in->count = 1;
        in->lone = true;
    } else if (in->untar) {
        in->count = untar_count(in->untar);
        in->entries = ARENA_ARRAY(r->arena, struct blob_entry, in->count);
        if (!in->entries)
            return err_set(err, ERR_NO_MEMORY, "no memory for the file list");
        for (size_t i = 0; i < in->count; i++)
            in->entries[i] =
                (struct blob_entry){untar_path(in->untar, i), *untar_digest(in->untar, i),
                                    staged_bytes(untar_file(in->untar, i))};
    }
    return 0;
}

static int inspect_model(struct request *r, struct resolver *files, struct err *err) {
    struct intake *in = r->state;
    struct model *model = NULL;
    size_t len;
    if (format_open(files, &model, err))
        return -1;
    in->inspection = inspect_json(model, false, &len);
    in->row = (struct model_row){
        .team = r->principal.team,
        .name = in->name,
        .lone = in->lone,
        .format = model->format->name,
        .architecture = arena_strdup(r->arena, model->architecture),
        .parameters = model->parameters,
        .bytes = model->bytes,
        .inspection = in->inspection,
    };
    model_free(model);
    return in->inspection && in->row.architecture
               ? 0
               : err_set(err, ERR_NO_MEMORY, "no memory for the inspection");
}

static int inspect_dataset(struct request *r, struct resolver *files, struct err *err) {
    struct intake *in = r->state;
    struct dataset *dataset = NULL;
    size_t len;
    if (dataset_open(files, &dataset, err))
        return -1;
    in->inspection = inspect_dataset_json(dataset, &len);
    in->row = (struct model_row){
        .kind = MODEL_KIND_DATASET,
        .team = r->principal.team,
        .name = in->name,
        .lone = in->lone,
        .format = dataset_kind_name(dataset_kind(dataset)),
        .architecture = "",
        .samples = dataset_samples(dataset),
        .bytes = dataset_bytes(dataset),
        .inspection = in->inspection,
    };
    dataset_free(dataset);
    return in->inspection ? 0 : err_set(err, ERR_NO_MEMORY, "no memory for the inspection");
}

/* On a pool thread. */
static int inspect(struct request *r, struct err *err) {
    struct intake *in = r->state;
    if (list_files(r, in, err))
        return -1;
    struct staged_files lone = {.base = {.ops = &staged_files_ops, .count = 1, .lone = true},
                                .staged = in->staged};
    struct resolver *files = &lone.base;
    if (in->staged) {
        lone.file = (struct resolver_file){in->entries[0].path, in->entries[0].bytes};
        lone.base.files = &lone.file;
    } else if (in->untar ? untar_resolver(in->untar, &files, err)
                         : blob_resolver(in->service->store->blobs, in->entries, in->count,
                                         in->lone, &files, err)) {
        return -1;
    }
    int rc = in->kind == MODEL_KIND_DATASET ? inspect_dataset(r, files, err)
                                            : inspect_model(r, files, err);
    resolver_close(files);
    return rc;
}

/* In the writer's transaction. */
static int publish(struct db_conn *conn, struct request *r, struct err *err) {
    struct intake *in = r->state;
    const char *team = r->principal.team;
    char *files_digest = arena_alloc(r->arena, DIGEST_HEX_LEN + 1);
    if (!files_digest)
        return err_set(err, ERR_NO_MEMORY, "no memory for a digest");
    models_tbl_files_digest(in->entries, in->count, files_digest);
    in->row.files_digest = files_digest;
    struct model_row before;
    int found = models_tbl_find(conn, in->kind, team, in->name, r->arena, &before, err);
    if (found < 0)
        return -1;
    if (found && in->must_be_new)
        return err_set(err, ERR_PRECONDITION, "there is a %s %s already", model_kind_name(in->kind),
                       in->name);
    if (found && strcmp(before.files_digest, files_digest) == 0 && before.lone == in->lone) {
        in->row = before;
        return 0;
    }
    if (found && !in->replace)
        return err_set(err, ERR_NAME_TAKEN,
                       "%s stands for other files; ?replace=true moves the name", in->name);
    for (size_t i = 0; i < in->count; i++) {
        uint64_t bytes;
        if (in->staged  ? staged_publish(in->staged, conn, team, err)
            : in->untar ? staged_publish(untar_file(in->untar, i), conn, team, err)
                        : 0)
            return -1;
        if (!in->staged && !in->untar) {
            int held = blobs_tbl_find(conn, team, &in->entries[i].digest, &bytes, err);
            if (held < 0)
                return -1;
            if (!held)
                return err_set(err, ERR_BAD_FIELD, "the blob of %s is no longer here",
                               in->entries[i].path);
        }
    }
    in->created = true;
    return models_tbl_put(conn, &in->row, in->entries, in->count, db_now_ms(), err);
}

static int answer(struct request *r, struct err *err) {
    struct intake *in = r->state;
    struct jbuf b;
    jbuf_init(&b);
    view_model_whole(&b, &in->row, in->entries, in->count, NULL);
    reply_headerf(r, "Location", "/v1/%ss/%s", model_kind_name(in->kind), in->name);
    return reply_json(r, in->created ? 201 : 200, &b, err);
}

static int inspected(struct request *r, struct err *err) {
    return request_write(r, publish, answer, err);
}
