/*
 * Reading: scan the JSON once, entry by entry, checking each on its own (name, dtype, rank, shape
 * against the length of its range); then sort by offset and check that the ranges tile the data.
 */
#include "compress/formats/safetensors.h"

#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/jbuf.h"
#include "compress/base/strmap.h"
#include "compress/formats/json_scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 8
#define METADATA "__metadata__"

struct reading {
    struct json_scan scan;
    struct arena *arena;
    struct safetensors_header *header;
    size_t entry_capacity, note_capacity;
    struct strmap names;
    uint64_t data_bytes;
};

static int read_members(struct reading *r, struct err *err);
static int read_notes(struct reading *r, struct err *err);
static int read_entry(struct reading *r, const char *name, struct err *err);
static int read_fields(struct reading *r, struct safetensors_entry *e, struct err *err);
static int read_shape(struct reading *r, struct safetensors_entry *e, struct err *err);
static int read_offsets(struct reading *r, struct safetensors_entry *e, struct err *err);
static int check_name(struct reading *r, const char *name, struct err *err);
static int check_extent(struct reading *r, const struct safetensors_entry *e, struct err *err);
static int check_tiling(struct reading *r, struct err *err);
static int by_offset(const void *a, const void *b);

int safetensors_read_header(struct source *source, struct arena *arena,
                            struct safetensors_header *ret, struct err *err) {
    uint8_t head[LENGTH_BYTES];
    if (source->bytes < LENGTH_BYTES) {
        err_set(err, ERR_BAD_MODEL,
                "%s: the file is truncated: %" PRIu64 " bytes cannot hold the header length",
                source->path, source->bytes);
        return err_at_file(err, source->path, 0);
    }
    if (source_read(source, 0, head, sizeof head, err) < 0)
        return -1;
    uint64_t len = load_u64(head);
    if (len > LIMIT_SAFETENSORS_HEADER_BYTES) {
        err_set(err, ERR_TOO_LARGE,
                "%s: the header claims %" PRIu64 " bytes at offset 0; at most %" PRIu64
                " are accepted",
                source->path, len, LIMIT_SAFETENSORS_HEADER_BYTES);
        return err_at_file(err, source->path, 0);
    }
    if (len > source->bytes - LENGTH_BYTES) {
        err_set(err, ERR_BAD_MODEL,
                "%s: the file is truncated: the header claims %" PRIu64
                " bytes at offset 0, only %" PRIu64 " follow",
                source->path, len, source->bytes - LENGTH_BYTES);
        return err_at_file(err, source->path, 0);
    }
    char *text = malloc((size_t)len + 1);
    if (!text)
        return err_set(err, ERR_NO_MEMORY, "no memory for the header of %s", source->path);
    text[len] = 0;
    struct safetensors_header header = {.data_offset = LENGTH_BYTES + len};
    struct reading r = {
        .scan = json_scan_over(text, (size_t)len, source->path, LENGTH_BYTES),
        .arena = arena,
        .header = &header,
        .data_bytes = source->bytes - LENGTH_BYTES - len,
    };
    strmap_init(&r.names, arena);
    int rc = source_read(source, LENGTH_BYTES, text, (size_t)len, err);
    if (rc == 0 && (len == 0 || text[0] != '{'))
        rc = json_scan_fail(&r.scan, err, "the header does not begin with '{'");
    if (rc == 0)
        rc = read_members(&r, err);
    if (rc == 0)
        rc = json_scan_end(&r.scan, err);
    if (rc == 0)
        rc = check_tiling(&r, err);
    free(text);
    if (rc == 0)
        *ret = header;
    return rc;
}

int safetensors_print_header(const struct safetensors_header *header, struct arena *arena,
                             const char **ret, size_t *ret_len, struct err *err) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    if (header->note_count) {
        jbuf_key(&b, METADATA);
        jbuf_object(&b);
        for (size_t i = 0; i < header->note_count; i++)
            jbuf_kv_string(&b, header->notes[i].key, header->notes[i].value);
        jbuf_object_end(&b);
    }
    for (size_t i = 0; i < header->count; i++) {
        const struct safetensors_entry *e = &header->entries[i];
        jbuf_key(&b, e->name);
        jbuf_object(&b);
        jbuf_kv_string(&b, "dtype", dtype_row(e->dtype)->safetensors);
        jbuf_key(&b, "shape");
        jbuf_array(&b);
        for (unsigned d = 0; d < e->rank; d++)
            jbuf_uint(&b, e->dims[d]);
        jbuf_array_end(&b);
        jbuf_key(&b, "data_offsets");
        jbuf_array(&b);
        jbuf_uint(&b, e->begin);
        jbuf_uint(&b, e->end);
        jbuf_array_end(&b);
        jbuf_object_end(&b);
    }
    jbuf_object_end(&b);
    size_t len = 0;
    char *text = jbuf_take(&b, &len);
    size_t padded = (len + 7) / 8 * 8;
    char *out = text ? (char *)arena_alloc(arena, LENGTH_BYTES + padded) : NULL;
    if (!out) {
        free(text);
        return err_set(err, ERR_NO_MEMORY, "no memory for a header of the output");
    }
    store_u64(out, padded);
    memcpy(out + LENGTH_BYTES, text, len);
    memset(out + LENGTH_BYTES + len, ' ', padded - len);
    free(text);
    if (padded > LIMIT_SAFETENSORS_HEADER_BYTES)
        return err_set(err, ERR_TOO_LARGE,
                       "a header of the output would have %zu bytes; at most %" PRIu64
                       " can be read back",
                       padded, LIMIT_SAFETENSORS_HEADER_BYTES);
    *ret = out;
    *ret_len = LENGTH_BYTES + padded;
    return 0;
}

static int read_members(struct reading *r, struct err *err) {
    const char *name;
    int more;
    if (json_scan_enter(&r->scan, '{', err) < 0)
        return -1;
    bool noted = false;
    while ((more = json_scan_member(&r->scan, r->arena, &name, err)) == 1) {
        if (strcmp(name, METADATA) == 0) {
            if (noted)
                return json_scan_fail(&r->scan, err, "%s stands twice", METADATA);
            noted = true;
            if (read_notes(r, err) < 0)
                return -1;
        } else if (read_entry(r, name, err) < 0)
            return err_at_tensor(err, name);
    }
    return more;
}

static int read_notes(struct reading *r, struct err *err) {
    struct safetensors_header *h = r->header;
    struct strmap keys;
    strmap_init(&keys, r->arena);
    if (json_scan_enter(&r->scan, '{', err) < 0)
        return -1;
    int more;
    struct safetensors_note note;
    while ((more = json_scan_member(&r->scan, r->arena, &note.key, err)) == 1) {
        if (json_scan_string(&r->scan, r->arena, &note.value, err) < 0)
            return -1;
        struct safetensors_note *notes = (struct safetensors_note *)arena_grow(
            r->arena, h->notes, &r->note_capacity, h->note_count + 1, sizeof note);
        int put = notes ? strmap_put(&keys, note.key, (uint32_t)h->note_count) : -1;
        if (put < 0)
            return err_set(err, ERR_NO_MEMORY, "%s: its metadata needs too much memory",
                           r->scan.file);
        if (put == 0)
            return json_scan_fail(&r->scan, err, "a key of %s stands twice", METADATA);
        h->notes = notes;
        h->notes[h->note_count++] = note;
    }
    return more;
}

static int read_entry(struct reading *r, const char *name, struct err *err) {
    struct safetensors_header *h = r->header;
    if (check_name(r, name, err) < 0)
        return -1;
    if (h->count == LIMIT_TENSORS) {
        err_set(err, ERR_TOO_LARGE, "%s: more than %d tensors", r->scan.file, LIMIT_TENSORS);
        return err_at_file(err, r->scan.file, r->scan.base_offset + r->scan.at);
    }
    struct safetensors_entry *entries = (struct safetensors_entry *)arena_grow(
        r->arena, h->entries, &r->entry_capacity, h->count + 1, sizeof *entries);
    int put = entries ? strmap_put(&r->names, name, (uint32_t)h->count) : -1;
    if (put < 0)
        return err_set(err, ERR_NO_MEMORY, "%s: its header needs too much memory", r->scan.file);
    if (put == 0)
        return json_scan_fail(&r->scan, err, "the tensor's name stands twice");
    h->entries = entries;
    struct safetensors_entry *e = &entries[h->count];
    *e = (struct safetensors_entry){.name = name};
    if (read_fields(r, e, err) < 0 || check_extent(r, e, err) < 0)
        return -1;
    h->count++;
    return 0;
}

static int read_fields(struct reading *r, struct safetensors_entry *e, struct err *err) {
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4, ALL = 7 };
    unsigned seen = 0, bit;
    const char *key;
    int more;
    if (json_scan_enter(&r->scan, '{', err) < 0)
        return -1;
    while ((more = json_scan_member(&r->scan, r->arena, &key, err)) == 1) {
        const char *dtype;
        bit = strcmp(key, "dtype") == 0          ? DTYPE
              : strcmp(key, "shape") == 0        ? SHAPE
              : strcmp(key, "data_offsets") == 0 ? OFFSETS
                                                 : 0;
        if (bit == 0)
            return json_scan_fail(&r->scan, err, "the tensor has an unknown field");
        if (seen & bit)
            return json_scan_fail(&r->scan, err, "the tensor's %s stands twice", key);
        seen |= bit;
        if (bit == DTYPE) {
            if (json_scan_string(&r->scan, r->arena, &dtype, err) < 0)
                return -1;
            e->dtype = dtype_by_safetensors(dtype);
            if (e->dtype == DTYPE_NONE) {
                err_set(err, ERR_UNSUPPORTED, "%s: dtype \"%.32s\" is not known at offset %zu",
                        r->scan.file, dtype, (size_t)(r->scan.base_offset + r->scan.at));
                return err_at_file(err, r->scan.file, r->scan.base_offset + r->scan.at);
            }
        } else if ((bit == SHAPE ? read_shape(r, e, err) : read_offsets(r, e, err)) < 0)
            return -1;
    }
    if (more < 0)
        return -1;
    if (seen != ALL)
        return json_scan_fail(&r->scan, err, "the tensor has no %s",
                              !(seen & DTYPE)   ? "dtype"
                              : !(seen & SHAPE) ? "shape"
                                                : "data_offsets");
    return 0;
}

static int read_shape(struct reading *r, struct safetensors_entry *e, struct err *err) {
    int more;
    if (json_scan_enter(&r->scan, '[', err) < 0)
        return -1;
    while ((more = json_scan_element(&r->scan, err)) == 1) {
        if (e->rank == LIMIT_RANK)
            return json_scan_fail(&r->scan, err, "the tensor has more than %d dimensions",
                                  LIMIT_RANK);
        if (json_scan_u64(&r->scan, &e->dims[e->rank++], err) < 0)
            return -1;
    }
    return more;
}

static int read_offsets(struct reading *r, struct safetensors_entry *e, struct err *err) {
    uint64_t *const to[] = {&e->begin, &e->end};
    int more;
    size_t n = 0;
    if (json_scan_enter(&r->scan, '[', err) < 0)
        return -1;
    while ((more = json_scan_element(&r->scan, err)) == 1) {
        if (n == 2)
            return json_scan_fail(&r->scan, err, "data_offsets has more than two numbers");
        if (json_scan_u64(&r->scan, to[n++], err) < 0)
            return -1;
    }
    if (more == 0 && n != 2)
        return json_scan_fail(&r->scan, err, "data_offsets has fewer than two numbers");
    return more;
}

static int check_name(struct reading *r, const char *name, struct err *err) {
    size_t len = strlen(name);
    if (len == 0 || len > LIMIT_TENSOR_NAME_BYTES)
        return json_scan_fail(&r->scan, err, "a tensor's name has %zu bytes; 1 to %d are allowed",
                              len, LIMIT_TENSOR_NAME_BYTES);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return json_scan_fail(&r->scan, err, "a tensor's name holds a control byte");
    return 0;
}

/* Shape x element size against the range, and the range against the data. */
static int check_extent(struct reading *r, const struct safetensors_entry *e, struct err *err) {
    uint64_t elements = 1, guard = 1, bytes;
    for (unsigned d = 0; d < e->rank; d++) {
        /* A zero must not hide an overflow of the others. */
        if (!mul_u64(guard, e->dims[d] ? e->dims[d] : 1, &guard) || guard > LIMIT_ELEMENTS)
            return json_scan_fail(&r->scan, err,
                                  "the tensor's shape overflows (more than %" PRIu64 " elements)",
                                  LIMIT_ELEMENTS);
        elements *= e->dims[d];
    }
    if (e->begin > e->end)
        return json_scan_fail(&r->scan, err,
                              "data_offsets [%" PRIu64 ", %" PRIu64 "] run backwards", e->begin,
                              e->end);
    if (e->end > r->data_bytes)
        return json_scan_fail(&r->scan, err,
                              "data_offsets [%" PRIu64 ", %" PRIu64
                              "] lie past the end of the data (%" PRIu64 " bytes)",
                              e->begin, e->end, r->data_bytes);
    bytes = elements * dtype_row(e->dtype)->bytes; /* 2^48 x 8 fits */
    if (e->end - e->begin != bytes)
        return json_scan_fail(&r->scan, err,
                              "data_offsets [%" PRIu64 ", %" PRIu64 "] hold %" PRIu64
                              " bytes, shape and dtype need %" PRIu64,
                              e->begin, e->end, e->end - e->begin, bytes);
    return 0;
}

static int check_tiling(struct reading *r, struct err *err) {
    struct safetensors_header *h = r->header;
    if (h->count > 1)
        qsort(h->entries, h->count, sizeof *h->entries, by_offset);
    uint64_t at = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct safetensors_entry *e = &h->entries[i];
        if (e->begin != at) {
            err_set(err, ERR_BAD_MODEL,
                    "%s: %s at offset %" PRIu64 ": data_offsets begin at %" PRIu64
                    ", the tensors before end at %" PRIu64,
                    r->scan.file,
                    e->begin > at ? "a gap before the tensor" : "the tensor overlaps another",
                    h->data_offset + (e->begin > at ? at : e->begin), e->begin, at);
            err_at_file(err, r->scan.file, h->data_offset + (e->begin > at ? at : e->begin));
            return err_at_tensor(err, e->name);
        }
        at = e->end;
    }
    if (at != r->data_bytes) {
        err_set(err, ERR_BAD_MODEL,
                "%s: %" PRIu64 " bytes at offset %" PRIu64 " belong to no tensor", r->scan.file,
                r->data_bytes - at, h->data_offset + at);
        return err_at_file(err, r->scan.file, h->data_offset + at);
    }
    return 0;
}

static int by_offset(const void *a, const void *b) {
    const struct safetensors_entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}
