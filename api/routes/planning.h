/*
 * Model + recipe + data → plan: what POST /v1/plan and POST /v1/jobs share.
 *
 * A plan already made is used at once; a new one is made on a pool thread. Lives in the request's
 * arena. Threads: one step at a time.
 */
#ifndef API_ROUTES_PLANNING_H
#define API_ROUTES_PLANNING_H

#include "api/http/request.h"
#include "compress/recipe/recipe.h"
#include "storage/tables/job_data_tbl.h"

struct planning {
    struct model_row model;
    const char *dataset; /* the one that came beside the recipe, or NULL */
    struct recipe *recipe;
    struct job_data data; /* what the recipe names, else the body's dataset */
    struct plan_summary plan;
    request_step *then;
};

/* Finds the model, reads the recipe and finds its data (all named by their keys in the body;
 * dataset NULL: none). Unknown names become violations at /model, /recipe, /dataset,
 * /recipe/evaluation/dataset and /recipe/calibration/dataset, with the nearest name. */
int planning_read(struct request *r, const char *model, const char *dataset, struct json_t *recipe,
                  struct planning *planning, struct err *err);
/* Step: makes or finds the plan, then `then`. The planning stands in r->state's first field. */
int planning_make(struct request *r, struct planning *planning, request_step *then,
                  struct err *err);
/* In the writer's transaction: ERR_STATE when what was found has been deleted or replaced since. */
int planning_check_there(struct db_conn *conn, struct request *r, const struct planning *planning,
                         struct err *err);

#endif
