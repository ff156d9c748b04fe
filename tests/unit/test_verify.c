/*
 * Verification against artifacts that somebody else made: right ones pass, and every way of being
 * wrong is seen by what is read, not by what the writer remembers (all digests are right unless
 * said otherwise).
 */
#include "compress/report/verify.h"
#include "tests/support/check.h"

#include "compress/base/dirfiles.h"
#include "compress/recipe/plan.h"
#include "tests/support/tempdir.h"
#include "tests/support/tinymodel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct tinymodel_tensor source[] = {
    {"a.weight", DTYPE_F32, 2, {70, 64}},
    {"b.weight", DTYPE_F32, 2, {5, 3}},
    {"steps", DTYPE_I64, 1, {9}},
};
/* What it becomes as f16; values follow from names. */
static const struct tinymodel_tensor right[] = {
    {"a.weight", DTYPE_F16, 2, {70, 64}},
    {"b.weight", DTYPE_F16, 2, {5, 3}},
    {"steps", DTYPE_I64, 1, {9}},
};

struct fake_outputs {
    struct outputs base;
    const char *path;
};

static int reopen(struct outputs *base, struct resolver **ret, struct err *err) {
    return dirfiles_open(((struct fake_outputs *)base)->path, false, ret, err);
}

static const struct outputs_ops fake_ops = {.reopen = reopen};

struct fixture {
    struct tempdir dir;
    struct arena *arena;
    struct resolver *files;
    struct plan *plan;
    struct verify_result result;
};

static void begin_with(struct fixture *f, struct tinymodel_poke poke) {
    static const char recipe[] = "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":\"f16\"}]}";
    *f = (struct fixture){.arena = arena_new((size_t)16 << 20)};
    tempdir_make(&f->dir);
    struct bytebuf file = {0};
    tinymodel_safetensors(&file, source, 3, poke);
    tempdir_write(&f->dir, "in.safetensors", file.at, file.len);
    bytebuf_free(&file);
    struct violations list;
    struct recipe *parsed;
    struct err err = ERR_INIT;
    violations_init(&list, f->arena);
    CHECK_OK(recipe_parse(recipe, strlen(recipe), f->arena, &list, &parsed, &err), &err);
    CHECK_OK(dirfiles_open(tempdir_path(&f->dir, "in.safetensors"), false, &f->files, &err), &err);
    CHECK_OK(plan_new(f->files, parsed, NULL, NULL, &list, &f->plan, &err), &err);
}

static void begin(struct fixture *f) {
    begin_with(f, (struct tinymodel_poke){0});
}

static void end(struct fixture *f) {
    plan_free(f->plan);
    resolver_close(f->files);
    arena_free(f->arena);
    tempdir_free(&f->dir);
}

/* Verifies an artifact of these tensors. */
static int verify(struct fixture *f, const struct tinymodel_tensor *tensors, size_t count,
                  struct tinymodel_poke poke, uint64_t overflows, unsigned threads,
                  struct err *err) {
    struct bytebuf file = {0};
    tinymodel_safetensors(&file, tensors, count, poke);
    tempdir_write(&f->dir, "out.safetensors", file.at, file.len);
    struct verify_file written = {"out.safetensors", digest_of(file.at, file.len)};
    bytebuf_free(&file);
    struct fake_outputs outputs = {{&fake_ops}, tempdir_path(&f->dir, "out.safetensors")};
    uint64_t per_tensor[3] = {overflows, 0, 0};
    struct team *team = threads ? team_new(threads, 0) : NULL;
    struct verify_env env = {.team = team, .at = {.stage = "verify", .stages = 1}};
    *err = ERR_INIT;
    int result = verify_run(f->plan->model, &outputs.base, &written, 1, per_tensor, &env, f->arena,
                            &f->result, err);
    team_free(team);
    return result;
}

static const struct tinymodel_poke none;

static void right_ones_pass(void **state) {
    struct fixture f;
    struct verify_tensor first = {0};
    for (unsigned threads = 0; threads < 4; threads++) {
        struct err err;
        begin(&f);
        CHECK_OK(verify(&f, right, 3, none, 0, threads, &err), &err);
        const struct verify_tensor *a = &f.result.tensors[0], *steps = &f.result.tensors[2];
        CHECK_UINT(a->elements, 70 * 64);
        CHECK(!a->copied && a->nonzero == 70 * 64 && a->nonzero_before == 70 * 64);
        CHECK(a->max_x > 0.04 && a->max_x < 0.08);
        CHECK(a->sum_e2 > 0 && a->max_e < a->max_x / 1000);
        CHECK(steps->copied && steps->elements == 0);
        CHECK(f.result.peak_bytes > 0);
        if (threads == 0)
            first = *a;
        CHECK(a->sum_x2 == first.sum_x2 && a->sum_e2 == first.sum_e2);
        CHECK(a->max_x == first.max_x && a->max_e == first.max_e);
        CHECK_UINT(a->nonzero, first.nonzero);
        end(&f);
    }
}

static void wrong(const struct tinymodel_tensor *tensors, size_t count, struct tinymodel_poke poke,
                  const char *tensor, const char *says) {
    struct fixture f;
    struct err err;
    begin(&f);
    CHECK(verify(&f, tensors, count, poke, 0, 2, &err) < 0);
    CHECK_INT(err.code, ERR_VERIFY);
    CHECK_TEXT(err.tensor, tensor);
    CHECK_HOLDS(err.text, says);
    end(&f);
}

static void wrong_values(void **state) {
    /* One code more than rounding explains, in the first and the last place. */
    wrong(right, 3, (struct tinymodel_poke){"a.weight", 0, 0.5f}, "a.weight", "error above");
    wrong(right, 3, (struct tinymodel_poke){"b.weight", 14, -0.2f}, "b.weight", "error above");
    wrong(right, 3, (struct tinymodel_poke){"a.weight", 4479, NAN}, "a.weight", "flat index 4479");
    wrong(right, 3, (struct tinymodel_poke){"a.weight", 77, INFINITY}, "a.weight", "flat index 77");
}

static void wrong_tensors(void **state) {
    struct tinymodel_tensor other[3];
    memcpy(other, right, sizeof other);
    other[0].dtype = DTYPE_BF16;
    wrong(other, 3, none, "a.weight", "came back as bf16");
    memcpy(other, right, sizeof other);
    other[0].dims[0] = 64;
    other[0].dims[1] = 70;
    wrong(other, 3, none, "a.weight", "shape");
    wrong(right, 2, none, "steps", "missing");
    memcpy(other, right, sizeof other);
    other[1].name = "c.weight";
    wrong(other, 3, none, "b.weight", "missing");
    struct tinymodel_tensor more[4];
    memcpy(more, right, sizeof right);
    more[3] = (struct tinymodel_tensor){"d", DTYPE_F16, 1, {4}};
    wrong(more, 4, none, "", "4 tensors instead of 3");
}

/* Infinities that encoding counted are the format's fault, others are ours. */
static void overflow_is_allowed_as_counted(void **state) {
    struct fixture f;
    struct err err;
    begin_with(&f, (struct tinymodel_poke){"a.weight", 9, 1e6f});
    struct tinymodel_poke infinite = {"a.weight", 9, INFINITY};
    CHECK_OK(verify(&f, right, 3, infinite, 1, 2, &err), &err);
    CHECK_UINT(f.result.tensors[0].infinite, 1);
    CHECK_FAILS(verify(&f, right, 3, infinite, 0, 2, &err), &err, ERR_VERIFY);
    end(&f);
}

static void zeros(void **state) {
    /* Values that are there and come back all zero: too small for f16, so no error is too large. */
    static const struct tinymodel_tensor tiny_source[] = {{"z.weight", DTYPE_F32, 1, {1}}};
    static const struct tinymodel_tensor tiny_out[] = {{"z.weight", DTYPE_F16, 1, {1}}};
    struct fixture f;
    struct err err;
    begin(&f);
    plan_free(f.plan);
    resolver_close(f.files);
    struct bytebuf file = {0};
    tinymodel_safetensors(&file, tiny_source, 1, (struct tinymodel_poke){"z.weight", 0, 1e-9f});
    tempdir_write(&f.dir, "in.safetensors", file.at, file.len);
    bytebuf_free(&file);
    struct violations list;
    struct recipe *recipe;
    violations_init(&list, f.arena);
    err = ERR_INIT;
    CHECK_OK(recipe_preset("f16", f.arena, &recipe, &err), &err);
    CHECK_OK(dirfiles_open(tempdir_path(&f.dir, "in.safetensors"), false, &f.files, &err), &err);
    CHECK_OK(plan_new(f.files, recipe, NULL, NULL, &list, &f.plan, &err), &err);
    CHECK(verify(&f, tiny_out, 1, (struct tinymodel_poke){"z.weight", 0, 0.0f}, 0, 0, &err) < 0);
    CHECK_INT(err.code, ERR_VERIFY);
    CHECK_HOLDS(err.text, "all zero");
    end(&f);
}

static void digests(void **state) {
    struct fixture f;
    struct err err = ERR_INIT;
    begin(&f);
    struct bytebuf file = {0};
    tinymodel_safetensors(&file, right, 3, none);
    tempdir_write(&f.dir, "out.safetensors", file.at, file.len);
    struct verify_file files[2] = {{"out.safetensors", digest_of(file.at, file.len)}, {"x", {{0}}}};
    bytebuf_free(&file);
    struct fake_outputs outputs = {{&fake_ops}, tempdir_path(&f.dir, "out.safetensors")};
    struct verify_env env = {.at = {.stage = "verify", .stages = 1}};
    uint64_t overflows[3] = {0};
    CHECK_OK(verify_run(f.plan->model, &outputs.base, files, 1, overflows, &env, f.arena, &f.result,
                        &err),
             &err);
    CHECK_FAILS(verify_run(f.plan->model, &outputs.base, files, 2, overflows, &env, f.arena,
                           &f.result, &err),
                &err, ERR_VERIFY); /* a file is missing */
    files[0].sha256.bytes[31] ^= 1;
    CHECK(verify_run(f.plan->model, &outputs.base, files, 1, overflows, &env, f.arena, &f.result,
                     &err) < 0);
    CHECK_INT(err.code, ERR_VERIFY);
    CHECK_TEXT(err.file, "out.safetensors");
    CHECK_HOLDS(err.text, "SHA-256");
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_ones_pass), cmocka_unit_test(wrong_values),
        cmocka_unit_test(wrong_tensors),   cmocka_unit_test(overflow_is_allowed_as_counted),
        cmocka_unit_test(zeros),           cmocka_unit_test(digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
