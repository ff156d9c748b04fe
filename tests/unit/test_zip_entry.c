/* Entries of a zip as sources: stored and deflated, read in any order. */
#include "compress/formats/zip_entry.h"

#include "compress/base/limits.h"
#include "tests/support/check.h"
#include "tests/support/tinyzip.h"

#include <stdlib.h>
#include <string.h>

struct opened {
    struct tinyzip z;
    struct arena *arena;
    struct source *archive, *entry;
    struct zipdir dir;
    bool keep;
    struct err err;
};

static void open_last(struct opened *o) {
    tinyzip_end(&o->z, 0);
    o->err = ERR_INIT;
    o->arena = arena_new(1 * MIB);
    o->archive = source_over_memory(o->z.b.at, o->z.b.len, "a.npz");
    CHECK_OK(zipdir_read(o->archive, o->arena, &o->dir, &o->err), &o->err);
    CHECK_OK(
        zip_entry_open(o->archive, &o->dir.entries[o->dir.count - 1], o->keep, &o->entry, &o->err),
        &o->err);
}

static void drop(struct opened *o) {
    source_close(o->entry);
    source_close(o->archive);
    arena_free(o->arena);
    tinyzip_free(&o->z);
    *o = (struct opened){0};
}

/* Compressible, but not without end: words of a small alphabet. */
static uint8_t *content(size_t len) {
    uint8_t *data = malloc(len);
    uint32_t state = 1;
    CHECK(data != NULL);
    for (size_t i = 0; i < len; i++) {
        state = state * 1664525 + 1013904223;
        data[i] = (uint8_t)(state >> 28 | (i >> 12 & 0xf0));
    }
    return data;
}

static void stored_is_a_window(void **state) {
    struct opened o = {0};
    char buf[8];
    tinyzip_add(&o.z, "first", "xxxx", 4);
    tinyzip_add(&o.z, "second", "weights", 7);
    open_last(&o);
    CHECK_UINT(o.entry->bytes, 7);
    CHECK_TEXT(o.entry->path, "a.npz");
    CHECK_OK(source_read(o.entry, 2, buf, 5, &o.err), &o.err);
    CHECK_BYTES(buf, "ights", 5);
    source_will_need(o.entry, 0, 7);
    source_done(o.entry, 0, 7);
    CHECK_FAILS(source_read(o.entry, 3, buf, 5, &o.err), &o.err, ERR_BAD_MODEL);
    drop(&o);
}

/* Large enough for several starting points. */
static void deflated_reads_anywhere(void **state) {
    size_t len = 6 * MIB + 12345;
    uint8_t *data = content(len), *buf = malloc(len);
    CHECK(buf != NULL);
    for (int level = 1; level <= 9; level += 4) {
        struct opened o = {.keep = level == 5};
        tinyzip_deflate(&o.z, "data", data, len, level);
        CHECK(o.z.entries[0].packed < len);
        open_last(&o);
        CHECK_OK(source_read(o.entry, 0, buf, len, &o.err), &o.err);
        CHECK_BYTES(buf, data, len);
        uint32_t random = 7;
        for (int i = 0; i < 200; i++) {
            random = random * 1664525 + 1013904223;
            size_t at = (size_t)random % len, n = (random >> 7) % 5000;
            if (n > len - at)
                n = len - at;
            CHECK_OK(source_read(o.entry, at, buf, n, &o.err), &o.err);
            CHECK_BYTES(buf, data + at, n);
        }
        drop(&o);

        /* Never read from the front: points come up on the way. */
        o.keep = level == 5;
        tinyzip_deflate(&o.z, "data", data, len, level);
        open_last(&o);
        for (size_t at = len - 1000; at > 700000; at -= 700000) {
            CHECK_OK(source_read(o.entry, at, buf, 1000, &o.err), &o.err);
            CHECK_BYTES(buf, data + at, 1000);
        }
        drop(&o);
    }
    free(buf);
    free(data);
}

static void find_damage(bool keep) {
    size_t len = 300000;
    uint8_t *data = content(len), *buf = malloc(len);
    CHECK(buf != NULL);
    struct opened o = {.keep = keep};
    tinyzip_deflate(&o.z, "data", data, len, 6);
    open_last(&o);
    uint64_t most = zip_entry_memory_bytes(&o.dir.entries[0], keep);
    CHECK(keep ? most > len : most < len);

    /* More is stated than there is, */
    struct zipdir_entry entry = o.dir.entries[0];
    struct source *longer;
    entry.bytes = len + 1;
    CHECK_OK(zip_entry_open(o.archive, &entry, keep, &longer, &o.err), &o.err);
    CHECK_OK(source_read(longer, len - 10, buf, 10, &o.err), &o.err);
    CHECK_FAILS(source_read(longer, len, buf, 1, &o.err), &o.err, ERR_BAD_MODEL);
    if (keep) { /* all of it is wanted, then */
        CHECK_FAILS(source_read(longer, 0, buf, 10, &o.err), &o.err, ERR_BAD_MODEL);
    } else {
        CHECK_OK(source_read(longer, 0, buf, 10, &o.err), &o.err); /* and it still reads */
        CHECK_BYTES(buf, data, 10);
    }
    source_close(longer);

    /* or it ends in the middle, */
    entry = o.dir.entries[0];
    entry.packed_bytes /= 2;
    CHECK_OK(zip_entry_open(o.archive, &entry, keep, &longer, &o.err), &o.err);
    CHECK(source_read(longer, 0, buf, len, &o.err) < 0);
    CHECK_HOLDS(o.err.text, "is cut short");
    CHECK_TEXT(o.err.file, "a.npz");
    CHECK_FAILS(-1, &o.err, ERR_BAD_MODEL);
    source_close(longer);

    /* or it is not deflated at all. */
    memset(o.z.b.at + o.dir.entries[0].offset, 0xff, 100);
    CHECK_FAILS(source_read(o.entry, 0, buf, len, &o.err), &o.err, ERR_BAD_MODEL);
    drop(&o);
    free(buf);
    free(data);
}

/* All input is consumed before all output is given: the end is no cut. */
static void output_is_held_back(void **state) {
    struct opened o = {0};
    static const char zeros[4000];
    char buf[sizeof zeros];
    tinyzip_deflate(&o.z, "data", zeros, sizeof zeros, 9);
    open_last(&o);
    memset(buf, 1, sizeof buf);
    for (size_t at = 0; at < sizeof zeros; at++)
        CHECK_OK(source_read(o.entry, at, buf + at, 1, &o.err), &o.err);
    CHECK_BYTES(buf, zeros, sizeof zeros);
    drop(&o);
}

static void damage_is_found(void **state) {
    find_damage(false);
    find_damage(true);
}

/* A flipped bit that deflate does not see, or that nothing packs. */
static void the_sum_is_checked(void **state) {
    size_t len = 300000;
    uint8_t *data = content(len), *buf = malloc(len);
    CHECK(buf != NULL);
    for (int kind = 0; kind < 3; kind++) { /* stored, deflated, deflated and kept */
        struct opened o = {.keep = kind == 2};
        tinyzip_add(&o.z, "other", "x", 1);
        if (kind)
            tinyzip_deflate(&o.z, "data", data, len, 6);
        else
            tinyzip_add(&o.z, "data", data, len);
        o.z.entries[1].crc ^= 1;
        open_last(&o);
        CHECK_OK(source_read(o.entry, 0, buf, len - 1, &o.err), &o.err);
        if (!o.keep) /* going back would read all of it */
            CHECK_OK(source_read(o.entry, 100, buf, len / 2, &o.err), &o.err);
        CHECK(source_read(o.entry, len - 1, buf, 1, &o.err) < 0);
        CHECK_HOLDS(o.err.text, "the archive's entry \"data\" is corrupt: its CRC-32 is ");
        CHECK_TEXT(o.err.file, "a.npz");
        CHECK_FAILS(-1, &o.err, ERR_BAD_MODEL);
        CHECK_FAILS(source_read(o.entry, 0, buf, 1, &o.err), &o.err, ERR_BAD_MODEL);
        drop(&o);
    }

    /* A header that was read elsewhere is made up for; a jump is not. */
    for (int gap = 0; gap < 2; gap++) {
        struct opened o = {0};
        size_t from = gap ? 200000 : 128;
        tinyzip_add(&o.z, "data", data, len);
        o.z.entries[0].crc ^= 1;
        open_last(&o);
        int result = source_read(o.entry, from, buf, len - from, &o.err);
        if (gap)
            CHECK_OK(result, &o.err);
        else
            CHECK_FAILS(result, &o.err, ERR_BAD_MODEL);
        drop(&o);
    }
    free(buf);
    free(data);
}

static void an_empty_entry(void **state) {
    struct opened o = {0};
    char byte;
    tinyzip_deflate(&o.z, "data", "", 0, 6);
    open_last(&o);
    CHECK_UINT(o.entry->bytes, 0);
    CHECK_OK(source_read(o.entry, 0, &byte, 0, &o.err), &o.err);
    CHECK_FAILS(source_read(o.entry, 0, &byte, 1, &o.err), &o.err, ERR_BAD_MODEL);
    drop(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_is_a_window), cmocka_unit_test(deflated_reads_anywhere),
        cmocka_unit_test(damage_is_found),    cmocka_unit_test(output_is_held_back),
        cmocka_unit_test(the_sum_is_checked), cmocka_unit_test(an_empty_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
