/* Weights: decoded to f32, kept within a budget, held when they are trained. */
#include "compress/base/arena.h"
#include "compress/exec/weights.h"
#include "compress/tensor/array.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <string.h>

enum { HALVES, LONGS, NIBBLES, BIG, TENSORS, BIG_ELEMENTS = 100 * 2000 };

/* A model by hand: one file, one part per tensor. */
struct rig {
    struct memfiles files;
    struct resolver *resolver;
    struct model *model;
    struct tensor tensors[TENSORS];
    struct arena *arena;
    struct graph *graph;
    struct value *values[TENSORS];
};

static void rig_start(struct rig *r) {
    static const struct {
        const char *name;
        enum dtype dtype;
        unsigned rank;
        uint64_t dims[2], bytes;
    } rows[TENSORS] = {{"halves", DTYPE_F16, 2, {2, 2}, 8},
                       {"longs", DTYPE_I64, 1, {3}, 24},
                       {"nibbles", DTYPE_I4, 1, {3}, 2},
                       {"big", DTYPE_F32, 2, {100, 2000}, 4 * BIG_ELEMENTS}};
    static uint8_t data[34 + 4 * BIG_ELEMENTS];
    static const uint16_t halves[4] = {0x3c00, 0xc000, 0x3800, 0x0000}; /* 1, -2, 0.5, 0 */
    static const int64_t longs[3] = {5, -6, INT64_MAX};
    memcpy(data, halves, 8);
    memcpy(data + 8, longs, 24);
    data[32] = 0xf7; /* 7, -1 */
    data[33] = 0x08; /* -8 */
    for (size_t i = 0; i < BIG_ELEMENTS; i++) {
        float x = (float)i / 4;
        memcpy(data + 34 + 4 * i, &x, 4);
    }
    struct err err = ERR_INIT;
    *r = (struct rig){0};
    memfiles_add(&r->files, "file", data, sizeof data);
    r->resolver = memfiles_resolver(&r->files);
    r->model = model_new(r->resolver);
    r->arena = arena_new(1 << 20);
    r->graph = graph_new(r->arena, NULL);
    CHECK(r->model && r->graph);
    uint32_t file;
    CHECK_OK(model_add_file(r->model, 0, &file, &err), &err);
    uint64_t at = 0;
    for (uint32_t i = 0; i < TENSORS; i++) {
        struct array shape;
        CHECK_OK(array_shape(&shape, rows[i].dtype, rows[i].rank, rows[i].dims, &err), &err);
        r->tensors[i] = (struct tensor){.name = rows[i].name,
                                        .component = "",
                                        .rank = shape.rank,
                                        .elements = shape.elements,
                                        .stored = encoding_plain(rows[i].dtype)};
        memcpy(r->tensors[i].dims, shape.dims, sizeof shape.dims);
        r->tensors[i].parts[PART_DATA] =
            (struct part){rows[i].name, rows[i].dtype, file, at, rows[i].bytes};
        at += rows[i].bytes;
        struct type type = type_of_array(&shape);
        CHECK_OK(graph_add_weight(r->graph, rows[i].name, i, &type, &r->values[i], &err), &err);
    }
    r->model->tensors = r->tensors;
    r->model->tensor_count = TENSORS;
}

static void rig_stop(struct rig *r) {
    arena_free(r->arena);
    model_free(r->model);
    resolver_close(r->resolver);
    memfiles_free(&r->files);
}

static void decodes(void **state) {
    struct rig r;
    struct err err = ERR_INIT;
    const struct array *a;
    rig_start(&r);
    struct weights *w = weights_new(r.model, r.graph, 0);
    struct team *team = team_new(3, 0);
    CHECK(w && team);
    CHECK_OK(weights_get(w, r.values[HALVES], team, &a, &err), &err);
    CHECK_INT(a->dtype, DTYPE_F32);
    CHECK_UINT(a->dims[1], 2);
    CHECK_NUM((double)array_real(a)[1], -2, 0);
    CHECK_NUM((double)array_real(a)[2], 0.5, 0);
    CHECK_OK(weights_get(w, r.values[LONGS], team, &a, &err), &err);
    CHECK_INT(a->dtype, DTYPE_I64);
    CHECK_INT(array_int(a, 1), -6);
    CHECK_INT(array_int(a, 2), INT64_MAX);
    CHECK_OK(weights_get(w, r.values[NIBBLES], team, &a, &err), &err);
    CHECK_INT(a->dtype, DTYPE_I4);
    CHECK_INT(array_int(a, 0), 7);
    CHECK_INT(array_int(a, 1), -1);
    CHECK_INT(array_int(a, 2), -8);
    CHECK_OK(weights_get(w, r.values[BIG], team, &a, &err), &err);
    for (size_t i = 0; i < BIG_ELEMENTS; i++)
        CHECK_NUM((double)array_real(a)[i], (double)i / 4, 0);
    weights_free(w);
    team_free(team);
    rig_stop(&r);
}

static void keeps_to_the_budget(void **state) {
    struct rig r;
    struct err err = ERR_INIT;
    const struct array *halves, *longs;
    struct array *held;
    rig_start(&r);
    struct weights *w = weights_new(r.model, r.graph, 4 * sizeof(real) + 25);
    CHECK_OK(weights_get(w, r.values[HALVES], NULL, &halves, &err), &err);
    CHECK_OK(weights_get(w, r.values[LONGS], NULL, &longs, &err), &err);
    CHECK_UINT(weights_bytes(w), 4 * sizeof(real) + 24);
    /* Both in use: no room for three bytes. */
    const struct array *nibbles;
    CHECK_INT(weights_get(w, r.values[NIBBLES], NULL, &nibbles, &err), -1);
    CHECK_INT(err.code, ERR_OVER_BUDGET);
    CHECK_TEXT(err.tensor, "nibbles");
    err = ERR_INIT;
    weights_release(w, r.values[LONGS]);
    CHECK_OK(weights_get(w, r.values[NIBBLES], NULL, &nibbles, &err), &err);
    CHECK_UINT(weights_bytes(w), 4 * sizeof(real) + 3);
    CHECK_NUM((double)array_real(halves)[0], 1, 0); /* still there */
    CHECK(!weights_fit(w, 1000) && weights_fit(w, 30));
    /* What is held is beyond the budget, and stays. */
    CHECK_OK(weights_hold(w, r.values[BIG], NULL, &held, &err), &err);
    array_real(held)[7] = 99;
    weights_release(w, r.values[HALVES]);
    weights_release(w, r.values[NIBBLES]);
    CHECK_FAILS(weights_get(w, r.values[LONGS], NULL, &longs, &err), &err, ERR_OVER_BUDGET);
    CHECK_OK(weights_get(w, r.values[BIG], NULL, &longs, &err), &err);
    CHECK_NUM((double)array_real(longs)[7], 99, 0);
    weights_free(w);
    rig_stop(&r);
}

static void what_is_put_is_the_truth(void **state) {
    struct rig r;
    struct err err = ERR_INIT;
    const struct array *a, *again;
    rig_start(&r);
    struct weights *w = weights_new(r.model, r.graph, 0);
    const uint16_t bits[4] = {0x4000, 0x4000, 0x4000, 0x4000};
    uint16_t copy[4];
    memcpy(copy, bits, sizeof copy);
    struct array twos = {
        .dtype = DTYPE_F16, .rank = 2, .dims = {2, 2}, .elements = 4, .data = copy};
    CHECK_OK(weights_get(w, r.values[HALVES], NULL, &a, &err), &err);
    CHECK_OK(weights_put(w, r.values[HALVES], &twos, &err), &err);
    CHECK_OK(weights_get(w, r.values[HALVES], NULL, &again, &err), &err);
    CHECK(a == again && a->dtype == DTYPE_F32); /* in place: it was in use */
    CHECK_NUM((double)array_real(a)[3], 2, 0);
    twos.dims[1] = 1;
    twos.elements = 2;
    CHECK_FAILS(weights_put(w, r.values[HALVES], &twos, &err), &err, ERR_BUG);
    weights_free(w);
    rig_stop(&r);
}

static void refuses_wrong_sizes(void **state) {
    struct rig r;
    struct err err = ERR_INIT;
    const struct array *a;
    rig_start(&r);
    struct weights *w = weights_new(r.model, r.graph, 0);
    for (size_t i = 0; i < TENSORS; i++) {
        r.tensors[i].parts[PART_DATA].bytes -= 1;
        CHECK_INT(weights_get(w, r.values[i], NULL, &a, &err), -1);
        CHECK_INT(err.code, ERR_BAD_MODEL);
        CHECK_TEXT(err.tensor, r.tensors[i].name);
        err = ERR_INIT;
        r.tensors[i].parts[PART_DATA].bytes += 1;
        CHECK_OK(weights_get(w, r.values[i], NULL, &a, &err), &err);
    }
    r.values[BIG]->tensor = TENSORS;
    weights_free(w);
    w = weights_new(r.model, r.graph, 0);
    CHECK_FAILS(weights_get(w, r.values[BIG], NULL, &a, &err), &err, ERR_BUG);
    weights_free(w);
    rig_stop(&r);
}

static void comes_home_without_memory(void **state) {
    struct rig r;
    rig_start(&r);
    unsigned n = 0;
    for (bool failed = true; failed; n++) {
        struct err err = ERR_INIT;
        const struct array *a;
        allocfail_arm(n);
        struct weights *w = weights_new(r.model, r.graph, 0);
        int rc = w ? 0 : err_set(&err, ERR_NO_MEMORY, "no memory");
        for (size_t i = 0; i < TENSORS && rc == 0; i++)
            rc = weights_get(w, r.values[i], NULL, &a, &err);
        failed = allocfail_disarm();
        CHECK(rc == 0 ? !failed : err.code == ERR_NO_MEMORY);
        weights_free(w);
    }
    CHECK(n > 5);
    rig_stop(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes),
        cmocka_unit_test(keeps_to_the_budget),
        cmocka_unit_test(what_is_put_is_the_truth),
        cmocka_unit_test(refuses_wrong_sizes),
        cmocka_unit_test(comes_home_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
