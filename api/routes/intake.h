/*
 * A model or dataset on its way in: the steps that a file, a tar and a list of blobs share once
 * their bytes are here – inspect (pool thread), publish and name (writer), answer.
 *
 * Owns: staged files until they are published, the untar. Borrows: the service. Threads: one step
 * at a time; the fields of the tar consumer are handed over by `tar_over`.
 */
#ifndef API_ROUTES_INTAKE_H
#define API_ROUTES_INTAKE_H

#include "api/http/request.h"
#include "storage/blob/untar.h"
#include "storage/tables/models_tbl.h"

#include <stdatomic.h>

struct intake {
    struct service *service;
    enum model_kind kind;
    const char *name; /* in the request's arena */
    bool replace;
    bool must_be_new; /* If-None-Match: * */

    struct staged *staged; /* one file */
    struct untar *untar;   /* or a tar; else blobs that are already here */
    struct offload tar_work;
    atomic_bool tar_over;
    struct err tar_err;

    struct blob_entry *entries; /* sorted by path */
    size_t count;
    bool lone;

    char *inspection;
    struct model_row row;
    bool created; /* else: it stood there with the same files */
};

/* Makes the request's state. -1 with err: a bad name, or If-None-Match: * and the name stands. */
int intake_new(struct request *r, const char *name, struct intake **ret, struct err *err);
/* Step, when entries (or the staged files) are complete: inspect → publish → answer. */
int intake_take(struct request *r, struct err *err);

#endif
