/* Zip directories: plain, zip64 and with a comment; and each way in which one can lie. */
#include "compress/formats/zipdir.h"

#include "compress/base/bytes.h"
#include "compress/base/limits.h"
#include "tests/support/check.h"
#include "tests/support/tinyzip.h"

#include <stdlib.h>
#include <string.h>

static int read_zip(const struct tinyzip *z, struct zipdir *ret, struct arena *arena,
                    struct err *err) {
    struct source *source = source_over_memory(z->b.at, z->b.len, "m.pt");
    int status = zipdir_read(source, arena, ret, err);
    source_close(source);
    return status;
}

static void build(struct tinyzip *z, int zip64) {
    tinyzip_add(z, "m/data.pkl", "pickle", 6);
    tinyzip_add(z, "m/data/0", "weights", 7);
    tinyzip_add(z, "m/empty", "", 0);
    tinyzip_end(z, zip64);
}

static void finds_entries(void **state) {
    for (int kind = 0; kind < 3; kind++) {
        struct tinyzip z = {0};
        struct zipdir dir;
        struct err err = ERR_INIT;
        struct arena *arena = arena_new(1 * MIB);
        build(&z, kind == 1);
        if (kind == 2) { /* with a comment that looks like an end record itself */
            store_u16(z.b.at + z.end + 20, 30);
            bytebuf_raw(&z.b, "PK\5\6 is how an archive ends here", 30);
        }
        CHECK_OK(read_zip(&z, &dir, arena, &err), &err);
        CHECK_UINT(dir.count, 3);
        for (size_t i = 0; i < dir.count; i++) {
            CHECK_TEXT(dir.entries[i].name, z.entries[i].name);
            CHECK_UINT(dir.entries[i].offset, z.entries[i].data);
            CHECK_UINT(dir.entries[i].bytes, z.entries[i].bytes);
        }
        CHECK(zipdir_find(&dir, "m/data/0") == &dir.entries[1]);
        CHECK(zipdir_find(&dir, "m/data/1") == NULL);
        arena_free(arena);
        tinyzip_free(&z);
    }
}

static void empty_archive(void **state) {
    struct tinyzip z = {0};
    struct zipdir dir;
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 * MIB);
    tinyzip_end(&z, 0);
    CHECK_OK(read_zip(&z, &dir, arena, &err), &err);
    CHECK_UINT(dir.count, 0);
    arena_free(arena);
    tinyzip_free(&z);
}

/* Each row spoils a good archive in one place. */
struct bad {
    const char *name;
    void (*spoil)(struct tinyzip *z);
    enum err_code code;
    const char *says;
    int zip64;
};

static uint8_t *central(struct tinyzip *z, size_t i) {
    return z->b.at + z->entries[i].central;
}
static uint8_t *local(struct tinyzip *z, size_t i) {
    return z->b.at + z->entries[i].local;
}
static uint8_t *end64(struct tinyzip *z) {
    return z->b.at + z->end - 20 - 56;
}

static void cut(struct tinyzip *z) {
    z->b.len -= 1;
}
static void cut_to_21(struct tinyzip *z) {
    z->b.len = 21;
}
static void trailing(struct tinyzip *z) {
    bytebuf_u8(&z->b, 0);
}
static void volume(struct tinyzip *z) {
    store_u16(z->b.at + z->end + 4, 1);
}
static void more_entries(struct tinyzip *z) {
    store_u16(z->b.at + z->end + 8, 4);
    store_u16(z->b.at + z->end + 10, 4);
}
static void fewer_entries(struct tinyzip *z) {
    store_u16(z->b.at + z->end + 8, 2);
    store_u16(z->b.at + z->end + 10, 2);
}
static void many_entries(struct tinyzip *z) {
    store_u16(z->b.at + z->end + 8, 60000);
    store_u16(z->b.at + z->end + 10, 60000);
}
static void directory_elsewhere(struct tinyzip *z) {
    store_u32(z->b.at + z->end + 16, 3);
}
static void directory_huge(struct tinyzip *z) {
    store_u32(z->b.at + z->end + 12, 0x7fffffff);
}
static void central_magic(struct tinyzip *z) {
    central(z, 1)[2] = 9;
}
static void name_nul(struct tinyzip *z) {
    central(z, 1)[46 + 1] = 0;
}
static void name_none(struct tinyzip *z) {
    store_u16(central(z, 2) + 28, 0);
    store_u16(central(z, 2) + 32, 7); /* the name is a comment now */
}
static void name_latin1(struct tinyzip *z) {
    central(z, 1)[46 + 1] = 0xe9;
}
static void name_past_end(struct tinyzip *z) {
    store_u16(central(z, 2) + 28, 60000);
}
static void name_twice(struct tinyzip *z) {
    memcpy(central(z, 2) + 46, "m/data/", 7);
    memcpy(central(z, 1) + 46, "m/data/", 7);
    store_u16(central(z, 1) + 28, 7);
    store_u16(central(z, 1) + 32, 1);
}
static void compressed(struct tinyzip *z) {
    store_u16(central(z, 1) + 10, 14);
}
static void deflated(struct tinyzip *z) {
    store_u16(central(z, 1) + 10, 8);
}
static void deflated_too_well(struct tinyzip *z) {
    deflated(z);
    store_u16(local(z, 1) + 8, 8);
    store_u32(central(z, 1) + 24, 8 * 1032);
}
static void deflated_locally(struct tinyzip *z) {
    store_u16(local(z, 1) + 8, 8);
}
static void encrypted(struct tinyzip *z) {
    store_u16(central(z, 1) + 8, 1);
}
static void sizes_differ(struct tinyzip *z) {
    store_u32(central(z, 1) + 20, 8);
}
static void entry_volume(struct tinyzip *z) {
    store_u16(central(z, 1) + 34, 1);
}
static void entry_outside(struct tinyzip *z) {
    store_u32(central(z, 1) + 42, 0x7fffffff);
}
static void entry_in_directory(struct tinyzip *z) {
    store_u32(central(z, 1) + 42, (uint32_t)z->entries[0].central);
}
static void entry_too_long(struct tinyzip *z) {
    store_u32(central(z, 1) + 20, 5000);
    store_u32(central(z, 1) + 24, 5000);
}
static void entries_overlap(struct tinyzip *z) {
    store_u32(central(z, 0) + 20, 20);
    store_u32(central(z, 0) + 24, 20);
}
static void same_place(struct tinyzip *z) {
    memcpy(central(z, 1) + 46, "m/dbta/0", 8);
    memcpy(local(z, 1) + 30, "m/dbta/0", 8);
    memcpy(central(z, 1) + 42, central(z, 0) + 42, 4);
}
static void local_magic(struct tinyzip *z) {
    local(z, 1)[3] = 9;
}
static void local_name(struct tinyzip *z) {
    local(z, 1)[30] = 'x';
}
static void local_extra(struct tinyzip *z) {
    store_u16(local(z, 2) + 28, 60000);
}
static void extra_cut(struct tinyzip *z) {
    store_u16(central(z, 1) + 46 + 8 + 2, 60000);
}
static void extra64_short(struct tinyzip *z) {
    store_u16(central(z, 1) + 46 + 8 + 7 + 2, 16);
}
static void entry64_huge(struct tinyzip *z) {
    store_u64(central(z, 1) + 46 + 8 + 7 + 4, UINT64_MAX);
    store_u64(central(z, 1) + 46 + 8 + 7 + 12, UINT64_MAX);
}
static void start64_huge(struct tinyzip *z) {
    store_u64(central(z, 1) + 46 + 8 + 7 + 20, UINT64_MAX - 3);
}
static void no_extra64(struct tinyzip *z) {
    store_u16(central(z, 1) + 46 + 8 + 7, 2);
}
static void locator_elsewhere(struct tinyzip *z) {
    store_u64(z->b.at + z->end - 12, UINT64_MAX);
}
static void locator_volume(struct tinyzip *z) {
    store_u32(z->b.at + z->end - 4, 2);
}
static void end64_magic(struct tinyzip *z) {
    end64(z)[3] = 9;
}
static void end64_volume(struct tinyzip *z) {
    store_u32(end64(z) + 16, 1);
}
static void end64_directory(struct tinyzip *z) {
    store_u64(end64(z) + 40, UINT64_MAX);
}
static void end64_entries(struct tinyzip *z) {
    store_u64(end64(z) + 24, UINT64_C(1) << 63);
    store_u64(end64(z) + 32, UINT64_C(1) << 63);
}

static const struct bad bad_zips[] = {
    {"cut", cut, ERR_BAD_MODEL, "no end record", 0},
    {"cut to 21 bytes", cut_to_21, ERR_BAD_MODEL, "cut short", 0},
    {"a byte behind the end", trailing, ERR_BAD_MODEL, "no end record", 0},
    {"two volumes", volume, ERR_UNSUPPORTED, "volumes", 0},
    {"one entry more", more_entries, ERR_BAD_MODEL, "4 entries", 0},
    {"one entry less", fewer_entries, ERR_BAD_MODEL, "follow the last entry", 0},
    {"60000 entries", many_entries, ERR_BAD_MODEL, "60000 entries", 0},
    {"directory elsewhere", directory_elsewhere, ERR_BAD_MODEL, "does not end where", 0},
    {"directory of 2 GB", directory_huge, ERR_BAD_MODEL, "does not end where", 0},
    {"directory entry's magic", central_magic, ERR_BAD_MODEL, "damaged", 0},
    {"NUL in a name", name_nul, ERR_BAD_MODEL, "not plain text", 0},
    {"no name", name_none, ERR_BAD_MODEL, "empty", 0},
    {"name in Latin-1", name_latin1, ERR_BAD_MODEL, "not plain text", 0},
    {"name past the end", name_past_end, ERR_BAD_MODEL, "damaged", 0},
    {"name twice", name_twice, ERR_BAD_MODEL, "two entries named", 0},
    {"compressed", compressed, ERR_UNSUPPORTED, "compressed by method 14", 0},
    {"deflated, says the directory", deflated, ERR_BAD_MODEL, "says something else", 0},
    {"deflated, says the local header", deflated_locally, ERR_BAD_MODEL, "says something else", 0},
    {"deflated too well", deflated_too_well, ERR_BAD_MODEL, "more bytes than it can hold", 0},
    {"encrypted", encrypted, ERR_UNSUPPORTED, "encrypted", 0},
    {"two sizes", sizes_differ, ERR_BAD_MODEL, "sizes differ", 0},
    {"entry on another volume", entry_volume, ERR_UNSUPPORTED, "volumes", 0},
    {"entry outside", entry_outside, ERR_BAD_MODEL, "starts outside", 0},
    {"entry in the directory", entry_in_directory, ERR_BAD_MODEL, "starts outside", 0},
    {"entry too long", entry_too_long, ERR_BAD_MODEL, "runs into the directory", 0},
    {"entries overlap", entries_overlap, ERR_BAD_MODEL, "overlap", 0},
    {"two entries in one place", same_place, ERR_BAD_MODEL, "something else", 0},
    {"local header's magic", local_magic, ERR_BAD_MODEL, "something else", 0},
    {"local header's name", local_name, ERR_BAD_MODEL, "something else", 0},
    {"local header's extra field", local_extra, ERR_BAD_MODEL, "runs into the directory", 0},
    {"extra field cut", extra_cut, ERR_BAD_MODEL, "damaged", 1},
    {"zip64 field too short", extra64_short, ERR_BAD_MODEL, "damaged", 1},
    {"entry of 2^64 bytes", entry64_huge, ERR_BAD_MODEL, "runs into the directory", 1},
    {"entry at 2^64", start64_huge, ERR_BAD_MODEL, "starts outside", 1},
    {"no zip64 field", no_extra64, ERR_BAD_MODEL, "starts outside", 1},
    {"zip64 record elsewhere", locator_elsewhere, ERR_BAD_MODEL, "outside the file", 1},
    {"zip64 volumes", locator_volume, ERR_UNSUPPORTED, "volumes", 1},
    {"zip64 record's magic", end64_magic, ERR_BAD_MODEL, "zip64 end record is damaged", 1},
    {"zip64 record's volume", end64_volume, ERR_UNSUPPORTED, "volumes", 1},
    {"zip64 directory of 2^64 bytes", end64_directory, ERR_BAD_MODEL, "does not end where", 1},
    {"2^63 entries", end64_entries, ERR_BAD_MODEL, "9223372036854775808 entries", 1},
};

static void bad_zips_are_refused(void **state) {
    for (size_t i = 0; i < sizeof bad_zips / sizeof bad_zips[0]; i++) {
        const struct bad *row = &bad_zips[i];
        struct tinyzip z = {0};
        struct zipdir dir;
        struct err err = ERR_INIT;
        struct arena *arena = arena_new(1 * MIB);
        build(&z, row->zip64);
        row->spoil(&z);
        if (read_zip(&z, &dir, arena, &err) == 0)
            fail_msg("%s: was accepted", row->name);
        if (err.code != row->code || !strstr(err.text, row->says) ||
            strcmp(err.file, "m.pt") != 0 || err.offset == ERR_NO_OFFSET)
            fail_msg("%s: %s at %s:%lld: %s", row->name, err_name(err.code), err.file,
                     (long long)err.offset, err.text);
        arena_free(arena);
        tinyzip_free(&z);
    }
}

/* No cut of an archive is taken for one. */
static void cut_anywhere(void **state) {
    for (int zip64 = 0; zip64 < 2; zip64++) {
        struct tinyzip z = {0};
        struct zipdir dir;
        struct err err = ERR_INIT;
        struct arena *arena = arena_new(16 * MIB);
        build(&z, zip64);
        for (z.b.len--; z.b.len > 0; z.b.len--)
            CHECK_FAILS(read_zip(&z, &dir, arena, &err), &err, ERR_BAD_MODEL);
        arena_free(arena);
        tinyzip_free(&z);
    }
}

static void little_memory(void **state) {
    struct tinyzip z = {0};
    struct zipdir dir;
    struct err err = ERR_INIT;
    build(&z, 0);
    int status = -1, failures = 0;
    for (size_t cap = 64; status < 0; cap += 64, failures++) {
        struct arena *arena = arena_new(cap);
        status = read_zip(&z, &dir, arena, &err);
        if (status < 0)
            CHECK_FAILS(status, &err, ERR_NO_MEMORY);
        arena_free(arena);
    }
    CHECK(failures > 2);
    tinyzip_free(&z);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_entries),        cmocka_unit_test(empty_archive),
        cmocka_unit_test(bad_zips_are_refused), cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
