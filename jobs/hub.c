/*
 * See hub.h. The window is a ring of event texts ordered by id; ids below `window_from` have left
 * it. Subscribers hang in buckets by job number; those of all jobs in a list of their own.
 */
#include "jobs/hub.h"

#include "compress/base/jbuf.h"
#include "compress/base/log.h"
#include "jobs/job.h"
#include "storage/tables/events_tbl.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WINDOW 4096
#define WINDOW_TEXT_BYTES (8 * 1024 * 1024) /* long texts push old ones out sooner */
#define BUCKETS 256
#define PUMP_PAGE 512

struct event_sub {
    struct event_sub *next, **link;
    int64_t job_n;
    void (*wake)(void *self);
    void *self;
};

struct kept {
    int64_t id;
    int64_t job_n;
    const char *type; /* within text's allocation */
    char *text;       /* the JSON line, then NUL, then the type */
    size_t len;
    bool terminal;
};

struct hub {
    struct store *store;
    _Atomic bool marked;
    pthread_mutex_t lock;
    struct kept ring[WINDOW];
    size_t start, count;
    size_t text_bytes;
    int64_t window_from; /* every event with id >= this is in the ring */
    int64_t newest;
    struct event_sub *buckets[BUCKETS];
    struct event_sub *all;
};

int hub_new(struct store *store, struct hub **ret, struct err *err) {
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub)
        return err_set(err, ERR_NO_MEMORY, "no memory for the event hub");
    hub->store = store;
    pthread_mutex_init(&hub->lock, NULL);
    struct db_conn *conn = db_read_begin(store->db, err);
    if (!conn || events_tbl_newest_id(conn, &hub->newest, err) < 0) {
        db_read_end(store->db, conn);
        hub_free(hub);
        return -1;
    }
    db_read_end(store->db, conn);
    hub->window_from = hub->newest + 1;
    *ret = hub;
    return 0;
}

void hub_free(struct hub *hub) {
    if (!hub)
        return;
    for (size_t i = 0; i < hub->count; i++)
        free(hub->ring[(hub->start + i) % WINDOW].text);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

void hub_mark(struct hub *hub) {
    atomic_store(&hub->marked, true);
}

static void time_text(int64_t ms, char ret[40]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t len = strftime(ret, 40, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(ret + len, 40 - len, ".%03dZ", (int)(ms % 1000));
}

/* {"id":…,"type":…,"job":…,"time":…,"data":…}, malloc'd; NULL when out of memory. */
static char *event_line(const struct event_row *row, size_t *ret_len) {
    char when[40];
    time_text(row->time_ms, when);
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_int(&b, "id", row->id);
    jbuf_kv_string(&b, "type", row->type);
    jbuf_kv_string(&b, "job", row->job_id);
    jbuf_kv_string(&b, "time", when);
    jbuf_kv_raw(&b, "data", row->data);
    jbuf_object_end(&b);
    return jbuf_take(&b, ret_len);
}

/* State events begin {"state":"…": see queue.c. */
static bool is_terminal(const struct event_row *row) {
    if (strcmp(row->type, "state") != 0)
        return false;
    char state[16] = "";
    if (sscanf(row->data, "{\"state\":\"%15[a-z]", state) != 1)
        return false;
    int known = job_state_by_name(state);
    return known >= 0 && job_state_terminal((enum job_state)known);
}

static void drop_oldest(struct hub *hub) {
    struct kept *oldest = &hub->ring[hub->start];
    hub->window_from = oldest->id + 1;
    hub->text_bytes -= oldest->len;
    free(oldest->text);
    *oldest = (struct kept){0};
    hub->start = (hub->start + 1) % WINDOW;
    hub->count--;
}

static void forget_window(struct hub *hub, int64_t up_to_id) {
    while (hub->count)
        drop_oldest(hub);
    hub->window_from = up_to_id + 1;
}

static void keep(struct hub *hub, const struct event_row *row) {
    size_t len;
    char *line = event_line(row, &len);
    size_t type_len = strlen(row->type) + 1;
    char *text = line ? realloc(line, len + 1 + type_len) : NULL;
    if (!text) {
        free(line);
        forget_window(hub, row->id); /* readers fall back to the database */
        return;
    }
    memcpy(text + len + 1, row->type, type_len);
    while (hub->count == WINDOW || (hub->count && hub->text_bytes + len > WINDOW_TEXT_BYTES))
        drop_oldest(hub);
    hub->ring[(hub->start + hub->count++) % WINDOW] = (struct kept){
        row->id, row->job_n, text + len + 1, text, len, is_terminal(row),
    };
    hub->text_bytes += len;
}

static void wake_list(struct event_sub *sub, int64_t job_n) {
    for (; sub; sub = sub->next)
        if (job_n == 0 || sub->job_n == job_n)
            sub->wake(sub->self);
}

void hub_pump(struct hub *hub) {
    if (!atomic_exchange(&hub->marked, false))
        return;
    struct db_conn *conn = db_writer_conn(hub->store->db);
    for (;;) {
        struct arena *arena = arena_new(64 << 20);
        struct event_row *rows = NULL;
        size_t count = 0;
        struct err err = ERR_INIT;
        if (!arena ||
            events_tbl_since_any(conn, hub->newest, PUMP_PAGE, arena, &rows, &count, &err) < 0) {
            log_line(LOG_LEVEL_ERROR, "events could not be read for their readers: %s", err.text);
            atomic_store(&hub->marked, true); /* with the next group */
            arena_free(arena);
            return;
        }
        pthread_mutex_lock(&hub->lock);
        for (size_t i = 0; i < count; i++) {
            keep(hub, &rows[i]);
            hub->newest = rows[i].id;
        }
        /* Each job's subscribers once, however many of its events are in the page. */
        for (size_t i = 0; i < count; i++) {
            bool again = false;
            for (size_t k = i + 1; k < count && !again; k++)
                again = rows[k].job_n == rows[i].job_n;
            if (!again)
                wake_list(hub->buckets[(uint64_t)rows[i].job_n % BUCKETS], rows[i].job_n);
        }
        if (count)
            wake_list(hub->all, 0);
        pthread_mutex_unlock(&hub->lock);
        arena_free(arena);
        if (count < PUMP_PAGE)
            return;
    }
}

struct event_sub *hub_subscribe(struct hub *hub, int64_t job_n, void (*wake)(void *self),
                                void *self) {
    struct event_sub *sub = calloc(1, sizeof *sub);
    if (!sub)
        return NULL;
    *sub = (struct event_sub){.job_n = job_n, .wake = wake, .self = self};
    pthread_mutex_lock(&hub->lock);
    struct event_sub **head = job_n ? &hub->buckets[(uint64_t)job_n % BUCKETS] : &hub->all;
    sub->next = *head;
    sub->link = head;
    if (sub->next)
        sub->next->link = &sub->next;
    *head = sub;
    pthread_mutex_unlock(&hub->lock);
    return sub;
}

void hub_unsubscribe(struct hub *hub, struct event_sub *sub) {
    if (!sub)
        return;
    /* wake() is called under the lock, so once we have it none is under way. */
    pthread_mutex_lock(&hub->lock);
    *sub->link = sub->next;
    if (sub->next)
        sub->next->link = sub->link;
    pthread_mutex_unlock(&hub->lock);
    free(sub);
}

struct page {
    struct arena *arena;
    struct event_text *items;
    size_t count, capacity;
};

static int add_text(struct page *page, int64_t id, const char *type, const char *json, size_t len,
                    bool terminal, struct err *err) {
    struct event_text *items =
        arena_grow(page->arena, page->items, &page->capacity, page->count + 1, sizeof *items);
    char *text = arena_strndup(page->arena, json, len);
    char *kind = arena_strdup(page->arena, type);
    if (!items || !text || !kind)
        return err_set(err, ERR_NO_MEMORY, "a page of events is too large");
    page->items = items;
    items[page->count++] = (struct event_text){id, kind, text, len, terminal};
    return 0;
}

/* First place in the ring whose id is above `after`. */
static size_t ring_after(const struct hub *hub, int64_t after) {
    size_t low = 0, high = hub->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (hub->ring[(hub->start + middle) % WINDOW].id > after)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* 1: answered from the window; 0: the window does not reach back so far. */
static int from_window(struct hub *hub, int64_t job_n, int64_t after, unsigned limit,
                       struct page *page, struct err *err) {
    int result = 0;
    pthread_mutex_lock(&hub->lock);
    if (after + 1 >= hub->window_from) {
        result = 1;
        for (size_t i = ring_after(hub, after); i < hub->count && page->count < limit; i++) {
            const struct kept *kept = &hub->ring[(hub->start + i) % WINDOW];
            if (job_n && kept->job_n != job_n)
                continue;
            if (add_text(page, kept->id, kept->type, kept->text, kept->len, kept->terminal, err) <
                0) {
                result = -1;
                break;
            }
        }
    }
    pthread_mutex_unlock(&hub->lock);
    return result;
}

static int from_database(struct hub *hub, int64_t job_n, int64_t after, unsigned limit,
                         struct page *page, struct err *err) {
    struct db_conn *conn = db_read_begin(hub->store->db, err);
    if (!conn)
        return -1;
    struct event_row *rows = NULL;
    size_t count = 0;
    int result = job_n
                     ? events_tbl_since(conn, job_n, after, limit, page->arena, &rows, &count, err)
                     : events_tbl_since_any(conn, after, limit, page->arena, &rows, &count, err);
    db_read_end(hub->store->db, conn);
    for (size_t i = 0; result == 0 && i < count; i++) {
        size_t len;
        char *line = event_line(&rows[i], &len);
        result =
            line ? add_text(page, rows[i].id, rows[i].type, line, len, is_terminal(&rows[i]), err)
                 : err_set(err, ERR_NO_MEMORY, "a page of events is too large");
        free(line);
    }
    return result;
}

int hub_events(struct hub *hub, int64_t job_n, int64_t after, unsigned limit, struct arena *arena,
               struct event_text **ret, size_t *ret_count, struct err *err) {
    struct page page = {.arena = arena};
    int done = from_window(hub, job_n, after, limit, &page, err);
    if (done < 0 || (done == 0 && from_database(hub, job_n, after, limit, &page, err) < 0))
        return -1;
    *ret = page.items;
    *ret_count = page.count;
    return 0;
}
