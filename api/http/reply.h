/*
 * The answer of a request, described by its handler and sent by the server: status, headers and a
 * body that is a text, a part of an open file (sent by sendfile) or a reader.
 *
 * Owns: what is given to it (text, descriptor, reader) from the call on, also when the call fails.
 * Threads: the request's.
 */
#ifndef API_HTTP_REPLY_H
#define API_HTTP_REPLY_H

#include "compress/base/digest.h"
#include "compress/base/err.h"
#include "compress/base/jbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct request;
struct MHD_Connection;

#define REPLY_HEADERS_MAX 16
#define REPLY_UNKNOWN_BYTES UINT64_MAX

/* A body made as it is sent. */
struct reply_reader {
    /* Up to max bytes at `pos` into buf. Returns the count, 0 after having suspended the request
     * (request_suspend), REPLY_END or REPLY_BROKEN. On an HTTP thread. */
    ssize_t (*read)(void *self, uint64_t pos, char *buf, size_t max);
    void (*free)(void *self);
};
#define REPLY_END (-1)
#define REPLY_BROKEN (-2) /* the connection is closed without a proper end */

enum reply_kind { REPLY_NONE, REPLY_TEXT, REPLY_FD, REPLY_READER };

struct reply {
    enum reply_kind kind;
    unsigned status;
    struct {
        const char *name, *value;
    } headers[REPLY_HEADERS_MAX];
    unsigned header_count;
    bool close; /* the connection, afterwards */
    void *text; /* malloc'd, or static when text_static */
    bool text_static;
    size_t text_len;
    int fd;
    uint64_t first, bytes; /* of the file or reader; bytes may be REPLY_UNKNOWN_BYTES */
    const struct reply_reader *reader;
    void *reader_self;
};

void reply_free(struct reply *reply);
/* Forgets a reply made so far (a later failure answers instead). */
void reply_reset(struct request *r);

/* name and value are borrowed: literals or the request's arena. */
void reply_header(struct request *r, const char *name, const char *value);
void reply_headerf(struct request *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Takes the buffer's text. ERR_NO_MEMORY when it had run out. */
int reply_json(struct request *r, unsigned status, struct jbuf *body, struct err *err);
/* Takes malloc'd text (NULL: ERR_NO_MEMORY). */
int reply_text_take(struct request *r, unsigned status, const char *type, char *text, size_t len,
                    struct err *err);
int reply_static(struct request *r, unsigned status, const char *type, const char *text,
                 size_t len);
int reply_empty(struct request *r, unsigned status);
/* A stream of unknown length. */
int reply_stream(struct request *r, const char *type, const struct reply_reader *reader,
                 void *self);

/* A body of known length with ranges, and (with a digest) entity tag, If-None-Match, If-Range and
 * Repr-Digest. Exactly one of text, fd and reader. */
struct reply_content {
    const char *type;
    uint64_t bytes;
    const struct digest *digest; /* NULL: no entity tag */
    const char *filename;        /* attachment of that name, or NULL: inline */
    char *text;                  /* malloc'd, taken */
    int fd;                      /* taken; -1 none */
    const struct reply_reader *reader;
    void *reader_self; /* taken */
};
int reply_content(struct request *r, const struct reply_content *content, struct err *err);

/* Hands the reply to the library. 0, or -1 when the connection must be closed. */
int reply_send(struct request *r, struct MHD_Connection *connection);

/* Media type by the end of a file's name. */
const char *reply_type_of(const char *path);

#endif
