/* Folding quantized weights: what is understood, what is named as malformed, what is left alone. */
#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/jspec.h"
#include "compress/formats/ct_read.h"
#include "compress/formats/format.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define CONFIG(format, bits)                                                                 \
    "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"" format \
    "\",\"config_groups\":{\"group_0\":{\"weights\":{\"num_bits\":" #bits "}}}}}"

struct opened {
    struct memfiles m;
    struct resolver *files;
    struct model *model;
    struct err err;
};

/* `shape` replaces the first 16 data bytes: where the tests put weight_shape. */
static int open_it(struct opened *o, const char *lines, const char *config, uint64_t rows,
                   uint64_t cols) {
    *o = (struct opened){.err = ERR_INIT};
    memfiles_model(&o->m, "model.safetensors", lines, NULL);
    memfiles_text(&o->m, "config.json", config);
    char *bytes = o->m.data[0];
    if (rows) {
        store_u64(bytes + 8 + load_u64(bytes), rows);
        store_u64(bytes + 16 + load_u64(bytes), cols);
    }
    o->files = memfiles_resolver(&o->m);
    return format_open(o->files, &o->model, &o->err);
}

static void drop(struct opened *o) {
    model_free(o->model);
    resolver_close(o->files);
    memfiles_free(&o->m);
}

static void understood(void **state) {
    static const struct {
        const char *lines, *config;
        uint64_t rows, cols;
        const char *encoding;
        size_t tensors;
    } rows[] = {
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n",
         CONFIG("pack-quantized", 4), 8, 32, "int4 channel symmetric", 1},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale F32 8x2\n",
         CONFIG("pack-quantized", 8), 8, 16, "int8 group 8 symmetric", 1},
        {"x.weight_shape I64 2\nx.weight_packed I32 9x4\nx.weight_scale F16 9x2\n"
         "x.weight_zero_point I32 2x2\n",
         CONFIG("pack-quantized", 4), 9, 32, "int4 group 16 asymmetric", 1},
        /* Four columns fit one word either way: the configuration decides. */
        {"x.weight_shape I64 2\nx.weight_packed I32 8x1\nx.weight_scale F32 8x1\n",
         CONFIG("pack-quantized", 8), 8, 4, "int8 channel symmetric", 1},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x1\nx.weight_scale F32 8x1\n",
         CONFIG("pack-quantized", 4), 8, 4, "int4 channel symmetric", 1},
        {"x.weight I8 4x8\nx.weight_scale F16 4x1\ny I8 4x8\n", CONFIG("int-quantized", 8), 0, 0,
         "int8 channel symmetric", 2},
        {"x.weight I8 4x8\nx.weight_scale F16 4x1\nkept.weight I8 4x8\nkept.weight_scale F16 4x1\n",
         "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"ignore\":[7,"
         "\"re:.*k\",\"kept\"]}}",
         0, 0, "int8 channel symmetric", 3},
        {"x.weight F8_E4M3 4x8\nx.weight_scale F16 1\n", CONFIG("float-quantized", 8), 0, 0,
         "fp8_e4m3 tensor", 1},
        {"x.weight F8_E4M3 4x8\nx.weight_scale F16 4x1\n", CONFIG("naive-quantized", 8), 0, 0,
         "fp8_e4m3 channel", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct opened o;
        CHECK_OK(open_it(&o, rows[i].lines, rows[i].config, rows[i].rows, rows[i].cols), &o.err);
        CHECK(!o.model->opaque_quantization);
        CHECK_UINT(o.model->tensor_count, rows[i].tensors);
        char words[96];
        CHECK_HOLDS(encoding_describe(&o.model->tensors[0].stored, words, sizeof words),
                    rows[i].encoding);
        CHECK_TEXT(o.model->tensors[0].name, "x.weight");
        drop(&o);
    }
}

static void malformed(void **state) {
    static const struct {
        const char *lines;
        uint64_t rows, cols;
        const char *part;
    } rows[] = {
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\n", 8, 32, "has no scale"},
        {"x.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n", 0, 0, "has no weight_shape"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n", 9, 32,
         "do not fit its shape"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n", 8, 40,
         "do not fit its shape"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n",
         UINT64_C(1) << 63, 32, "no shape"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n",
         UINT64_C(1) << 30, UINT64_C(1) << 30, "overflow"},
        {"x.weight_shape I64 1x2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n", 8, 32,
         "not two I64"},
        {"x.weight_shape I32 4\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n", 8, 32,
         "not two I64"},
        {"x.weight_shape I64 2\nx.weight_packed I32 32\nx.weight_scale BF16 8x1\n", 8, 32,
         "not two dimensions"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale I16 8x1\n", 8, 32,
         "not f32, f16 or bf16"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8\n", 8, 32,
         "not two dimensions"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 -\n", 8, 32, "scalar"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x3\n", 8, 32,
         "do not divide"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x0\n", 8, 32,
         "do not divide"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n"
         "x.weight_zero_point I32 2x1\n",
         8, 32, "wrong dtype or shape"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x1\n"
         "x.weight_zero_point I8 1x1\n",
         8, 32, "wrong dtype or shape"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct opened o;
        CHECK(open_it(&o, rows[i].lines, CONFIG("pack-quantized", 4), rows[i].rows, rows[i].cols) <
              0);
        if (o.err.code != ERR_BAD_MODEL || !strstr(o.err.text, rows[i].part)) {
            print_error("row %zu: %s: %s\n", i, err_name(o.err.code), o.err.text);
            CHECK(false);
        }
        CHECK(strncmp(o.err.tensor, "x.weight", 8) == 0);
        CHECK_TEXT(o.err.file, "model.safetensors");
        CHECK(o.err.offset != ERR_NO_OFFSET);
        drop(&o);
    }
}

static void named_but_not_decoded(void **state) {
    static const struct {
        const char *lines, *part;
    } rows[] = {
        {"x.weight F8_E4M3 256x128\nx.weight_scale F32 2x1\n", "blocks of rows"},
        {"x.weight F8_E4M3 8x8\nx.weight_scale F32 8x1\nx.input_scale F32 1\n", "input_scale"},
        {"x.weight_shape I64 2\nx.weight_packed I32 8x4\nx.weight_scale BF16 8x2\n"
         "x.weight_g_idx I32 32\n",
         "g_idx"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct opened o;
        CHECK_OK(open_it(&o, rows[i].lines, CONFIG("float-quantized", 8), i == 2 ? 8 : 0, 32),
                 &o.err);
        CHECK_HOLDS(o.model->opaque_quantization, rows[i].part);
        CHECK(o.model->tensor_count > 1);
        drop(&o);
    }
}

static void configurations(void **state) {
    static const struct {
        const char *json, *scheme, *opaque;
        unsigned bits;
        bool activations;
    } rows[] = {
        {"{\"quant_method\":\"compressed-tensors\",\"format\":\"int-quantized\",\"config_groups\":{"
         "\"a\":{\"weights\":{\"num_bits\":8},\"input_activations\":{\"num_bits\":8}}}}",
         "compressed-tensors int-quantized", NULL, 8, true},
        {"{\"quant_method\":\"compressed-tensors\",\"format\":\"mixed-precision\","
         "\"config_groups\":{\"a\":{\"format\":\"pack-quantized\",\"weights\":{\"num_bits\":4}},"
         "\"b\":{\"format\":\"pack-quantized\",\"weights\":{\"num_bits\":8}}}}",
         "compressed-tensors mixed-precision", NULL, 0, false},
        {"{\"quant_method\":\"compressed-tensors\",\"format\":\"mixed-precision\","
         "\"config_groups\":{\"a\":{\"format\":\"mxfp4-pack-quantized\"}}}",
         "compressed-tensors mixed-precision", "mxfp4-pack-quantized", 0, false},
        {"{\"quant_method\":\"compressed-tensors\"}", "compressed-tensors", NULL, 0, false},
        {"{\"quant_method\":\"hqq\"}", "hqq", "hqq", 0, false},
        {"{\"quant_method\":7}", "unknown", "unknown", 0, false},
        {"{\"bits\":4}", "gptq", "gptq", 0, false},
    };
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new(1 << 20);
        struct json_t *doc = NULL;
        struct ct_source source;
        CHECK_OK(jspec_parse(rows[i].json, strlen(rows[i].json), &doc, &err), &err);
        CHECK_OK(ct_read_config(doc, arena, &source, &err), &err);
        CHECK_TEXT(source.scheme, rows[i].scheme);
        if (rows[i].opaque)
            CHECK_HOLDS(source.opaque, rows[i].opaque);
        else
            CHECK(!source.opaque);
        CHECK_UINT(source.bits, rows[i].bits);
        CHECK_INT(source.activations, rows[i].activations);
        jspec_free(doc);
        arena_free(arena);
    }
}

#define SCHEME(codec, granularity, group)                                                 \
    "{\"codec\":\"" codec "\",\"granularity\":\"" granularity "\",\"group_size\":" #group \
    ",\"symmetric\":true,\"packing\":\"words\",\"dynamic_activations\":false}"

static void notes(void **state) {
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"{\"version\":1,\"schemes\":[" SCHEME("int8", "channel", 0) "],\"tensors\":{\"a\":0}}",
         NULL},
        {"{\"version\":2,\"schemes\":[" SCHEME("int8", "channel", 0) "],\"tensors\":{}}",
         "version"},
        {"{\"schemes\":[],\"tensors\":{}}", "version"},
        {"{\"version\":1,\"schemes\":[],\"tensors\":{}}", "no schemes"},
        {"{\"version\":1,\"schemes\":3,\"tensors\":{}}", "no schemes"},
        {"{\"version\":1,\"schemes\":[3],\"tensors\":{}}", "malformed"},
        {"{\"version\":1,\"schemes\":[" SCHEME("int9", "channel", 0) "]}", "malformed"},
        {"{\"version\":1,\"schemes\":[" SCHEME("q4_0", "channel", 0) "]}", "malformed"},
        {"{\"version\":1,\"schemes\":[" SCHEME("int8", "row", 0) "]}", "malformed"},
        {"{\"version\":1,\"schemes\":[" SCHEME("int8", "channel", 8) "]}", "malformed"},
        {"{\"version\":1,\"schemes\":[" SCHEME("int8", "group", 0) "]}", "malformed"},
        {"{\"version\":1,\"schemes\":[" SCHEME("int8", "group", -1) "]}", "malformed"},
        {"{\"version\":1,\"schemes\":[" SCHEME("int8", "channel", 0) "],\"tensors\":{\"a\":1}}",
         "names no scheme"},
        {"{\"version\":1,\"schemes\":[" SCHEME("int8", "channel", 0) "],\"tensors\":{\"a\":-1}}",
         "names no scheme"},
        {"{\"version\":1,", "compressd.encodings"},
        {"[]", "version"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new(1 << 20);
        struct err err = ERR_INIT;
        struct ct_source source = {0};
        int rc = ct_read_note(rows[i].json, "f", arena, &source, &err);
        if (!rows[i].part) {
            CHECK_OK(rc, &err);
            CHECK_UINT(strmap_get(source.names, "a"), 0);
            CHECK_TEXT(source.scheme, "int8 channel symmetric");
        } else {
            CHECK(rc < 0);
            CHECK_HOLDS(err.text, rows[i].part);
            CHECK_TEXT(err.file, "f");
        }
        arena_free(arena);
    }
}

/* A note that says something else than the tensors do. */
static void a_note_that_lies(void **state) {
    static const char *const schemes[] = {SCHEME("int4", "channel", 0), SCHEME("int8", "group", 4),
                                          SCHEME("int8", "channel", 0)};
    for (size_t i = 0; i < 3; i++) {
        struct opened o = {.err = ERR_INIT, .m.lone = true};
        char note[600] = "";
        size_t at = 0;
        char plain[400];
        snprintf(plain, sizeof plain, "{\"version\":1,\"schemes\":[%s],\"tensors\":{\"x\":0}}",
                 schemes[i]);
        for (const char *p = plain; *p; p++) {
            if (*p == '"')
                note[at++] = '\\';
            note[at++] = *p;
        }
        char notes_json[800];
        snprintf(notes_json, sizeof notes_json, "{\"" CT_NOTE "\":\"%s\"}", note);
        memfiles_model(&o.m, "m.safetensors",
                       "x_shape I64 2\nx_packed I32 8x4\nx_scale F32 8x1\n"
                       "y_packed I32 8x4\n",
                       notes_json);
        char *bytes = o.m.data[0];
        store_u64(bytes + 8 + load_u64(bytes), 8);
        store_u64(bytes + 16 + load_u64(bytes), 16);
        o.files = memfiles_resolver(&o.m);
        int rc = format_open(o.files, &o.model, &o.err);
        if (i == 2) {
            CHECK_OK(rc, &o.err);
            CHECK_UINT(o.model->tensor_count, 2); /* y is not named: left alone */
        } else {
            CHECK(rc < 0);
            CHECK_HOLDS(o.err.text, "not what the metadata says");
            CHECK_TEXT(o.err.tensor, "x");
        }
        drop(&o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understood),
        cmocka_unit_test(malformed),
        cmocka_unit_test(named_but_not_decoded),
        cmocka_unit_test(configurations),
        cmocka_unit_test(notes),
        cmocka_unit_test(a_note_that_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
