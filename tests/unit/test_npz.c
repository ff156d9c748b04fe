/* NPZ archives: arrays by name, stored and deflated; entries that are none. */
#include "compress/formats/npz.h"

#include "tests/support/check.h"
#include "tests/support/tinynpy.h"
#include "tests/support/tinyzip.h"

#include <string.h>

static int read_npz(const struct tinyzip *z, struct arena *arena, struct npz *ret,
                    struct err *err) {
    struct source *source = source_over_memory(z->b.at, z->b.len, "a.npz");
    int status = npz_read(source, arena, ret, err);
    source_close(source);
    return status;
}

static void arrays_by_name(void **state) {
    static const uint8_t ids[] = {1, 0, 2, 0, 3, 0};
    static const float images[6] = {1, 2, 3, 4, 5, 6};
    struct tinyzip z = {0};
    struct bytebuf a = {0}, b = {0};
    struct npz npz;
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 * MIB);
    tinynpy(&a, "<u2", "(3,)", ids, sizeof ids);
    tinynpy(&b, "<f4", "(3, 2)", images, sizeof images);
    tinyzip_add(&z, "label.npy", a.at, a.len);
    tinyzip_deflate(&z, "sub/images.npy", b.at, b.len, 6);
    tinyzip_end(&z, 1);
    CHECK_OK(read_npz(&z, arena, &npz, &err), &err);
    CHECK_UINT(npz.count, 2);
    CHECK_TEXT(npz.arrays[0].name, "label");
    CHECK_INT(npz.arrays[0].npy.dtype, DTYPE_U16);
    CHECK_TEXT(npz.arrays[1].name, "sub/images");
    CHECK_UINT(npz.arrays[1].npy.dims[1], 2);
    CHECK(npz.arrays[1].entry->deflated);

    float back[6];
    struct source *archive = source_over_memory(z.b.at, z.b.len, "a.npz"), *entry;
    CHECK_OK(zip_entry_open(archive, npz.arrays[1].entry, false, &entry, &err), &err);
    CHECK_OK(source_read(entry, npz.arrays[1].npy.data_offset, back, sizeof back, &err), &err);
    CHECK_BYTES(back, images, sizeof images);
    source_close(entry);
    source_close(archive);
    arena_free(arena);
    bytebuf_free(&a);
    bytebuf_free(&b);
    tinyzip_free(&z);
}

static void others_are_named(void **state) {
    struct tinyzip z = {0};
    struct npz npz;
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 * MIB);
    tinyzip_add(&z, "readme.txt", "hello", 5);
    tinyzip_end(&z, 0);
    CHECK(read_npz(&z, arena, &npz, &err) < 0);
    CHECK_TEXT(err.tensor, "readme.txt");
    CHECK_HOLDS(err.text, "no array NAME.npy");
    CHECK_FAILS(-1, &err, ERR_BAD_DATASET);
    tinyzip_free(&z);

    z = (struct tinyzip){0};
    tinyzip_add(&z, "x.npy", "no array at all", 15);
    tinyzip_end(&z, 0);
    CHECK(read_npz(&z, arena, &npz, &err) < 0);
    CHECK_TEXT(err.tensor, "x.npy");
    CHECK_TEXT(err.file, "a.npz");
    CHECK_FAILS(-1, &err, ERR_BAD_DATASET);
    tinyzip_free(&z);
    arena_free(arena);
}

static void little_memory(void **state) {
    struct tinyzip z = {0};
    struct bytebuf a = {0};
    struct npz npz;
    struct err err = ERR_INIT;
    tinynpy(&a, "|u1", "(3,)", "abc", 3);
    tinyzip_add(&z, "a.npy", a.at, a.len);
    tinyzip_end(&z, 0);
    int status = -1, failures = 0;
    for (size_t cap = 64; status < 0; cap += 64, failures++) {
        struct arena *arena = arena_new(cap);
        status = read_npz(&z, arena, &npz, &err);
        if (status < 0)
            CHECK_FAILS(status, &err, ERR_NO_MEMORY);
        arena_free(arena);
    }
    CHECK(failures > 2);
    bytebuf_free(&a);
    tinyzip_free(&z);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_by_name),
        cmocka_unit_test(others_are_named),
        cmocka_unit_test(little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
