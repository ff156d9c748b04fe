/* See plans.h. The cache is a small array in order of use: fifty entries are searched faster than
 * any map would pay. */
#include "jobs/plans.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 64
#define CACHE_TEXT_BYTES (16u << 20)

struct entry {
    int64_t version; /* 0: free */
    int64_t data[DATA_PURPOSES];
    struct digest recipe;
    struct plan_summary summary; /* json: malloc'd */
    size_t json_len;
};

struct plans {
    struct store *store;
    struct plan_limits limits;
    pthread_mutex_t lock;
    struct entry entries[ENTRIES]; /* newest use first */
    size_t text_bytes;
};

int plans_new(struct store *store, uint64_t memory_bytes, unsigned threads, struct plans **ret,
              struct err *err) {
    struct plans *plans = calloc(1, sizeof *plans);
    if (!plans)
        return err_set(err, ERR_NO_MEMORY, "no memory for the plan cache");
    plans->store = store;
    plans->limits = (struct plan_limits){.memory_bytes = memory_bytes, .threads = threads};
    pthread_mutex_init(&plans->lock, NULL);
    *ret = plans;
    return 0;
}

static void drop(struct plans *plans, struct entry *entry) {
    plans->text_bytes -= entry->json_len;
    free((char *)(uintptr_t)entry->summary.json);
    *entry = (struct entry){0};
}

void plans_free(struct plans *plans) {
    if (!plans)
        return;
    for (size_t i = 0; i < ENTRIES; i++)
        drop(plans, &plans->entries[i]);
    pthread_mutex_destroy(&plans->lock);
    free(plans);
}

int plans_find(struct plans *plans, int64_t version, const struct job_data *data,
               const struct recipe *recipe, struct arena *arena, struct plan_summary *ret) {
    int found = 0;
    pthread_mutex_lock(&plans->lock);
    for (size_t i = 0; i < ENTRIES && !found; i++) {
        struct entry entry = plans->entries[i];
        if (entry.version != version || !digest_equal(&entry.recipe, &recipe->digest) ||
            memcmp(entry.data, data->versions, sizeof entry.data) != 0)
            continue;
        memmove(&plans->entries[1], &plans->entries[0], i * sizeof entry);
        plans->entries[0] = entry;
        *ret = entry.summary;
        ret->json = arena_strndup(arena, entry.summary.json, entry.json_len);
        found = ret->json != NULL;
        break;
    }
    pthread_mutex_unlock(&plans->lock);
    return found;
}

/* Takes a copy of the text; without memory it simply is not remembered. */
static void remember(struct plans *plans, int64_t version, const struct job_data *data,
                     const struct digest *recipe, const struct plan_summary *summary) {
    size_t len = strlen(summary->json);
    char *copy = len <= CACHE_TEXT_BYTES / 4 ? strdup(summary->json) : NULL;
    if (!copy)
        return;
    pthread_mutex_lock(&plans->lock);
    drop(plans, &plans->entries[ENTRIES - 1]);
    for (size_t i = ENTRIES - 1; i-- > 0 && plans->text_bytes + len > CACHE_TEXT_BYTES;)
        drop(plans, &plans->entries[i]);
    memmove(&plans->entries[1], &plans->entries[0], (ENTRIES - 1) * sizeof plans->entries[0]);
    struct entry *entry = &plans->entries[0];
    *entry =
        (struct entry){.version = version, .recipe = *recipe, .summary = *summary, .json_len = len};
    memcpy(entry->data, data->versions, sizeof entry->data);
    entry->summary.json = copy;
    plans->text_bytes += len;
    pthread_mutex_unlock(&plans->lock);
}

int plans_open_version(struct store *store, int64_t version, struct resolver **ret,
                       struct err *err) {
    struct arena *arena = arena_new(LIMIT_REQUEST_ARENA_BYTES);
    struct db_conn *conn = arena ? db_read_begin(store->db, err) : NULL;
    if (!conn) {
        err_set(err, ERR_NO_MEMORY, "no memory to open a model");
        arena_free(arena);
        return -1;
    }
    struct blob_entry *files = NULL;
    size_t count = 0;
    struct model_row row;
    int result = models_tbl_find_version(conn, version, arena, &row, err);
    if (result == 1)
        result = models_tbl_files(conn, version, arena, &files, &count, err);
    db_read_end(store->db, conn);
    if (result == 0)
        result = count ? blob_resolver(store->blobs, files, count, row.lone, ret, err)
                       : err_set(err, ERR_NOT_FOUND, "the files are gone");
    arena_free(arena);
    return result;
}

int plans_open_data(struct store *store, const struct job_data *data, struct plan_limits *limits,
                    struct err *err) {
    struct resolver **places[DATA_PURPOSES] = {
        [DATA_EVALUATION] = &limits->evaluation, [DATA_CALIBRATION] = &limits->calibration};
    for (size_t i = 0; i < DATA_PURPOSES; i++)
        if (data->versions[i] && plans_open_version(store, data->versions[i], places[i], err) < 0)
            return err_context(err, "dataset %s", data->names[i]);
    return 0;
}

int plans_file_digests(struct store *store, int64_t version, struct arena *arena,
                       const struct digest **ret, struct err *err) {
    struct blob_entry *files = NULL;
    size_t count = 0;
    struct db_conn *conn = db_read_begin(store->db, err);
    if (!conn)
        return -1;
    int result = models_tbl_files(conn, version, arena, &files, &count, err);
    db_read_end(store->db, conn);
    if (result < 0)
        return -1;
    struct digest *digests = ARENA_ARRAY(arena, struct digest, count + 1);
    if (!digests)
        return err_set(err, ERR_NO_MEMORY, "no memory for digests");
    for (size_t i = 0; i < count; i++)
        digests[i] = files[i].digest;
    *ret = digests;
    return 0;
}

void plans_close_data(struct plan_limits *limits) {
    resolver_close(limits->evaluation);
    resolver_close(limits->calibration);
    limits->evaluation = limits->calibration = NULL;
}

int plans_make(struct plans *plans, const struct model_row *model, const struct job_data *data,
               const struct recipe *recipe, struct arena *arena, struct violations *list,
               struct plan_summary *ret, struct err *err) {
    if (plans_find(plans, model->version, data, recipe, arena, ret))
        return 0;
    struct plan_limits limits = plans->limits;
    struct resolver *files = NULL;
    struct plan *plan = NULL;
    int result = plans_open_version(plans->store, model->version, &files, err);
    if (result == 0)
        result = plans_open_data(plans->store, data, &limits, err);
    if (result == 0)
        result = plan_new(files, recipe, model->name, &limits, list, &plan, err);
    if (result == 0) {
        size_t len;
        char *json = plan_json(plan, &len);
        const char *copy = json ? arena_strndup(arena, json, len) : NULL;
        free(json);
        if (copy) {
            *ret = (struct plan_summary){plan->bytes_in,   plan->bytes_out, plan->peak_bytes,
                                         plan->disk_bytes, plan->seconds,   copy};
            remember(plans, model->version, data, &recipe->digest, ret);
        } else {
            result = err_set(err, ERR_NO_MEMORY, "no memory for a plan");
        }
    }
    plan_free(plan);
    plans_close_data(&limits);
    resolver_close(files);
    return result;
}
