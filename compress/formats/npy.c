/* See the header. The dictionary is walked once, character by character, with one value reader per
 * key. */
#include "compress/formats/npy.h"

#include "compress/base/bytes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[6] = "\x93NUMPY";

#define DESCR_BYTES_MAX 32

enum key { KEY_DESCR, KEY_FORTRAN, KEY_SHAPE, KEYS };

static const char *const key_names[KEYS] = {"descr", "fortran_order", "shape"};

/* numpy's letter for the kind, and the bytes of one element. */
static const struct {
    const char *code;
    enum dtype dtype;
} types[] = {{"f8", DTYPE_F64}, {"f4", DTYPE_F32},  {"f2", DTYPE_F16}, {"i8", DTYPE_I64},
             {"i4", DTYPE_I32}, {"i2", DTYPE_I16},  {"i1", DTYPE_I8},  {"u8", DTYPE_U64},
             {"u4", DTYPE_U32}, {"u2", DTYPE_U16},  {"u1", DTYPE_U8},  {"b1", DTYPE_BOOL},
             {"c8", DTYPE_C64}, {"c16", DTYPE_C128}};

/* The header's text on its way through. */
struct text {
    const char *at, *end;
    const char *start;
    uint64_t offset; /* of start in the file */
    const struct source *source;
    struct err *err;
};

struct found {
    bool has[KEYS];
    char descr[DESCR_BYTES_MAX + 1];
    bool fortran;
    struct npy *npy;
};

static int read_text(struct source *source, char **ret, size_t *ret_len, uint64_t *ret_offset,
                     struct err *err);
static int read_dictionary(struct text *t, struct found *found);
static int read_value(struct text *t, enum key key, struct found *found);
static int read_string(struct text *t, char *ret, size_t cap);
static int read_shape(struct text *t, struct npy *npy);
static int settle(struct text *t, const struct found *found);
static int settle_type(struct text *t, const char *descr, struct npy *npy);
static void skip(struct text *t);
static bool take(struct text *t, char c);
static bool take_word(struct text *t, const char *word);
static int refuse(const struct text *t, enum err_code code, const char *how);

bool npy_sniff(const void *head, size_t len) {
    return len >= sizeof magic && memcmp(head, magic, sizeof magic) == 0;
}

int npy_read_header(struct source *source, struct npy *ret, struct err *err) {
    char *buf = NULL;
    size_t len = 0;
    struct npy npy = {0};
    struct text t = {.source = source, .err = err};
    if (read_text(source, &buf, &len, &t.offset, err) < 0)
        return -1;
    t.start = t.at = buf;
    t.end = buf + len;
    npy.data_offset = t.offset + len;
    struct found found = {.npy = &npy};
    int status = read_dictionary(&t, &found);
    if (status == 0)
        status = settle(&t, &found);
    free(buf);
    if (status == 0)
        *ret = npy;
    return status;
}

static int __attribute__((format(printf, 5, 6)))
refuse_file(const struct source *source, uint64_t offset, enum err_code code, struct err *err,
            const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(err, code, "%s", text);
    return err_at_file(err, source->path, offset);
}

/* Everything before the data; the text of the header is yours. */
static int read_text(struct source *source, char **ret, size_t *ret_len, uint64_t *ret_offset,
                     struct err *err) {
    uint8_t head[12];
    if (source->bytes < 10)
        return refuse_file(source, 0, ERR_BAD_DATASET, err, "the array is cut short");
    size_t have = source->bytes < sizeof head ? (size_t)source->bytes : sizeof head;
    if (source_read(source, 0, head, have, err) < 0)
        return -1;
    if (!npy_sniff(head, have))
        return refuse_file(source, 0, ERR_BAD_DATASET, err, "this is no array of numpy.save");
    if (head[6] < 1 || head[6] > 3 || head[7] != 0)
        return refuse_file(source, 6, ERR_UNSUPPORTED, err,
                           "version %u.%u of the NPY format is not known", head[6], head[7]);
    size_t front = head[6] == 1 ? 10 : 12;
    if (have < front)
        return refuse_file(source, 8, ERR_BAD_DATASET, err, "the array is cut short");
    uint64_t len = head[6] == 1 ? load_u16(head + 8) : load_u32(head + 8);
    if (len > LIMIT_NPY_HEADER_BYTES)
        return refuse_file(source, 8, ERR_TOO_LARGE, err,
                           "the array's header is %" PRIu64 " bytes long; at most %" PRIu64
                           " are read",
                           len, LIMIT_NPY_HEADER_BYTES);
    if (len > source->bytes - front)
        return refuse_file(source, 8, ERR_BAD_DATASET, err, "the array's header is cut short");
    char *buf = malloc(len ? len : 1);
    if (!buf)
        return err_set(err, ERR_NO_MEMORY, "no memory for an array's header");
    if (source_read(source, front, buf, len, err) < 0) {
        free(buf);
        return -1;
    }
    *ret = buf;
    *ret_len = len;
    *ret_offset = front;
    return 0;
}

static int read_dictionary(struct text *t, struct found *found) {
    if (!take(t, '{'))
        return refuse(t, ERR_BAD_DATASET, "is no dictionary");
    while (!take(t, '}')) {
        char name[24];
        int key = 0;
        if (read_string(t, name, sizeof name) < 0)
            return -1;
        while (key < KEYS && strcmp(name, key_names[key]) != 0)
            key++;
        if (key == KEYS)
            return refuse(t, ERR_BAD_DATASET, "has a key that no array has");
        if (found->has[key])
            return refuse(t, ERR_BAD_DATASET, "has the same key twice");
        if (!take(t, ':'))
            return refuse(t, ERR_BAD_DATASET, "misses a colon");
        if (read_value(t, (enum key)key, found) < 0)
            return -1;
        found->has[key] = true;
        if (take(t, ','))
            continue;
        if (!take(t, '}'))
            return refuse(t, ERR_BAD_DATASET, "misses a comma");
        break;
    }
    skip(t);
    if (t->at < t->end)
        return refuse(t, ERR_BAD_DATASET, "goes on behind its dictionary");
    for (int key = 0; key < KEYS; key++)
        if (!found->has[key])
            return refuse(t, ERR_BAD_DATASET, "misses one of descr, fortran_order and shape");
    return 0;
}

static int read_value(struct text *t, enum key key, struct found *found) {
    if (key == KEY_SHAPE)
        return read_shape(t, found->npy);
    if (key == KEY_FORTRAN) {
        found->fortran = take_word(t, "True");
        if (!found->fortran && !take_word(t, "False"))
            return refuse(t, ERR_BAD_DATASET, "says neither True nor False of fortran_order");
        return 0;
    }
    if (take(t, '['))
        return refuse(t, ERR_UNSUPPORTED,
                      "describes records of several fields: save each field as an array of its "
                      "own");
    return read_string(t, found->descr, sizeof found->descr);
}

/* A text in quotes without escapes. */
static int read_string(struct text *t, char *ret, size_t cap) {
    char quote = take(t, '\'') ? '\'' : take(t, '"') ? '"' : 0;
    if (!quote)
        return refuse(t, ERR_BAD_DATASET, "misses a text in quotes");
    size_t len = 0;
    while (t->at < t->end && *t->at != quote) {
        if (*t->at == '\\' || *t->at < 0x20 || len + 1 == cap)
            return refuse(t, ERR_BAD_DATASET, "has a text that no array has");
        ret[len++] = *t->at++;
    }
    if (t->at == t->end)
        return refuse(t, ERR_BAD_DATASET, "ends inside a text");
    t->at++;
    ret[len] = 0;
    return 0;
}

/* "()", "(3,)", "(3, 4)", "(3, 4, )" – but not "(3)", which is no tuple. */
static int read_shape(struct text *t, struct npy *npy) {
    bool comma = true;
    npy->elements = 1;
    if (!take(t, '('))
        return refuse(t, ERR_BAD_DATASET, "has a shape that is no tuple");
    while (!take(t, ')')) {
        uint64_t n = 0;
        skip(t);
        if (!comma || t->at == t->end || *t->at < '0' || *t->at > '9')
            return refuse(t, ERR_BAD_DATASET, "has a shape that is no tuple of numbers");
        for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
            n = n * 10 + (uint64_t)(*t->at - '0');
            if (n > LIMIT_ELEMENTS)
                return refuse(t, ERR_TOO_LARGE, "has a dimension that is too large");
        }
        take_word(t, "L"); /* Python 2 wrote long integers so */
        if (npy->rank == LIMIT_RANK)
            return refuse(t, ERR_TOO_LARGE, "has too many dimensions");
        npy->dims[npy->rank++] = n;
        comma = take(t, ',');
    }
    if (npy->rank == 1 && !comma)
        return refuse(t, ERR_BAD_DATASET, "has a shape that is no tuple");
    bool empty = false;
    for (unsigned d = 0; d < npy->rank; d++)
        empty = empty || npy->dims[d] == 0;
    for (unsigned d = 0; d < npy->rank && !empty; d++)
        if (!mul_u64(npy->elements, npy->dims[d], &npy->elements) || npy->elements > LIMIT_ELEMENTS)
            return refuse(t, ERR_TOO_LARGE, "has too many elements");
    if (empty)
        npy->elements = 0;
    return 0;
}

/* What the three values mean together, and whether the file is as long as they say. */
static int settle(struct text *t, const struct found *found) {
    struct npy *npy = found->npy;
    const struct source *source = t->source;
    t->at = t->start;
    if (settle_type(t, found->descr, npy) < 0)
        return -1;
    if (found->fortran && npy->rank > 1)
        return refuse(t, ERR_UNSUPPORTED,
                      "says that the array is column-major: save numpy.ascontiguousarray(a)");
    uint64_t bytes = npy->elements * dtype_row(npy->dtype)->bytes;
    uint64_t have = source->bytes - npy->data_offset;
    if (have < bytes)
        return refuse_file(source, npy->data_offset, ERR_BAD_DATASET, t->err,
                           "the array is cut short: %" PRIu64 " bytes of %" PRIu64, have, bytes);
    if (have > bytes)
        return refuse_file(source, npy->data_offset + bytes, ERR_BAD_DATASET, t->err,
                           "%" PRIu64 " bytes follow the array", have - bytes);
    return 0;
}

static int settle_type(struct text *t, const char *descr, struct npy *npy) {
    char order = descr[0];
    const char *code = order ? descr + 1 : descr;
    if (*code == 'O')
        return refuse_file(t->source, t->offset, ERR_FORBIDDEN_PICKLE, t->err,
                           "the array holds Python objects, which only a pickle can: save numbers");
    if (order == '<' || order == '|' || order == '=' || order == '>')
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if (strcmp(code, types[i].code) == 0)
                npy->dtype = types[i].dtype;
    if (npy->dtype == DTYPE_NONE)
        return refuse_file(t->source, t->offset, ERR_UNSUPPORTED, t->err,
                           "elements of numpy's type %s are no plain numbers", descr);
    unsigned bytes = dtype_row(npy->dtype)->bytes;
    if (order == '>' && bytes > 1)
        return refuse_file(t->source, t->offset, ERR_UNSUPPORTED, t->err,
                           "the array is big-endian (%s): save a.astype('<%s')", descr, code);
    if (order == '|' && bytes > 1)
        return refuse(t, ERR_BAD_DATASET, "has numbers of several bytes without a byte order");
    return 0;
}

static void skip(struct text *t) {
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n'))
        t->at++;
}

static bool take(struct text *t, char c) {
    skip(t);
    if (t->at == t->end || *t->at != c)
        return false;
    t->at++;
    return true;
}

static bool take_word(struct text *t, const char *word) {
    size_t len = strlen(word);
    skip(t);
    if ((size_t)(t->end - t->at) < len || memcmp(t->at, word, len) != 0)
        return false;
    t->at += len;
    return true;
}

static int refuse(const struct text *t, enum err_code code, const char *how) {
    return refuse_file(t->source, t->offset + (uint64_t)(t->at - t->start), code, t->err,
                       "the array's header %s", how);
}
