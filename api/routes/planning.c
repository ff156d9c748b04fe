/* See planning.h. */
#include "api/routes/planning.h"

#include "storage/tables/models_tbl.h"

#include <string.h>

/* A name in the body. 1 found; 0 not, and a violation says so. */
static int find(struct db_conn *conn, struct request *r, enum model_kind kind, const char *name,
                enum err_code code, const char *pointer, struct model_row *ret, struct err *err) {
    const char *team = r->principal.team, *nearest = NULL;
    int found = models_tbl_find(conn, kind, team, name, r->arena, ret, err);
    if (found != 0)
        return found;
    if (models_tbl_nearest(conn, kind, team, name, r->arena, &nearest, err) < 0)
        return -1;
    violations_add(request_violations(r), code, pointer, "there is no %s %.140s",
                   model_kind_name(kind), name)
        ->nearest = nearest;
    return 0;
}

static void use(struct planning *planning, enum data_purpose purpose,
                const struct model_row *dataset) {
    planning->data.versions[purpose] = dataset->version;
    planning->data.names[purpose] = dataset->name;
}

/* The body's dataset serves every purpose that the recipe names no other for. */
static int find_data(struct db_conn *conn, struct request *r, struct planning *planning,
                     const char *dataset, struct err *err) {
    static const char *const pointers[DATA_PURPOSES] = {
        [DATA_EVALUATION] = "/recipe/evaluation/dataset",
        [DATA_CALIBRATION] = "/recipe/calibration/dataset"};
    const struct recipe *recipe = planning->recipe;
    const char *named[DATA_PURPOSES] = {
        [DATA_EVALUATION] = recipe ? recipe->evaluation.dataset : NULL,
        [DATA_CALIBRATION] = recipe ? recipe->calibration.dataset : NULL};
    struct model_row row;
    int found = 0;
    if (dataset)
        found = find(conn, r, MODEL_KIND_DATASET, dataset, ERR_BAD_FIELD, "/dataset", &row, err);
    if (found == 1) {
        planning->dataset = row.name;
        for (size_t i = 0; i < DATA_PURPOSES; i++)
            use(planning, (enum data_purpose)i, &row);
    }
    for (size_t i = 0; found >= 0 && i < DATA_PURPOSES; i++) {
        if (!named[i])
            continue;
        found = find(conn, r, MODEL_KIND_DATASET, named[i], ERR_BAD_RECIPE, pointers[i], &row, err);
        if (found == 1)
            use(planning, (enum data_purpose)i, &row);
    }
    return found < 0 ? -1 : 0;
}

int planning_read(struct request *r, const char *model, const char *dataset, struct json_t *recipe,
                  struct planning *planning, struct err *err) {
    struct violations *list = request_violations(r);
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "no memory for the request");
    recipe_from_json(recipe, "/recipe", r->arena, list, &planning->recipe, NULL);
    struct db_conn *conn = request_read(r, err);
    int found = conn ? find(conn, r, MODEL_KIND_MODEL, model, ERR_BAD_FIELD, "/model",
                            &planning->model, err)
                     : -1;
    if (found >= 0 && find_data(conn, r, planning, dataset, err) < 0)
        found = -1;
    request_read_end(r, conn);
    if (found < 0)
        return -1;
    if (violations_result(list, err) == 0)
        return 0;
    if (err->code == ERR_NOT_FOUND)
        err->code = ERR_BAD_RECIPE; /* a name in the body, not the address */
    return -1;
}

/* On a pool thread. */
static int make(struct request *r, struct err *err) {
    struct planning *planning = r->state;
    return engine_plan(r->service->engine, &planning->model, &planning->data, planning->recipe,
                       r->arena, request_violations(r), &planning->plan, err);
}

int planning_make(struct request *r, struct planning *planning, request_step *then,
                  struct err *err) {
    if (engine_plan_cached(r->service->engine, planning->model.version, &planning->data,
                           planning->recipe, r->arena, &planning->plan))
        return then(r, err);
    r->state = planning;
    r->state_free = NULL;
    return request_offload(r, make, then, err);
}

static int check(struct db_conn *conn, struct request *r, enum model_kind kind, int64_t version,
                 const char *name, struct err *err) {
    struct model_row row;
    int found = models_tbl_find_version(conn, version, r->arena, &row, err);
    if (found == 0)
        return err_set(err, ERR_STATE, "the %s %s was deleted or replaced meanwhile",
                       model_kind_name(kind), name);
    return found < 0 ? -1 : 0;
}

int planning_check_there(struct db_conn *conn, struct request *r, const struct planning *planning,
                         struct err *err) {
    const struct model_row *model = &planning->model;
    const struct job_data *data = &planning->data;
    if (check(conn, r, MODEL_KIND_MODEL, model->version, model->name, err) < 0)
        return -1;
    for (size_t i = 0; i < DATA_PURPOSES; i++)
        if (data->versions[i] &&
            check(conn, r, MODEL_KIND_DATASET, data->versions[i], data->names[i], err) < 0)
            return -1;
    return 0;
}
