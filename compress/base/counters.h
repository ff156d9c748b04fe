/*
 * Metrics: an X-table of process-wide counters and gauges. Nothing here knows how they are
 * exported.
 *
 * Threads: any; relaxed atomics.
 */
#ifndef COMPRESS_BASE_COUNTERS_H
#define COMPRESS_BASE_COUNTERS_H

#include <stdint.h>

/*    X(NAME, "prometheus_name", "counter" or "gauge", "help") */
#define COUNTERS(X)                                                                                \
    X(HTTP_REQUESTS, "compressd_http_requests_total", "counter", "HTTP requests answered")         \
    X(HTTP_ERRORS_4XX, "compressd_http_client_errors_total", "counter", "Answers with 4xx")        \
    X(HTTP_ERRORS_5XX, "compressd_http_server_errors_total", "counter", "Answers with 5xx")        \
    X(HTTP_CONNECTIONS, "compressd_http_connections", "gauge", "Open HTTP connections")            \
    X(HTTP_STREAMS, "compressd_http_event_streams", "gauge", "Open event streams")                 \
    X(UPLOAD_BYTES, "compressd_upload_bytes_total", "counter", "Bytes received as model files")    \
    X(DOWNLOAD_BYTES, "compressd_download_bytes_total", "counter", "Artifact and blob bytes sent") \
    X(BLOBS_PUBLISHED, "compressd_blobs_published_total", "counter", "Blobs published")            \
    X(BLOBS_SWEPT, "compressd_blobs_swept_total", "counter", "Unreferenced blobs removed")         \
    X(DB_COMMITS, "compressd_db_commits_total", "counter", "Write transactions committed")         \
    X(DB_CLOSURES, "compressd_db_writes_total", "counter", "Write closures committed")             \
    X(JOBS_SUBMITTED, "compressd_jobs_submitted_total", "counter", "Jobs accepted")                \
    X(JOBS_SUCCEEDED, "compressd_jobs_succeeded_total", "counter", "Jobs that succeeded")          \
    X(JOBS_FAILED, "compressd_jobs_failed_total", "counter", "Jobs that failed")                   \
    X(JOBS_CANCELLED, "compressd_jobs_cancelled_total", "counter", "Jobs that were cancelled")     \
    X(JOBS_QUEUED, "compressd_jobs_queued", "gauge", "Jobs waiting")                               \
    X(JOBS_RUNNING, "compressd_jobs_running", "gauge", "Jobs running")                             \
    X(JOB_MEMORY_RESERVED, "compressd_job_memory_reserved_bytes", "gauge",                         \
      "Memory reserved by running jobs")                                                           \
    X(MODEL_BYTES_READ, "compressd_model_bytes_read_total", "counter", "Weight bytes read")        \
    X(MODEL_BYTES_WRITTEN, "compressd_model_bytes_written_total", "counter",                       \
      "Artifact bytes written")                                                                    \
    X(EVENTS_STORED, "compressd_events_stored_total", "counter", "Job events stored")

enum counter {
#define COUNTER_ENUM(name, prometheus, kind, help) COUNTER_##name,
    COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
        COUNTER_COUNT
};

void counter_add(enum counter counter, int64_t by);
void counter_set(enum counter counter, int64_t value);
int64_t counter_get(enum counter counter);

const char *counter_name(enum counter counter);
const char *counter_kind(enum counter counter);
const char *counter_help(enum counter counter);

#endif
