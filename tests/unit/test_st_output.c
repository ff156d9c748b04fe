/* Laying safetensors models out: written, read back, compared; order, names, and what comes along.
 */
#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/jspec.h"
#include "compress/formats/ct_read.h"
#include "compress/formats/st_output.h"
#include "compress/graph/tensor_reader.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct run {
    struct memfiles in, out;
    struct resolver *files, *written;
    struct model *model, *again;
    struct arena *arena;
    struct layout layout;
    struct violations list, warnings;
    struct err err;
};

static void open_it(struct run *r) {
    r->err = ERR_INIT;
    r->files = memfiles_resolver(&r->in);
    CHECK_OK(format_open(r->files, &r->model, &r->err), &r->err);
    r->arena = arena_new(16 << 20);
    layout_init(&r->layout, r->arena);
    violations_init(&r->list, r->arena);
    violations_init(&r->warnings, r->arena);
}

static int lay_out(struct run *r) {
    struct output_facts facts = {.recipe_name = "test", .recipe_json = "{}", .source_name = "tiny"};
    return r->model->format->lay_out(r->model, &facts, &r->layout, &r->warnings, &r->err);
}

/* Lays out, writes, opens what was written. */
static void write_it(struct run *r) {
    CHECK_OK(lay_out(r), &r->err);
    memfiles_emit(r->model, &r->layout, &r->out);
    r->written = memfiles_resolver(&r->out);
    CHECK_OK(format_open(r->written, &r->again, &r->err), &r->err);
}

static void drop(struct run *r) {
    model_free(r->model);
    model_free(r->again);
    resolver_close(r->files);
    resolver_close(r->written);
    memfiles_free(&r->in);
    memfiles_free(&r->out);
    arena_free(r->arena);
    *r = (struct run){0};
}

static void want(struct run *r, const char *name, struct encoding e) {
    for (size_t i = 0; i < r->model->tensor_count; i++) {
        struct tensor *t = &r->model->tensors[i];
        if (name ? strcmp(t->name, name) != 0
                 : !t->is_linear || (t->role & ROLE_HEAD) || t->rank != 2)
            continue;
        struct encoding wanted = e;
        CHECK_INT(r->model->format->adapt(r->model, t, &wanted, "/x", &r->list), 0);
        t->wanted = wanted;
    }
}

static float *decode(const struct model *model, const struct tensor *t, uint64_t *ret_count) {
    struct err err = ERR_INIT;
    struct tensor_reader *reader = NULL;
    CHECK_OK(tensor_reader_open(model, t, false, &reader, &err), &err);
    uint64_t rows, cols;
    tensor_matrix(t, &t->stored, &rows, &cols);
    float *x = calloc(rows * cols + 1, sizeof *x);
    void *raw = malloc(rows * tensor_reader_row_bytes(reader) + 1);
    CHECK_OK(tensor_reader_rows(reader, 0, rows, raw, x, &err), &err);
    tensor_reader_close(reader);
    free(raw);
    *ret_count = rows * cols;
    return x;
}

/* Every tensor is there again, stored as wanted, with values near the source's. */
static void compare(struct run *r, double tolerance) {
    for (size_t i = 0; i < r->model->tensor_count; i++) {
        const struct tensor *t = &r->model->tensors[i];
        if (t->removed)
            continue;
        const struct tensor *got = model_tensor(r->again, t->component, t->name);
        CHECK(got);
        CHECK(encoding_equal(&got->stored, &t->wanted));
        CHECK_INT(got->stored.dynamic_activations, t->wanted.dynamic_activations);
        CHECK_UINT(got->rank, t->rank);
        CHECK_BYTES(got->dims, t->dims, sizeof t->dims);
        /* Every part aligned to its element size: torch's rule. */
        for (int k = 0; k < PART_KINDS; k++)
            if (got->parts[k].name)
                CHECK_UINT(got->parts[k].offset % dtype_row(got->parts[k].dtype)->bytes, 0);
        if (!dtype_row(t->stored.dtype)->is_float && t->stored.codec->family == CODEC_PLAIN)
            continue;
        uint64_t n, m;
        float *a = decode(r->model, t, &n), *b = decode(r->again, got, &m);
        CHECK_UINT(n, m);
        for (uint64_t k = 0; k < n; k++)
            CHECK_NUM(b[k], a[k], encoding_equal(&t->stored, &t->wanted) ? 0 : tolerance);
        free(a);
        free(b);
    }
}

#define LAYER(n)                                              \
    "model.layers." #n ".self_attn.q_proj.weight F16 24x32\n" \
    "model.layers." #n ".self_attn.k_proj.weight F16 5x32\n"  \
    "model.layers." #n ".self_attn.v_proj.weight F16 5x32\n"  \
    "model.layers." #n ".mlp.up_proj.weight F16 7x32\n"       \
    "model.layers." #n ".input_layernorm.weight F16 33\n"

#define CONFIG                                                                          \
    "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n  " \
    "\"torch_dtype\": \"float16\",\n  \"rope_theta\": 1e4\n}\n"

static void tiny_llama(struct run *r) {
    memfiles_model(&r->in, "model.safetensors",
                   "odd U8 2\nmodel.embed_tokens.weight F16 11x32\n" LAYER(0)
                       LAYER(1) "lm_head.weight F16 11x32\n",
                   "{\"format\":\"pt\"}");
    memfiles_text(&r->in, "config.json", CONFIG);
    memfiles_text(&r->in, "tokenizer.json", "{\"t\":1}");
    open_it(r);
}

static struct encoding scheme(const char *codec, enum granularity granularity, uint32_t group,
                              bool symmetric, bool activations) {
    return (struct encoding){.codec = codec_by_name(codec),
                             .granularity = granularity,
                             .group_len = group,
                             .symmetric = symmetric,
                             .dynamic_activations = activations};
}

static void every_scheme_comes_back(void **state) {
    const struct {
        struct encoding e;
        const char *format;
        double tolerance;
    } rows[] = {
        {scheme("int8", GRANULARITY_CHANNEL, 0, true, false), "pack-quantized", 0.01},
        {scheme("int8", GRANULARITY_CHANNEL, 0, false, false), "pack-quantized", 0.01},
        {scheme("int8", GRANULARITY_GROUP, 8, true, false), "pack-quantized", 0.01},
        {scheme("int8", GRANULARITY_CHANNEL, 0, true, true), "int-quantized", 0.01},
        {scheme("int8", GRANULARITY_TENSOR, 0, true, true), "int-quantized", 0.01},
        {scheme("int4", GRANULARITY_GROUP, 16, true, false), "pack-quantized", 0.3},
        {scheme("int4", GRANULARITY_GROUP, 16, false, false), "pack-quantized", 0.3},
        {scheme("int4", GRANULARITY_CHANNEL, 0, true, false), "pack-quantized", 0.3},
        {scheme("fp8_e4m3", GRANULARITY_CHANNEL, 0, true, false), "float-quantized", 0.13},
        {scheme("fp8_e4m3", GRANULARITY_TENSOR, 0, true, false), "float-quantized", 0.13},
        {encoding_plain(DTYPE_F32), NULL, 0},
        {encoding_plain(DTYPE_BF16), NULL, 0.01},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct run r = {0};
        tiny_llama(&r);
        want(&r, NULL, rows[i].e);
        write_it(&r);
        compare(&r, rows[i].tolerance);
        const char *config = memfiles_get(&r.out, "config.json", NULL);
        CHECK_HOLDS(config, "\"rope_theta\": 1e4"); /* not 10000.0 */
        if (rows[i].format) {
            CHECK_HOLDS(r.again->quantization, rows[i].format);
            CHECK(!r.again->opaque_quantization);
            CHECK_HOLDS(config, "\"torch_dtype\": \"float16\"");
            CHECK_HOLDS(config, "\"lm_head\"");
        } else {
            CHECK(!r.again->quantization);
            CHECK_HOLDS(config, rows[i].e.dtype == DTYPE_F32 ? "\"float32\"" : "\"bfloat16\"");
            CHECK(!strstr(config, "quantization_config"));
        }
        CHECK_TEXT(memfiles_get(&r.out, "tokenizer.json", NULL), "{\"t\":1}");
        CHECK_HOLDS(memfiles_get(&r.out, "README.md", NULL), "recipe `test`");
        CHECK_UINT(r.out.count, 4);
        size_t len;
        const char *weights = memfiles_get(&r.out, "model.safetensors", &len);
        CHECK_UINT(load_u64(weights) % 8, 0);
        CHECK_HOLDS(weights + 8, "\"__metadata__\":{\"format\":\"pt\"}");
        CHECK(!strstr(weights + 8, CT_NOTE)); /* config.json says it */
        drop(&r);
    }
}

/* What quantized must be undone, too: from a folder we wrote ourselves to floats and to another. */
static void requantizes_its_own(void **state) {
    struct run first = {0}, second = {0};
    tiny_llama(&first);
    want(&first, NULL, scheme("int8", GRANULARITY_CHANNEL, 0, true, false));
    write_it(&first);
    for (int to = 0; to < 3; to++) {
        for (size_t i = 0; i < first.out.count; i++)
            memfiles_add(&second.in, first.out.files[i].path, first.out.data[i],
                         first.out.files[i].bytes);
        open_it(&second);
        CHECK_HOLDS(second.model->quantization, "pack-quantized");
        CHECK_INT(second.model->float_dtype, DTYPE_F16);
        if (to == 0)
            want(&second, NULL, encoding_plain(DTYPE_F16));
        if (to == 1)
            want(&second, NULL, scheme("int4", GRANULARITY_GROUP, 16, true, false));
        write_it(&second); /* to == 2: as it was */
        compare(&second, to == 1 ? 0.3 : 0.001);
        const char *config = memfiles_get(&second.out, "config.json", NULL);
        if (to == 0)
            CHECK_TEXT(config, CONFIG);
        if (to == 1)
            CHECK_HOLDS(config, "\"num_bits\": 4");
        if (to == 2) {
            CHECK_TEXT(config, memfiles_get(&first.out, "config.json", NULL));
            CHECK_UINT(second.model->bytes, second.again->bytes);
        }
        drop(&second);
    }
    drop(&first);
}

static void a_mixture_names_its_modules(void **state) {
    struct run r = {0};
    tiny_llama(&r);
    want(&r, NULL, scheme("int4", GRANULARITY_GROUP, 16, false, false));
    want(&r, "model.layers.1.mlp.up_proj.weight",
         scheme("fp8_e4m3", GRANULARITY_CHANNEL, 0, true, false));
    struct tensor *k = model_tensor(r.model, "", "model.layers.1.self_attn.k_proj.weight");
    k->wanted = k->stored;
    write_it(&r);
    compare(&r, 0.3);
    struct json_t *doc = NULL;
    const char *config = memfiles_get(&r.out, "config.json", NULL);
    CHECK_OK(jspec_parse(config, strlen(config), &doc, &r.err), &r.err);
    const struct json_t *q = json_get(doc, "quantization_config");
    CHECK_TEXT(json_text(json_get(q, "format")), "mixed-precision");
    const struct json_t *g1 = json_get(json_get(q, "config_groups"), "group_1");
    CHECK_TEXT(json_text(json_get(g1, "format")), "float-quantized");
    CHECK_UINT(json_array_len(json_get(g1, "targets")), 1);
    CHECK_TEXT(json_text(json_array_at(json_get(g1, "targets"), 0)), "model.layers.1.mlp.up_proj");
    const struct json_t *ignore = json_get(q, "ignore");
    CHECK_UINT(json_array_len(ignore), 2);
    CHECK_TEXT(json_text(json_array_at(ignore, 0)), "model.layers.1.self_attn.k_proj");
    CHECK_TEXT(json_text(json_array_at(ignore, 1)), "lm_head");
    jspec_free(doc);
    /* Two warnings: zero points, and q against k. */
    CHECK_UINT(r.warnings.count, 2);
    CHECK_HOLDS(r.warnings.items[0].detail, "dequantize=True");
    CHECK_HOLDS(r.warnings.items[1].detail, "vLLM");
    CHECK_TEXT(r.warnings.items[1].group, "qkv_proj");
    drop(&r);
}

static void a_lone_file_carries_the_facts(void **state) {
    struct run r = {.in.lone = true};
    memfiles_model(
        &r.in, "w.safetensors",
        "a F32 6x32\nodd BF16 3\nb F32 8x8\nc.weight F32 4x4\n"
        "narrow F32 8x3\n",
        "{\"mine\":\"kept\",\"compressd.encodings\":\"{\\\"version\\\":1,\\\"schemes\\\":"
        "[{\\\"codec\\\":\\\"int8\\\",\\\"granularity\\\":\\\"channel\\\",\\\"group_size"
        "\\\":0,\\\"symmetric\\\":true,\\\"packing\\\":\\\"words\\\","
        "\\\"dynamic_activations\\\":false}],\\\"tensors\\\":{}}\"}");
    open_it(&r);
    want(&r, "a", scheme("int4", GRANULARITY_GROUP, 16, false, false));
    want(&r, "b", scheme("int8", GRANULARITY_TENSOR, 0, false, false));
    want(&r, "c.weight", scheme("int8", GRANULARITY_CHANNEL, 0, true, true));
    want(&r, "narrow", scheme("int8", GRANULARITY_CHANNEL, 0, true, false));
    write_it(&r);
    CHECK(r.layout.lone);
    CHECK_UINT(r.out.count, 1);
    compare(&r, 0.3);
    CHECK_TEXT(r.again->quantization, "int4 group 16 asymmetric");
    const char *text = memfiles_get(&r.out, "w.safetensors", NULL) + 8;
    CHECK_HOLDS(text, "\"mine\":\"kept\"");
    CHECK_HOLDS(text, "\"compressd.recipe\":\"test\"");
    CHECK_HOLDS(text, "\"a_packed\"");
    CHECK_HOLDS(text, "\"b_zero_point\"");
    drop(&r);
}

static void shards_stay_shards(void **state) {
    struct run r = {0};
    memfiles_model(&r.in, "model-00001-of-00002.safetensors",
                   "model.layers.0.mlp.up_proj.weight F16 8x32\nmodel.norm.weight F16 8\n", NULL);
    memfiles_model(&r.in, "model-00002-of-00002.safetensors",
                   "model.layers.0.mlp.down_proj.weight F16 8x32\n", NULL);
    memfiles_text(&r.in, "model.safetensors.index.json",
                  "{\"metadata\":{\"total_size\":1},\"weight_map\":{"
                  "\"model.layers.0.mlp.up_proj.weight\":\"model-00001-of-00002.safetensors\","
                  "\"model.norm.weight\":\"model-00001-of-00002.safetensors\","
                  "\"model.layers.0.mlp.down_proj.weight\":\"model-00002-of-00002.safetensors\"}}");
    memfiles_text(&r.in, "config.json", "{\"model_type\":\"llama\",\"dtype\":\"float16\"}");
    open_it(&r);
    want(&r, NULL, scheme("int8", GRANULARITY_CHANNEL, 0, true, false));
    write_it(&r); /* the new index was checked against the new shards by opening */
    compare(&r, 0.01);
    CHECK_UINT(r.again->file_count, 2);
    CHECK_HOLDS(memfiles_get(&r.out, "model.safetensors.index.json", NULL),
                "\"total_size\": 592\n"); /* 2 x (256 + 16 + 16) + 16 */
    CHECK_HOLDS(memfiles_get(&r.out, "model.safetensors.index.json", NULL),
                "\"model.layers.0.mlp.down_proj.weight_packed\": \"model-00002-of-00002");
    drop(&r);
}

static void what_comes_along(void **state) {
    struct run r = {0};
    tiny_llama(&r);
    drop(&r);
    memfiles_model(&r.in, "model.safetensors", "model.layers.0.mlp.up_proj.weight F16 8x32\n",
                   NULL);
    memfiles_model(&r.in, "model.fp16.safetensors", "model.layers.0.mlp.up_proj.weight F16 8x32\n",
                   NULL);
    memfiles_text(&r.in, "config.json", "{\"model_type\":\"llama\"}");
    memfiles_text(&r.in, "README.md", "# Mine\n");
    memfiles_model(&r.in, "adapter_model.safetensors", "lora.weight F32 2x2\n", NULL);
    memfiles_model(&r.in, "consolidated.safetensors", "layers.0.attention.wq.weight F16 4x4\n",
                   NULL);
    memfiles_text(&r.in, "LICENSE", "mine");
    memfiles_text(&r.in, "empty", "");
    memfiles_text(&r.in, "pytorch_model.bin", "x");
    memfiles_text(&r.in, "pytorch_model.bin.index.json", "x");
    memfiles_text(&r.in, "model.safetensors.index.fp16.json", "x");
    memfiles_text(&r.in, "original/consolidated.00.pth", "x");
    memfiles_text(&r.in, "original/params.json", "x");
    memfiles_text(&r.in, "onnx/model.onnx", "x");
    memfiles_model(&r.in, "2_Dense/model.safetensors", "linear.weight F32 2x2\n", NULL);
    memfiles_text(&r.in, "2_Dense/config.json", "{}");
    memfiles_model(&r.in, "other/model.safetensors", "linear.weight F32 2x2\n", NULL);
    open_it(&r);
    want(&r, NULL, encoding_plain(DTYPE_BF16));
    write_it(&r);
    static const char *const there[] = {"model.safetensors",
                                        "config.json",
                                        "README.md",
                                        "LICENSE",
                                        "empty",
                                        "original/params.json",
                                        "2_Dense/model.safetensors",
                                        "2_Dense/config.json",
                                        "adapter_model.safetensors"};
    CHECK_UINT(r.out.count, sizeof there / sizeof *there);
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        CHECK(memfiles_has(&r.out, there[i]));
    CHECK(strncmp(memfiles_get(&r.out, "README.md", NULL), "# Mine\n", 7) == 0);
    CHECK_TEXT(memfiles_get(&r.out, "2_Dense/config.json", NULL), "{}");
    CHECK_HOLDS(memfiles_get(&r.out, "config.json", NULL), "\"torch_dtype\": \"bfloat16\"");
    CHECK_UINT(r.warnings.count, 1);
    CHECK_HOLDS(r.warnings.items[0].detail,
                "consolidated.safetensors, model.fp16.safetensors, "
                "model.safetensors.index.fp16.json, onnx/model.onnx, "
                "original/consolidated.00.pth, other/model.safetensors, pytorch_model.bin, "
                "pytorch_model.bin.index.json");
    drop(&r);
}

/* The first tensor is called otherwise in the output: the repetition would not be known again. */
static void repeated_weights_of_any_name_stay_behind(void **state) {
    struct run r = {0};
    memfiles_model(&r.in, "model.safetensors", "a.weight F16 8x32\nb.weight F32 8\n", NULL);
    memfiles_model(&r.in, "best.safetensors", "a.weight F16 8x32\nb.weight F32 8\n", NULL);
    memfiles_model(&r.in, "more.safetensors", "c.weight F16 8x32\n", NULL);
    open_it(&r);
    want(&r, NULL, scheme("int8", GRANULARITY_CHANNEL, 0, true, false));
    write_it(&r);
    CHECK_UINT(r.out.count, 3);
    CHECK(!memfiles_has(&r.out, "best.safetensors"));
    CHECK_UINT(r.again->file_count, 2);
    CHECK_UINT(r.again->tensor_count, 3);
    CHECK_UINT(r.warnings.count, 1);
    CHECK_HOLDS(r.warnings.items[0].detail, "left out of the output: best.safetensors");
    drop(&r);
}

static void a_pipeline_keeps_its_parts(void **state) {
    struct run r = {0};
    memfiles_text(&r.in, "model_index.json", "{\"_class_name\":\"StableDiffusionPipeline\"}");
    memfiles_model(&r.in, "unet/diffusion_pytorch_model.safetensors",
                   "conv_in.weight F32 4x4x3x3\nx.to_q.weight F32 8x8\n", NULL);
    memfiles_text(&r.in, "unet/config.json", "{\"_class_name\": \"UNet2DConditionModel\"}");
    memfiles_model(&r.in, "text_encoder/model.safetensors", "x.weight F32 4x8\n", NULL);
    memfiles_text(&r.in, "text_encoder/config.json", "{\"torch_dtype\": \"float32\"}");
    memfiles_text(&r.in, "scheduler/scheduler_config.json", "{}");
    open_it(&r);
    struct tensor *conv = model_tensor(r.model, "unet", "conv_in.weight");
    struct encoding int8 = scheme("int8", GRANULARITY_CHANNEL, 0, true, false);
    CHECK_INT(r.model->format->adapt(r.model, conv, &int8, "/parts/unet", &r.list), -1);
    CHECK_HOLDS(r.list.items[0].detail, "diffusers");
    want(&r, "conv_in.weight", encoding_plain(DTYPE_F16));
    want(&r, "x.to_q.weight", encoding_plain(DTYPE_F16));
    want(&r, "x.weight", encoding_plain(DTYPE_BF16));
    write_it(&r);
    compare(&r, 0.01);
    CHECK_TEXT(memfiles_get(&r.out, "unet/config.json", NULL),
               "{\"_class_name\": \"UNet2DConditionModel\"}");
    CHECK_TEXT(memfiles_get(&r.out, "text_encoder/config.json", NULL),
               "{\"torch_dtype\": \"bfloat16\"}");
    CHECK_UINT(r.out.count, 7); /* and a card */
    drop(&r);
}

static void names_may_not_meet(void **state) {
    struct run r = {0};
    memfiles_model(&r.in, "model.safetensors",
                   "model.layers.0.mlp.up_proj.weight F16 8x32\n"
                   "model.layers.0.mlp.up_proj.weight_scale F16 8\n",
                   NULL);
    memfiles_text(&r.in, "config.json", "{\"model_type\":\"llama\"}");
    open_it(&r);
    want(&r, NULL, scheme("int8", GRANULARITY_CHANNEL, 0, true, false));
    CHECK(lay_out(&r) < 0);
    CHECK_INT(r.err.code, ERR_MISFIT);
    CHECK_HOLDS(r.err.text, "two tensors called model.layers.0.mlp.up_proj.weight_scale");
    drop(&r);
}

static void removed_tensors_are_not_written(void **state) {
    struct run r = {0};
    tiny_llama(&r);
    model_tensor(r.model, "", "model.layers.1.mlp.up_proj.weight")->removed = true;
    model_tensor(r.model, "", "lm_head.weight")->removed = true;
    want(&r, NULL, scheme("int8", GRANULARITY_CHANNEL, 0, true, false));
    write_it(&r);
    compare(&r, 0.01);
    CHECK_UINT(r.again->tensor_count, r.model->tensor_count - 2);
    CHECK_HOLDS(memfiles_get(&r.out, "config.json", NULL), "\"lm_head\""); /* tied now */
    drop(&r);
}

/* Opening, asking and laying out under a failing allocation: a reason, and nothing lost. */
static void every_allocation_may_fail(void **state) {
    struct run r = {0};
    memfiles_model(&r.in, "model.safetensors", "odd U8 2\n" LAYER(0) "lm_head.weight F16 11x32\n",
                   "{\"format\":\"pt\"}");
    memfiles_text(&r.in, "config.json", CONFIG);
    memfiles_text(&r.in, "README.md", "# x\n");
    struct resolver *files = memfiles_resolver(&r.in);
    bool failed = true;
    for (unsigned n = 0; failed; n++) {
        struct model *model = NULL;
        struct err err = ERR_INIT;
        struct arena *arena = NULL;
        allocfail_arm(n);
        int rc = format_open(files, &model, &err);
        if (rc == 0) {
            arena = arena_new(1 << 20);
            rc = arena ? 0 : err_set(&err, ERR_NO_MEMORY, "no arena");
        }
        if (rc == 0) {
            static const struct output_facts facts = {"test", "{}", NULL};
            struct layout layout;
            struct violations list;
            layout_init(&layout, arena);
            violations_init(&list, arena);
            for (size_t i = 0; i < model->tensor_count; i++) {
                struct tensor *t = &model->tensors[i];
                struct encoding e = scheme("int8", GRANULARITY_CHANNEL, 0, true, false);
                if (t->is_linear && !(t->role & ROLE_HEAD) &&
                    st_adapt(model, t, &e, "", &list) == 0)
                    t->wanted = e;
            }
            rc = st_lay_out(model, &facts, &layout, &list, &err);
        }
        failed = allocfail_disarm();
        if (rc < 0) /* in the middle of a string jansson takes lack of memory for bad syntax */
            CHECK(failed && (err.code == ERR_NO_MEMORY || err.code == ERR_BAD_JSON));
        else if (!failed)
            CHECK(n > 20);
        model_free(model);
        arena_free(arena);
    }
    resolver_close(files);
    memfiles_free(&r.in);
}

static void output_paths(void **state) {
    static const char *const rows[][2] = {
        {"pytorch_model.bin", "model.safetensors"},
        {"pytorch_model-00001-of-00002.bin", "model-00001-of-00002.safetensors"},
        {"pytorch_model.bin.index.json", "model.safetensors.index.json"},
        {"sub/pytorch_model.bin", "sub/model.safetensors"},
        {"weights.pt", "weights.safetensors"},
        {"a.b.pth", "a.b.safetensors"},
        {"x.ckpt", "x.safetensors"},
        {"model.safetensors", "model.safetensors"},
        {"noext", "noext"},
    };
    struct arena *arena = arena_new(1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_TEXT(st_output_path(rows[i][0], arena), rows[i][1]);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scheme_comes_back),
        cmocka_unit_test(requantizes_its_own),
        cmocka_unit_test(a_mixture_names_its_modules),
        cmocka_unit_test(a_lone_file_carries_the_facts),
        cmocka_unit_test(shards_stay_shards),
        cmocka_unit_test(what_comes_along),
        cmocka_unit_test(repeated_weights_of_any_name_stay_behind),
        cmocka_unit_test(a_pipeline_keeps_its_parts),
        cmocka_unit_test(names_may_not_meet),
        cmocka_unit_test(removed_tensors_are_not_written),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(output_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
