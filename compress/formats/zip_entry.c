/* See the header. A stored entry is a window on the archive; a deflated one carries a decoder that
 * knows how far it has got and where it could start again. */
#include "compress/formats/zip_entry.h"

#include "compress/base/limits.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define INPUT_BYTES 65536
#define WINDOW_BYTES 32768 /* as far as deflate looks back */
#define POINTS_MAX 257     /* the start and 256 */

#define GAP_BYTES (128 * KIB) /* read for the sum: more than the header of an array */

/* The CRC-32 of an entry's first `at` bytes. */
struct sum {
    const char *entry; /* its name */
    uint64_t at;
    uint32_t crc, wanted;
    bool bad;
};

/* Somewhere to start from. */
struct point {
    uint64_t out;    /* bytes decoded before it */
    uint64_t in;     /* bytes of the entry consumed, the last one up to `bits` unused bits */
    unsigned bits;   /* 0 to 7 */
    uint8_t *window; /* what was decoded last; NULL at the start */
    unsigned window_len;
};

struct entry_source {
    struct source base;
    struct source *archive;
    uint64_t offset; /* of the entry's data */
    uint64_t packed;
    pthread_mutex_t lock; /* guards everything below */
    z_stream stream;
    struct sum sum;
    bool keep;
    uint8_t *whole; /* once it is kept: the entry */
    uint64_t out;   /* decoded so far */
    uint64_t in;    /* read into `input` so far */
    struct point points[POINTS_MAX];
    size_t point_count;
    uint8_t input[INPUT_BYTES];
};

static int stored_read_at(struct source *base, uint64_t offset, void *buf, size_t len,
                          struct err *err);
static void stored_will_need(struct source *base, uint64_t offset, uint64_t len);
static void stored_done(struct source *base, uint64_t offset, uint64_t len);
static void stored_close(struct source *base);
static int inflated_read_at(struct source *base, uint64_t offset, void *buf, size_t len,
                            struct err *err);
static void inflated_close(struct source *base);
static int keep_whole(struct entry_source *s, struct err *err);
static int seek(struct entry_source *s, uint64_t offset, struct err *err);
static int decode(struct entry_source *s, void *buf, size_t len, struct err *err);
static int fill(struct entry_source *s, struct err *err);
static void remember(struct entry_source *s);

static const struct source_ops stored_ops = {.read_at = stored_read_at,
                                             .will_need = stored_will_need,
                                             .done = stored_done,
                                             .close = stored_close};
static const struct source_ops inflated_ops = {.read_at = inflated_read_at,
                                               .close = inflated_close};

/* All that a stored entry needs; entry_source begins alike. */
struct stored_source {
    struct source base;
    struct source *archive;
    uint64_t offset;
    pthread_mutex_t lock; /* guards the sum */
    struct sum sum;
};

static int no_memory(const struct source *archive, struct err *err) {
    err_set(err, ERR_NO_MEMORY, "no memory to read an entry of the archive");
    return err_at_file(err, archive->path, ERR_NO_OFFSET);
}

uint64_t zip_entry_memory_bytes(const struct zipdir_entry *entry, bool keep) {
    uint64_t windows = entry->bytes / MIB < POINTS_MAX ? entry->bytes / MIB : POINTS_MAX - 1;
    if (!entry->deflated)
        return sizeof(struct stored_source);
    return sizeof(struct entry_source) + 2 * WINDOW_BYTES /* zlib's own */ +
           windows * WINDOW_BYTES + (keep ? entry->bytes : 0);
}

int zip_entry_open(struct source *archive, const struct zipdir_entry *entry, bool keep,
                   struct source **ret, struct err *err) {
    struct source base = {.bytes = entry->bytes, .path = archive->path};
    if (!entry->deflated) {
        struct stored_source *s = calloc(1, sizeof *s);
        if (!s)
            return no_memory(archive, err);
        base.ops = &stored_ops;
        s->base = base;
        s->archive = archive;
        s->offset = entry->offset;
        s->sum = (struct sum){.entry = entry->name, .wanted = entry->crc};
        pthread_mutex_init(&s->lock, NULL);
        *ret = &s->base;
        return 0;
    }
    struct entry_source *s = calloc(1, sizeof *s);
    if (!s)
        return no_memory(archive, err);
    if (inflateInit2(&s->stream, -15) != Z_OK) { /* no zlib or gzip frame around it */
        free(s);
        return no_memory(archive, err);
    }
    base.ops = &inflated_ops;
    s->base = base;
    s->archive = archive;
    s->offset = entry->offset;
    s->packed = entry->packed_bytes;
    s->sum = (struct sum){.entry = entry->name, .wanted = entry->crc};
    s->keep = keep;
    s->point_count = 1;
    pthread_mutex_init(&s->lock, NULL);
    *ret = &s->base;
    return 0;
}

/* Of what lies at `offset`, takes what the sum has not seen yet. */
static void sum_add(struct sum *sum, uint64_t offset, const uint8_t *data, size_t len) {
    if (offset > sum->at || len <= sum->at - offset)
        return;
    size_t seen = (size_t)(sum->at - offset);
    sum->crc = (uint32_t)crc32_z(sum->crc, data + seen, len - seen);
    sum->at += len - seen;
}

static int sum_check(struct sum *sum, const struct source *source, uint64_t offset,
                     struct err *err) {
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* no mutation would come past it */
    sum->bad = sum->bad || (sum->at == source->bytes && sum->crc != sum->wanted);
#endif
    if (!sum->bad)
        return 0;
    err_set(err, ERR_BAD_MODEL,
            "the archive's entry \"%.100s\" is corrupt: its CRC-32 is %08" PRIx32
            ", the directory says %08" PRIx32,
            sum->entry, sum->crc, sum->wanted);
    return err_at_file(err, source->path, offset);
}

static int sum_fill_gap(struct stored_source *s, uint64_t offset, struct err *err) {
    uint8_t part[4096];
    while (s->sum.at < offset && offset - s->sum.at <= GAP_BYTES) {
        uint64_t left = offset - s->sum.at;
        size_t len = left < sizeof part ? (size_t)left : sizeof part;
        if (source_read(s->archive, s->offset + s->sum.at, part, len, err) < 0)
            return -1;
        sum_add(&s->sum, s->sum.at, part, len);
    }
    return 0;
}

static int stored_read_at(struct source *base, uint64_t offset, void *buf, size_t len,
                          struct err *err) {
    struct stored_source *s = (struct stored_source *)base;
    if (source_read(s->archive, s->offset + offset, buf, len, err) < 0)
        return -1;
    pthread_mutex_lock(&s->lock);
    int status = sum_fill_gap(s, offset, err);
    if (status == 0) {
        sum_add(&s->sum, offset, buf, len);
        status = sum_check(&s->sum, base, s->offset, err);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

static void stored_will_need(struct source *base, uint64_t offset, uint64_t len) {
    struct stored_source *s = (struct stored_source *)base;
    source_will_need(s->archive, s->offset + offset, len);
}

static void stored_done(struct source *base, uint64_t offset, uint64_t len) {
    struct stored_source *s = (struct stored_source *)base;
    source_done(s->archive, s->offset + offset, len);
}

static void stored_close(struct source *base) {
    struct stored_source *s = (struct stored_source *)base;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int inflated_read_at(struct source *base, uint64_t offset, void *buf, size_t len,
                            struct err *err) {
    struct entry_source *s = (struct entry_source *)base;
    pthread_mutex_lock(&s->lock);
    int status = s->keep && !s->whole && offset < s->out ? keep_whole(s, err) : 0;
    if (status == 0 && s->whole) {
        memcpy(buf, s->whole + offset, len);
    } else {
        if (status == 0)
            status = seek(s, offset, err);
        if (status == 0)
            status = decode(s, buf, len, err);
    }
    if (status == 0)
        status = sum_check(&s->sum, base, s->offset, err);
    if (status < 0) /* the decoder stands anywhere: start anew next time */
        s->out = UINT64_MAX;
    pthread_mutex_unlock(&s->lock);
    return status;
}

static void inflated_close(struct source *base) {
    struct entry_source *s = (struct entry_source *)base;
    inflateEnd(&s->stream);
    for (size_t i = 0; i < s->point_count; i++)
        free(s->points[i].window);
    free(s->whole);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int damaged(const struct entry_source *s, const char *how, struct err *err) {
    err_set(err, ERR_BAD_MODEL, "a compressed entry of the archive %s", how);
    return err_at_file(err, s->base.path, s->offset);
}

/* Without memory for it there is nothing to keep, and reads jump. */
static int keep_whole(struct entry_source *s, struct err *err) {
    uint8_t *whole = malloc((size_t)s->base.bytes);
    if (!whole) {
        s->keep = false;
        return 0;
    }
    if (seek(s, 0, err) < 0 || decode(s, whole, (size_t)s->base.bytes, err) < 0) {
        free(whole);
        return -1;
    }
    s->whole = whole;
    return 0;
}

/* Brings the decoder to `offset`: from where it stands, or from the last point before. */
static int seek(struct entry_source *s, uint64_t offset, struct err *err) {
    size_t p = s->point_count - 1;
    while (s->points[p].out > offset)
        p--;
    const struct point *point = &s->points[p];
    if (s->out > offset || s->out < point->out) {
        inflateReset(&s->stream);
        s->stream.avail_in = 0;
        s->out = point->out;
        s->in = point->in - (point->bits > 0);
        if (point->bits) {
            if (fill(s, err) < 0)
                return -1;
            assert(s->stream.avail_in > 0); /* the byte was read before */
            inflatePrime(&s->stream, (int)point->bits, s->stream.next_in[0] >> (8 - point->bits));
            s->stream.next_in++;
            s->stream.avail_in--;
        }
        if (point->window)
            inflateSetDictionary(&s->stream, point->window, point->window_len);
    }
    uint8_t skipped[8192];
    while (s->out < offset) {
        uint64_t left = offset - s->out;
        if (decode(s, skipped, left < sizeof skipped ? (size_t)left : sizeof skipped, err) < 0)
            return -1;
    }
    return 0;
}

static int decode(struct entry_source *s, void *buf, size_t len, struct err *err) {
    uint8_t *at = buf;
    while (len) {
        if (s->stream.avail_in == 0 && fill(s, err) < 0)
            return -1;
        unsigned part = len < (1U << 30) ? (unsigned)len : 1U << 30;
        s->stream.next_out = at;
        s->stream.avail_out = part;
        int rc = inflate(&s->stream, Z_BLOCK);
        size_t got = part - s->stream.avail_out;
        sum_add(&s->sum, s->out, at, got);
        at += got;
        len -= got;
        s->out += got;
        if (rc == Z_STREAM_END && len)
            return damaged(s, "ends before its stated length", err);
        if (rc == Z_BUF_ERROR && got == 0 && s->stream.avail_in == 0 && s->in == s->packed)
            return damaged(s, "is cut short", err);
        if (rc == Z_MEM_ERROR)
            return no_memory(s->archive, err);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return damaged(s, "is damaged", err);
        /* Bit 7: at the end of a block; bit 6: of the last one. */
        if ((s->stream.data_type & 0xc0) == 0x80)
            remember(s);
    }
    return 0;
}

/* At the end of the entry nothing comes, but the decoder may hold output back. */
static int fill(struct entry_source *s, struct err *err) {
    uint64_t left = s->packed - s->in;
    size_t len = left < INPUT_BYTES ? (size_t)left : INPUT_BYTES;
    if (source_read(s->archive, s->offset + s->in, s->input, len, err) < 0)
        return -1;
    s->in += len;
    s->stream.next_in = s->input;
    s->stream.avail_in = (unsigned)len;
    return 0;
}

/* Keeps a point here when the last one is far behind. One that finds no memory is not kept: reads
 * take longer then, nothing else. */
static void remember(struct entry_source *s) {
    uint64_t apart = s->base.bytes / (POINTS_MAX - 1);
    if (apart < MIB)
        apart = MIB;
    const struct point *last = &s->points[s->point_count - 1];
    if (s->out < last->out || s->out - last->out < apart || s->point_count == POINTS_MAX)
        return;
    uint8_t *window = malloc(WINDOW_BYTES);
    unsigned len = 0;
    if (!window || inflateGetDictionary(&s->stream, window, &len) != Z_OK) {
        free(window);
        return;
    }
    s->points[s->point_count++] = (struct point){.out = s->out,
                                                 .in = s->in - s->stream.avail_in,
                                                 .bits = (unsigned)s->stream.data_type & 7,
                                                 .window = window,
                                                 .window_len = len};
}
