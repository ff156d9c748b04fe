/* See routes.h. THE table; its length is its purpose. */
#include "api/routes/routes.h"

#include "api/routes/cursor.h"
#include "compress/base/limits.h"

#define JSON_TYPE "application/json"
#define ANY_BYTES "application/octet-stream"

#define QUERY(...) ((const struct query_key[]){__VA_ARGS__, {0}})
#define HEADERS(...) ((const struct header_doc[]){__VA_ARGS__, {0}})
#define ANSWERS(...) ((const struct route_response[]){__VA_ARGS__, {0}})
#define FAILS(...) ((const enum err_code[]){__VA_ARGS__, ERR_OK})

/* What reading or building a model may find wrong with it. */
#define MODEL_FAULTS \
    ERR_BAD_MODEL, ERR_UNKNOWN_FORMAT, ERR_UNSUPPORTED, ERR_FORBIDDEN_PICKLE, ERR_NO_SPACE
/* The same of a dataset. */
#define DATASET_FAULTS \
    ERR_BAD_DATASET, ERR_UNKNOWN_FORMAT, ERR_UNSUPPORTED, ERR_FORBIDDEN_PICKLE, ERR_NO_SPACE
#define RECIPE_FAULTS                                                                  \
    ERR_BAD_FIELD, ERR_BAD_RECIPE, ERR_MISFIT, ERR_ALREADY_QUANTIZED, ERR_UNSUPPORTED, \
        ERR_OVER_BUDGET, ERR_BAD_MODEL

#define LIMIT_KEY \
    { "limit", QUERY_INT, 1, CURSOR_LIMIT_MAX, "Rows of a page; default 50." }
#define CURSOR_KEY \
    { "cursor", QUERY_STRING, 1, 64, "The `next` of the page before." }
#define RANGE_HEADERS                                                         \
    {"Range", false, "One byte range; several are answered with the whole."}, \
        {"If-Range", false, "Entity tag the range belongs to."}, {            \
        "If-None-Match", false, "304 when the entity tag is listed."          \
    }
#define BYTES_ANSWERS(type)                                                                        \
    {200, NULL, type, "The bytes, with ETag and Repr-Digest."}, {206, NULL, type, "The range."}, { \
        304, NULL, NULL, "Not modified."                                                           \
    }

static const struct route table[] = {
    {METHOD_GET, "/healthz", "getHealth", "service", "Is the process alive?", NULL, SCOPE_OPEN,
     .at_limit = true, .responses = ANSWERS({200, "Health", JSON_TYPE, "Alive."}),
     .run = health_alive},
    {METHOD_GET, "/readyz", "getReadiness", "service", "Can it take work?",
     "The database takes writes, the disk is above the low-water mark, the job loop answers.",
     SCOPE_OPEN, .at_limit = true, .responses = ANSWERS({200, "Health", JSON_TYPE, "Ready."}),
     .problems = FAILS(ERR_NO_SPACE), .run = health_ready},
    {METHOD_GET, "/metrics", "getMetrics", "service", "Counters and gauges, Prometheus text", NULL,
     SCOPE_OPEN, .at_limit = true, .responses = ANSWERS({200, NULL, "text/plain", "Metrics."}),
     .run = health_metrics},
    {METHOD_GET, "/", "getHome", "service", "A page for people", NULL, SCOPE_OPEN,
     .responses = ANSWERS({200, NULL, "text/html", "The page."}), .run = home_page},
    {METHOD_GET, "/problems/{slug}", "getProblemType", "service", "What a problem type means", NULL,
     SCOPE_OPEN, .responses = ANSWERS({200, NULL, "text/html", "The page."}),
     .problems = FAILS(ERR_NOT_FOUND), .run = home_problem},
    {METHOD_GET, "/openapi.json", "getOpenapi", "service", "This document", NULL, SCOPE_OPEN,
     .responses = ANSWERS({200, NULL, JSON_TYPE, "OpenAPI 3.1."}), .run = capabilities_openapi},
    {METHOD_GET, "/v1/version", "getVersion", "service", "Version, processor, limits", NULL,
     SCOPE_OPEN, .responses = ANSWERS({200, "Version", JSON_TYPE, "Version."}),
     .run = capabilities_version},

    {METHOD_PUT, "/v1/blobs/{digest}", "putBlob", "blobs", "Upload bytes by their digest",
     "The address is sha256: and 64 hex digits. Nothing is kept when the digest differs.",
     SCOPE_TEAM, .body = BODY_STREAM, .request_types = ANY_BYTES,
     .responses = ANSWERS({201, "Blob", JSON_TYPE, "Stored."},
                          {200, "Blob", JSON_TYPE, "It was here already."}),
     .problems = FAILS(ERR_BAD_DIGEST, ERR_NO_LENGTH, ERR_NO_SPACE), .begin = blob_put_begin,
     .chunk = blob_put_chunk, .run = blob_put},
    {METHOD_GET, "/v1/blobs/{digest}", "getBlob", "blobs", "The bytes of a blob", NULL, SCOPE_TEAM,
     .headers = HEADERS(RANGE_HEADERS), .responses = ANSWERS(BYTES_ANSWERS(ANY_BYTES)),
     .problems = FAILS(ERR_NOT_FOUND, ERR_BAD_RANGE), .run = blob_get},

    {METHOD_PUT, "/v1/models/{name}", "putModel", "models", "Upload a model",
     "The body is one model file, or (application/x-tar) a tar of a folder. A name stands for an "
     "immutable list of files: the same list again is 200, another one needs ?replace=true.",
     SCOPE_TEAM, .body = BODY_STREAM, .request_types = ANY_BYTES ",application/x-tar",
     .query = QUERY({"filename", QUERY_STRING, 1, 255, "Name of the one file."},
                    {"replace", QUERY_BOOL, 0, 0, "Move the name to the new files."}),
     .headers = HEADERS({"If-None-Match", false, "`*`: only when the name is free."}),
     .responses = ANSWERS({201, "Model", JSON_TYPE, "Taken in, with what inspection found."},
                          {200, "Model", JSON_TYPE, "The name stood for these files already."}),
     .problems = FAILS(MODEL_FAULTS, ERR_BAD_ARCHIVE, ERR_BAD_NAME, ERR_NAME_TAKEN,
                       ERR_PRECONDITION, ERR_NO_LENGTH),
     .begin = model_put_begin, .chunk = model_put_chunk, .run = model_put},
    {METHOD_POST, "/v1/models", "postModel", "models", "Make a model of blobs uploaded before",
     NULL, SCOPE_TEAM, .body = BODY_JSON, .body_limit_bytes = LIMIT_BODY_BYTES,
     .request_schema = "NamedFiles",
     .query = QUERY({"replace", QUERY_BOOL, 0, 0, "Move the name to the new files."}),
     .headers = HEADERS({"If-None-Match", false, "`*`: only when the name is free."}),
     .responses = ANSWERS({201, "Model", JSON_TYPE, "Taken in."},
                          {200, "Model", JSON_TYPE, "The name stood for these files already."}),
     .problems = FAILS(MODEL_FAULTS, ERR_BAD_FIELD, ERR_BAD_NAME, ERR_NAME_TAKEN, ERR_PRECONDITION),
     .run = model_post},
    {METHOD_GET, "/v1/models", "listModels", "models", "The models, newest first", NULL, SCOPE_TEAM,
     .query = QUERY(LIMIT_KEY, CURSOR_KEY),
     .responses = ANSWERS({200, "ModelList", JSON_TYPE, "A page."}), .run = model_list},
    {METHOD_GET, "/v1/models/{name}", "getModel", "models", "One model", NULL, SCOPE_TEAM,
     .query = QUERY({"tensors", QUERY_BOOL, 0, 0, "List the tensors too."}),
     .responses = ANSWERS({200, "Model", JSON_TYPE, "The model."}),
     .problems = FAILS(ERR_NOT_FOUND, ERR_BAD_MODEL), .run = model_get},
    {METHOD_DELETE, "/v1/models/{name}", "deleteModel", "models", "Forget a model",
     "Its files go when nothing else needs them.", SCOPE_TEAM,
     .responses = ANSWERS({204, NULL, NULL, "Gone."}), .problems = FAILS(ERR_NOT_FOUND, ERR_IN_USE),
     .run = model_delete},
    {METHOD_GET, "/v1/models/{name}/files/{path*}", "getModelFile", "models", "A file of a model",
     NULL, SCOPE_TEAM, .headers = HEADERS(RANGE_HEADERS),
     .responses = ANSWERS(BYTES_ANSWERS("*/*")), .problems = FAILS(ERR_NOT_FOUND, ERR_BAD_RANGE),
     .run = model_file},

    {METHOD_PUT, "/v1/datasets/{name}", "putDataset", "datasets", "Upload a dataset",
     "The body is one .npz, .safetensors or .npy file, or (application/x-tar) a tar of a folder of "
     "them: named arrays as long as each other, or token ids. Names work as for models.",
     SCOPE_TEAM, .kind = MODEL_KIND_DATASET, .body = BODY_STREAM,
     .request_types = ANY_BYTES ",application/x-tar",
     .query = QUERY({"filename", QUERY_STRING, 1, 255, "Name of the one file."},
                    {"replace", QUERY_BOOL, 0, 0, "Move the name to the new files."}),
     .headers = HEADERS({"If-None-Match", false, "`*`: only when the name is free."}),
     .responses = ANSWERS({201, "Dataset", JSON_TYPE, "Taken in, with what inspection found."},
                          {200, "Dataset", JSON_TYPE, "The name stood for these files already."}),
     .problems = FAILS(DATASET_FAULTS, ERR_BAD_ARCHIVE, ERR_BAD_NAME, ERR_NAME_TAKEN,
                       ERR_PRECONDITION, ERR_NO_LENGTH),
     .begin = model_put_begin, .chunk = model_put_chunk, .run = model_put},
    {METHOD_POST, "/v1/datasets", "postDataset", "datasets",
     "Make a dataset of blobs uploaded before", NULL, SCOPE_TEAM, .kind = MODEL_KIND_DATASET,
     .body = BODY_JSON, .body_limit_bytes = LIMIT_BODY_BYTES, .request_schema = "NamedFiles",
     .query = QUERY({"replace", QUERY_BOOL, 0, 0, "Move the name to the new files."}),
     .headers = HEADERS({"If-None-Match", false, "`*`: only when the name is free."}),
     .responses = ANSWERS({201, "Dataset", JSON_TYPE, "Taken in."},
                          {200, "Dataset", JSON_TYPE, "The name stood for these files already."}),
     .problems =
         FAILS(DATASET_FAULTS, ERR_BAD_FIELD, ERR_BAD_NAME, ERR_NAME_TAKEN, ERR_PRECONDITION),
     .run = model_post},
    {METHOD_GET, "/v1/datasets", "listDatasets", "datasets", "The datasets, newest first", NULL,
     SCOPE_TEAM, .kind = MODEL_KIND_DATASET, .query = QUERY(LIMIT_KEY, CURSOR_KEY),
     .responses = ANSWERS({200, "DatasetList", JSON_TYPE, "A page."}), .run = model_list},
    {METHOD_GET, "/v1/datasets/{name}", "getDataset", "datasets", "One dataset", NULL, SCOPE_TEAM,
     .kind = MODEL_KIND_DATASET, .responses = ANSWERS({200, "Dataset", JSON_TYPE, "The dataset."}),
     .problems = FAILS(ERR_NOT_FOUND), .run = model_get},
    {METHOD_DELETE, "/v1/datasets/{name}", "deleteDataset", "datasets", "Forget a dataset",
     "Its files go when nothing else needs them.", SCOPE_TEAM, .kind = MODEL_KIND_DATASET,
     .responses = ANSWERS({204, NULL, NULL, "Gone."}), .problems = FAILS(ERR_NOT_FOUND, ERR_IN_USE),
     .run = model_delete},
    {METHOD_GET, "/v1/datasets/{name}/files/{path*}", "getDatasetFile", "datasets",
     "A file of a dataset", NULL, SCOPE_TEAM, .kind = MODEL_KIND_DATASET,
     .headers = HEADERS(RANGE_HEADERS), .responses = ANSWERS(BYTES_ANSWERS("*/*")),
     .problems = FAILS(ERR_NOT_FOUND, ERR_BAD_RANGE), .run = model_file},

    {METHOD_GET, "/v1/recipes", "listRecipes", "recipes", "What can be done to a model", NULL,
     SCOPE_TEAM, .responses = ANSWERS({200, "RecipeList", JSON_TYPE, "All recipes."}),
     .run = recipe_list},
    {METHOD_GET, "/v1/recipes/{name}", "getRecipe", "recipes", "One recipe", NULL, SCOPE_TEAM,
     .responses = ANSWERS({200, "RecipeItem", JSON_TYPE, "The recipe."}),
     .problems = FAILS(ERR_NOT_FOUND), .run = recipe_get},
    {METHOD_POST, "/v1/plan", "postPlan", "recipes", "What a job would do, without doing it", NULL,
     SCOPE_TEAM, .body = BODY_JSON, .body_limit_bytes = LIMIT_BODY_BYTES,
     .request_schema = "PlanCreate", .responses = ANSWERS({200, "Plan", JSON_TYPE, "The plan."}),
     .problems = FAILS(RECIPE_FAULTS), .run = plan_create},

    {METHOD_POST, "/v1/jobs", "postJob", "jobs", "Submit a job",
     "Answered once the job is durable. Every violation of the plan is named.", SCOPE_TEAM,
     .body = BODY_JSON, .body_limit_bytes = LIMIT_BODY_BYTES, .request_schema = "JobCreate",
     .responses = ANSWERS({201, "Job", JSON_TYPE, "Accepted; Location names it."}),
     .problems = FAILS(RECIPE_FAULTS, ERR_STATE), .run = job_create},
    {METHOD_GET, "/v1/jobs", "listJobs", "jobs", "The jobs, newest first", NULL, SCOPE_TEAM,
     .query = QUERY({"state", QUERY_STRING, 1, 20, "Only in this state."},
                    {"model", QUERY_STRING, 1, 128, "Only of this model."},
                    {"recipe", QUERY_STRING, 1, 128, "Only with this recipe."},
                    {"label", QUERY_STRING, 1, 400, "Only with this label, key:value."},
                    {"created_after", QUERY_STRING, 1, 40, "RFC 3339."}, LIMIT_KEY, CURSOR_KEY),
     .responses = ANSWERS({200, "JobList", JSON_TYPE, "A page."}), .run = job_list},
    {METHOD_GET, "/v1/jobs/{id}", "getJob", "jobs", "One job",
     "With ?wait=N answers after N seconds at the latest: earlier when the revision is no longer "
     "?revision=R, or, without one, when the job is over.",
     SCOPE_TEAM,
     .query = QUERY({"wait", QUERY_INT, 0, 60, "Seconds to wait for a change."},
                    {"revision", QUERY_INT, 0, 0, "The revision already seen."}),
     .headers = HEADERS({"If-None-Match", false, "304 for a job that is over and unchanged."}),
     .responses = ANSWERS({200, "Job", JSON_TYPE, "The job."}, {304, NULL, NULL, "Not modified."}),
     .problems = FAILS(ERR_NOT_FOUND), .run = job_get},
    {METHOD_PATCH, "/v1/jobs/{id}", "patchJob", "jobs", "Change priority or labels", NULL,
     SCOPE_TEAM, .body = BODY_JSON, .body_limit_bytes = LIMIT_BODY_BYTES,
     .request_schema = "JobPatch",
     .headers = HEADERS({"If-Match", true, "The revision seen, as \"r17\"; or `*`."}),
     .responses = ANSWERS({200, "Job", JSON_TYPE, "The job as it is now."}),
     .problems =
         FAILS(ERR_NOT_FOUND, ERR_BAD_FIELD, ERR_PRECONDITION, ERR_NO_PRECONDITION, ERR_STATE),
     .run = job_patch},
    {METHOD_DELETE, "/v1/jobs/{id}", "deleteJob", "jobs", "Forget a job that is over",
     "With its events, report and artifact.", SCOPE_TEAM,
     .responses = ANSWERS({204, NULL, NULL, "Gone."}), .problems = FAILS(ERR_NOT_FOUND, ERR_STATE),
     .run = job_delete},
    {METHOD_POST, "/v1/jobs/{id}/cancel", "cancelJob", "jobs", "Ask a job to stop", NULL,
     SCOPE_TEAM,
     .responses =
         ANSWERS({202, "Job", JSON_TYPE, "Asked."}, {200, "Job", JSON_TYPE, "It was so already."}),
     .problems = FAILS(ERR_NOT_FOUND, ERR_STATE), .run = job_cancel},
    {METHOD_POST, "/v1/jobs/{id}/retry", "retryJob", "jobs", "Queue a failed job again",
     "The same job: its events go on.", SCOPE_TEAM,
     .responses =
         ANSWERS({202, "Job", JSON_TYPE, "Queued."}, {200, "Job", JSON_TYPE, "It was so already."}),
     .problems = FAILS(ERR_NOT_FOUND, ERR_STATE), .run = job_retry},
    {METHOD_GET, "/v1/jobs/{id}/events", "getJobEvents", "jobs", "What happens to a job",
     "By Accept: text/event-stream, application/x-ndjson (the default; a blank line is a ping), or "
     "application/json for one page. Streams replay what follows the given id, go on live, and end "
     "with the job.",
     SCOPE_TEAM,
     .query = QUERY({"after", QUERY_INT, 0, 0, "The last id already seen."},
                    {"limit", QUERY_INT, 1, CURSOR_LIMIT_MAX, "Events of a page."}),
     .headers = HEADERS({"Last-Event-ID", false, "As ?after=, sent by browsers."}),
     .responses = ANSWERS({200, "EventPage", JSON_TYPE, "A page."},
                          {200, "Event", "application/x-ndjson", "One event a line."},
                          {200, NULL, "text/event-stream", "Server-sent events."},
                          {204, NULL, NULL, "The job is over and the id given was its last."}),
     .problems = FAILS(ERR_NOT_FOUND), .run = job_events},
    {METHOD_GET, "/v1/jobs/{id}/log", "getJobLog", "jobs", "The log of a job", NULL, SCOPE_TEAM,
     .headers = HEADERS({"Range", false, "One byte range."}),
     .responses =
         ANSWERS({200, NULL, "text/plain", "The log."}, {206, NULL, "text/plain", "The range."}),
     .problems = FAILS(ERR_NOT_FOUND, ERR_BAD_RANGE), .run = job_log},
    {METHOD_GET, "/v1/jobs/{id}/report", "getJobReport", "jobs", "What was done, in numbers", NULL,
     SCOPE_TEAM, .responses = ANSWERS({200, "Report", JSON_TYPE, "The report."}),
     .problems = FAILS(ERR_NOT_FOUND), .run = job_report},
    {METHOD_GET, "/v1/jobs/{id}/artifact", "getJobArtifact", "jobs", "The compressed model",
     "The file itself, or a tar when there are several.", SCOPE_TEAM,
     .headers = HEADERS(RANGE_HEADERS), .responses = ANSWERS(BYTES_ANSWERS("*/*")),
     .problems = FAILS(ERR_NOT_FOUND, ERR_BAD_RANGE), .run = job_artifact},
    {METHOD_GET, "/v1/jobs/{id}/artifacts", "listJobArtifacts", "jobs", "The files of the artifact",
     NULL, SCOPE_TEAM, .responses = ANSWERS({200, "FileList", JSON_TYPE, "All files."}),
     .problems = FAILS(ERR_NOT_FOUND), .run = job_artifact_list},
    {METHOD_GET, "/v1/jobs/{id}/artifacts/{path*}", "getJobArtifactFile", "jobs",
     "One file of the artifact", NULL, SCOPE_TEAM, .headers = HEADERS(RANGE_HEADERS),
     .responses = ANSWERS(BYTES_ANSWERS("*/*")), .problems = FAILS(ERR_NOT_FOUND, ERR_BAD_RANGE),
     .run = job_artifact_file},
};

const struct route *routes_table(size_t *ret_count) {
    *ret_count = sizeof table / sizeof *table;
    return table;
}
