/* GET /healthz, /readyz and /metrics: they answer also when nothing else does any more. */
#include "api/routes/routes.h"

#include "api/http/request.h"
#include "compress/base/counters.h"
#include "storage/tables/jobs_tbl.h"
#include "storage/tables/meta_tbl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Closures waiting for the writer; above this the database is not keeping up. */
#define READY_DEPTH_MAX 5000

int health_alive(struct request *r, struct err *err) {
    static const char alive[] = "{\"status\":\"alive\"}";
    (void)err;
    return reply_static(r, 200, "application/json", alive, sizeof alive - 1);
}

/* The proof that the database can be written is a write that was committed. */
static int probe(struct db_conn *conn, struct request *r, struct err *err) {
    char now[24];
    (void)r;
    snprintf(now, sizeof now, "%lld", (long long)db_now_ms());
    return meta_tbl_set(conn, META_READY_PROBE, now, err);
}

static int ready(struct request *r, struct err *err) {
    static const char text[] = "{\"status\":\"ready\"}";
    (void)err;
    return reply_static(r, 200, "application/json", text, sizeof text - 1);
}

int health_ready(struct request *r, struct err *err) {
    struct service *service = r->service;
    if (!engine_info(service->engine).alive)
        return err_set(err, ERR_OVERLOADED, "the job loop does not answer");
    if (blobs_free_bytes(service->store->blobs) == 0)
        return err_set(err, ERR_NO_SPACE, "free disk space is below the low-water mark");
    if (writer_depth(service->store->writer) > READY_DEPTH_MAX)
        return err_set(err, ERR_OVERLOADED, "the database does not keep up");
    return request_write(r, probe, ready, err);
}

static void metric(FILE *out, const char *name, const char *kind, const char *help,
                   long long value) {
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", name, help, name, kind, name, value);
}

int health_metrics(struct request *r, struct err *err) {
    struct service *service = r->service;
    struct engine_info info = engine_info(service->engine);
    int64_t queued = 0;
    struct db_conn *conn = db_read_begin(service->store->db, err);
    if (!conn)
        return -1;
    int counted = jobs_tbl_count(conn, "queued", &queued, err);
    db_read_end(service->store->db, conn);
    if (counted < 0)
        return -1;
    counter_set(COUNTER_JOBS_QUEUED, queued);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return err_set(err, ERR_NO_MEMORY, "no memory for the metrics");
    for (int i = 0; i < COUNTER_COUNT; i++)
        metric(out, counter_name((enum counter)i), counter_kind((enum counter)i),
               counter_help((enum counter)i), counter_get((enum counter)i));
    metric(out, "compressd_job_slots", "gauge", "Jobs that may run at once", info.slots);
    metric(out, "compressd_memory_budget_bytes", "gauge", "Memory budget of all running jobs",
           (long long)info.memory_bytes);
    metric(out, "compressd_db_write_queue", "gauge", "Write closures waiting",
           writer_depth(service->store->writer));
    metric(out, "compressd_disk_free_bytes", "gauge", "Free bytes above the low-water mark",
           (long long)blobs_free_bytes(service->store->blobs));
    fclose(out);
    return reply_text_take(r, 200, "text/plain; version=0.0.4; charset=utf-8", text, len, err);
}
