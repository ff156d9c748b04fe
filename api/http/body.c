/* See body.h. */
#include "api/http/body.h"

#include "api/http/request.h"
#include "api/http/timers.h"

#include <stdlib.h>
#include <string.h>

static int gather(struct request *r, const void *data, size_t len, struct err *err);

int body_chunk(struct request *r, const void *data, size_t *len) {
    struct body *body = &r->body;
    int64_t now_ms = timers_now_ms();
    if (!body->started_ms)
        body->started_ms = now_ms;
    size_t taken = *len;
    if (body->failed) {
        body->dropped += taken;
        *len = 0;
        return body->dropped > BODY_DROP_BYTES || now_ms > body->drop_until_ms ? -1 : 0;
    }
    if (atomic_load(&r->service->draining) ||
        body_too_slow(body, r->service->options.min_body_rate, now_ms))
        return -1;
    struct err err = ERR_INIT;
    int rc = r->route->body == BODY_STREAM ? r->route->chunk(r, data, *len, &taken, &err)
                                           : gather(r, data, *len, &err);
    if (rc) {
        taken = *len;
        body->failed = true;
        body->err = err;
        body->drop_until_ms = now_ms + BODY_DROP_MS;
    }
    body->received += taken;
    *len -= taken;
    return 0;
}

static int gather(struct request *r, const void *data, size_t len, struct err *err) {
    struct body *body = &r->body;
    uint64_t limit = r->route->body_limit_bytes;
    if (body->len + len > limit)
        return err_set(err, ERR_TOO_LARGE, "the body is larger than %llu bytes",
                       (unsigned long long)limit);
    if (body->len + len + 1 > body->capacity) {
        size_t capacity = 2 * (body->len + len + 1);
        if (!body->text && r->content_length != UINT64_MAX)
            capacity = (size_t)r->content_length + 1;
        char *grown = realloc(body->text, capacity);
        if (!grown)
            return err_set(err, ERR_NO_MEMORY, "no memory for the body");
        body->text = grown;
        body->capacity = capacity;
    }
    memcpy(body->text + body->len, data, len);
    body->len += len;
    body->text[body->len] = 0;
    return 0;
}

void body_pause(struct request *r) {
    r->body.pause_began_ms = timers_now_ms();
}

void body_continue(struct request *r) {
    if (r->body.pause_began_ms)
        r->body.paused_ms += timers_now_ms() - r->body.pause_began_ms;
    r->body.pause_began_ms = 0;
}

void body_free(struct body *body) {
    free(body->text);
    body->text = NULL;
}

bool body_too_slow(const struct body *body, uint64_t min_bytes_per_second, int64_t now_ms) {
    int64_t took_ms = now_ms - body->started_ms - body->paused_ms;
    if (!min_bytes_per_second || took_ms < BODY_RATE_GRACE_MS)
        return false;
    return body->received / ((uint64_t)took_ms / 1000) < min_bytes_per_second;
}
