/*
 * POST /v1/jobs: parse and check, plan (from the cache, or on a pool thread), insert through the
 * writer, and answer 201 once the row is durable.
 */
#include "api/routes/routes.h"

#include "api/routes/cursor.h"
#include "api/routes/job_find.h"
#include "api/routes/labels.h"
#include "api/routes/planning.h"
#include "compress/base/counters.h"
#include "jobs/job.h"

#include <stdlib.h>
#include <string.h>

struct submission {
    struct planning planning; /* first: planning.c finds it in r->state */
    const char *name;
    const char *labels;
    int64_t priority;
    struct job_row row;
};

/* May run on a pool thread. */
static int read_body(struct request *r, struct err *err) {
    struct submission *job = r->state;
    struct violations *list = request_violations(r);
    struct json_t *body, *recipe = NULL, *labels = NULL;
    const char *model = NULL, *dataset = NULL;
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "no memory for the request");
    if (jspec_parse(r->body.text, r->body.len, &body, err))
        return -1;
    const struct jspec rows[] = {
        {.key = "model", .kind = JSPEC_STRING, .dest = &model, .required = true},
        {.key = "recipe", .kind = JSPEC_ANY, .dest = &recipe, .required = true},
        {.key = "dataset", .kind = JSPEC_STRING, .dest = &dataset},
        {.key = "name", .kind = JSPEC_STRING, .dest = &job->name},
        {.key = "labels", .kind = JSPEC_OBJECT, .dest = &labels},
        {.key = "priority", .kind = JSPEC_INT, .dest = &job->priority, .max = JOB_PRIORITY_MAX},
    };
    jspec_read(body, "", rows, sizeof rows / sizeof *rows, ERR_BAD_FIELD, r->arena, list);
    if (job->name && !name_ok(job->name))
        violations_add(list, ERR_BAD_FIELD, "/name", "%.140s is not a name", job->name);
    if (labels) {
        char *text = labels_read(labels, "/labels", r->arena, list);
        job->labels = text ? arena_strdup(r->arena, text) : NULL;
        free(text);
    }
    int rc = violations_result(list, err);
    if (rc == 0)
        rc = planning_read(r, model, dataset, recipe, &job->planning, err);
    jspec_free(body);
    return rc;
}

/* In the writer's transaction. */
static int insert(struct db_conn *conn, struct request *r, struct err *err) {
    struct submission *job = r->state;
    const struct planning *planning = &job->planning;
    if (planning_check_there(conn, r, planning, err) < 0)
        return -1;
    job->row = (struct job_row){
        .team = r->principal.team,
        .name = job->name,
        .priority = (int)job->priority,
        .model_version = planning->model.version,
        .model_name = planning->model.name,
        .dataset_name = planning->dataset,
        .recipe_name = planning->recipe->name,
        .recipe_json = planning->recipe->json,
        .labels_json = job->labels ? job->labels : "{}",
        .peak_bytes = planning->plan.peak_bytes,
        .disk_bytes = planning->plan.disk_bytes,
        .stage_died = -1,
    };
    char *hex = arena_alloc(r->arena, DIGEST_HEX_LEN + 1);
    char *id = arena_alloc(r->arena, JOB_ID_LEN + 1);
    if (!hex || !id)
        return err_set(err, ERR_NO_MEMORY, "no memory for the job");
    digest_hex(&planning->recipe->digest, hex);
    job->row.recipe_digest = hex;
    jobs_tbl_new_id(db_now_ms(), id);
    job->row.id = id;
    if (queue_submit(r->service->engine, conn, &job->row, err) < 0)
        return -1;
    return job_data_tbl_pin(conn, job->row.n, &planning->data, err);
}

static int submitted(struct request *r, struct err *err) {
    const struct submission *job = r->state;
    reply_headerf(r, "Location", "/v1/jobs/%s", job->row.id);
    return job_reply(r, 201, &job->row, -1, err);
}

static int planned(struct request *r, struct err *err) {
    return request_write(r, insert, submitted, err);
}

static int plan(struct request *r, struct err *err) {
    struct submission *job = r->state;
    return planning_make(r, &job->planning, planned, err);
}

int job_create(struct request *r, struct err *err) {
    struct submission *job = ARENA_NEW(r->arena, struct submission);
    if (!job)
        return err_set(err, ERR_NO_MEMORY, "no memory for the request");
    job->priority = JOB_PRIORITY_DEFAULT;
    r->state = job;
    return request_read_body(r, read_body, plan, err);
}
