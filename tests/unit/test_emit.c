/* Emit: segments in any order, memory as predicted, failures of what it stands on. */
#include "compress/recipe/emit.h"
#include "tests/support/check.h"

#include "compress/base/dir_outputs.h"
#include "compress/base/dirfiles.h"
#include "compress/recipe/plan.h"
#include "tests/support/tempdir.h"
#include "tests/support/tinymodel.h"

#include <stdlib.h>
#include <string.h>

struct fixture {
    struct tempdir dir;
    struct arena *arena;
    struct recipe *recipe;
    struct resolver *files;
    struct plan *plan;
    struct layout layout; /* ours, instead of the plan's */
    struct layout_file *file;
    struct emit_result result;
};

#define RECIPE(scheme) "{\"stages\":[{\"pass\":\"quantize\",\"scheme\":" scheme "}]}"

static void begin(struct fixture *f, const char *recipe) {
    *f = (struct fixture){0};
    tempdir_make(&f->dir);
    tinymodel_folder(&f->dir, "in", (struct tinymodel_poke){0});
    f->arena = arena_new((size_t)16 << 20);
    struct violations list;
    violations_init(&list, f->arena);
    struct err err = ERR_INIT;
    CHECK_OK(recipe_parse(recipe, strlen(recipe), f->arena, &list, &f->recipe, &err), &err);
    CHECK_OK(dirfiles_open(tempdir_path(&f->dir, "in"), false, &f->files, &err), &err);
    CHECK_OK(plan_new(f->files, f->recipe, NULL, NULL, &list, &f->plan, &err), &err);
    layout_init(&f->layout, f->arena);
    f->file = layout_add_file(&f->layout, "out");
    assert_non_null(f->file);
}

static void end(struct fixture *f) {
    plan_free(f->plan);
    resolver_close(f->files);
    arena_free(f->arena);
    tempdir_free(&f->dir);
}

static void add(struct fixture *f, struct segment segment) {
    struct err err = ERR_INIT;
    CHECK_OK(layout_add(&f->layout, f->file, segment, &err), &err);
}

static const struct tensor *tensor(struct fixture *f, const char *name) {
    const struct tensor *t = model_tensor(f->plan->model, "", name);
    assert_non_null(t);
    return t;
}

static struct encoded_size size_of(const struct tensor *t) {
    uint64_t rows, cols;
    tensor_matrix(t, &t->wanted, &rows, &cols);
    return encoding_size(&t->wanted, rows, cols);
}

static void add_part(struct fixture *f, const struct tensor *t, enum part_kind part) {
    struct encoded_size size = size_of(t);
    uint64_t bytes = part == PART_DATA    ? size.data_bytes
                     : part == PART_SCALE ? size.scale_bytes
                     : part == PART_SHAPE ? 16
                                          : size.zero_point_bytes;
    add(f, (struct segment){.kind = SEGMENT_PART, .bytes = bytes, .tensor = t, .part = part});
}

/* Runs the fixture's layout into `name`; the bytes are the caller's. */
static char *run(struct fixture *f, const char *name, unsigned threads, size_t *ret_len) {
    struct dir_outputs *outputs;
    struct err err = ERR_INIT;
    struct team *team = threads ? team_new(threads, 0) : NULL;
    f->layout.lone = true;
    CHECK_OK(dir_outputs_new(tempdir_path(&f->dir, name), true, &outputs, &err), &err);
    struct emit_env env = {.team = team, .at = {.stage = "quantize", .stages = 1}};
    struct emit_prediction predicted;
    CHECK_OK(emit_predict(f->plan->model, &f->layout, team_threads(team), &predicted, &err), &err);
    CHECK_OK(emit_run(f->plan->model, &f->layout, dir_outputs_base(outputs), &env, f->arena,
                      &f->result, &err),
             &err);
    CHECK(f->result.peak_bytes > 0 && f->result.peak_bytes <= predicted.memory_bytes);
    char *bytes = tempdir_read(&f->dir, name, ret_len);
    CHECK_UINT(*ret_len, f->layout.bytes);
    struct digest digest = digest_of(bytes, *ret_len);
    CHECK(digest_equal(&digest, &f->result.digests[0]));
    dir_outputs_free(outputs);
    team_free(team);
    return bytes;
}

/* Small parts before, between and after the data they belong to: the same bytes. */
static void parts_in_any_order(const char *recipe, const char *name, bool zero_points) {
    struct fixture f;
    size_t len, again_len;
    begin(&f, recipe);
    const struct tensor *t = tensor(&f, name), *other = tensor(&f, TINY_Q_PROJ);
    struct encoded_size size = size_of(t);
    add_part(&f, t, PART_DATA);
    add_part(&f, t, PART_SCALE);
    if (zero_points)
        add_part(&f, t, PART_ZERO_POINT);
    char *usual = run(&f, "usual", 2, &len);

    layout_init(&f.layout, f.arena);
    f.file = layout_add_file(&f.layout, "out");
    add_part(&f, t, PART_SCALE);
    add_part(&f, other, PART_DATA); /* something pending while scales are made */
    if (zero_points)
        add_part(&f, t, PART_ZERO_POINT);
    add_part(&f, t, PART_DATA);
    char *turned = run(&f, "turned", 2, &again_len);
    uint64_t other_bytes = size_of(other).data_bytes;
    CHECK_UINT(again_len, len + other_bytes);
    CHECK_BYTES(turned, usual + size.data_bytes, size.scale_bytes);
    CHECK_BYTES(turned + size.scale_bytes + other_bytes, usual + size.data_bytes + size.scale_bytes,
                size.zero_point_bytes);
    CHECK_BYTES(turned + again_len - size.data_bytes, usual, size.data_bytes);
    free(usual);
    free(turned);
    end(&f);
}

static void order_of_parts(void **state) {
    parts_in_any_order(RECIPE("\"int8\""), TINY_DOWN_PROJ, false);
    parts_in_any_order(RECIPE("\"int8\",\"granularity\":\"tensor\",\"activations\":\"dynamic\""),
                       TINY_DOWN_PROJ, false);
    parts_in_any_order(RECIPE("\"int4\",\"group_size\":32,\"symmetric\":false"), TINY_DOWN_PROJ,
                       true);
    parts_in_any_order(RECIPE("\"fp8_e4m3\",\"granularity\":\"tensor\""), TINY_DOWN_PROJ, false);
}

/* Literals larger than what waits behind a chunk, zeros, copied files, copied and encoded parts. */
static void every_kind_of_segment(void **state) {
    struct fixture f;
    size_t len, first_len = 0;
    char *first = NULL;
    const size_t big_bytes = (size_t)6 << 20;
    char *big = malloc(big_bytes);
    for (size_t i = 0; i < big_bytes; i++)
        big[i] = (char)(i * 7 + i / 251);
    for (unsigned threads = 0; threads <= 4; threads++) {
        begin(&f, RECIPE("\"int8\""));
        const struct tensor *norm = tensor(&f, TINY_NORM), *down = tensor(&f, TINY_DOWN_PROJ);
        size_t config = resolver_find(f.files, "config.json");
        add(&f, (struct segment){.kind = SEGMENT_LITERAL, .literal = "head", .bytes = 4});
        add_part(&f, down, PART_DATA);
        add(&f, (struct segment){.kind = SEGMENT_ZEROS, .bytes = 5000});
        add(&f, (struct segment){.kind = SEGMENT_LITERAL, .literal = big, .bytes = big_bytes});
        add(&f, (struct segment){.kind = SEGMENT_PART, .tensor = norm, .bytes = 256});
        add_part(&f, down, PART_SCALE);
        add(&f, (struct segment){
                    .kind = SEGMENT_COPY, .resolver_index = config, .offset = 1, .bytes = 10});
        add(&f, (struct segment){.kind = SEGMENT_LITERAL, .literal = "", .bytes = 0});
        char *bytes = run(&f, "out", threads, &len);
        CHECK_BYTES(bytes, "head", 4);
        const char *at = bytes + 4 + size_of(down).data_bytes;
        for (size_t i = 0; i < 5000; i++)
            CHECK_INT(at[i], 0);
        CHECK_BYTES(at + 5000, big, big_bytes);
        CHECK_BYTES(bytes + len - 10, "\"architect", 10);
        if (first) {
            CHECK_UINT(len, first_len);
            CHECK_BYTES(bytes, first, len);
            free(bytes);
        } else {
            first = bytes;
            first_len = len;
        }
        end(&f);
    }
    free(first);
    free(big);
}

static int emit_fails(struct fixture *f, struct outputs *outputs, struct err *err) {
    struct emit_env env = {.at = {.stage = "quantize", .stages = 1}};
    return emit_run(f->plan->model, &f->layout, outputs, &env, f->arena, &f->result, err);
}

static void a_lying_layout_is_a_bug(void **state) {
    struct fixture f;
    struct err err = ERR_INIT;
    struct dir_outputs *outputs;
    begin(&f, RECIPE("\"int8\""));
    const struct tensor *down = tensor(&f, TINY_DOWN_PROJ);
    add(&f, (struct segment){.kind = SEGMENT_PART, .tensor = down, .bytes = 77});
    CHECK_OK(dir_outputs_new(tempdir_path(&f.dir, "lie"), true, &outputs, &err), &err);
    CHECK_FAILS(emit_fails(&f, dir_outputs_base(outputs), &err), &err, ERR_BUG);
    dir_outputs_free(outputs);
    CHECK_UINT(tempdir_count(&f.dir, "."), 1); /* the input alone */
    end(&f);
}

/* ---- a sink that fails ---- */

struct failing_sink {
    struct sink base;
    uint64_t limit;
};

struct failing_outputs {
    struct outputs base;
    struct failing_sink sink;
    int aborted;
};

static int failing_write(struct sink *base, const void *data, size_t len, struct err *err) {
    struct failing_sink *sink = (struct failing_sink *)base;
    if (base->written + len > sink->limit)
        return err_set(err, ERR_NO_SPACE, "full");
    base->written += len;
    return 0;
}

static void failing_abort(struct sink *base) {
    struct failing_outputs *outputs =
        (struct failing_outputs *)((char *)base - offsetof(struct failing_outputs, sink));
    outputs->aborted++;
}

static int failing_finish(struct sink *base, struct digest *ret, struct err *err) {
    failing_abort(base);
    return err_set(err, ERR_NO_SPACE, "full at the end");
}

static int failing_create(struct outputs *base, const char *path, uint64_t bytes, struct sink **ret,
                          struct err *err) {
    *ret = &((struct failing_outputs *)base)->sink.base;
    return 0;
}

static void full_disk(void **state) {
    static const struct sink_ops sink_ops = {failing_write, failing_finish, failing_abort};
    static const struct outputs_ops ops = {.create = failing_create};
    struct fixture f;
    begin(&f, RECIPE("\"int8\""));
    uint64_t bytes = f.plan->layout.files[f.plan->layout.count - 1].bytes;
    f.layout = f.plan->layout;
    for (int i = 0; i <= 10; i++) {
        struct failing_outputs outputs = {.base.ops = &ops,
                                          .sink = {{.ops = &sink_ops}, bytes / 10 * (uint64_t)i}};
        struct err err = ERR_INIT;
        CHECK_FAILS(emit_fails(&f, &outputs.base, &err), &err, ERR_NO_SPACE);
        CHECK_INT(outputs.aborted, 1);
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_parts),
        cmocka_unit_test(every_kind_of_segment),
        cmocka_unit_test(a_lying_layout_is_a_bug),
        cmocka_unit_test(full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
