/* Zip archives. See tinyzip.h. */
#include "tests/support/tinyzip.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define ALL_ONES UINT32_C(0xffffffff)

static void add(struct tinyzip *z, const char *name, unsigned method, const void *data,
                size_t packed, size_t len, uint32_t crc) {
    struct bytebuf *b = &z->b;
    assert(z->count < TINYZIP_ENTRIES);
    size_t i = z->count++, name_len = strlen(name);
    snprintf(z->entries[i].name, sizeof z->entries[i].name, "%s", name);
    z->entries[i].local = b->len;
    bytebuf_text(b, "PK\3\4");
    bytebuf_u16(b, 0);      /* version */
    bytebuf_u16(b, 0x0800); /* flags: UTF-8 */
    bytebuf_u16(b, (uint16_t)method);
    bytebuf_fill(b, 0, 4); /* time, date */
    bytebuf_u32(b, crc);
    bytebuf_u32(b, (uint32_t)packed);
    bytebuf_u32(b, (uint32_t)len);
    bytebuf_u16(b, (uint16_t)name_len);
    bytebuf_u16(b, 7); /* extra field */
    bytebuf_text(b, name);
    bytebuf_raw(b, "FB\3\0ZZZ", 7);
    z->entries[i].data = b->len;
    z->entries[i].bytes = len;
    z->entries[i].packed = packed;
    z->entries[i].method = method;
    z->entries[i].crc = crc;
    bytebuf_raw(b, data, packed);
}

void tinyzip_add(struct tinyzip *z, const char *name, const void *data, size_t len) {
    add(z, name, 0, data, len, len, (uint32_t)crc32_z(0, data, len));
}

void tinyzip_deflate(struct tinyzip *z, const char *name, const void *data, size_t len, int level) {
    z_stream stream = {0};
    int rc = deflateInit2(&stream, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    assert(rc == Z_OK);
    uLong room = deflateBound(&stream, len);
    Bytef *packed = malloc(room), *copy = malloc(len + 1);
    assert(packed && copy);
    memcpy(copy, data, len); /* zlib's input is not const everywhere */
    stream.next_in = copy;
    stream.avail_in = (uInt)len;
    stream.next_out = packed;
    stream.avail_out = (uInt)room;
    rc = deflate(&stream, Z_FINISH);
    assert(rc == Z_STREAM_END);
    (void)rc;
    add(z, name, 8, packed, stream.total_out, len, (uint32_t)crc32_z(0, data, len));
    deflateEnd(&stream);
    free(packed);
    free(copy);
}

static void put_central(struct tinyzip *z, size_t i, int zip64) {
    struct bytebuf *b = &z->b;
    uint32_t len = zip64 ? ALL_ONES : (uint32_t)z->entries[i].bytes;
    uint32_t packed = zip64 ? ALL_ONES : (uint32_t)z->entries[i].packed;
    z->entries[i].central = b->len;
    bytebuf_text(b, "PK\1\2");
    bytebuf_u32(b, 0);      /* versions */
    bytebuf_u16(b, 0x0800); /* flags */
    bytebuf_u16(b, (uint16_t)z->entries[i].method);
    bytebuf_fill(b, 0, 4); /* time, date */
    bytebuf_u32(b, z->entries[i].crc);
    bytebuf_u32(b, packed);
    bytebuf_u32(b, len);
    bytebuf_u16(b, (uint16_t)strlen(z->entries[i].name));
    bytebuf_u16(b, zip64 ? 4 + 3 + 4 + 24 : 0);
    bytebuf_u16(b, 0);     /* comment */
    bytebuf_u16(b, 0);     /* volume */
    bytebuf_fill(b, 0, 6); /* attributes */
    bytebuf_u32(b, zip64 ? ALL_ONES : (uint32_t)z->entries[i].local);
    bytebuf_text(b, z->entries[i].name);
    if (!zip64)
        return;
    bytebuf_raw(b, "FB\3\0ZZZ", 7); /* somebody else's field before ours */
    bytebuf_u16(b, 1);
    bytebuf_u16(b, 24);
    bytebuf_u64(b, z->entries[i].bytes);
    bytebuf_u64(b, z->entries[i].packed);
    bytebuf_u64(b, z->entries[i].local);
}

void tinyzip_end(struct tinyzip *z, int zip64) {
    struct bytebuf *b = &z->b;
    z->directory = b->len;
    for (size_t i = 0; i < z->count; i++)
        put_central(z, i, zip64);
    size_t bytes = b->len - z->directory, end64 = b->len;
    if (zip64) {
        bytebuf_text(b, "PK\6\6");
        bytebuf_u64(b, 44);
        bytebuf_u32(b, 0); /* versions */
        bytebuf_u64(b, 0); /* volumes */
        bytebuf_u64(b, z->count);
        bytebuf_u64(b, z->count);
        bytebuf_u64(b, bytes);
        bytebuf_u64(b, z->directory);
        bytebuf_text(b, "PK\6\7");
        bytebuf_u32(b, 0);
        bytebuf_u64(b, end64);
        bytebuf_u32(b, 1);
    }
    z->end = b->len;
    bytebuf_text(b, "PK\5\6");
    bytebuf_u32(b, 0); /* volumes */
    bytebuf_u16(b, zip64 ? 0xffff : (uint16_t)z->count);
    bytebuf_u16(b, zip64 ? 0xffff : (uint16_t)z->count);
    bytebuf_u32(b, zip64 ? ALL_ONES : (uint32_t)bytes);
    bytebuf_u32(b, zip64 ? ALL_ONES : (uint32_t)z->directory);
    bytebuf_u16(b, 0); /* comment */
}

void tinyzip_free(struct tinyzip *z) {
    bytebuf_free(&z->b);
}
