/* Batches: how arrays meet inputs, what does not fit, order, splits, resuming, token windows. */
#include "compress/exec/batches.h"

#include "compress/base/arena.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"
#include "tests/support/tinynpy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct joined {
    struct memfiles m;
    struct resolver *files;
    struct dataset *d;
    struct arena *arena;
    struct graph *graph;
    struct batches_options options;
    struct batches *b;
    struct err err;
};

/* dims: -1 is the symbol "batch", -2 "seq"; 0 ends. */
static struct value *add_input(struct joined *j, const char *name, enum dtype dtype,
                               const int *dims) {
    struct type type = {.dtype = dtype, .ranked = true};
    struct value *value;
    if (!j->arena) {
        j->arena = arena_new(1 * MIB);
        j->graph = graph_new(j->arena, NULL);
        j->err = ERR_INIT;
    }
    for (; dims[type.rank]; type.rank++)
        type.dims[type.rank] =
            dims[type.rank] > 0
                ? DIM(dims[type.rank])
                : (struct dim){
                      -1, symbols_get(j->graph->symbols, dims[type.rank] == -1 ? "batch" : "seq")};
    CHECK_OK(graph_add_input(j->graph, name, &type, &value, &j->err), &j->err);
    CHECK_OK(graph_add_output(j->graph, value, &j->err), &j->err); /* so that it is wanted */
    return value;
}
#define DIMS(...) ((const int[]){__VA_ARGS__, 0})

/* An output of that name. */
static void add_output(struct joined *j, const char *name, enum dtype dtype, const int *dims) {
    struct value *in = j->graph->inputs[0], *out;
    CHECK_OK(graph_add_value(j->graph, name, &out, &j->err), &j->err);
    struct node_spec spec = {.op_type = "Relu",
                             .domain = "",
                             .version = 14,
                             .in = &in,
                             .in_count = 1,
                             .out = &out,
                             .out_count = 1};
    struct node *node;
    CHECK_OK(graph_add_node(j->graph, NULL, &spec, &node, &j->err), &j->err);
    out->type = (struct type){.dtype = dtype, .ranked = true};
    for (; dims[out->type.rank]; out->type.rank++)
        out->type.dims[out->type.rank] =
            dims[out->type.rank] > 0 ? DIM(dims[out->type.rank])
                                     : (struct dim){-1, symbols_get(j->graph->symbols, "batch")};
    CHECK_OK(graph_add_output(j->graph, out, &j->err), &j->err);
}

static void add_npy(struct joined *j, const char *path, const char *descr, const char *shape,
                    const void *data, size_t len) {
    struct bytebuf b = {0};
    tinynpy(&b, descr, shape, data, len);
    memfiles_add(&j->m, path, b.at, b.len);
    bytebuf_free(&b);
}

static int join(struct joined *j) {
    if (!j->d) {
        j->files = memfiles_resolver(&j->m);
        CHECK_OK(dataset_open(j->files, &j->d, &j->err), &j->err);
    }
    batches_free(j->b);
    j->b = NULL;
    return batches_new(j->d, j->graph, &j->options, &j->b, &j->err);
}

static void drop(struct joined *j) {
    batches_free(j->b);
    dataset_free(j->d);
    resolver_close(j->files);
    memfiles_free(&j->m);
    arena_free(j->arena);
    *j = (struct joined){0};
}

static void refused(struct joined *j, enum err_code code, const char *says) {
    if (join(j) == 0)
        fail_msg("was accepted, wanted: %s", says);
    CHECK_HOLDS(j->err.text, says);
    CHECK_FAILS(-1, &j->err, code);
}

static uint64_t next(struct joined *j) {
    uint64_t count;
    CHECK_OK(batches_next(j->b, &count, &j->err), &j->err);
    return count;
}

/* Ten pictures of 1x2 bytes, classes and an output to meet; picture i holds i and 100 + i. */
static void digits(struct joined *j) {
    uint8_t images[20], label[10];
    float y[10];
    for (int i = 0; i < 10; i++) {
        images[2 * i] = (uint8_t)i;
        images[2 * i + 1] = (uint8_t)(100 + i);
        label[i] = (uint8_t)(i % 3);
        y[i] = (float)i / 2;
    }
    add_npy(j, "x.npy", "|u1", "(10, 1, 2)", images, sizeof images);
    add_npy(j, "label.npy", "|u1", "(10, 1)", label, sizeof label);
    add_npy(j, "y.npy", "<f4", "(10, 1)", y, sizeof y);
    add_npy(j, "extra.npy", "|u1", "(10,)", label, sizeof label);
}

static void names_meet(void **state) {
    struct joined j = {.options = {.batch = 4}};
    add_input(&j, "x", DTYPE_F32, DIMS(-1, 1, 2));
    add_output(&j, "y", DTYPE_F16, DIMS(-1, 1));
    digits(&j);
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(batches_field_count(j.b), 3);
    const struct batch_field *x = batches_field(j.b, 0), *y = batches_field(j.b, 1);
    const struct batch_field *label = batches_label(j.b);
    CHECK(x->role == BATCH_INPUT && x->value == j.graph->inputs[0]);
    CHECK(y->role == BATCH_TARGET && y->array.dtype == DTYPE_F32);
    CHECK_INT(label->array.dtype, DTYPE_I64);
    CHECK_UINT(label->array.rank, 1);
    CHECK_TEXT(batches_unused(j.b, 0), "extra");
    CHECK(batches_unused(j.b, 1) == NULL);
    CHECK_UINT(batches_samples(j.b), 10);
    CHECK_UINT(batches_per_epoch(j.b), 2);
    for (int round = 0; round < 2; round++)
        for (uint64_t k = 0; k < 2; k++) {
            CHECK_UINT(next(&j), 4);
            for (uint64_t i = 0; i < 4; i++) {
                CHECK_NUM(array_number(&x->array, 2 * i), (double)(4 * k + i), 0);
                CHECK_NUM(array_number(&x->array, 2 * i + 1), (double)(104 + 4 * k + i - 4), 0);
                CHECK_NUM(array_number(&y->array, i), (double)(4 * k + i) / 2, 0);
                CHECK_INT(array_int(&label->array, i), (int64_t)(4 * k + i) % 3);
            }
            if (k == 1)
                CHECK_UINT(next(&j), 0); /* two are left over */
        }
    j.options.keep_partial = true;
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(batches_per_epoch(j.b), 3);
    next(&j);
    next(&j);
    CHECK_UINT(next(&j), 2);
    CHECK_UINT(batches_field(j.b, 0)->array.dims[0], 2);
    CHECK_UINT(batches_field(j.b, 0)->array.elements, 4);
    CHECK_UINT(next(&j), 0);
    drop(&j);
}

static void a_fixed_batch_is_taken(void **state) {
    struct joined j = {0};
    add_input(&j, "x", DTYPE_U8, DIMS(5, 1, 2));
    digits(&j);
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(batches_size(j.b), 5);
    CHECK_UINT(next(&j), 5);
    CHECK_INT(array_int(&batches_field(j.b, 0)->array, 8), 4);
    j.options.batch = 4;
    refused(&j, ERR_MISFIT, "the input \"x\" is u8[5,1,2], a batch of the dataset is u8[4,1,2]");
    drop(&j);
}

static void what_does_not_fit_is_named(void **state) {
    struct joined j = {.options = {.batch = 2}};
    add_input(&j, "x", DTYPE_F32, DIMS(-1, 2));
    digits(&j);
    refused(&j, ERR_MISFIT,
            "the input \"x\" is f32[batch,2], a batch of the dataset is f32[2,1,2]");
    CHECK_TEXT(j.err.tensor, "");
    drop(&j);

    j.options.batch = 2;
    add_input(&j, "pixel_values", DTYPE_F32, DIMS(-1, 2));
    digits(&j);
    refused(
        &j, ERR_MISFIT,
        "no array of the dataset feeds the input \"pixel_values\"; it holds extra, label, x, y");
    drop(&j);

    j.options.batch = 2; /* "seq" cannot be two sizes */
    add_input(&j, "x", DTYPE_F32, DIMS(-1, -2, 2));
    add_input(&j, "y", DTYPE_F32, DIMS(-1, -2));
    digits(&j);
    CHECK_OK(join(&j), &j.err);
    drop(&j);
    add_input(&j, "x", DTYPE_F32, DIMS(-1, 1, -2));
    add_input(&j, "y", DTYPE_F32, DIMS(-1, -2));
    digits(&j);
    refused(&j, ERR_MISFIT,
            "the input \"y\" is f32[batch,seq], a batch of the dataset is f32[1,1]");
    drop(&j);

    add_input(&j, "y", DTYPE_I64, DIMS(-1, 1));
    digits(&j);
    refused(&j, ERR_MISFIT, "\"y\" wants i64, which the dataset's f32 does not become");
    drop(&j);
    int32_t ids[2] = {1, 2};
    add_input(&j, "x", DTYPE_F32, DIMS(-1));
    add_npy(&j, "x.npy", "<i4", "(2,)", ids, sizeof ids);
    memfiles_model(&j.m, "y.safetensors", "y F32 2x1\n", NULL);
    refused(&j, ERR_MISFIT, "\"x\" wants f32, which the dataset's i32 does not become");
    drop(&j);

    j.options = (struct batches_options){.batch = 4, .memory_bytes = 30};
    add_input(&j, "x", DTYPE_F32, DIMS(-1, 1, 2));
    digits(&j);
    refused(&j, ERR_OVER_BUDGET, "30 are allowed");
    j.options = (struct batches_options){.batch = 11};
    refused(&j, ERR_BAD_FIELD, "10 samples make no batch of 11");
    drop(&j);
}

static void values_out_of_range(void **state) {
    int32_t ids[3] = {1, 70000, 3};
    int64_t label[3] = {0, 5, -100};
    struct joined j = {.options = {.batch = 3, .classes = 6}};
    uint64_t count;
    add_input(&j, "ids", DTYPE_I16, DIMS(-1));
    add_npy(&j, "ids.npy", "<i4", "(3,)", ids, sizeof ids);
    add_npy(&j, "label.npy", "<i8", "(3,)", label, sizeof label);
    CHECK_OK(join(&j), &j.err);
    CHECK(batches_next(j.b, &count, &j.err) < 0);
    CHECK_HOLDS(j.err.text, "sample 1 of \"ids\" holds 70000, outside of -32768 to 32767: i16");
    CHECK_TEXT(j.err.tensor, "ids");
    CHECK_FAILS(-1, &j.err, ERR_BAD_DATASET);
    j.graph->inputs[0]->type.dtype = DTYPE_I64;
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(next(&j), 3);
    CHECK_INT(array_int(&batches_label(j.b)->array, 2), BATCHES_NO_LABEL);
    j.options.classes = 5;
    CHECK_OK(join(&j), &j.err);
    CHECK(batches_next(j.b, &count, &j.err) < 0);
    CHECK_HOLDS(j.err.text, "sample 1 of \"label\" holds 5, outside of 0 to 4");
    CHECK_FAILS(-1, &j.err, ERR_BAD_DATASET);
    drop(&j);
}

/* Bounds that come from a graph, and looking for them without running it. */
static void checked_beforehand(void **state) {
    static uint8_t x[200000];
    static int32_t label[100000];
    struct joined j = {.options = {.batch = 64, .keep_partial = true}};
    add_input(&j, "x", DTYPE_U8, DIMS(-1, 2));
    label[99999] = 3;
    add_npy(&j, "x.npy", "|u1", "(100000, 2)", x, sizeof x);
    add_npy(&j, "label.npy", "<i4", "(100000,)", label, sizeof label);
    CHECK_OK(join(&j), &j.err);
    CHECK_OK(batches_glance(j.b, &j.err), &j.err);
    batches_limit(j.b, 1, 0, 2, "three classes");
    batches_limit(j.b, 1, 0, 9, "wider bounds change nothing");
    CHECK(batches_glance(j.b, &j.err) < 0);
    CHECK_TEXT(j.err.text, "sample 99999 of \"label\" holds 3, outside of 0 to 2: three classes");
    CHECK_TEXT(j.err.tensor, "label");
    CHECK_FAILS(-1, &j.err, ERR_BAD_DATASET);
    struct progress_state at = {.stage = "check"};
    CHECK_FAILS(batches_check(j.b, NULL, &at, &j.err), &j.err, ERR_BAD_DATASET);
    CHECK_UINT(batches_state(j.b).position, 0); /* as if nothing had been read */

    /* Of samples in another order the glance reads only what it can read at once. */
    j.options.samples = 99999;
    CHECK_OK(join(&j), &j.err);
    batches_limit(j.b, 1, 0, 2, "three classes");
    int glance = batches_glance(j.b, &j.err);
    err_clear(&j.err);
    CHECK_INT(batches_check(j.b, NULL, &at, &j.err), glance);
    drop(&j);
}

/* What the tokens of a text may be does not bind what is made beside them. */
static void tokens_have_bounds(void **state) {
    static const uint16_t ids[11] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1};
    struct joined j = {.options = {.batch = 2, .window = 5}};
    add_input(&j, "input_ids", DTYPE_I64, DIMS(-1, -2));
    add_input(&j, "position_ids", DTYPE_I64, DIMS(-1, -2));
    add_npy(&j, "text.npy", "<u2", "(11,)", ids, sizeof ids);
    CHECK_OK(join(&j), &j.err);
    batches_limit(j.b, 0, 0, 8, "the rows of 'wte'");
    CHECK(batches_glance(j.b, &j.err) < 0);
    CHECK_TEXT(j.err.text, "token 9 of \"text\" is 9, outside of 0 to 8: the rows of 'wte'");
    err_clear(&j.err);
    CHECK_OK(join(&j), &j.err);
    batches_limit(j.b, 1, 0, 3, "the rows of 'wpe'");
    struct progress_state at = {.stage = "check"};
    CHECK(batches_check(j.b, NULL, &at, &j.err) < 0);
    CHECK_TEXT(j.err.text, "sample 0 of \"position_ids\" holds 4, outside of 0 to 3: the rows of "
                           "'wpe'");
    drop(&j);
}

static void not_a_number_is_found(void **state) {
    static float x[300], y[100];
    static uint16_t half[100];
    uint64_t count;
    for (int what = 0; what < 4; what++) {
        struct joined j = {.options = {.batch = 32, .keep_partial = true}};
        add_input(&j, "x", DTYPE_F32, DIMS(-1, 3));
        add_input(&j, "h", DTYPE_F32, DIMS(-1));
        add_output(&j, "y", DTYPE_F32, DIMS(-1));
        x[3 * 71 + 1] = what == 0 ? NAN : what == 1 ? INFINITY : 0;
        half[40] = what == 2 ? 0x7e00 : 0;
        y[9] = what == 3 ? -INFINITY : 0;
        add_npy(&j, "x.npy", "<f4", "(100, 3)", x, sizeof x);
        add_npy(&j, "h.npy", "<f2", "(100,)", half, sizeof half);
        add_npy(&j, "y.npy", "<f4", "(100,)", y, sizeof y);
        CHECK_OK(join(&j), &j.err);
        struct progress_state at = {.stage = "check"};
        int result = batches_check(j.b, NULL, &at, &j.err);
        if (what == 1) { /* masks are made of infinities */
            CHECK_OK(result, &j.err);
        } else {
            static const char *const says[] = {"sample 71 of \"x\" holds a NaN", "",
                                               "sample 40 of \"h\" holds a NaN",
                                               "sample 9 of \"y\" holds an infinity"};
            CHECK(result < 0);
            CHECK_TEXT(j.err.text, says[what]);
            CHECK_FAILS(-1, &j.err, ERR_BAD_DATASET);
            do
                result = batches_next(j.b, &count, &j.err);
            while (result == 0 && count);
            CHECK_FAILS(result, &j.err, ERR_BAD_DATASET);
        }
        drop(&j);
    }
}

/* Which samples an epoch gives, in order. */
static uint64_t epoch_of(struct joined *j, unsigned *ret) {
    uint64_t n = 0, count;
    while ((count = next(j)) > 0)
        for (uint64_t i = 0; i < count; i++)
            ret[n++] = (unsigned)array_int(&batches_field(j->b, 0)->array, 2 * i);
    return n;
}

static void splits_and_shuffles(void **state) {
    unsigned train[10], again[10], validation[10], plain[10];
    struct joined j = {.options = {.batch = 3,
                                   .keep_partial = true,
                                   .split = BATCHES_TRAIN,
                                   .train = 0.8,
                                   .validation = 0.2,
                                   .seed = 42,
                                   .shuffle = true}};
    add_input(&j, "x", DTYPE_U8, DIMS(-1, 1, 2));
    digits(&j);
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(epoch_of(&j, train), 8);
    CHECK_UINT(epoch_of(&j, again), 8);
    CHECK(memcmp(train, again, 8 * sizeof *train) != 0); /* epochs differ in order alone */
    j.options.split = BATCHES_VALIDATION;
    j.options.shuffle = false;
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(epoch_of(&j, validation), 2);
    unsigned seen = 0, seen_again = 0;
    for (int i = 0; i < 8; i++) {
        seen |= 1U << train[i];
        seen_again |= 1U << again[i];
    }
    CHECK_UINT(seen, seen_again);
    CHECK_UINT(seen | 1U << validation[0] | 1U << validation[1], 1023);

    j.options.split = BATCHES_ALL; /* a part of everything is drawn, too */
    j.options.samples = 4;
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(epoch_of(&j, plain), 4);
    CHECK(plain[0] != 0 || plain[1] != 1 || plain[2] != 2 || plain[3] != 3);

    j.options.split = BATCHES_TRAIN;
    j.options.train = 0.9;
    refused(&j, ERR_BAD_FIELD, "more than the set");
    j.options.train = 0.01;
    refused(&j, ERR_BAD_FIELD, "no sample of 10");
    drop(&j);
}

static void resumes_where_it_was(void **state) {
    unsigned whole[10], rest[10];
    struct joined j = {.options = {.batch = 2, .seed = 7, .shuffle = true}};
    add_input(&j, "x", DTYPE_U8, DIMS(-1, 1, 2));
    digits(&j);
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(epoch_of(&j, whole), 10);
    CHECK_UINT(epoch_of(&j, whole), 10); /* the second */
    CHECK_OK(join(&j), &j.err);
    struct batches_state at = {.seed = 7, .epoch = 1, .position = 6};
    CHECK_OK(batches_resume(j.b, &at, &j.err), &j.err);
    CHECK_UINT(epoch_of(&j, rest), 4);
    CHECK_BYTES(rest, whole + 6, 4 * sizeof *rest);
    at = batches_state(j.b);
    CHECK_UINT(at.epoch, 2);
    CHECK_UINT(at.position, 0);
    at.seed = 8;
    CHECK_FAILS(batches_resume(j.b, &at, &j.err), &j.err, ERR_BAD_FIELD);
    at = (struct batches_state){.seed = 7, .position = 11};
    CHECK_FAILS(batches_resume(j.b, &at, &j.err), &j.err, ERR_BAD_FIELD);
    drop(&j);
}

static void windows_of_a_text(void **state) {
    uint16_t ids[11];
    struct joined j = {.options = {.batch = 2, .window = 3}};
    for (int i = 0; i < 11; i++)
        ids[i] = (uint16_t)(50 + i);
    add_input(&j, "attention_mask", DTYPE_I64, DIMS(-1, -2));
    add_input(&j, "tokens", DTYPE_I64, DIMS(-1, -2)); /* the only other one of integers */
    add_input(&j, "position_ids", DTYPE_I32, DIMS(-1, -2));
    add_npy(&j, "text.npy", "<u2", "(11,)", ids, sizeof ids);
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(batches_samples(j.b), 3); /* 3 x 3 and the one after; the last token is left out */
    CHECK_UINT(batches_field_count(j.b), 4);
    CHECK_UINT(next(&j), 2);
    for (uint64_t i = 0; i < 6; i++) {
        CHECK_INT(array_int(&batches_field(j.b, 0)->array, i), 1);
        CHECK_INT(array_int(&batches_field(j.b, 1)->array, i), 50 + (int64_t)i);
        CHECK_INT(array_int(&batches_field(j.b, 2)->array, i), (int64_t)i % 3);
        CHECK_INT(array_int(&batches_label(j.b)->array, i), 51 + (int64_t)i);
    }
    j.options.window = 11;
    refused(&j, ERR_MISFIT, "holds no window of 11");
    j.options.window = 0;
    refused(&j, ERR_BAD_FIELD, "how many tokens");
    j.options = (struct batches_options){.window = 3, .classes = 52};
    CHECK_OK(join(&j), &j.err);
    uint64_t count;
    CHECK(batches_next(j.b, &count, &j.err) < 0);
    CHECK_HOLDS(j.err.text, "token 2 of \"text\" is 52, outside of 0 to 51");
    drop(&j);
}

static void rows_of_tokens(void **state) {
    static const int64_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const int64_t whole[8] = {2, 3, 4, -100, 6, 7, 8, -100}, shorter[6] = {2, 3, 4, 6, 7, 8};
    struct joined j = {.options = {.batch = 2}};
    add_input(&j, "input_ids", DTYPE_I32, DIMS(-1, -2));
    add_input(&j, "other", DTYPE_I64, DIMS(-1, 1));
    add_npy(&j, "text.npy", "<i8", "(2, 4)", ids, sizeof ids);
    refused(&j, ERR_MISFIT, "feeds the input \"other\"");
    drop(&j);

    j.options.batch = 2;
    add_input(&j, "input_ids", DTYPE_I32, DIMS(-1, -2));
    add_npy(&j, "text.npy", "<i8", "(2, 4)", ids, sizeof ids);
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(next(&j), 2);
    CHECK_INT(array_int(&batches_field(j.b, 0)->array, 7), 8);
    CHECK_BYTES(batches_label(j.b)->array.data, whole, sizeof whole);
    j.options.window = 3;
    CHECK_OK(join(&j), &j.err);
    CHECK_UINT(next(&j), 2);
    CHECK_INT(array_int(&batches_field(j.b, 0)->array, 3), 5);
    CHECK_BYTES(batches_label(j.b)->array.data, shorter, sizeof shorter);
    j.options.window = 2;
    refused(&j, ERR_MISFIT, "rows of the dataset are 4 tokens long, the window is 2");
    drop(&j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_meet),
        cmocka_unit_test(a_fixed_batch_is_taken),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(values_out_of_range),
        cmocka_unit_test(checked_beforehand),
        cmocka_unit_test(tokens_have_bounds),
        cmocka_unit_test(not_a_number_is_found),
        cmocka_unit_test(splits_and_shuffles),
        cmocka_unit_test(resumes_where_it_was),
        cmocka_unit_test(windows_of_a_text),
        cmocka_unit_test(rows_of_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
