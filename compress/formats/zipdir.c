/*
 * Reading a zip directory from its end: end record, zip64 record if the end record says so, central
 * directory, and then every local header, because only that tells where the data starts. Last, the
 * entries are sorted by place and must not overlap.
 */
#include "compress/formats/zipdir.h"

#include "compress/base/bytes.h"
#include "compress/base/limits.h"
#include "compress/base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL_BYTES 30
#define CENTRAL_BYTES 46
#define END_BYTES 22
#define END64_BYTES 56
#define LOCATOR64_BYTES 20
#define COMMENT_BYTES_MAX 65535
#define NAME_BYTES_MAX 4096 /* longest path torch could be given */

#define METHOD_STORED 0
#define METHOD_DEFLATED 8
/* A pair of 258 bytes in two bits: no deflated byte stands for more. */
#define DEFLATE_RATIO_MAX 1032

#define FLAG_ENCRYPTED 0x0001
#define FLAG_PATCHED 0x0020
#define FLAG_STRONG_ENCRYPTION 0x0040
#define FLAG_MASKED_HEADERS 0x2000

/* Where the central directory stands. */
struct central {
    uint64_t count;
    uint64_t offset;
    uint64_t bytes;
    uint64_t end; /* of everything that may hold entries: the first end record's offset */
};

/* One entry on its way from the central directory to its local header. */
struct place {
    uint64_t start; /* of the local header */
    uint64_t end;   /* of the data */
};

static int find_end(struct source *source, struct central *ret, struct err *err);
static int read_central(struct source *source, const struct central *central, struct arena *arena,
                        struct zipdir *dir, struct place *places, struct err *err);
static int read_local(struct source *source, const struct central *central,
                      struct zipdir_entry *entry, struct place *place, char *scratch,
                      struct err *err);
static int check_overlap(const struct source *source, struct place *places, size_t count,
                         struct err *err);

static int __attribute__((format(printf, 5, 6)))
refuse(const struct source *source, uint64_t offset, enum err_code code, struct err *err,
       const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(err, code, "%s", text);
    return err_at_file(err, source->path, offset);
}

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the zip directory needs more memory than is allowed");
}

int zipdir_read(struct source *source, struct arena *arena, struct zipdir *ret, struct err *err) {
    struct central central = {0};
    struct zipdir dir = {0};
    int status = -1;
    if (find_end(source, &central, err) < 0)
        return -1;
    struct place *places = calloc(central.count ? central.count : 1, sizeof *places);
    char *scratch = malloc(LOCAL_BYTES + NAME_BYTES_MAX);
    dir.entries = ARENA_ARRAY(arena, struct zipdir_entry, central.count);
    strmap_init(&dir.names, arena);
    if (!places || !scratch || !dir.entries) {
        no_memory(err);
        goto out;
    }
    if (read_central(source, &central, arena, &dir, places, err) < 0)
        goto out;
    for (size_t i = 0; i < dir.count; i++)
        if (read_local(source, &central, &dir.entries[i], &places[i], scratch, err) < 0)
            goto out;
    if (check_overlap(source, places, dir.count, err) < 0)
        goto out;
    *ret = dir;
    status = 0;
out:
    free(places);
    free(scratch);
    return status;
}

int zipdir_check_stored(const struct source *source, const struct zipdir *dir, const char *advice,
                        struct err *err) {
    for (size_t i = 0; i < dir->count; i++)
        if (dir->entries[i].deflated)
            return refuse(source, dir->entries[i].offset, ERR_UNSUPPORTED, err,
                          "the zip entry \"%s\" is compressed; %s", dir->entries[i].name, advice);
    return 0;
}

const struct zipdir_entry *zipdir_find(const struct zipdir *dir, const char *name) {
    uint32_t i = strmap_get(&dir->names, name);
    return i == STRMAP_NONE ? NULL : &dir->entries[i];
}

/* The zip64 end record, when a locator stands right before the end record. Replaces what the end
 * record could not say. */
static int read_end64(struct source *source, uint64_t end_at, struct central *ret,
                      struct err *err) {
    uint8_t raw[END64_BYTES];
    if (end_at < LOCATOR64_BYTES)
        return 0;
    uint64_t locator_at = end_at - LOCATOR64_BYTES;
    if (source_read(source, locator_at, raw, LOCATOR64_BYTES, err) < 0)
        return -1;
    if (memcmp(raw, "PK\6\7", 4) != 0)
        return 0;
    if (load_u32(raw + 4) != 0 || load_u32(raw + 16) > 1)
        return refuse(source, locator_at, ERR_UNSUPPORTED, err, "a zip of several volumes");
    uint64_t at = load_u64(raw + 8);
    if (at > locator_at || locator_at - at < END64_BYTES)
        return refuse(source, locator_at, ERR_BAD_MODEL, err,
                      "the zip64 end record lies outside the file");
    if (source_read(source, at, raw, END64_BYTES, err) < 0)
        return -1;
    if (memcmp(raw, "PK\6\6", 4) != 0 || load_u64(raw + 4) != locator_at - at - 12)
        return refuse(source, at, ERR_BAD_MODEL, err, "the zip64 end record is damaged");
    if (load_u32(raw + 16) != 0 || load_u32(raw + 20) != 0 ||
        load_u64(raw + 24) != load_u64(raw + 32))
        return refuse(source, at, ERR_UNSUPPORTED, err, "a zip of several volumes");
    *ret = (struct central){.count = load_u64(raw + 32),
                            .bytes = load_u64(raw + 40),
                            .offset = load_u64(raw + 48),
                            .end = at};
    return 0;
}

/* The end record stands at the very end, before a comment whose length it states. */
static int find_end(struct source *source, struct central *ret, struct err *err) {
    uint64_t size = source->bytes;
    if (size < END_BYTES)
        return refuse(source, 0, ERR_BAD_MODEL, err, "the zip archive is cut short");
    size_t tail = END_BYTES + COMMENT_BYTES_MAX;
    if (size < tail)
        tail = (size_t)size;
    uint8_t *buf = malloc(tail);
    if (!buf)
        return no_memory(err);
    if (source_read(source, size - tail, buf, tail, err) < 0) {
        free(buf);
        return -1;
    }
    size_t at = tail - END_BYTES;
    while (memcmp(buf + at, "PK\5\6", 4) != 0 || load_u16(buf + at + 20) != tail - at - END_BYTES) {
        if (at == 0) {
            free(buf);
            return refuse(source, size, ERR_BAD_MODEL, err,
                          "the zip archive has no end record: it is cut short");
        }
        at--;
    }
    const uint8_t *end = buf + at;
    uint64_t end_at = size - tail + at;
    bool volumes =
        load_u16(end + 4) != load_u16(end + 6) || load_u16(end + 8) != load_u16(end + 10);
    struct central central = {.count = load_u16(end + 10),
                              .bytes = load_u32(end + 12),
                              .offset = load_u32(end + 16),
                              .end = end_at};
    free(buf);
    if (volumes)
        return refuse(source, end_at, ERR_UNSUPPORTED, err, "a zip of several volumes");
    if (read_end64(source, end_at, &central, err) < 0)
        return -1;
    if (central.bytes > central.end || central.offset != central.end - central.bytes)
        return refuse(source, end_at, ERR_BAD_MODEL, err,
                      "the zip directory does not end where its end record starts");
    if (central.count > central.bytes / CENTRAL_BYTES)
        return refuse(source, end_at, ERR_BAD_MODEL, err,
                      "the zip claims %" PRIu64 " entries in a directory of %" PRIu64 " bytes",
                      central.count, central.bytes);
    if (central.count > LIMIT_ZIP_ENTRIES)
        return refuse(source, end_at, ERR_TOO_LARGE, err,
                      "the zip holds %" PRIu64 " entries; at most %d are allowed", central.count,
                      LIMIT_ZIP_ENTRIES);
    *ret = central;
    return 0;
}

/* The zip64 extra field: present values in this order, each only if its 32-bit place is all ones.
 */
static int read_extra64(struct bytes extra, struct zipdir_entry *entry, uint64_t *start) {
    struct cursor c = cursor_over(extra.at, extra.len, 0);
    while (c.left >= 4) {
        uint16_t id = cursor_u16(&c);
        struct bytes field = cursor_take(&c, cursor_u16(&c));
        if (c.failed)
            return -1;
        if (id != 1)
            continue;
        struct cursor f = cursor_over(field.at, field.len, 0);
        if (entry->bytes == UINT32_MAX)
            entry->bytes = cursor_u64(&f);
        if (entry->packed_bytes == UINT32_MAX)
            entry->packed_bytes = cursor_u64(&f);
        if (*start == UINT32_MAX)
            *start = cursor_u64(&f);
        return f.failed ? -1 : 0;
    }
    return 0;
}

static int add_name(struct bytes raw, uint64_t at, const struct source *source, struct arena *arena,
                    struct zipdir *dir, struct zipdir_entry *entry, struct err *err) {
    bool good = raw.len > 0 && raw.len <= NAME_BYTES_MAX && utf8_valid(raw.at, raw.len);
    for (size_t i = 0; good && i < raw.len; i++)
        good = raw.at[i] >= 0x20 && raw.at[i] != 0x7f;
    if (!good)
        return refuse(source, at, ERR_BAD_MODEL, err,
                      "the name of a zip entry is empty, too long or not plain text");
    entry->name = arena_strndup(arena, (const char *)raw.at, raw.len);
    int fresh = entry->name ? strmap_put(&dir->names, entry->name, (uint32_t)dir->count) : -1;
    if (fresh < 0)
        return no_memory(err);
    if (fresh == 0)
        return refuse(source, at, ERR_BAD_MODEL, err, "the zip holds two entries named \"%s\"",
                      entry->name);
    return 0;
}

static int check_method(const struct source *source, uint64_t at, uint16_t flags, uint16_t method,
                        const char *name, struct err *err) {
    if (flags & (FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED_HEADERS | FLAG_PATCHED))
        return refuse(source, at, ERR_UNSUPPORTED, err, "the zip entry \"%s\" is encrypted", name);
    if (method != METHOD_STORED && method != METHOD_DEFLATED)
        return refuse(source, at, ERR_UNSUPPORTED, err,
                      "the zip entry \"%s\" is compressed by method %u; stored and deflated "
                      "entries are read",
                      name, method);
    return 0;
}

static int read_central_entry(struct cursor *c, const struct source *source, struct arena *arena,
                              struct zipdir *dir, struct place *place, struct err *err) {
    struct zipdir_entry *entry = &dir->entries[dir->count];
    uint64_t at = c->offset;
    struct bytes raw = cursor_take(c, CENTRAL_BYTES);
    if (c->failed || memcmp(raw.at, "PK\1\2", 4) != 0)
        return refuse(source, at, ERR_BAD_MODEL, err, "the zip directory is damaged");
    entry->crc = load_u32(raw.at + 16);
    entry->packed_bytes = load_u32(raw.at + 20);
    entry->bytes = load_u32(raw.at + 24);
    place->start = load_u32(raw.at + 42);
    struct bytes name = cursor_take(c, load_u16(raw.at + 28));
    struct bytes extra = cursor_take(c, load_u16(raw.at + 30));
    cursor_take(c, load_u16(raw.at + 32));
    if (c->failed || read_extra64(extra, entry, &place->start) < 0)
        return refuse(source, at, ERR_BAD_MODEL, err, "the zip directory is damaged");
    if (add_name(name, at, source, arena, dir, entry, err) < 0 ||
        check_method(source, at, load_u16(raw.at + 8), load_u16(raw.at + 10), entry->name, err) < 0)
        return -1;
    entry->deflated = load_u16(raw.at + 10) == METHOD_DEFLATED;
    if (!entry->deflated && entry->packed_bytes != entry->bytes)
        return refuse(source, at, ERR_BAD_MODEL, err,
                      "the zip entry \"%s\" is stored, but its two sizes differ", entry->name);
    if (entry->deflated && entry->bytes / DEFLATE_RATIO_MAX > entry->packed_bytes)
        return refuse(source, at, ERR_BAD_MODEL, err,
                      "the zip entry \"%s\" claims more bytes than it can hold", entry->name);
    if (load_u16(raw.at + 34) != 0)
        return refuse(source, at, ERR_UNSUPPORTED, err, "a zip of several volumes");
    dir->count++;
    return 0;
}

static int read_central(struct source *source, const struct central *central, struct arena *arena,
                        struct zipdir *dir, struct place *places, struct err *err) {
    if (central->bytes > LIMIT_ZIP_ENTRIES * (uint64_t)512)
        return refuse(source, central->offset, ERR_TOO_LARGE, err,
                      "the zip directory is %" PRIu64 " bytes long", central->bytes);
    uint8_t *buf = malloc(central->bytes ? (size_t)central->bytes : 1);
    if (!buf)
        return no_memory(err);
    int status = source_read(source, central->offset, buf, (size_t)central->bytes, err);
    struct cursor c = cursor_over(buf, (size_t)central->bytes, central->offset);
    for (uint64_t i = 0; status == 0 && i < central->count; i++)
        status = read_central_entry(&c, source, arena, dir, &places[i], err);
    if (status == 0 && c.left != 0)
        status = refuse(source, c.offset, ERR_BAD_MODEL, err,
                        "%zu bytes follow the last entry of the zip directory", c.left);
    free(buf);
    return status;
}

static int read_local(struct source *source, const struct central *central,
                      struct zipdir_entry *entry, struct place *place, char *scratch,
                      struct err *err) {
    size_t name_len = strlen(entry->name);
    uint64_t left = place->start < central->offset ? central->offset - place->start : 0;
    if (left < LOCAL_BYTES + name_len)
        return refuse(source, place->start, ERR_BAD_MODEL, err,
                      "the zip entry \"%s\" starts outside the archive", entry->name);
    if (source_read(source, place->start, scratch, LOCAL_BYTES + name_len, err) < 0)
        return -1;
    uint64_t head = LOCAL_BYTES + name_len + load_u16(scratch + 28);
    if (memcmp(scratch, "PK\3\4", 4) != 0 || load_u16(scratch + 26) != name_len ||
        (load_u16(scratch + 8) == METHOD_DEFLATED) != entry->deflated ||
        memcmp(scratch + LOCAL_BYTES, entry->name, name_len) != 0)
        return refuse(source, place->start, ERR_BAD_MODEL, err,
                      "the local header of the zip entry \"%s\" says something else", entry->name);
    if (check_method(source, place->start, load_u16(scratch + 6), load_u16(scratch + 8),
                     entry->name, err) < 0)
        return -1;
    if (left < head || left - head < entry->packed_bytes)
        return refuse(source, place->start, ERR_BAD_MODEL, err,
                      "the zip entry \"%s\" of %" PRIu64 " bytes runs into the directory",
                      entry->name, entry->packed_bytes);
    entry->offset = place->start + head;
    place->end = entry->offset + entry->packed_bytes;
    return 0;
}

static int by_start(const void *a, const void *b) {
    const struct place *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static int check_overlap(const struct source *source, struct place *places, size_t count,
                         struct err *err) {
    qsort(places, count, sizeof *places, by_start);
    for (size_t i = 1; i < count; i++)
        if (places[i].start < places[i - 1].end)
            return refuse(source, places[i].start, ERR_BAD_MODEL, err, "two zip entries overlap");
    return 0;
}
