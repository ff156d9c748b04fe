/* compressed-tensors: what loads, and how the parts are called and shaped. */
#include "compress/base/arena.h"
#include "compress/formats/ct.h"
#include "compress/graph/arch.h"
#include "tests/support/check.h"

#include <stdbool.h>
#include <string.h>

struct fixture {
    struct arena *arena;
    struct model model;
    struct tensor tensor;
    struct violations list;
};

static void build(struct fixture *f, const char *type) {
    *f = (struct fixture){.arena = arena_new(1 << 20)};
    f->model = (struct model){.arch = arch_for(type), .float_dtype = DTYPE_BF16};
    f->tensor = (struct tensor){.name = "model.layers.0.mlp.up_proj.weight",
                                .component = "",
                                .role = ROLE_MLP,
                                .stored = encoding_plain(DTYPE_BF16),
                                .is_linear = true,
                                .rank = 2};
    f->tensor.dims[0] = 20;
    f->tensor.dims[1] = 96;
    violations_init(&f->list, f->arena);
}

static struct encoding wish(const char *codec, enum granularity granularity, uint32_t group) {
    return (struct encoding){.codec = codec_by_name(codec),
                             .granularity = granularity,
                             .group_len = group,
                             .symmetric = true};
}

/* One violation, with these words; clears the list. */
static void refused(struct fixture *f, bool bare, struct encoding e, enum err_code code,
                    const char *part, const char *nearest) {
    CHECK(ct_adapt(&f->model, &f->tensor, bare, &e, "/stages/0", &f->list) < 0);
    CHECK_UINT(f->list.count, 1);
    const struct violation *v = &f->list.items[0];
    CHECK_INT(v->code, code);
    CHECK_HOLDS(v->detail, part);
    CHECK_TEXT(v->tensor, f->tensor.name);
    CHECK_TEXT(v->pointer, "/stages/0");
    if (nearest)
        CHECK_TEXT(v->nearest, nearest);
    violations_init(&f->list, f->arena);
}

static struct encoding accepted(struct fixture *f, bool bare, struct encoding e) {
    CHECK(ct_adapt(&f->model, &f->tensor, bare, &e, "", &f->list) == 0);
    CHECK_UINT(f->list.total, 0);
    return e;
}

static void what_loads(void **state) {
    struct fixture f;
    build(&f, "llama");
    struct encoding e = accepted(&f, false, wish("int8", GRANULARITY_CHANNEL, 0));
    CHECK_INT(e.packing, PACKING_WORDS);
    CHECK_INT(e.scale_dtype, DTYPE_BF16);
    CHECK_TEXT(ct_format(&e), "pack-quantized");
    e = accepted(&f, false, wish("int4", GRANULARITY_GROUP, 32));
    CHECK_INT(e.packing, PACKING_WORDS);
    struct encoding w8a8 = wish("int8", GRANULARITY_CHANNEL, 0);
    w8a8.dynamic_activations = true;
    e = accepted(&f, false, w8a8);
    CHECK_INT(e.packing, PACKING_BYTES);
    CHECK_TEXT(ct_format(&e), "int-quantized");
    e = accepted(&f, false, wish("fp8_e4m3", GRANULARITY_CHANNEL, 0));
    CHECK(e.dynamic_activations);
    CHECK_TEXT(ct_format(&e), "float-quantized");
    e = accepted(&f, true, wish("int8", GRANULARITY_TENSOR, 0));
    f.model.float_dtype = DTYPE_F64;
    e = accepted(&f, false, wish("int8", GRANULARITY_CHANNEL, 0));
    CHECK_INT(e.scale_dtype, DTYPE_F32);
    f.tensor.is_linear = false;
    f.tensor.rank = 1;
    e = accepted(&f, false, encoding_plain(DTYPE_F16)); /* floats may go anywhere */
    CHECK(!ct_format(&e));
    arena_free(f.arena);
}

static void what_does_not(void **state) {
    struct fixture f;
    build(&f, "llama");
    struct encoding w8a8 = wish("int8", GRANULARITY_GROUP, 32);
    w8a8.dynamic_activations = true;
    refused(&f, false, w8a8, ERR_MISFIT, "per tensor or per channel", "channel");
    w8a8.granularity = GRANULARITY_CHANNEL;
    w8a8.symmetric = false;
    refused(&f, false, w8a8, ERR_MISFIT, "must be symmetric", "symmetric");
    w8a8 = wish("int4", GRANULARITY_CHANNEL, 0);
    w8a8.dynamic_activations = true;
    refused(&f, false, w8a8, ERR_MISFIT, "go with int8", "int8");
    refused(&f, false, wish("int8", GRANULARITY_TENSOR, 0), ERR_MISFIT, "per channel", "channel");
    refused(&f, false, wish("fp8_e4m3", GRANULARITY_GROUP, 32), ERR_MISFIT, "fp8", "channel");
    refused(&f, false, wish("q4_0", GRANULARITY_NONE, 0), ERR_MISFIT, "GGUF", "int4");
    refused(&f, false, encoding_plain(DTYPE_GGUF_BLOCK), ERR_MISFIT, "element type", "f16");
    refused(&f, false, wish("int4", GRANULARITY_GROUP, 128), ERR_MISFIT, "does not divide the 96",
            "96");
    refused(&f, false, wish("int4", GRANULARITY_GROUP, 64), ERR_MISFIT, "does not divide", "48");
    refused(&f, false, wish("int4", GRANULARITY_GROUP, 0), ERR_MISFIT, "does not divide",
            "channel");
    f.tensor.dims[1] = 36; /* 4 x 9 */
    refused(&f, false, wish("int4", GRANULARITY_GROUP, 32), ERR_MISFIT, "does not divide",
            "channel");
    f.tensor.dims[1] = 24;
    refused(&f, false, wish("int4", GRANULARITY_GROUP, 20), ERR_MISFIT, "does not divide", "8");

    struct encoding int8 = wish("int8", GRANULARITY_CHANNEL, 0);
    f.tensor.rank = 3;
    refused(&f, false, int8, ERR_MISFIT, "two dimensions", "f16");
    f.tensor.rank = 2;
    f.tensor.dims[0] = 0;
    refused(&f, true, int8, ERR_MISFIT, "empty", "f16");
    f.tensor.dims[0] = 20;
    f.tensor.is_linear = false;
    refused(&f, false, int8, ERR_MISFIT, "not the weight of a Linear", "f16");
    f.tensor.is_embedding = true;
    refused(&f, false, int8, ERR_MISFIT, "embeddings stay", "f16");
    accepted(&f, true, int8);
    f.tensor.is_linear = true;
    f.tensor.role = ROLE_HEAD;
    accepted(&f, false, int8);
    f.model.tied_embeddings = true;
    refused(&f, false, int8, ERR_MISFIT, "tied", "f16");
    f.tensor.stored = encoding_plain(DTYPE_I64);
    refused(&f, false, encoding_plain(DTYPE_F16), ERR_MISFIT, "integers", NULL);
    f.tensor.stored = encoding_plain(DTYPE_F16);
    f.tensor.component = "unet";
    refused(&f, false, int8, ERR_MISFIT, "diffusers", "f16");
    f.model.opaque_quantization = "gptq it is";
    refused(&f, false, int8, ERR_UNSUPPORTED, "gptq it is", NULL);
    refused(&f, false, encoding_plain(DTYPE_F16), ERR_UNSUPPORTED, "gptq it is", NULL);
    arena_free(f.arena);
    build(&f, "mixtral");
    refused(&f, false, int8, ERR_UNSUPPORTED, "mixture-of-experts", "f16");
    accepted(&f, false, encoding_plain(DTYPE_F16));
    arena_free(f.arena);
}

static void parts(void **state) {
    struct fixture f;
    struct err err = ERR_INIT;
    build(&f, "llama");
    const struct {
        struct encoding e;
        enum part_kind kind;
        const char *suffix;
        enum dtype dtype;
        unsigned rank;
        uint64_t d0, d1;
    } rows[] = {
        {wish("int4", GRANULARITY_GROUP, 32), PART_DATA, "_packed", DTYPE_I32, 2, 20, 12},
        {wish("int4", GRANULARITY_GROUP, 32), PART_SCALE, "_scale", DTYPE_BF16, 2, 20, 3},
        {wish("int4", GRANULARITY_GROUP, 32), PART_ZERO_POINT, "_zero_point", DTYPE_I32, 2, 3, 3},
        {wish("int4", GRANULARITY_GROUP, 32), PART_SHAPE, "_shape", DTYPE_I64, 1, 2, 0},
        {wish("int8", GRANULARITY_CHANNEL, 0), PART_DATA, "_packed", DTYPE_I32, 2, 20, 24},
        {wish("int8", GRANULARITY_CHANNEL, 0), PART_ZERO_POINT, "_zero_point", DTYPE_I32, 2, 5, 1},
        {wish("int8", GRANULARITY_TENSOR, 0), PART_SCALE, "_scale", DTYPE_BF16, 1, 1, 0},
        {wish("int8", GRANULARITY_TENSOR, 0), PART_ZERO_POINT, "_zero_point", DTYPE_I8, 1, 1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct encoding e = rows[i].e;
        e.packing = PACKING_WORDS;
        e.scale_dtype = DTYPE_BF16;
        e.symmetric = false;
        struct safetensors_entry entry;
        CHECK_INT(ct_part(&f.tensor, &e, rows[i].kind, f.arena, &entry, &err), 1);
        CHECK_HOLDS(entry.name, f.tensor.name);
        CHECK_TEXT(entry.name + strlen(f.tensor.name), rows[i].suffix);
        CHECK_INT(entry.dtype, rows[i].dtype);
        CHECK_UINT(entry.rank, rows[i].rank);
        CHECK_UINT(entry.dims[0], rows[i].d0);
        CHECK_UINT(entry.dims[1], rows[i].d1);
        /* The codec agrees about the bytes. */
        struct encoded_size size = encoding_size(&e, 20, 96);
        uint64_t bytes =
            dtype_row(entry.dtype)->bytes * entry.dims[0] * (entry.rank == 2 ? entry.dims[1] : 1);
        if (rows[i].kind == PART_DATA)
            CHECK_UINT(bytes, size.data_bytes);
        if (rows[i].kind == PART_SCALE)
            CHECK_UINT(bytes, size.scale_bytes);
        if (rows[i].kind == PART_ZERO_POINT)
            CHECK_UINT(bytes, size.zero_point_bytes);
    }
    struct encoding plain = encoding_plain(DTYPE_F16);
    struct safetensors_entry entry;
    CHECK_INT(ct_part(&f.tensor, &plain, PART_DATA, f.arena, &entry, &err), 1);
    CHECK_TEXT(entry.name, f.tensor.name);
    for (int kind = PART_SCALE; kind < PART_KINDS; kind++)
        CHECK_INT(ct_part(&f.tensor, &plain, (enum part_kind)kind, f.arena, &entry, &err), 0);
    arena_free(f.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_loads),
        cmocka_unit_test(what_does_not),
        cmocka_unit_test(parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
