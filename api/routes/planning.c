/* See planning.h. */
#include "api/routes/planning.h"

#include "storage/tables/models_tbl.h"

#include <string.h>

int planning_read(struct request *r, const char *model, struct json_t *recipe,
                  struct planning *planning, struct err *err) {
    struct violations *list = request_violations(r);
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "no memory for the request");
    struct db_conn *conn = request_read(r, err);
    int found = conn ? models_tbl_find(conn, MODEL_KIND_MODEL, r->principal.team, model, r->arena,
                                       &planning->model, err)
                     : -1;
    request_read_end(r, conn);
    if (found < 0)
        return -1;
    if (!found)
        violations_add(list, ERR_BAD_FIELD, "/model", "there is no model %.140s", model);
    recipe_from_json(recipe, "/recipe", r->arena, list, &planning->recipe, NULL);
    if (violations_result(list, err) == 0)
        return 0;
    if (err->code == ERR_NOT_FOUND)
        err->code = ERR_BAD_RECIPE; /* a name in the body, not the address */
    return -1;
}

/* On a pool thread. */
static int make(struct request *r, struct err *err) {
    struct planning *planning = r->state;
    return engine_plan(r->service->engine, &planning->model, planning->recipe, r->arena,
                       request_violations(r), &planning->plan, err);
}

int planning_make(struct request *r, struct planning *planning, request_step *then,
                  struct err *err) {
    if (engine_plan_cached(r->service->engine, planning->model.version, planning->recipe, r->arena,
                           &planning->plan))
        return then(r, err);
    r->state = planning;
    r->state_free = NULL;
    return request_offload(r, make, then, err);
}
