/*
 * The virtual tar. See tarlay.h.
 *
 * Every member is a "piece": its headers (512 bytes, or 512 × 3 and more with a pax header) in
 * memory, its contents in a blob, zero padding to 512. Piece offsets are known, so a range is found
 * by bisection.
 *
 * ustar header (POSIX.1-2017, pax utility):
 *   0 name[100] | 100 mode[8] | 108 uid[8] | 116 gid[8] | 124 size[12] | 136 mtime[12] | 148
 * chksum[8] | 156 typeflag | 157 linkname[100] | 257 "ustar\0" | 263 "00" | 265 uname[32] | 297
 * gname[32] | 329 devmajor[8] | 337 devminor[8] | 345 prefix[155] | 500 pad[12] A path over 100
 * bytes or a size of 8 GiB and more goes into a pax extended header (typeflag x).
 */
#include "storage/blob/tarlay.h"

#include "compress/base/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD 512
#define USTAR_NAME_BYTES 100
#define USTAR_SIZE_MAX UINT64_C(077777777777)

struct piece {
    uint64_t offset; /* of the first header in the tar */
    char *header;
    size_t header_bytes;
    struct digest digest;
    uint64_t bytes;
};

struct tarlay {
    struct piece *pieces;
    size_t count;
    uint64_t bytes;
};

static void put_octal(char *field, size_t width, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%0*llo", (int)width - 1, (unsigned long long)value);
    memcpy(field, text, width - 1);
}

static void put_header(char *at, const char *name, char type, uint64_t bytes) {
    memset(at, 0, RECORD);
    memcpy(at, name, strnlen(name, USTAR_NAME_BYTES));
    put_octal(at + 100, 8, 0644);
    put_octal(at + 108, 8, 0);
    put_octal(at + 116, 8, 0);
    put_octal(at + 124, 12, bytes > USTAR_SIZE_MAX ? 0 : bytes);
    put_octal(at + 136, 12, 0);
    memset(at + 148, ' ', 8);
    at[156] = type;
    memcpy(at + 257, "ustar", 6);
    memcpy(at + 263, "00", 2);
    unsigned sum = 0;
    for (unsigned i = 0; i < RECORD; i++)
        sum += (unsigned char)at[i];
    put_octal(at + 148, 7, sum);
    at[154] = 0;
}

/* "<length> key=value\n", where the length counts itself. */
static size_t pax_record(char *at, size_t cap, const char *key, const char *value) {
    size_t body = strlen(key) + strlen(value) + 3; /* space, '=', newline */
    size_t len = body + 1;
    for (;;) {
        char digits[24];
        size_t real = body + (size_t)snprintf(digits, sizeof digits, "%zu", len);
        if (real == len)
            break;
        len = real;
    }
    return (size_t)snprintf(at, cap, "%zu %s=%s\n", len, key, value);
}

static uint64_t padded(uint64_t bytes) {
    return (bytes + RECORD - 1) / RECORD * RECORD;
}

static int make_piece(struct piece *piece, const struct blob_entry *entry, struct err *err) {
    char records[2 * LIMIT_PATH_BYTES];
    size_t records_len = 0;
    if (strlen(entry->path) > USTAR_NAME_BYTES)
        records_len += pax_record(records, sizeof records, "path", entry->path);
    if (entry->bytes > USTAR_SIZE_MAX) {
        char size[24];
        snprintf(size, sizeof size, "%llu", (unsigned long long)entry->bytes);
        records_len +=
            pax_record(records + records_len, sizeof records - records_len, "size", size);
    }
    piece->digest = entry->digest;
    piece->bytes = entry->bytes;
    piece->header_bytes = RECORD + (records_len ? RECORD + padded(records_len) : 0);
    piece->header = calloc(1, piece->header_bytes);
    if (!piece->header)
        return err_set(err, ERR_NO_MEMORY, "no memory for a tar header");
    char *at = piece->header;
    if (records_len) {
        put_header(at, "pax", 'x', records_len);
        memcpy(at + RECORD, records, records_len);
        at += RECORD + padded(records_len);
    }
    put_header(at, entry->path, '0', entry->bytes);
    return 0;
}

int tarlay_new(const struct blob_entry *entries, size_t count, struct tarlay **ret,
               struct err *err) {
    struct tarlay *tar = calloc(1, sizeof *tar);
    if (tar)
        tar->pieces = calloc(count + 1, sizeof *tar->pieces);
    if (!tar || !tar->pieces) {
        free(tar);
        return err_set(err, ERR_NO_MEMORY, "no memory for a tar");
    }
    tar->count = count;
    for (size_t i = 0; i < count; i++) {
        struct piece *piece = &tar->pieces[i];
        piece->offset = tar->bytes;
        if (make_piece(piece, &entries[i], err) < 0) {
            tarlay_free(tar);
            return -1;
        }
        tar->bytes += piece->header_bytes + padded(piece->bytes);
    }
    tar->bytes += 2 * RECORD;
    *ret = tar;
    return 0;
}

uint64_t tarlay_bytes(const struct tarlay *tar) {
    return tar->bytes;
}

void tarlay_free(struct tarlay *tar) {
    if (!tar)
        return;
    for (size_t i = 0; i < tar->count; i++)
        free(tar->pieces[i].header);
    free(tar->pieces);
    free(tar);
}

int tarlay_digest(const struct tarlay *tar, struct resolver *files, const struct progress *progress,
                  struct digest *ret, struct err *err) {
    static const char zeros[2 * RECORD];
    enum { STEP = 1 << 20 };
    int result = -1;
    struct hasher *hasher = hasher_new();
    char *buf = malloc(STEP);
    if (!hasher || !buf) {
        err_set(err, ERR_NO_MEMORY, "no memory to hash a tar");
        goto out;
    }
    for (size_t i = 0; i < tar->count; i++) {
        const struct piece *piece = &tar->pieces[i];
        hasher_update(hasher, piece->header, piece->header_bytes);
        struct source *source;
        if (files->ops->open(files, i, &source, err) < 0)
            goto out;
        for (uint64_t at = 0; at < piece->bytes;) {
            size_t n = piece->bytes - at < STEP ? (size_t)(piece->bytes - at) : STEP;
            if (progress_check(progress, err) < 0 || source_read(source, at, buf, n, err) < 0) {
                source_close(source);
                goto out;
            }
            hasher_update(hasher, buf, n);
            at += n;
        }
        source_close(source);
        hasher_update(hasher, zeros, padded(piece->bytes) - piece->bytes);
    }
    hasher_update(hasher, zeros, sizeof zeros);
    *ret = hasher_final(hasher);
    result = 0;
out:
    hasher_free(hasher);
    free(buf);
    return result;
}

struct tarlay_reader {
    const struct tarlay *tar;
    struct blobs *blobs;
    size_t open_piece; /* SIZE_MAX: none */
    struct source *source;
};

int tarlay_reader_new(const struct tarlay *tar, struct blobs *blobs, struct tarlay_reader **ret,
                      struct err *err) {
    struct tarlay_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return err_set(err, ERR_NO_MEMORY, "no memory for a tar reader");
    *reader = (struct tarlay_reader){tar, blobs, SIZE_MAX, NULL};
    *ret = reader;
    return 0;
}

void tarlay_reader_free(struct tarlay_reader *reader) {
    if (!reader)
        return;
    source_close(reader->source);
    free(reader);
}

static size_t piece_at(const struct tarlay *tar, uint64_t offset) {
    size_t low = 0, high = tar->count;
    while (low < high) { /* first piece that starts beyond the offset */
        size_t middle = low + (high - low) / 2;
        if (tar->pieces[middle].offset > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low - 1;
}

/* Reads what lies in one run (header, contents or padding) at the offset; returns its length, 0 on
 * failure. */
static size_t read_run(struct tarlay_reader *reader, uint64_t offset, char *buf, size_t len,
                       struct err *err) {
    const struct tarlay *tar = reader->tar;
    size_t i = tar->count ? piece_at(tar, offset) : 0;
    uint64_t end_blocks = tar->bytes - 2 * RECORD;
    if (offset >= end_blocks || !tar->count) {
        memset(buf, 0, len);
        return len;
    }
    const struct piece *piece = &tar->pieces[i];
    uint64_t at = offset - piece->offset;
    if (at < piece->header_bytes) {
        size_t n = piece->header_bytes - (size_t)at;
        n = n < len ? n : len;
        memcpy(buf, piece->header + at, n);
        return n;
    }
    at -= piece->header_bytes;
    if (at >= piece->bytes) {
        uint64_t n = padded(piece->bytes) - at;
        n = n < len ? n : len;
        memset(buf, 0, (size_t)n);
        return (size_t)n;
    }
    if (reader->open_piece != i) {
        source_close(reader->source);
        reader->source = NULL;
        reader->open_piece = SIZE_MAX;
        if (blob_source(reader->blobs, &piece->digest, "artifact", &reader->source, err) < 0)
            return 0;
        reader->open_piece = i;
    }
    uint64_t n = piece->bytes - at;
    n = n < len ? n : len;
    return source_read(reader->source, at, buf, (size_t)n, err) < 0 ? 0 : (size_t)n;
}

int tarlay_read(struct tarlay_reader *reader, uint64_t offset, void *buf, size_t len,
                struct err *err) {
    if (offset > reader->tar->bytes || len > reader->tar->bytes - offset)
        return err_set(err, ERR_BUG, "a tar was read beyond its end");
    for (char *at = buf; len > 0;) {
        size_t n = read_run(reader, offset, at, len, err);
        if (n == 0)
            return -1;
        at += n;
        offset += n;
        len -= n;
    }
    return 0;
}
