/* Histograms, the limits found in them, and what a run over a set finds. */
#include "compress/passes/calibrate.h"

#include "compress/graph/ranges.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"
#include "tests/support/tinynpy.h"
#include "tests/support/tinyonnx.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct calibrate_histogram *new_histogram(void) {
    struct calibrate_histogram *h = calloc(1, sizeof *h);
    CHECK(h != NULL);
    return h;
}

static uint64_t total(const struct calibrate_histogram *h) {
    uint64_t sum = h->zeros;
    for (size_t i = 0; i < CALIBRATE_BINS; i++)
        sum += h->counts[i];
    return sum;
}

static void names(void **state) {
    CHECK_INT(calibrate_method_by_name("minmax"), CALIBRATE_MINMAX);
    CHECK_INT(calibrate_method_by_name("percentile"), CALIBRATE_PERCENTILE);
    CHECK_INT(calibrate_method_by_name("mse"), CALIBRATE_MSE);
    CHECK_INT(calibrate_method_by_name("entropy"), CALIBRATE_ENTROPY);
    CHECK_INT(calibrate_method_by_name("max"), -1);
    for (int i = CALIBRATE_MINMAX; i <= CALIBRATE_ENTROPY; i++) {
        enum calibrate_method method = (enum calibrate_method)i;
        CHECK_INT(calibrate_method_by_name(calibrate_method_name(method)), i);
        CHECK_HOLDS(calibrate_method_protocol(method), "limit");
    }
}

/* A larger value halves the resolution, and nothing is lost. */
static void ranges_grow(void **state) {
    struct calibrate_histogram *h = new_histogram();
    static const float first[] = {0, 0.25f, -1, 0.5f}, more[] = {3.5f, -0.75f};
    CHECK(calibrate_add(h, first, 4));
    CHECK_NUM(h->limit, 1, 0);
    CHECK(calibrate_add(h, more, 2));
    CHECK_NUM(h->limit, 4, 0);
    CHECK_NUM(h->largest, 3.5, 0);
    CHECK_UINT(h->zeros, 1);
    CHECK_UINT(total(h), 6);
    CHECK_UINT(h->count, 6);
    CHECK_NUM(h->min, -1, 0);
    CHECK_NUM(h->max, 3.5, 0);
    CHECK_UINT(h->counts[CALIBRATE_BINS / 16], 1);     /* 0.25 of 4 */
    CHECK_UINT(h->counts[CALIBRATE_BINS / 4 - 1], 1);  /* 1 was the last bin's of 1 */
    CHECK_UINT(h->counts[CALIBRATE_BINS * 7 / 8], 1);  /* 3.5 */
    CHECK_UINT(h->counts[CALIBRATE_BINS * 3 / 16], 1); /* 0.75 */
    CHECK_NUM(calibrate_limit(h, CALIBRATE_MINMAX, 128), 3.5, 0);
    free(h);
}

static void what_is_not_finite(void **state) {
    struct calibrate_histogram *h = new_histogram();
    const float x[] = {1, NAN}, y[] = {INFINITY};
    CHECK(!calibrate_add(h, x, 2));
    CHECK(!calibrate_add(h, y, 1));
    free(h);
}

static void nothing_but_zeros(void **state) {
    struct calibrate_histogram *h = new_histogram();
    static const float x[100];
    CHECK(calibrate_add(h, x, 100));
    for (int method = CALIBRATE_MINMAX; method <= CALIBRATE_ENTROPY; method++)
        CHECK_NUM(calibrate_limit(h, (enum calibrate_method)method, 128), 0, 0);
    free(h);
}

/* 100,000 values spread evenly up to 1, and one of 8: the methods that look leave it out. */
static void an_outlier(void **state) {
    enum { COUNT = 100000 };
    struct calibrate_histogram *h = new_histogram();
    float *x = malloc(COUNT * sizeof *x);
    CHECK(x != NULL);
    for (size_t i = 0; i < COUNT; i++)
        x[i] = (float)(i + 1) / COUNT * (i % 2 ? 1 : -1);
    x[7] = 8;
    CHECK(calibrate_add(h, x, COUNT));
    CHECK_NUM(calibrate_limit(h, CALIBRATE_MINMAX, 128), 8, 0);
    CHECK_NUM(calibrate_limit(h, CALIBRATE_PERCENTILE, 128), 1, 0.02);
    double mse = calibrate_limit(h, CALIBRATE_MSE, 128);
    double entropy = calibrate_limit(h, CALIBRATE_ENTROPY, 128);
    CHECK(mse >= 0.9 && mse < 8);
    CHECK(entropy >= 0.9 && entropy < 8);
    free(x);
    free(h);
}

/* ---- the run: r = Relu(x w), w a number; x is watched, and r ---- */

enum { SAMPLES = 5, WIDE = 4 };

struct fixture {
    struct tinyonnx net;
    struct memfiles files;
    struct resolver *resolver;
    struct dataset *set;
    struct arena *arena;
    float scales[2];
    struct range_wanted wanted[2];
    struct ranges ranges;
};

/* Sample i is i + 1, -(i + 1) / 2, 0 and 0.5, but for one number of the last. */
static void start(struct fixture *f, size_t samples, float last, const char *w) {
    struct bytebuf model = {0}, npy = {0};
    struct err err = ERR_INIT;
    char lines[300], shape[32];
    float *x = malloc(samples * WIDE * sizeof *x);
    CHECK(x != NULL);
    *f = (struct fixture){
        .wanted = {{.value = "x"}, {.value = "r", .from_zero = true, .zero_point = -128}}};
    snprintf(lines, sizeof lines,
             "input x f32[batch,4]\nfloats w %s\nMul x w -> t\nRelu t -> r\nSqrt r -> y\n"
             "output y f32[batch,4]\nweight v f32[4,2]\nfloats b 1e9 0\nGemm r v b -> z\n"
             "output z f32[batch,2]",
             w);
    tinyonnx_lines(&model, 17, lines);
    CHECK_OK(tinyonnx_open(&f->net, &model, &err), &err);
    for (size_t i = 0; i < samples; i++) {
        float n = (float)(i + 1);
        memcpy(x + i * WIDE, (float[]){n, -n / 2, 0, 0.5f}, WIDE * sizeof *x);
    }
    x[samples * WIDE - 1] = last;
    snprintf(shape, sizeof shape, "(%zu, 4)", samples);
    tinynpy(&npy, "<f4", shape, x, samples * WIDE * sizeof *x);
    free(x);
    memfiles_add(&f->files, "x.npy", npy.at, npy.len);
    bytebuf_free(&npy);
    f->files.lone = true;
    f->resolver = memfiles_resolver(&f->files);
    CHECK_OK(dataset_open(f->resolver, &f->set, &err), &err);
    for (size_t i = 0; i < 2; i++)
        f->wanted[i].scale = &f->scales[i];
    f->ranges = (struct ranges){.ranges = f->wanted, .range_count = 2};
    f->net.model->ranges = &f->ranges;
    f->arena = arena_new(MIB);
}

static void stop(struct fixture *f) {
    arena_free(f->arena);
    dataset_free(f->set);
    resolver_close(f->resolver);
    memfiles_free(&f->files);
    tinyonnx_close(&f->net);
}

static int run(struct fixture *f, const struct calibrate_options *options,
               struct calibrate_result *ret, struct err *err) {
    *err = ERR_INIT;
    return calibrate_run(f->net.model, f->net.model, f->set, options, f->arena, ret, err);
}

static void what_a_run_finds(void **state) {
    struct fixture f;
    struct err err;
    struct calibrate_result found;
    uint64_t predicted;
    start(&f, SAMPLES, 0.5f, "1");
    for (uint64_t batch = 1; batch <= SAMPLES; batch++) { /* the last one may be shorter */
        struct calibrate_options options = {.batch = batch};
        CHECK_OK(run(&f, &options, &found, &err), &err);
        CHECK_UINT(found.samples, SAMPLES);
        CHECK_UINT(found.batch, batch);
        CHECK_TEXT(found.dataset_kind, "arrays");
        CHECK_UINT(found.range_count, 2);
        const struct calibrate_range *x = &found.ranges[0], *r = &found.ranges[1];
        CHECK_TEXT(x->value, "x");
        CHECK_NUM(x->min, -2.5, 0);
        CHECK_NUM(x->max, 5, 0);
        CHECK_NUM(x->limit, 5, 0);
        CHECK_UINT(x->count, SAMPLES * WIDE); /* once each */
        CHECK_UINT(x->zeros, SAMPLES);
        CHECK_UINT(x->clamped, 0);
        CHECK_INT(x->zero_point, 0);
        CHECK_NUM(f.scales[0], 5.0f / 127, 1e-9);
        CHECK_NUM(x->scale, (double)f.scales[0], 0);
        CHECK_NUM(r->min, 0, 0);
        CHECK_UINT(r->count, SAMPLES * WIDE);
        CHECK_UINT(r->zeros, 2 * SAMPLES);
        CHECK_INT(r->zero_point, -128);
        CHECK_NUM(f.scales[1], 5.0f / 255, 1e-9);
        uint64_t shown = 0;
        for (size_t i = 0; i < CALIBRATE_SHOWN; i++)
            shown += x->shown[i];
        CHECK_UINT(shown + x->zeros, x->count);
        CHECK_OK(calibrate_predict(f.net.model, f.net.model, f.set, &options, &predicted, &err),
                 &err);
        CHECK(found.memory_bytes > 0 && found.memory_bytes <= predicted);
    }
    struct calibrate_options few = {.samples = 2, .seed = 7};
    CHECK_OK(run(&f, &few, &found, &err), &err);
    CHECK_UINT(found.samples, 2);
    CHECK_UINT(found.ranges[0].count, 2 * WIDE);
    stop(&f);
}

/* A limit below the largest: what lies above it is counted. */
static void what_is_clamped(void **state) {
    struct fixture f;
    struct err err;
    struct calibrate_result found;
    start(&f, 5000, 1e4f, "1");
    CHECK_OK(run(&f, &(struct calibrate_options){.method = CALIBRATE_PERCENTILE}, &found, &err),
             &err);
    const struct calibrate_range *x = &found.ranges[0];
    CHECK_NUM(x->max, 1e4, 0);
    CHECK_NUM(x->limit, 5000, 8); /* 2 of 20,000 are above: 10,000 and 5,000; a bin is 8 wide */
    CHECK(x->clamped >= 1 && x->clamped <= 2);
    stop(&f);
}

/* A bias far beyond what the product can reach: its code is the largest, and that is told. */
static void a_bias_that_does_not_fit(void **state) {
    struct fixture f;
    struct err err;
    struct calibrate_result found;
    int32_t codes[2] = {0, -1};
    float scales[2] = {0};
    start(&f, SAMPLES, 0.5f, "1");
    struct tensor *weight = model_tensor(f.net.model, "", "v");
    struct bias_wanted bias = {
        .bias = (uint32_t)(model_tensor(f.net.model, "", "b") - f.net.model->tensors),
        .weight = (uint32_t)(weight - f.net.model->tensors),
        .input_scale = &f.scales[1],
        .codes = codes,
        .scales = scales,
    };
    weight->wanted = (struct encoding){.codec = codec_by_name("int8"),
                                       .granularity = GRANULARITY_COLUMN,
                                       .symmetric = true,
                                       .scale_dtype = DTYPE_F32,
                                       .static_activations = true};
    f.ranges.biases = &bias;
    f.ranges.bias_count = 1;
    CHECK_OK(run(&f, &(struct calibrate_options){0}, &found, &err), &err);
    CHECK_INT(codes[0], INT32_MAX);
    CHECK_INT(codes[1], 0);
    CHECK_UINT(found.bias_count, 1);
    CHECK_TEXT(found.biases[0].tensor, "b");
    CHECK_UINT(found.biases[0].clamped, 1);
    stop(&f);
}

static void a_value_that_is_not_finite(void **state) {
    struct fixture f;
    struct err err;
    struct calibrate_result found;
    const struct calibrate_options options = {.batch = 2};
    start(&f, SAMPLES, INFINITY, "1");
    CHECK_FAILS(run(&f, &options, &found, &err), &err, ERR_NON_FINITE);
    stop(&f);
    start(&f, SAMPLES, 1e30f, "1e30");
    CHECK(run(&f, &options, &found, &err) < 0);
    CHECK_INT(err.code, ERR_NON_FINITE);
    CHECK_TEXT(err.tensor, "r");
    stop(&f);
}

static bool is_cancelled(void *self) {
    return ++*(int *)self > 2;
}

static void it_can_be_cancelled(void **state) {
    struct fixture f;
    struct err err;
    struct calibrate_result found;
    int asked = 0;
    struct progress progress = {.self = &asked, .is_cancelled = is_cancelled};
    start(&f, SAMPLES, 0.5f, "1");
    CHECK_FAILS(
        run(&f, &(struct calibrate_options){.batch = 1, .progress = &progress}, &found, &err), &err,
        ERR_CANCELLED);
    stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(ranges_grow),
        cmocka_unit_test(what_is_not_finite),
        cmocka_unit_test(nothing_but_zeros),
        cmocka_unit_test(an_outlier),
        cmocka_unit_test(what_a_run_finds),
        cmocka_unit_test(what_is_clamped),
        cmocka_unit_test(a_bias_that_does_not_fit),
        cmocka_unit_test(a_value_that_is_not_finite),
        cmocka_unit_test(it_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
