/*
 * Statements on `model`, `model_version` and `model_file`.
 *
 * A name points to an immutable version: files and what inspection found. Datasets are kept the
 * same way under names of their own; the kind tells which. Rows returned live in the given arena.
 * Find functions return 1 found, 0 not, -1 err.
 */
#ifndef STORAGE_TABLES_MODELS_TBL_H
#define STORAGE_TABLES_MODELS_TBL_H

#include "compress/base/arena.h"
#include "storage/blob/blobs.h"
#include "storage/db/db.h"

enum model_kind { MODEL_KIND_MODEL, MODEL_KIND_DATASET }; /* numbers of the database */

/* "model", "dataset": for messages, and with an s for addresses. */
const char *model_kind_name(enum model_kind kind);

struct model_row {
    int64_t version;
    enum model_kind kind;
    const char *team;
    const char *name;
    int64_t created_ms; /* of the version */
    bool lone;
    const char *format;       /* of a dataset: "arrays", "tokens" */
    const char *architecture; /* "" of a dataset */
    uint64_t parameters;      /* 0 of a dataset */
    uint64_t samples;         /* of a dataset; tokens, when it is one text */
    uint64_t bytes;
    const char *inspection;   /* JSON without tensors */
    const char *files_digest; /* hex over (path, digest) list: same list = same digest */
};

struct model_list_query {
    const char *team;
    enum model_kind kind;
    unsigned limit;
    int64_t before_version; /* keyset cursor; 0 = from the newest */
};

/* Digest over the list of (path, digest), which must be sorted by path. */
void models_tbl_files_digest(const struct blob_entry *files, size_t count,
                             char ret_hex[DIGEST_HEX_LEN + 1]);

/* Makes a version and points the name to it. `row` gives everything but `version` and created_ms.
 * The previous version goes when no queued or running job needs it. */
int models_tbl_put(struct db_conn *conn, struct model_row *row, const struct blob_entry *files,
                   size_t count, int64_t now_ms, struct err *err);
int models_tbl_find(struct db_conn *conn, enum model_kind kind, const char *team, const char *name,
                    struct arena *arena, struct model_row *ret, struct err *err);
int models_tbl_find_version(struct db_conn *conn, int64_t version, struct arena *arena,
                            struct model_row *ret, struct err *err);
int models_tbl_files(struct db_conn *conn, int64_t version, struct arena *arena,
                     struct blob_entry **ret, size_t *ret_count, struct err *err);
/* Newest first. */
int models_tbl_list(struct db_conn *conn, const struct model_list_query *query, struct arena *arena,
                    struct model_row **ret, size_t *ret_count, struct err *err);
/* "Did you mean": the name that was probably meant; 0 when none is close. */
int models_tbl_nearest(struct db_conn *conn, enum model_kind kind, const char *team,
                       const char *name, struct arena *arena, const char **ret, struct err *err);
/* ERR_IN_USE while a queued or running job needs the version; ERR_NOT_FOUND. */
int models_tbl_delete(struct db_conn *conn, enum model_kind kind, const char *team,
                      const char *name, struct err *err);
/* Drops versions that no name points to and no unfinished job needs. */
int models_tbl_drop_orphans(struct db_conn *conn, struct err *err);

#endif
