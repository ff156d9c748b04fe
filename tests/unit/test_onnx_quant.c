/* What an ONNX model's tensors can be stored as, and what the graph becomes. */
#include "compress/formats/onnx_quant.h"

#include "compress/base/arena.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

struct fixture {
    struct tinyonnx t;
    struct arena *arena;
    struct violations list;
};

static void start(struct fixture *f, const char *lines) {
    struct bytebuf model = {0};
    struct err err = ERR_INIT;
    tinyonnx_lines(&model, 17, lines);
    CHECK_OK(tinyonnx_open(&f->t, &model, &err), &err);
    f->arena = arena_new(MIB);
    violations_init(&f->list, f->arena);
}

static void stop(struct fixture *f) {
    arena_free(f->arena);
    tinyonnx_close(&f->t);
}

static int adapt(struct fixture *f, size_t tensor, struct encoding *wanted) {
    return onnx_quant_adapt(f->t.model, &f->t.model->tensors[tensor], wanted, "/stages/0",
                            &f->list);
}

static void floats(void **state) {
    struct fixture f;
    start(&f, "input x f32[2,4]\nweight w f32[4,4]\nMatMul x w -> y\noutput y f32[2,4]");
    struct encoding same = f.t.model->tensors[0].stored, half = encoding_plain(DTYPE_F16),
                    brain = encoding_plain(DTYPE_BF16);
    CHECK_INT(adapt(&f, 0, &same), 0);
    CHECK_INT(adapt(&f, 0, &half), 0);
    CHECK_INT(half.dtype, DTYPE_F16);
    CHECK_INT(adapt(&f, 0, &brain), -1);
    CHECK_UINT(f.list.count, 1);
    CHECK_INT(f.list.items[0].code, ERR_UNSUPPORTED);
    CHECK_TEXT(f.list.items[0].tensor, "w");
    CHECK_TEXT(f.list.items[0].nearest, "f16");
    stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(floats)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
