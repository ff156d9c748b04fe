/*
 * Domain struct → JSON, one function per struct. What the API promises about an object stands here
 * and in the schema of the same name (api/routes/schemas.c); the HTTP tests hold one against the
 * other.
 *
 * Threads: any. Printing a job allocates nothing but the text.
 */
#ifndef API_JSON_VIEWS_H
#define API_JSON_VIEWS_H

#include "compress/base/jbuf.h"
#include "storage/tables/jobs_tbl.h"
#include "storage/tables/models_tbl.h"

/* RFC 3339 in UTC with milliseconds. */
void view_time_text(int64_t ms, char ret[32]);
/* key: the time, or null for 0. */
void view_time(struct jbuf *b, const char *key, int64_t ms);

/* queue_position < 0: null. */
void view_job(struct jbuf *b, const struct job_row *row, int64_t queue_position);
/* A model or a dataset, without files and inspection: a row of a list. */
void view_model(struct jbuf *b, const struct model_row *row);
/* The whole: what inspection found, files with digests, and (tensors_json not NULL) the tensors. */
void view_model_whole(struct jbuf *b, const struct model_row *row, const struct blob_entry *files,
                      size_t count, const char *tensors_json);
/* {path, digest, sha256, bytes} of one file; with `url_prefix` also its url (path escaped). */
void view_file(struct jbuf *b, const struct blob_entry *file, const char *url_prefix);
/* {digest, sha256, bytes} */
void view_blob(struct jbuf *b, const struct digest *digest, uint64_t bytes);

/* Percent-encodes a path, '/' kept. malloc'd; NULL when out of memory. */
char *view_escape_path(const char *path);

#endif
