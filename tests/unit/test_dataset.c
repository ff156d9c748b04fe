/* Datasets: every container, what their arrays must have in common, samples read anywhere. */
#include "compress/exec/dataset.h"

#include "tests/support/check.h"
#include "tests/support/memfiles.h"
#include "tests/support/tinynpy.h"
#include "tests/support/tinyzip.h"

#include <stdlib.h>
#include <string.h>

struct opened {
    struct memfiles m;
    struct resolver *files;
    struct dataset *d;
    struct err err;
};

static int open_it(struct opened *o) {
    o->err = ERR_INIT;
    o->files = memfiles_resolver(&o->m);
    return dataset_open(o->files, &o->d, &o->err);
}

static void drop(struct opened *o) {
    dataset_free(o->d);
    resolver_close(o->files);
    memfiles_free(&o->m);
    *o = (struct opened){0};
}

static void refused(struct opened *o, enum err_code code, const char *says, const char *array) {
    CHECK(open_it(o) < 0);
    CHECK_HOLDS(o->err.text, says);
    CHECK_TEXT(o->err.tensor, array);
    CHECK_FAILS(-1, &o->err, code);
    drop(o);
}

static void add_npy(struct opened *o, const char *path, const char *descr, const char *shape,
                    const void *data, size_t len) {
    struct bytebuf b = {0};
    tinynpy(&b, descr, shape, data, len);
    memfiles_add(&o->m, path, b.at, b.len);
    bytebuf_free(&b);
}

static void named_arrays_of_an_npz(void **state) {
    static const float images[6] = {1, 2, 3, 4, 5, 6};
    static const int64_t label[3] = {7, 8, 9};
    static const uint8_t seen[3] = {0, 2, 1};
    struct opened o = {0};
    struct tinyzip z = {0};
    struct bytebuf b = {0};
    tinynpy(&b, "<f4", "(3, 2)", images, sizeof images);
    tinyzip_deflate(&z, "images.npy", b.at, b.len, 6);
    b.len = 0;
    tinynpy(&b, "<i8", "(3,)", label, sizeof label);
    tinyzip_add(&z, "label.npy", b.at, b.len);
    b.len = 0;
    tinynpy(&b, "|b1", "(3,)", seen, sizeof seen);
    tinyzip_add(&z, "seen.npy", b.at, b.len);
    tinyzip_end(&z, 0);
    memfiles_add(&o.m, "digits", z.b.at, z.b.len); /* known by its first bytes */
    o.m.lone = true;
    CHECK_OK(open_it(&o), &o.err);
    CHECK_INT(dataset_kind(o.d), DATASET_ARRAYS);
    CHECK_TEXT(dataset_kind_name(dataset_kind(o.d)), "arrays");
    CHECK_UINT(dataset_samples(o.d), 3);
    CHECK_UINT(dataset_bytes(o.d), z.b.len);
    CHECK(dataset_memory_bytes(o.d) < 200000); /* a decoder and little else */
    CHECK_UINT(dataset_array_count(o.d), 3);
    size_t i = dataset_find(o.d, "images");
    CHECK_UINT(i, 0);
    CHECK_UINT(dataset_find(o.d, "labels"), SIZE_MAX);
    const struct dataset_array *a = dataset_array(o.d, i);
    CHECK_TEXT(a->file, "digits");
    CHECK_INT(a->dtype, DTYPE_F32);
    CHECK_UINT(a->rank, 2);
    CHECK_UINT(a->sample_elements, 2);

    float back[4];
    int64_t ids[2];
    uint8_t flags[3];
    CHECK_OK(dataset_read(o.d, 0, 1, 2, back, &o.err), &o.err);
    CHECK_BYTES(back, images + 2, sizeof back);
    CHECK_OK(dataset_read(o.d, 0, 0, 1, back, &o.err), &o.err);
    CHECK_BYTES(back, images, 2 * sizeof *back);
    CHECK_OK(dataset_read(o.d, 1, 1, 2, ids, &o.err), &o.err);
    CHECK_INT(ids[1], 9);
    CHECK_OK(dataset_read(o.d, 2, 0, 3, flags, &o.err), &o.err);
    CHECK_BYTES(flags, "\0\1\1", 3);
    CHECK_FAILS(dataset_read(o.d, 0, 2, 2, back, &o.err), &o.err, ERR_BUG);
    drop(&o);
    bytebuf_free(&b);
    tinyzip_free(&z);
}

static void several_files_are_one_set(void **state) {
    static const uint8_t label[4] = {0, 1, 2, 3};
    struct opened o = {0};
    memfiles_model(&o.m, "a.safetensors", "x BF16 4x3\ny F32 4x1x2\n", NULL);
    memfiles_model(&o.m, "b.safetensors", "z F16 4x1\n", NULL);
    add_npy(&o, "sub/label.npy", "|u1", "(4,)", label, sizeof label);
    memfiles_text(&o.m, "README.md", "What this is.");
    CHECK_OK(open_it(&o), &o.err);
    CHECK_INT(dataset_kind(o.d), DATASET_ARRAYS);
    CHECK_UINT(dataset_array_count(o.d), 4);
    CHECK_UINT(dataset_samples(o.d), 4);
    CHECK(dataset_find(o.d, "label") != SIZE_MAX);
    CHECK_UINT(dataset_array(o.d, dataset_find(o.d, "y"))->rank, 3);
    drop(&o);
}

static void token_ids(void **state) {
    static const uint16_t ids[6] = {1, 2, 3, 4, 5, 6};
    static const struct {
        const char *descr, *shape;
        enum dataset_kind kind;
    } rows[] = {{"<u2", "(6,)", DATASET_TOKENS},  {"<u2", "(2, 3)", DATASET_TOKENS},
                {"<i4", "(3,)", DATASET_TOKENS},  {"<u2", "(2, 3, 1)", DATASET_ARRAYS},
                {"|u1", "(12,)", DATASET_ARRAYS}, {"<f2", "(6,)", DATASET_ARRAYS}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct opened o = {0};
        add_npy(&o, "text.npy", rows[i].descr, rows[i].shape, ids, sizeof ids);
        o.m.lone = i % 2;
        CHECK_OK(open_it(&o), &o.err);
        CHECK_INT(dataset_kind(o.d), rows[i].kind);
        CHECK_TEXT(dataset_array(o.d, 0)->name, "text");
        drop(&o);
    }
}

static void what_arrays_must_have_in_common(void **state) {
    static const float x[6] = {1, 2, 3, 4, 5, 6};
    struct opened o = {0};
    add_npy(&o, "x.npy", "<f4", "(3, 2)", x, 24);
    add_npy(&o, "y.npy", "<f4", "(2,)", x, 8);
    refused(&o, ERR_BAD_DATASET, "\"x\" holds 3 samples, \"y\" 2", "y");
    add_npy(&o, "x.npy", "<f4", "(3, 2)", x, 24);
    add_npy(&o, "more/x.npy", "<f4", "(3, 2)", x, 24);
    refused(&o, ERR_BAD_DATASET, "two arrays of the dataset are called \"x\"", "x");
    add_npy(&o, "x.npy", "<f4", "(0, 2)", x, 0);
    refused(&o, ERR_BAD_DATASET, "is empty: \"x\" holds no samples", "x");
    add_npy(&o, "x.npy", "<f4", "(2, 0)", x, 0);
    refused(&o, ERR_BAD_DATASET, "holds no elements", "x");
    add_npy(&o, "x.npy", "<f4", "()", x, 4);
    refused(&o, ERR_BAD_DATASET, "scalar", "x");
    add_npy(&o, "x.npy", "<c8", "(3,)", x, 24);
    refused(&o, ERR_UNSUPPORTED, "no input of a model takes c64", "x");
    memfiles_text(&o.m, "README.md", "Nothing here.");
    refused(&o, ERR_UNKNOWN_FORMAT, "no .npz, .safetensors or .npy", "");
    memfiles_text(&o.m, "data", "neither this nor that");
    o.m.lone = true;
    refused(&o, ERR_UNKNOWN_FORMAT, "neither", "");
    memfiles_add(&o.m, "x.safetensors", "\x64\0\0\0\0\0\0\0{}",
                 10); /* models have this reader, too */
    refused(&o, ERR_BAD_DATASET, "", "");
    struct tinyzip z = {0};
    tinyzip_end(&z, 0);
    memfiles_add(&o.m, "x.npz", z.b.at, z.b.len);
    refused(&o, ERR_BAD_DATASET, "no arrays", "");
    tinyzip_free(&z);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_arrays_of_an_npz),
        cmocka_unit_test(several_files_are_one_set),
        cmocka_unit_test(token_ids),
        cmocka_unit_test(what_arrays_must_have_in_common),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
