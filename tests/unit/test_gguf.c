/* Opening GGUF models: files of the gguf package (tests/golden/gguf, made by export_gguf.py), and
 * what only several files or odd types can do. */
#include "compress/formats/gguf.h"

#include "compress/graph/tensor_reader.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"
#include "tests/support/memfiles.h"
#include "tests/support/tinygguf.h"

#include <stdlib.h>
#include <string.h>

static void add_golden(struct memfiles *files, const char *path, const char *name) {
    size_t len;
    void *data = golden_read(golden_name("gguf/%s", name), &len);
    memfiles_add(files, path, data, len);
    free(data);
}

static const char *fact(const struct model *model, const char *key) {
    for (size_t i = 0; i < model->fact_count; i++)
        if (strcmp(model->facts[i].key, key) == 0)
            return model->facts[i].value;
    return "";
}

/* All elements of a tensor must be those that export_gguf.py wrote. */
static void check_counted(const struct model *model, const char *name, float tolerance) {
    const struct tensor *t = model_tensor(model, "", name);
    struct tensor_reader *reader;
    struct err err = ERR_INIT;
    uint64_t rows, cols;
    CHECK(t != NULL);
    tensor_matrix(t, &t->stored, &rows, &cols);
    CHECK_OK(tensor_reader_open(model, t, false, &reader, &err), &err);
    void *raw = malloc(rows * tensor_reader_row_bytes(reader));
    float *x = malloc(t->elements * sizeof *x);
    CHECK_OK(tensor_reader_rows(reader, 0, rows, raw, x, &err), &err);
    for (uint64_t i = 0; i < t->elements; i++)
        CHECK_NUM(x[i], (double)(i % 251) / 64 - 1.5, tolerance);
    free(raw);
    free(x);
    tensor_reader_close(reader);
}

static void opens_what_gguf_wrote(void **state) {
    static const struct {
        const char *file;
        const char *scheme; /* of matrices */
        const char *quantization;
        float tolerance;
    } rows[] = {
        {"f32.gguf", "f32", NULL, 0},
        {"f16.gguf", "f16", NULL, 0},
        {"q8_0.gguf", "q8_0", "q8_0", 0.01f},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct memfiles files = {.lone = true};
        struct model *model;
        struct err err = ERR_INIT;
        char text[64];
        add_golden(&files, "m.gguf", rows[i].file);
        struct resolver *resolver = memfiles_resolver(&files);
        CHECK_OK(format_open(resolver, &model, &err), &err);
        CHECK_TEXT(model->format->name, "gguf");
        CHECK_TEXT(model->architecture, "llama");
        CHECK_TEXT(fact(model, "name"), "counted");
        CHECK_TEXT(fact(model, "layers"), "1");
        CHECK_TEXT(fact(model, "hidden_size"), "32");
        CHECK_TEXT(fact(model, "intermediate_size"), "64");
        CHECK_TEXT(fact(model, "heads"), "4");
        CHECK_TEXT(fact(model, "kv_heads"), "2");
        CHECK_TEXT(fact(model, "context_length"), "128");
        CHECK_TEXT(fact(model, "vocab_size"), "12");
        CHECK_TEXT(fact(model, "tokenizer"), "gpt2");
        CHECK_TEXT(fact(model, "gguf_version"), "3");
        CHECK(!model->tied_embeddings);
        CHECK(model->opaque_quantization == NULL);
        if (rows[i].quantization)
            CHECK_TEXT(model->quantization, rows[i].quantization);
        else
            CHECK(model->quantization == NULL);
        CHECK_UINT(model->tensor_count, 6);
        CHECK_TEXT(model->tensors[0].name, "token_embd.weight");
        CHECK_UINT(model->tensors[0].dims[0], 12);
        CHECK_UINT(model->tensors[0].dims[1], 32);
        CHECK(model->tensors[0].role & ROLE_EMBED);
        CHECK(model->tensors[1].role & ROLE_NORM);
        CHECK(model->tensors[3].role & ROLE_ATTN_QKV);
        CHECK(model->tensors[5].role & ROLE_HEAD);
        CHECK_TEXT(encoding_describe(&model->tensors[4].stored, text, sizeof text), rows[i].scheme);
        CHECK_TEXT(encoding_describe(&model->tensors[1].stored, text, sizeof text), "f32");
        for (size_t t = 0; t < model->tensor_count; t++)
            check_counted(model, model->tensors[t].name, rows[i].tolerance);
        model_free(model);
        resolver_close(resolver);
        memfiles_free(&files);
    }
}

static void opens_parts(void **state) {
    struct memfiles files = {0};
    struct model *model;
    struct err err = ERR_INIT;
    add_golden(&files, "m-00001-of-00002.gguf", "parts-00001-of-00002.gguf");
    add_golden(&files, "m-00002-of-00002.gguf", "parts-00002-of-00002.gguf");
    struct resolver *resolver = memfiles_resolver(&files);
    CHECK_OK(format_open(resolver, &model, &err), &err);
    CHECK_UINT(model->tensor_count, 6);
    CHECK_UINT(model->file_count, 2);
    CHECK_UINT(model->tensors[2].parts[PART_DATA].file, 0);
    CHECK_UINT(model->tensors[3].parts[PART_DATA].file, 1);
    CHECK_TEXT(fact(model, "parts"), "2");
    for (size_t t = 0; t < model->tensor_count; t++)
        check_counted(model, model->tensors[t].name, 0);
    model_free(model);
    resolver_close(resolver);
    memfiles_free(&files);
    /* A part alone, and parts exchanged. */
    files.lone = true;
    add_golden(&files, "m.gguf", "parts-00001-of-00002.gguf");
    resolver = memfiles_resolver(&files);
    CHECK_FAILS(format_open(resolver, &model, &err), &err, ERR_BAD_MODEL);
    resolver_close(resolver);
    memfiles_free(&files);
    add_golden(&files, "m-00001-of-00002.gguf", "parts-00002-of-00002.gguf");
    add_golden(&files, "m-00002-of-00002.gguf", "parts-00001-of-00002.gguf");
    resolver = memfiles_resolver(&files);
    CHECK_FAILS(format_open(resolver, &model, &err), &err, ERR_BAD_MODEL);
    resolver_close(resolver);
    memfiles_free(&files);
}

/* Two parts that hold a tensor of the same name. */
static void tensor_in_two_parts(void **state) {
    struct memfiles files = {0};
    struct model *model;
    struct err err = ERR_INIT;
    for (uint16_t i = 0; i < 2; i++) {
        struct bytebuf b = {0};
        tinygguf_start(&b, 3, 1, 3);
        tinygguf_u16(&b, "split.no", i);
        tinygguf_u16(&b, "split.count", 2);
        tinygguf_u16(&b, "split.tensors.count", 2);
        tinygguf_info(&b, "a.weight", (uint64_t[]){8, 0}, 0, 0);
        bytebuf_align(&b, 32);
        bytebuf_fill(&b, 0, 32);
        memfiles_add(&files, i ? "m-00002-of-00002.gguf" : "m-00001-of-00002.gguf", b.at, b.len);
        bytebuf_free(&b);
    }
    struct resolver *resolver = memfiles_resolver(&files);
    CHECK_INT(format_open(resolver, &model, &err), -1);
    CHECK_TEXT(err.tensor, "a.weight");
    CHECK_TEXT(err.file, "m-00002-of-00002.gguf");
    CHECK_FAILS(-1, &err, ERR_BAD_MODEL);
    resolver_close(resolver);
    memfiles_free(&files);
}

static struct model *open_one(struct memfiles *files, struct resolver **ret, struct bytebuf *b) {
    struct model *model;
    struct err err = ERR_INIT;
    memfiles_add(files, "m.gguf", b->at, b->len);
    bytebuf_free(b);
    *ret = memfiles_resolver(files);
    CHECK_OK(format_open(*ret, &model, &err), &err);
    return model;
}

/* Nothing but an architecture, or one that would clear the screen; a vocabulary known from the
 * embedding alone. */
static void incomplete_files(void **state) {
    struct memfiles files = {.lone = true};
    struct resolver *resolver;
    struct bytebuf b = {0};
    tinygguf_start(&b, 2, 1, 1);
    tinygguf_text(&b, "general.architecture", "gpt2");
    tinygguf_info(&b, "token_embd.weight", (uint64_t[]){4, 7, 0}, 0, 0);
    bytebuf_align(&b, 32);
    bytebuf_fill(&b, 0, 112);
    struct model *model = open_one(&files, &resolver, &b);
    CHECK_TEXT(model->architecture, "gpt2");
    CHECK_TEXT(fact(model, "vocab_size"), "7");
    CHECK_TEXT(fact(model, "gguf_version"), "2");
    CHECK_TEXT(fact(model, "layers"), "");
    CHECK(model->tied_embeddings);
    model_free(model);
    resolver_close(resolver);
    memfiles_free(&files);
    files.lone = true;
    tinygguf_start(&b, 3, 0, 3);
    tinygguf_text(&b, "general.architecture", "\x1b[2J");
    tinygguf_text(&b, "general.name", "\x1b[2J");
    tinygguf_u32(&b, "?[2J.vocab_size", 99);
    model = open_one(&files, &resolver, &b);
    CHECK_TEXT(model->architecture, "?[2J");
    CHECK_TEXT(fact(model, "name"), "?[2J");
    CHECK_TEXT(fact(model, "vocab_size"), "99");
    CHECK_UINT(model->tensor_count, 0);
    model_free(model);
    resolver_close(resolver);
    memfiles_free(&files);
}

static void carried_types(void **state) {
    struct memfiles files = {.lone = true};
    struct resolver *resolver;
    struct bytebuf b = {0};
    tinygguf_start(&b, 3, 3, 0);
    tinygguf_info(&b, "a.weight", (uint64_t[]){256, 2, 0}, 16, 0); /* iq2_xxs: 66 bytes */
    tinygguf_info(&b, "b.weight", (uint64_t[]){32, 0}, 39, 160);   /* mxfp4: 17 bytes */
    tinygguf_info(&b, "c.weight", (uint64_t[]){32, 0}, 8, 192);
    bytebuf_align(&b, 32);
    bytebuf_fill(&b, 0, 192 + 34);
    struct model *model = open_one(&files, &resolver, &b);
    CHECK_TEXT(model->quantization, "iq2_xxs");
    CHECK_TEXT(model->opaque_quantization,
               "a.weight is stored as iq2_xxs, which cannot be decoded here");
    CHECK_UINT(model->tensors[0].parts[PART_DATA].bytes, 132);
    CHECK_UINT(model->tensors[1].parts[PART_DATA].bytes, 17);
    CHECK_INT(model->tensors[1].parts[PART_DATA].dtype, DTYPE_GGUF_BLOCK);
    model_free(model);
    resolver_close(resolver);
    memfiles_free(&files);
}

static void sniffs(void **state) {
    static const struct {
        const char *path;
        const char *data;
        bool lone;
        bool ours;
    } rows[] = {
        {"m.gguf", "whatever", true, true}, {"blob", "GGUF....", true, true},
        {"blob", "tjgg....", true, true},   {"blob", "PK..", true, false},
        {"blob", "GG", true, false},        {"m.gguf", "", false, true},
        {"sub/m.GGUF", "", false, true},    {"blob", "GGUF....", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct memfiles files = {.lone = rows[i].lone};
        struct err err = ERR_INIT;
        memfiles_text(&files, rows[i].path, rows[i].data);
        struct resolver *resolver = memfiles_resolver(&files);
        CHECK_INT(gguf_sniff(resolver, &err), rows[i].ours);
        CHECK_INT(err.code, ERR_OK);
        resolver_close(resolver);
        memfiles_free(&files);
    }
}

/* Whichever allocation fails, opening comes home with ERR_NO_MEMORY and leaks nothing. */
static void without_memory(void **state) {
    struct memfiles files = {0};
    add_golden(&files, "m-00001-of-00002.gguf", "parts-00001-of-00002.gguf");
    add_golden(&files, "m-00002-of-00002.gguf", "parts-00002-of-00002.gguf");
    struct resolver *resolver = memfiles_resolver(&files);
    bool failed = true;
    unsigned n = 0;
    for (; failed; n++) {
        struct model *model = NULL;
        struct err err = ERR_INIT;
        allocfail_arm(n);
        int status = format_open(resolver, &model, &err);
        failed = allocfail_disarm();
        if (failed)
            CHECK_FAILS(status, &err, ERR_NO_MEMORY);
        else
            CHECK_OK(status, &err);
        model_free(model);
    }
    CHECK(n > 5);
    resolver_close(resolver);
    memfiles_free(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_what_gguf_wrote), cmocka_unit_test(opens_parts),
        cmocka_unit_test(tensor_in_two_parts),   cmocka_unit_test(incomplete_files),
        cmocka_unit_test(carried_types),         cmocka_unit_test(sniffs),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
