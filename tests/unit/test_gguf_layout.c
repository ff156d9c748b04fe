/* Writing GGUF models. The strongest check there is: a file of the gguf package, laid out again
 * without a change, is the same file to the byte. */
#include "compress/formats/gguf.h"

#include "compress/base/bytes.h"
#include "compress/formats/gguf_split.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"
#include "tests/support/memfiles.h"
#include "tests/support/tinygguf.h"

#include <stdlib.h>
#include <string.h>

static const struct output_facts facts = {"test", "{}", NULL};

/* A model, and what it is written as. */
struct writing {
    struct memfiles in, out;
    struct resolver *resolver;
    struct model *model;
    struct arena *arena;
    struct layout layout;
    struct violations list;
};

static void add_golden(struct writing *w, const char *path, const char *name) {
    size_t len;
    void *data = golden_read(golden_name("gguf/%s", name), &len);
    memfiles_add(&w->in, path, data, len);
    free(data);
}

static void open_model(struct writing *w) {
    struct err err = ERR_INIT;
    w->arena = arena_new(16 * MIB);
    violations_init(&w->list, w->arena);
    w->resolver = memfiles_resolver(&w->in);
    CHECK_OK(format_open(w->resolver, &w->model, &err), &err);
}

static void open_golden(struct writing *w, const char *name) {
    w->in.lone = true;
    add_golden(w, "m.gguf", name);
    open_model(w);
}

/* What a pass does: asks for a scheme where llama.cpp would use it. */
static void want(struct writing *w, const char *scheme) {
    for (size_t i = 0; i < w->model->tensor_count; i++) {
        struct tensor *t = &w->model->tensors[i];
        enum dtype dtype = dtype_by_name(scheme);
        struct encoding wanted = dtype == DTYPE_NONE
                                     ? (struct encoding){.codec = codec_by_name(scheme)}
                                     : encoding_plain(dtype);
        if (t->rank < 2)
            continue;
        CHECK_INT(gguf_adapt(w->model, t, &wanted, "/stages/0", &w->list), 0);
        t->wanted = wanted;
        t->decided_by = "/stages/0";
    }
}

static void write_model(struct writing *w) {
    struct err err = ERR_INIT;
    layout_init(&w->layout, w->arena);
    CHECK_OK(gguf_lay_out(w->model, &facts, &w->layout, &w->list, &err), &err);
    memfiles_emit(w->model, &w->layout, &w->out);
    w->out.lone = w->in.lone;
}

static void close_writing(struct writing *w) {
    model_free(w->model);
    resolver_close(w->resolver);
    memfiles_free(&w->in);
    memfiles_free(&w->out);
    arena_free(w->arena);
    *w = (struct writing){0};
}

static void check_same(const struct memfiles *a, const struct memfiles *b, const char *path) {
    size_t a_len, b_len;
    const char *a_bytes = memfiles_get(a, path, &a_len), *b_bytes = memfiles_get(b, path, &b_len);
    CHECK_UINT(a_len, b_len);
    CHECK_BYTES(a_bytes, b_bytes, b_len);
}

static void unchanged_is_the_same_file(void **state) {
    static const char *const names[] = {"f32.gguf", "f16.gguf", "bare.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct writing w = {0};
        open_golden(&w, names[i]);
        write_model(&w);
        CHECK(w.layout.lone);
        check_same(&w.out, &w.in, "m.gguf");
        CHECK_UINT(w.list.total, 0);
        close_writing(&w);
    }
}

static void parts_stay_parts(void **state) {
    struct writing w = {0};
    add_golden(&w, "m-00001-of-00002.gguf", "parts-00001-of-00002.gguf");
    add_golden(&w, "m-00002-of-00002.gguf", "parts-00002-of-00002.gguf");
    memfiles_text(&w.in, "LICENSE", "do what you like");
    memfiles_text(&w.in, "empty", "");
    open_model(&w);
    write_model(&w);
    CHECK(!w.layout.lone);
    CHECK_UINT(w.out.count, 4);
    for (size_t i = 0; i < w.in.count; i++)
        check_same(&w.out, &w.in, w.in.files[i].path);
    close_writing(&w);
}

/* A version 2 file is a version 3 file but for its number. */
static void version_2_becomes_3(void **state) {
    struct writing w = {0};
    size_t len;
    uint8_t *data = golden_read("gguf/f32.gguf", &len);
    struct memfiles before = {0};
    memfiles_add(&before, "m.gguf", data, len);
    store_u32(data + 4, 2);
    w.in.lone = true;
    memfiles_add(&w.in, "m.gguf", data, len);
    free(data);
    open_model(&w);
    write_model(&w);
    check_same(&w.out, &before, "m.gguf");
    memfiles_free(&before);
    close_writing(&w);
}

/* The index of one written file. */
static struct gguf_file *reread(struct writing *w, const char *path) {
    size_t len;
    const char *bytes = memfiles_get(&w->out, path, &len);
    struct gguf_file *file = ARENA_NEW(w->arena, struct gguf_file);
    struct source *source = source_over_memory(bytes, len, path);
    struct err err = ERR_INIT;
    CHECK_OK(gguf_file_read(source, w->arena, file, &err), &err);
    source_close(source);
    return file;
}

/* Every key of the source stands in the output with the same bytes and in the same order, except
 * those named; the output has `added` more. */
static void check_keys_kept(struct writing *w, const char *path, const char *except, size_t added) {
    const struct gguf_file *out = reread(w, path);
    const struct gguf_split *split = w->model->private;
    const struct gguf_file *in = &split->files[0];
    const char *in_bytes = memfiles_get(&w->in, path, NULL);
    const char *out_bytes = memfiles_get(&w->out, path, NULL);
    CHECK_UINT(out->key_count, in->key_count + added);
    for (size_t i = 0; i < in->key_count; i++) {
        CHECK_TEXT(out->keys[i].name, in->keys[i].name);
        CHECK_UINT(out->keys[i].bytes, in->keys[i].bytes);
        if (strcmp(in->keys[i].name, except) != 0)
            CHECK_BYTES(out_bytes + out->keys[i].offset, in_bytes + in->keys[i].offset,
                        in->keys[i].bytes);
    }
}

static void float_to_blocks(void **state) {
    static const struct {
        const char *scheme;
        uint64_t file_type;
    } rows[] = {{"q8_0", 7}, {"q5_1", 9}, {"q5_0", 8}, {"q4_1", 3}, {"q4_0", 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct writing w = {0};
        uint64_t value;
        open_golden(&w, "f32.gguf");
        want(&w, rows[i].scheme);
        write_model(&w);
        check_keys_kept(&w, "m.gguf", "general.file_type", 1);
        struct gguf_file *out = reread(&w, "m.gguf");
        CHECK_UINT(out->version, 3);
        CHECK(gguf_file_uint(out, "general.file_type", &value) && value == rows[i].file_type);
        CHECK(gguf_file_uint(out, "general.quantization_version", &value) && value == 2);
        CHECK_TEXT(out->infos[3].stored.codec->name, rows[i].scheme);
        CHECK_TEXT(out->infos[1].stored.codec->name, "f32");
        CHECK_UINT(out->infos[4].dims[0], 32);
        CHECK_UINT(out->infos[4].dims[1], 64);
        close_writing(&w);
    }
}

/* Against the gguf package's own quantizer, tensor by tensor. */
static void q8_0_as_gguf_writes_it(void **state) {
    struct writing w = {0}, other = {0};
    open_golden(&w, "f32.gguf");
    open_golden(&other, "q8_0.gguf");
    want(&w, "q8_0");
    write_model(&w);
    const struct gguf_file *ours = reread(&w, "m.gguf");
    const struct gguf_split *split = other.model->private;
    const struct gguf_file *theirs = &split->files[0];
    const char *our_bytes = memfiles_get(&w.out, "m.gguf", NULL);
    const char *their_bytes = memfiles_get(&other.in, "m.gguf", NULL);
    CHECK_UINT(ours->info_count, theirs->info_count);
    for (size_t i = 0; i < ours->info_count; i++) {
        CHECK_TEXT(ours->infos[i].name, theirs->infos[i].name);
        CHECK_UINT(ours->infos[i].offset - ours->data_offset,
                   theirs->infos[i].offset - theirs->data_offset);
        CHECK_BYTES(our_bytes + ours->infos[i].offset, their_bytes + theirs->infos[i].offset,
                    theirs->infos[i].bytes);
    }
    close_writing(&w);
    close_writing(&other);
}

static void floats_and_back(void **state) {
    static const struct {
        const char *from, *scheme;
        uint64_t file_type;
    } rows[] = {
        {"f32.gguf", "f16", 1},  {"f16.gguf", "bf16", 32}, {"f16.gguf", "f32", 0},
        {"q8_0.gguf", "f16", 1}, {"bare.gguf", "f16", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct writing w = {0};
        uint64_t value;
        open_golden(&w, rows[i].from);
        want(&w, rows[i].scheme);
        write_model(&w);
        struct gguf_file *out = reread(&w, "m.gguf");
        CHECK(gguf_file_uint(out, "general.file_type", &value) && value == rows[i].file_type);
        CHECK(gguf_file_key(out, "general.quantization_version") == NULL);
        CHECK_UINT(out->alignment, strcmp(rows[i].from, "f16.gguf") == 0 ? 64 : 32);
        close_writing(&w);
    }
}

/* A mixture keeps the number of what most weights are; K-quants that stay leave the key alone. */
static void file_type_of_mixtures(void **state) {
    struct writing w = {0};
    uint64_t value;
    open_golden(&w, "f32.gguf");
    want(&w, "q4_0");
    w.model->tensors[0].wanted = (struct encoding){.codec = codec_by_name("q8_0")};
    write_model(&w);
    CHECK(gguf_file_uint(reread(&w, "m.gguf"), "general.file_type", &value) && value == 2);
    close_writing(&w);
    open_golden(&w, "f32.gguf");
    w.model->tensors[1].wanted = encoding_plain(DTYPE_F16); /* a norm alone says nothing */
    write_model(&w);
    CHECK(gguf_file_uint(reread(&w, "m.gguf"), "general.file_type", &value) && value == 0);
    close_writing(&w);
}

static void removed_tensors(void **state) {
    struct writing w = {0};
    uint64_t value;
    add_golden(&w, "m-00001-of-00002.gguf", "parts-00001-of-00002.gguf");
    add_golden(&w, "m-00002-of-00002.gguf", "parts-00002-of-00002.gguf");
    open_model(&w);
    w.model->tensors[4].removed = true;
    write_model(&w);
    struct gguf_file *first = reread(&w, "m-00001-of-00002.gguf");
    struct gguf_file *second = reread(&w, "m-00002-of-00002.gguf");
    CHECK_UINT(first->info_count, 3);
    CHECK_UINT(second->info_count, 2);
    CHECK_TEXT(second->infos[1].name, "output.weight");
    CHECK(gguf_file_uint(first, "split.tensors.count", &value) && value == 5);
    CHECK(gguf_file_uint(second, "split.tensors.count", &value) && value == 5);
    /* And it opens again. */
    struct resolver *resolver = memfiles_resolver(&w.out);
    struct model *model;
    struct err err = ERR_INIT;
    CHECK_OK(format_open(resolver, &model, &err), &err);
    CHECK_UINT(model->tensor_count, 5);
    model_free(model);
    resolver_close(resolver);
    w.model->tensors[3].removed = w.model->tensors[5].removed = true; /* a part without tensors */
    memfiles_free(&w.out);
    write_model(&w);
    CHECK_UINT(reread(&w, "m-00002-of-00002.gguf")->info_count, 0);
    close_writing(&w);
}

static void rows_no_block_divides(void **state) {
    struct writing w = {0};
    open_golden(&w, "bare.gguf"); /* ffn_down has rows of 40 */
    want(&w, "q4_0");
    CHECK_UINT(w.list.total, 0);
    write_model(&w);
    CHECK_UINT(w.list.total, 1);
    CHECK_HOLDS(w.list.items[0].detail, "blk.0.ffn_down.weight");
    struct gguf_file *out = reread(&w, "m.gguf");
    uint64_t value;
    CHECK(gguf_file_uint(out, "general.file_type", &value));
    CHECK_TEXT(out->infos[4].stored.codec->name, "f16");
    CHECK_TEXT(out->infos[3].stored.codec->name, "q4_0");
    close_writing(&w);
}

/* ---- adapt, tensor by tensor ---- */

static const struct {
    const char *tensor;
    uint64_t dims[3]; /* fastest first */
    uint32_t type;
    const char *scheme;
    const char *becomes; /* NULL: a violation */
    const char *nearest;
} adapted[] = {
    {"blk.0.attn_q.weight", {64, 2}, 0, "q4_0", "q4_0", NULL},
    {"blk.0.attn_q.weight", {64, 2}, 0, "bf16", "bf16", NULL},
    {"blk.0.attn_q.weight", {40, 2}, 0, "q4_0", "f16", NULL},
    {"blk.0.attn_q.weight", {256, 2}, 10, "q4_0", "q4_0", NULL}, /* q2_k decodes */
    {"blk.0.attn_q.weight", {256, 2}, 16, "q4_0", NULL, ""},     /* iq2_xxs does not */
    {"blk.0.attn_q.weight", {256, 2}, 16, "iq2_xxs", "iq2_xxs", NULL},
    {"blk.0.attn_q.weight", {256, 2}, 0, "q4_k", NULL, "q4_0"},
    {"blk.0.attn_q.weight", {256, 2}, 0, "q5_k", NULL, "q5_1"},
    {"blk.0.attn_q.weight", {256, 2}, 0, "q6_k", NULL, "q8_0"},
    {"blk.0.attn_q.weight", {64, 2}, 0, "int8", NULL, "q8_0"},
    {"blk.0.attn_q.weight", {64, 2}, 0, "int4", NULL, "q4_0"},
    {"blk.0.attn_q.weight", {64, 2}, 0, "fp8_e4m3", NULL, "q8_0"},
    {"blk.0.attn_q.weight", {64, 2}, 0, "c64", NULL, "f32"},
    {"blk.0.attn_q.weight", {64, 2}, 26, "f16", NULL, ""}, /* i32: carried through */
    {"blk.0.ids", {64}, 27, "f32", NULL, ""},
    {"blk.0.attn_norm.weight", {64}, 0, "q8_0", NULL, "f32"},
    {"blk.0.attn_norm.weight", {64}, 1, "bf16", "f32", NULL},
    {"blk.0.attn_q_norm.weight", {64, 2}, 0, "q8_0", NULL, "f32"},
    {"blk.0.attn_q.bias", {64}, 0, "f16", "f32", NULL},
    {"blk.0.ffn_gate_inp.weight", {64, 2}, 0, "q8_0", "f32", NULL},
    {"blk.0.ffn_gate_inp.weight", {64, 2}, 1, "q8_0", "f16", NULL},
    {"blk.0.ffn_gate_inp.weight", {64, 2}, 8, "q4_0", "f16", NULL},
    {"blk.0.ffn_gate_inp.weight", {64, 2}, 0, "bf16", "bf16", NULL},
    {"position_embd.weight", {64, 2}, 0, "q8_0", "f32", NULL},
    {"token_types.weight", {64, 2}, 0, "q8_0", "f32", NULL},
    {"blk.0.time_mix_w1.weight", {64, 2}, 0, "q8_0", "f32", NULL},
    {"blk.0.rel_pos.scores", {64, 2}, 0, "q8_0", "f32", NULL},
};

static void adapts_what_is_wanted(void **state) {
    for (size_t i = 0; i < sizeof adapted / sizeof adapted[0]; i++) {
        struct writing w = {0};
        struct bytebuf b = {0};
        char text[64];
        uint64_t dims[4] = {adapted[i].dims[0], adapted[i].dims[1]};
        tinygguf_start(&b, 3, 1, 0);
        tinygguf_info(&b, adapted[i].tensor, dims, adapted[i].type, 0);
        bytebuf_align(&b, 32);
        struct encoding stored;
        CHECK(gguf_file_encoding_of(adapted[i].type, &stored));
        bytebuf_fill(&b, 0, encoding_size(&stored, dims[1] ? dims[1] : 1, dims[0]).data_bytes);
        w.in.lone = true;
        memfiles_add(&w.in, "m.gguf", b.at, b.len);
        bytebuf_free(&b);
        open_model(&w);
        enum dtype dtype = dtype_by_name(adapted[i].scheme);
        struct encoding wanted = dtype == DTYPE_NONE
                                     ? (struct encoding){.codec = codec_by_name(adapted[i].scheme),
                                                         .scale_dtype = DTYPE_F32}
                                     : encoding_plain(dtype);
        int status = gguf_adapt(w.model, &w.model->tensors[0], &wanted, "/stages/0", &w.list);
        if (status != (adapted[i].becomes ? 0 : -1) ||
            w.list.total != (adapted[i].becomes ? 0u : 1u))
            fail_msg("%s to %s: %s", adapted[i].tensor, adapted[i].scheme,
                     w.list.total ? w.list.items[0].detail : "accepted");
        if (adapted[i].becomes) {
            CHECK_TEXT(encoding_describe(&wanted, text, sizeof text), adapted[i].becomes);
        } else {
            CHECK_TEXT(w.list.items[0].tensor, adapted[i].tensor);
            CHECK_TEXT(w.list.items[0].pointer, "/stages/0");
            CHECK_TEXT(w.list.items[0].nearest ? w.list.items[0].nearest : "", adapted[i].nearest);
        }
        close_writing(&w);
    }
}

static void little_memory(void **state) {
    struct writing w = {0};
    struct err err = ERR_INIT;
    open_golden(&w, "f32.gguf");
    want(&w, "q8_0");
    int status = -1, failures = 0;
    for (size_t cap = 64; status < 0; cap += 64, failures++) {
        struct arena *small = arena_new(cap);
        struct violations warnings;
        struct layout layout;
        violations_init(&warnings, small);
        layout_init(&layout, small);
        status = gguf_lay_out(w.model, &facts, &layout, &warnings, &err);
        if (status < 0)
            CHECK_FAILS(status, &err, ERR_NO_MEMORY);
        arena_free(small);
    }
    CHECK(failures > 10);
    close_writing(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unchanged_is_the_same_file),
        cmocka_unit_test(parts_stay_parts),
        cmocka_unit_test(version_2_becomes_3),
        cmocka_unit_test(float_to_blocks),
        cmocka_unit_test(q8_0_as_gguf_writes_it),
        cmocka_unit_test(floats_and_back),
        cmocka_unit_test(file_type_of_mixtures),
        cmocka_unit_test(removed_tensors),
        cmocka_unit_test(rows_no_block_divides),
        cmocka_unit_test(adapts_what_is_wanted),
        cmocka_unit_test(little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
