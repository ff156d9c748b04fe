/*
 * THE route table, and the handlers it names.
 *
 * One file per family of handlers; a handler is four moves: parse, check, transact, reply. Adding a
 * route = one row here and one function there; the router, 405, HEAD, the checks of query and body
 * and /openapi.json follow from the row.
 */
#ifndef API_ROUTES_ROUTES_H
#define API_ROUTES_ROUTES_H

#include "api/http/route.h"

const struct route *routes_table(size_t *ret_count);

/* blob.c */
int blob_put_begin(struct request *r, struct err *err);
int blob_put_chunk(struct request *r, const void *data, size_t len, size_t *ret_taken,
                   struct err *err);
int blob_put(struct request *r, struct err *err);
int blob_get(struct request *r, struct err *err);
/* model_put.c, model_post.c, model_show.c */
int model_put_begin(struct request *r, struct err *err);
int model_put_chunk(struct request *r, const void *data, size_t len, size_t *ret_taken,
                    struct err *err);
int model_put(struct request *r, struct err *err);
int model_post(struct request *r, struct err *err);
int model_list(struct request *r, struct err *err);
int model_get(struct request *r, struct err *err);
int model_file(struct request *r, struct err *err);
int model_delete(struct request *r, struct err *err);
/* recipe_show.c, plan_create.c */
int recipe_list(struct request *r, struct err *err);
int recipe_get(struct request *r, struct err *err);
int plan_create(struct request *r, struct err *err);
/* job_create.c, job_show.c, job_change.c, job_events.c, job_output.c */
int job_create(struct request *r, struct err *err);
int job_list(struct request *r, struct err *err);
int job_get(struct request *r, struct err *err);
int job_cancel(struct request *r, struct err *err);
int job_retry(struct request *r, struct err *err);
int job_delete(struct request *r, struct err *err);
int job_patch(struct request *r, struct err *err);
int job_events(struct request *r, struct err *err);
int job_log(struct request *r, struct err *err);
int job_report(struct request *r, struct err *err);
int job_artifact(struct request *r, struct err *err);
int job_artifact_list(struct request *r, struct err *err);
int job_artifact_file(struct request *r, struct err *err);
/* health.c, capabilities.c, home.c */
int health_alive(struct request *r, struct err *err);
int health_ready(struct request *r, struct err *err);
int health_metrics(struct request *r, struct err *err);
int capabilities_version(struct request *r, struct err *err);
int capabilities_openapi(struct request *r, struct err *err);
int home_page(struct request *r, struct err *err);
int home_problem(struct request *r, struct err *err);

#endif
