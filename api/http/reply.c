/* See reply.h. */
#include "api/http/reply.h"

#include "api/http/byterange.h"
#include "api/http/request.h"
#include "compress/base/counters.h"
#include "compress/base/log.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Bytes the library asks a reader of known length for at a time. */
#define READER_BLOCK_BYTES (128 * 1024)

static const struct {
    const char *end, *type;
} types[] = {
    {".json", "application/json"},
    {".txt", "text/plain; charset=utf-8"},
    {".md", "text/markdown; charset=utf-8"},
    {".tar", "application/x-tar"},
};

const char *reply_type_of(const char *path) {
    size_t len = strlen(path);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t n = strlen(types[i].end);
        if (len > n && strcasecmp(path + len - n, types[i].end) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

static void free_body(struct reply *reply) {
    if (reply->kind == REPLY_TEXT && !reply->text_static)
        free(reply->text);
    if (reply->kind == REPLY_FD && reply->fd >= 0)
        close(reply->fd);
    if (reply->kind == REPLY_READER && reply->reader_self)
        reply->reader->free(reply->reader_self);
}

void reply_free(struct reply *reply) {
    free_body(reply);
    reply->kind = REPLY_NONE;
}

void reply_reset(struct request *r) {
    free_body(&r->reply);
    r->reply = (struct reply){.kind = REPLY_NONE, .close = r->reply.close};
}

void reply_header(struct request *r, const char *name, const char *value) {
    struct reply *reply = &r->reply;
    if (!value || reply->header_count == REPLY_HEADERS_MAX)
        return;
    reply->headers[reply->header_count].name = name;
    reply->headers[reply->header_count++].value = value;
}

void reply_headerf(struct request *r, const char *name, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reply_header(r, name, arena_strdup(r->arena, text));
}

int reply_text_take(struct request *r, unsigned status, const char *type, char *text, size_t len,
                    struct err *err) {
    if (!text)
        return err_set(err, ERR_NO_MEMORY, "no memory for the answer");
    r->reply.kind = REPLY_TEXT;
    r->reply.status = status;
    r->reply.text = text;
    r->reply.text_static = false;
    r->reply.text_len = len;
    reply_header(r, "Content-Type", type);
    return 0;
}

int reply_json(struct request *r, unsigned status, struct jbuf *body, struct err *err) {
    size_t len = 0;
    char *text = jbuf_take(body, &len);
    return reply_text_take(r, status, "application/json", text, len, err);
}

int reply_static(struct request *r, unsigned status, const char *type, const char *text,
                 size_t len) {
    /* The library takes a plain pointer and does not write through it. */
    union {
        const char *in;
        void *out;
    } u = {text};
    r->reply.kind = REPLY_TEXT;
    r->reply.status = status;
    r->reply.text = u.out;
    r->reply.text_static = true;
    r->reply.text_len = len;
    if (type)
        reply_header(r, "Content-Type", type);
    return 0;
}

int reply_empty(struct request *r, unsigned status) {
    return reply_static(r, status, NULL, "", 0);
}

int reply_stream(struct request *r, const char *type, const struct reply_reader *reader,
                 void *self) {
    r->reply.kind = REPLY_READER;
    r->reply.status = 200;
    r->reply.reader = reader;
    r->reply.reader_self = self;
    r->reply.first = 0;
    r->reply.bytes = REPLY_UNKNOWN_BYTES;
    reply_header(r, "Content-Type", type);
    return 0;
}

/* RFC 6266: a quoted name for everybody, and the true one beside it when they differ. */
static void disposition(struct request *r, const char *filename) {
    char plain[160], encoded[3 * 160 + 1];
    size_t n = 0, e = 0;
    bool differs = false;
    for (const unsigned char *s = (const unsigned char *)filename; *s && n + 1 < sizeof plain;
         s++) {
        bool safe = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                    (*s >= '0' && *s <= '9') || strchr("._-", *s);
        plain[n++] = safe ? (char)*s : '_';
        differs |= !safe;
        e += (size_t)snprintf(encoded + e, sizeof encoded - e, safe ? "%c" : "%%%02X", *s);
    }
    plain[n] = encoded[e] = 0;
    if (differs)
        reply_headerf(r, "Content-Disposition", "attachment; filename=\"%s\"; filename*=UTF-8''%s",
                      plain, encoded);
    else
        reply_headerf(r, "Content-Disposition", "attachment; filename=\"%s\"", plain);
}

static void drop_content(const struct reply_content *content) {
    free(content->text);
    if (content->fd >= 0)
        close(content->fd);
    if (content->reader_self)
        content->reader->free(content->reader_self);
}

int reply_content(struct request *r, const struct reply_content *content, struct err *err) {
    struct reply *reply = &r->reply;
    char etag[DIGEST_HEX_LEN + 16] = "";
    reply_header(r, "Accept-Ranges", "bytes");
    reply_header(r, "X-Content-Type-Options", "nosniff");
    if (content->digest) {
        char hex[DIGEST_HEX_LEN + 1], base64[45];
        digest_hex(content->digest, hex);
        digest_base64(content->digest, base64);
        snprintf(etag, sizeof etag, "\"sha256:%s\"", hex);
        reply_headerf(r, "ETag", "%s", etag);
        reply_headerf(r, "Repr-Digest", "sha-256=:%s:", base64);
        if (etag_listed(request_header(r, "If-None-Match"), etag, true)) {
            drop_content(content);
            return reply_empty(r, 304);
        }
    }
    uint64_t first = 0, len = content->bytes;
    const char *range = r->head ? NULL : request_header(r, "Range");
    const char *if_range = request_header(r, "If-Range");
    if (range && if_range && (!*etag || strcmp(if_range, etag) != 0))
        range = NULL;
    unsigned status = 200;
    switch (byterange_parse(range, content->bytes, &first, &len)) {
    case BYTERANGE_WHOLE:
        break;
    case BYTERANGE_PART:
        status = 206;
        reply_headerf(r, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first,
                      first + len - 1, content->bytes);
        break;
    case BYTERANGE_UNSATISFIABLE:
        drop_content(content);
        reply_headerf(r, "Content-Range", "bytes */%" PRIu64, content->bytes);
        return err_set(err, ERR_BAD_RANGE, "the range %.100s lies outside the %" PRIu64 " bytes",
                       range, content->bytes);
    }
    reply_header(r, "Content-Type", content->type);
    if (content->filename)
        disposition(r, content->filename);
    counter_add(COUNTER_DOWNLOAD_BYTES, r->head ? 0 : (int64_t)len);
    reply->status = status;
    reply->first = first;
    reply->bytes = len;
    if (content->text) {
        if (first)
            memmove(content->text, content->text + first, len);
        reply->kind = REPLY_TEXT;
        reply->text = content->text;
        reply->text_static = false;
        reply->text_len = len;
    } else if (content->fd >= 0) {
        reply->kind = REPLY_FD;
        reply->fd = content->fd;
    } else {
        reply->kind = REPLY_READER;
        reply->reader = content->reader;
        reply->reader_self = content->reader_self;
    }
    return 0;
}

/* What the library's reader callbacks get: the request lives as long as its response. */
struct reading {
    struct request *r;
    const struct reply_reader *reader;
    void *self;
    uint64_t first;
};

static ssize_t read_part(void *cls, uint64_t pos, char *buf, size_t max) {
    struct reading *reading = cls;
    request_awake(reading->r);
    ssize_t n = reading->reader->read(reading->self, reading->first + pos, buf, max);
    if (n == REPLY_END)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == REPLY_BROKEN)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    return n;
}

static void read_over(void *cls) {
    struct reading *reading = cls;
    reading->reader->free(reading->self);
    request_unref(reading->r);
    free(reading);
}

static struct MHD_Response *from_reader(struct request *r) {
    struct reply *reply = &r->reply;
    struct reading *reading = malloc(sizeof *reading);
    if (!reading)
        return NULL;
    *reading = (struct reading){r, reply->reader, reply->reader_self, reply->first};
    struct MHD_Response *response = MHD_create_response_from_callback(
        reply->bytes == REPLY_UNKNOWN_BYTES ? MHD_SIZE_UNKNOWN : reply->bytes,
        reply->bytes == REPLY_UNKNOWN_BYTES ? 1024 : READER_BLOCK_BYTES, read_part, reading,
        read_over);
    if (!response) {
        free(reading);
        return NULL;
    }
    request_ref(r);
    reply->reader_self = NULL;
    return response;
}

static struct MHD_Response *response_of(struct request *r) {
    struct reply *reply = &r->reply;
    struct MHD_Response *response = NULL;
    if (reply->kind == REPLY_TEXT && reply->text_static) {
        response =
            MHD_create_response_from_buffer(reply->text_len, reply->text, MHD_RESPMEM_PERSISTENT);
    } else if (reply->kind == REPLY_TEXT) {
        response =
            MHD_create_response_from_buffer_with_free_callback(reply->text_len, reply->text, free);
        if (response)
            reply->text_static = true; /* the library frees it now */
    } else if (reply->kind == REPLY_FD) {
        response = MHD_create_response_from_fd_at_offset64(reply->bytes, reply->fd, reply->first);
        if (response)
            reply->fd = -1;
    } else {
        response = from_reader(r);
    }
    return response;
}

int reply_send(struct request *r, struct MHD_Connection *connection) {
    struct reply *reply = &r->reply;
    struct MHD_Response *response = response_of(r);
    if (!response)
        return -1;
    bool ok = MHD_add_response_header(response, "X-Request-Id", r->id) == MHD_YES;
    for (unsigned i = 0; i < reply->header_count; i++)
        ok &= MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value) ==
              MHD_YES;
    if (reply->close)
        ok &= MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    ok = ok && MHD_queue_response(connection, reply->status, response) == MHD_YES;
    MHD_destroy_response(response);
    counter_add(COUNTER_HTTP_REQUESTS, 1);
    if (reply->status >= 500)
        counter_add(COUNTER_HTTP_ERRORS_5XX, 1);
    else if (reply->status >= 400)
        counter_add(COUNTER_HTTP_ERRORS_4XX, 1);
    log_line(reply->status >= 500 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
             "%s %s %s -> %u (%s, %lld ms)", r->id, r->method, r->path, reply->status,
             r->principal.name ? r->principal.name : "-",
             (long long)(timers_now_ms() - r->started_ms));
    return ok ? 0 : -1;
}
