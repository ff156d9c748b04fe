/* The hub: what was committed and nothing else, in order, whether the window or the database
 * answers. */
#include "jobs/hub.h"

#include "storage/tables/events_tbl.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#include <pthread.h>
#include <string.h>

static struct tempdir dir;
static struct store *store;
static struct hub *hub;

static void pump(void *self) {
    hub_pump(self);
}

static void open_hub(void) {
    struct err err = ERR_INIT;
    CHECK_OK(hub_new(store, &hub, &err), &err);
    writer_set_after_commit(store->writer, pump, hub);
}

static void close_hub(void) {
    writer_set_after_commit(store->writer, NULL, NULL);
    hub_free(hub);
}

static int open_all(void **state) {
    struct err err = ERR_INIT;
    tempdir_make(&dir);
    CHECK_OK(store_open(dir.path, &store, &err), &err);
    open_hub();
    return 0;
}

static int close_all(void **state) {
    close_hub();
    store_close(store);
    tempdir_free(&dir);
    return 0;
}

struct batch {
    int64_t job_n;
    unsigned count;
    bool fail;
};

static int add_job(struct db_conn *conn, void *ctx, struct err *err) {
    int64_t *ret_n = ctx;
    char id[JOB_ID_LEN + 1];
    jobs_tbl_new_id(db_now_ms(), id);
    struct job_row row = {.id = id,
                          .team = "red",
                          .model_name = "m",
                          .recipe_name = "r",
                          .recipe_json = "{}",
                          .recipe_digest = "",
                          .labels_json = "{}"};
    /* A job needs a version; one without files will do. */
    struct model_row model = {.team = "red",
                              .name = "m",
                              .format = "f",
                              .architecture = "",
                              .inspection = "{}",
                              .files_digest = ""};
    if (models_tbl_put(conn, &model, NULL, 0, db_now_ms(), err) < 0)
        return -1;
    row.model_version = model.version;
    int result = jobs_tbl_insert(conn, &row, db_now_ms(), err);
    *ret_n = row.n;
    return result;
}

static int append(struct db_conn *conn, void *ctx, struct err *err) {
    const struct batch *batch = ctx;
    for (unsigned i = 0; i < batch->count; i++)
        if (events_tbl_append(conn, batch->job_n, "progress", "{\"done\":1}", db_now_ms(), NULL,
                              err) < 0)
            return -1;
    hub_mark(hub);
    return batch->fail ? err_set(err, ERR_STATE, "on purpose") : 0;
}

static int delete_job(struct db_conn *conn, void *ctx, struct err *err) {
    const int64_t *n = ctx;
    const char *now;
    if (jobs_tbl_cancel(conn, *n, db_now_ms(), &now, err) < 0)
        return -1;
    return jobs_tbl_delete(conn, *n, err) == 1 ? 0 : -1;
}

static int thin(struct db_conn *conn, void *ctx, struct err *err) {
    return events_tbl_thin(conn, *(const int64_t *)ctx, err);
}

static int64_t new_job(void) {
    struct err err = ERR_INIT;
    int64_t n = 0;
    CHECK_OK(writer_run(store->writer, add_job, &n, &err), &err);
    return n;
}

static void post(int64_t job_n, unsigned count) {
    struct err err = ERR_INIT;
    struct batch batch = {job_n, count, false};
    CHECK_OK(writer_run(store->writer, append, &batch, &err), &err);
}

/* Pages through; the number of events and the last id. Ids must grow. */
static size_t read_all(int64_t job_n, int64_t after, int64_t *ret_last) {
    size_t total = 0;
    for (;;) {
        struct arena *arena = arena_new(64 << 20);
        struct err err = ERR_INIT;
        struct event_text *events;
        size_t count;
        CHECK_OK(hub_events(hub, job_n, after, 300, arena, &events, &count, &err), &err);
        for (size_t i = 0; i < count; i++) {
            CHECK(events[i].id > after);
            CHECK_UINT(strlen(events[i].json), events[i].len);
            after = events[i].id;
        }
        total += count;
        arena_free(arena);
        if (count == 0)
            break;
    }
    *ret_last = after;
    return total;
}

static void the_window_and_the_database_join_without_a_seam(void **state) {
    int64_t a = new_job(), b = new_job(), last;
    for (unsigned i = 0; i < 20; i++) { /* 6,000 events: far more than the window keeps */
        post(a, 200);
        post(b, 100);
    }
    CHECK_UINT(read_all(a, 0, &last), 4000);
    CHECK_UINT(read_all(b, 0, &last), 2000);
    CHECK_UINT(read_all(0, 0, &last), 6000);
    post(a, 1);
    int64_t next;
    CHECK_UINT(read_all(0, last, &next), 1);
    CHECK_INT(next, last + 1);
}

static void what_was_rolled_back_is_never_seen(void **state) {
    struct err err = ERR_INIT;
    int64_t n = new_job(), last;
    struct batch failing = {n, 5, true};
    post(n, 2);
    CHECK_FAILS(writer_run(store->writer, append, &failing, &err), &err, ERR_STATE);
    CHECK_UINT(read_all(n, 0, &last), 2);
    post(n, 1); /* takes an id that was rolled back */
    CHECK_UINT(read_all(n, 0, &last), 3);
}

static void thinned_and_deleted_rows_leave_no_holes_in_the_order(void **state) {
    struct err err = ERR_INIT;
    int64_t n = new_job(), other = new_job(), last;
    post(n, EVENTS_PROGRESS_MAX + 1);
    CHECK_OK(writer_run(store->writer, thin, &n, &err), &err);
    post(other, 3);
    read_all(n, 0, &last);
    post(n, 2);
    int64_t end;
    CHECK_UINT(read_all(n, last, &end), 2);
    CHECK_OK(writer_run(store->writer, delete_job, &other, &err), &err);
    post(n, 1);
    CHECK_UINT(read_all(n, end, &last), 1);
    /* A new process has no window: what is gone from the database is gone. */
    close_hub();
    open_hub();
    CHECK_UINT(read_all(other, 0, &end), 0);
    CHECK_UINT(read_all(n, 0, &end), (EVENTS_PROGRESS_MAX + 1) / 2 + 3);
    CHECK_INT(end, last);
    post(n, 1);
    CHECK_UINT(read_all(n, last, &end), 1);
    CHECK(end > last);
}

struct reader {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake;
    int64_t job_n;
    size_t seen;
};

static void wake_reader(void *self) {
    struct reader *reader = self;
    pthread_mutex_lock(&reader->lock);
    reader->wake = true;
    pthread_cond_signal(&reader->woken);
    pthread_mutex_unlock(&reader->lock);
}

/* Sleeps whenever nothing is new, as a stream does: a lost wake-up would never end this. */
static void *follow(void *arg) {
    struct reader *reader = arg;
    int64_t after = 0;
    while (reader->seen < 500) {
        reader->seen += read_all(reader->job_n, after, &after);
        pthread_mutex_lock(&reader->lock);
        while (!reader->wake && reader->seen < 500)
            pthread_cond_wait(&reader->woken, &reader->lock);
        reader->wake = false;
        pthread_mutex_unlock(&reader->lock);
    }
    return NULL;
}

static void readers_are_woken_for_their_job(void **state) {
    enum { READERS = 4 };
    static struct reader readers[READERS];
    pthread_t threads[READERS];
    struct event_sub *subs[READERS];
    int64_t n = new_job(), other = new_job();
    static struct reader stranger = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0,
                                     0};
    struct event_sub *strange = hub_subscribe(hub, other, wake_reader, &stranger);
    for (int i = 0; i < READERS; i++) {
        pthread_mutex_init(&readers[i].lock, NULL);
        pthread_cond_init(&readers[i].woken, NULL);
        readers[i].job_n = n;
        subs[i] = hub_subscribe(hub, n, wake_reader, &readers[i]);
        CHECK(subs[i]);
        CHECK_INT(pthread_create(&threads[i], NULL, follow, &readers[i]), 0);
    }
    for (int i = 0; i < 500; i++)
        post(n, 1);
    for (int i = 0; i < READERS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_UINT(readers[i].seen, 500);
        hub_unsubscribe(hub, subs[i]);
        pthread_mutex_destroy(&readers[i].lock);
        pthread_cond_destroy(&readers[i].woken);
    }
    CHECK(!stranger.wake);
    post(other, 1);
    CHECK(stranger.wake);
    hub_unsubscribe(hub, strange);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_and_the_database_join_without_a_seam),
        cmocka_unit_test(what_was_rolled_back_is_never_seen),
        cmocka_unit_test(thinned_and_deleted_rows_leave_no_holes_in_the_order),
        cmocka_unit_test(readers_are_woken_for_their_job),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
