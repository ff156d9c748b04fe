/* POST /v1/plan: what a job would do, without doing it. */
#include "api/routes/routes.h"

#include "api/routes/planning.h"

#include <string.h>

static int answer(struct request *r, struct err *err) {
    const struct planning *planning = r->state;
    return reply_static(r, 200, "application/json", planning->plan.json,
                        strlen(planning->plan.json));
}

/* May run on a pool thread. */
static int read_body(struct request *r, struct err *err) {
    struct planning *planning = r->state;
    struct violations *list = request_violations(r);
    struct json_t *body, *recipe = NULL;
    const char *model = NULL, *dataset = NULL;
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "no memory for the request");
    if (jspec_parse(r->body.text, r->body.len, &body, err))
        return -1;
    const struct jspec rows[] = {
        {.key = "model", .kind = JSPEC_STRING, .dest = &model, .required = true},
        {.key = "recipe", .kind = JSPEC_ANY, .dest = &recipe, .required = true},
        {.key = "dataset", .kind = JSPEC_STRING, .dest = &dataset},
    };
    int rc = jspec_read(body, "", rows, sizeof rows / sizeof *rows, ERR_BAD_FIELD, r->arena, list)
                 ? violations_result(list, err)
                 : planning_read(r, model, dataset, recipe, planning, err);
    jspec_free(body);
    return rc;
}

static int plan(struct request *r, struct err *err) {
    return planning_make(r, r->state, answer, err);
}

int plan_create(struct request *r, struct err *err) {
    struct planning *planning = ARENA_NEW(r->arena, struct planning);
    if (!planning)
        return err_set(err, ERR_NO_MEMORY, "no memory for the request");
    r->state = planning;
    return request_read_body(r, read_body, plan, err);
}
