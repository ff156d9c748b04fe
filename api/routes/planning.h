/*
 * Model + recipe → plan: what POST /v1/plan and POST /v1/jobs share.
 *
 * A plan already made is used at once; a new one is made on a pool thread. Lives in the request's
 * arena. Threads: one step at a time.
 */
#ifndef API_ROUTES_PLANNING_H
#define API_ROUTES_PLANNING_H

#include "api/http/request.h"
#include "compress/recipe/recipe.h"

struct planning {
    struct model_row model;
    struct recipe *recipe;
    struct plan_summary plan;
    request_step *then;
};

/* Finds the model and reads the recipe (both named by their keys in the body). Unknown names become
 * violations at /model and /recipe. */
int planning_read(struct request *r, const char *model, struct json_t *recipe,
                  struct planning *planning, struct err *err);
/* Step: makes or finds the plan, then `then`. The planning stands in r->state's first field. */
int planning_make(struct request *r, struct planning *planning, request_step *then,
                  struct err *err);

#endif
