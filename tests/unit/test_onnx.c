/* Opening ONNX models: which file, external data, facts, and what happens without memory. */
#include "compress/formats/onnx.h"

#include "compress/base/arena.h"
#include "compress/base/digest.h"
#include "compress/formats/onnx_proto.h"
#include "compress/graph/graph.h"
#include "compress/tensor/array.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"
#include "tests/support/tinyonnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char lines[] = "input x f32[batch,4]\nweight w f32[4,3]\nMatMul x w -> t\n"
                            "com.acme.Shrink t -> y\noutput y f32[batch,3]";

static const char *fact(const struct model *model, const char *key) {
    for (size_t i = 0; i < model->fact_count; i++)
        if (strcmp(model->facts[i].key, key) == 0)
            return model->facts[i].value;
    return "";
}

static void add_model(struct memfiles *files, const char *path, struct bytebuf *model) {
    memfiles_add(files, path, model->at, model->len);
    bytebuf_free(model);
}

static void facts(void **state) {
    struct bytebuf model = {0};
    struct tinyonnx t;
    struct err err = ERR_INIT;
    tinyonnx_text(&model, ONNX_MODEL_PRODUCER_NAME, "someone");
    tinyonnx_text(&model, ONNX_MODEL_PRODUCER_VERSION, "1.2");
    tinyonnx_opset(&model, ONNX_MODEL_OPSET_IMPORT, "com.acme", 3);
    tinyonnx_lines(&model, 17, lines);
    CHECK_OK(tinyonnx_open(&t, &model, &err), &err);
    CHECK_TEXT(t.model->format->name, "onnx");
    CHECK_TEXT(fact(t.model, "ir_version"), "8");
    CHECK_TEXT(fact(t.model, "opset"), "com.acme 3, ai.onnx 17");
    CHECK_TEXT(fact(t.model, "producer"), "someone 1.2");
    CHECK_TEXT(fact(t.model, "nodes"), "2");
    CHECK_TEXT(fact(t.model, "inputs"), "x f32[batch,4]");
    CHECK_TEXT(fact(t.model, "outputs"), "y f32[batch,3]");
    CHECK_TEXT(fact(t.model, "not_executable_nodes"), "1");
    CHECK_TEXT(fact(t.model, "not_executable"), "com.acme.Shrink");
    CHECK_UINT(t.model->parameters, 12);
    CHECK_INT(t.model->graph->last->version, 3);
    tinyonnx_close(&t);
}

static void first_bytes(void **state) {
    static const struct {
        const char *head;
        size_t len;
        bool yes;
    } rows[] = {
        {"\x08\x08\x12\x07pytorch", 11, true}, {"\x08\x0e\x3a\x00", 4, true},
        {"\x08\x03\x28\x00", 4, true},         {"\x08\x08\x12", 3, false}, /* too short to say */
        {"\x08\x02\x12\x07", 4, false},                                    /* IR version 2 */
        {"\x08\x08\x10\x07", 4, false}, /* the producer as a number */
        {"\x12\x08\x08\x12", 4, false},        {"\x08\x08\0\0\0\0\0\0{", 9, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_INT(onnx_begins(rows[i].head, rows[i].len), rows[i].yes);
}

/* Any order of the top-level fields, unknown ones among them, is a model. */
static void fields_in_any_order(void **state) {
    struct bytebuf model = {0}, graph = {0};
    struct tinyonnx t;
    struct err err = ERR_INIT;
    tinyonnx_graph(&graph, lines);
    tinyonnx_text(&model, 77, "later");
    tinyonnx_message(&model, ONNX_MODEL_GRAPH, &graph);
    tinyonnx_opset(&model, ONNX_MODEL_OPSET_IMPORT, "ai.onnx", 13);
    tinyonnx_varint(&model, ONNX_MODEL_IR_VERSION, 14);
    CHECK_OK(tinyonnx_open(&t, &model, &err), &err);
    CHECK_INT(t.model->graph->first->version, 13);
    tinyonnx_close(&t);
}

static void refused_at_the_top(void **state) {
    static const struct {
        uint64_t ir;
        bool graph, twice;
        enum err_code code;
        const char *says;
    } rows[] = {
        {2, true, false, ERR_UNSUPPORTED, "IR version 2"},
        {15, true, false, ERR_UNSUPPORTED, "IR version 15"},
        {8, false, false, ERR_BAD_MODEL, "no graph"},
        {0, true, false, ERR_BAD_MODEL, "no ir_version"},
        {8, true, true, ERR_BAD_MODEL, "two graphs"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bytebuf model = {0};
        struct tinyonnx t;
        struct err err = ERR_INIT;
        if (rows[i].ir)
            tinyonnx_varint(&model, ONNX_MODEL_IR_VERSION, rows[i].ir);
        for (int k = 0; k < rows[i].graph + rows[i].twice; k++) {
            struct bytebuf graph = {0};
            tinyonnx_graph(&graph, lines);
            tinyonnx_message(&model, ONNX_MODEL_GRAPH, &graph);
        }
        CHECK_INT(tinyonnx_open(&t, &model, &err), -1);
        CHECK_INT(err.code, rows[i].code);
        CHECK_HOLDS(err.text, rows[i].says);
    }
}

static void which_file_of_a_folder(void **state) {
    static const struct {
        const char *paths[3];
        const char *opened; /* NULL: refused */
    } rows[] = {
        {{"any.onnx", "notes.txt"}, "any.onnx"},
        {{"a.onnx", "model.onnx"}, "model.onnx"},
        {{"onnx/model.onnx", "onnx/model_fp16.onnx"}, "onnx/model.onnx"},
        {{"a.onnx", "b.onnx"}, NULL},
        {{"a/model.onnx", "b/model.onnx"}, NULL},
        {{"a/model.onnx", "b/model.onnx", "model.onnx"}, "model.onnx"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tinyonnx t = {{{{0}}}};
        struct err err = ERR_INIT;
        for (int k = 0; k < 3 && rows[i].paths[k]; k++) {
            struct bytebuf model = {0};
            tinyonnx_lines(&model, 17, lines);
            add_model(&t.files, rows[i].paths[k], &model);
        }
        if (!rows[i].opened) {
            CHECK_INT(tinyonnx_open_files(&t, &err), -1);
            CHECK_HOLDS(err.text, "several");
            CHECK_HOLDS(err.text, rows[i].paths[1]);
            continue;
        }
        CHECK_OK(tinyonnx_open_files(&t, &err), &err);
        CHECK_TEXT(t.model->files[0].path, rows[i].opened);
        tinyonnx_close(&t);
    }
}

static void put_entry(struct bytebuf *b, const char *key, const char *value) {
    struct bytebuf entry = {0};
    tinyonnx_text(&entry, ONNX_ENTRY_KEY, key);
    tinyonnx_text(&entry, ONNX_ENTRY_VALUE, value);
    tinyonnx_message(b, ONNX_TENSOR_EXTERNAL_DATA, &entry);
}

/* A model whose weight w f32[2] lies elsewhere. */
static void external_model(struct bytebuf *model, const char *location, const char *offset) {
    struct bytebuf graph = {0}, tensor = {0};
    tinyonnx_tensor(&tensor, "w", 1, "2");
    put_entry(&tensor, "location", location);
    put_entry(&tensor, "offset", offset);
    tinyonnx_varint(&tensor, ONNX_TENSOR_DATA_LOCATION, ONNX_LOCATION_EXTERNAL);
    tinyonnx_message(&graph, ONNX_GRAPH_INITIALIZER, &tensor);
    tinyonnx_graph(&graph, "input x f32[2]\nAdd x w -> y\noutput y f32[2]");
    tinyonnx_model(model, 8, 17, &graph);
}

static void external_data(void **state) {
    static const float data[] = {9, 9, 1, 2};
    struct bytebuf model = {0};
    struct tinyonnx t = {{{{0}}}};
    struct err err = ERR_INIT;
    external_model(&model, "data/w.bin", "8");
    add_model(&t.files, "onnx/m.onnx", &model);
    memfiles_add(&t.files, "onnx/data/w.bin", data, sizeof data);
    CHECK_OK(tinyonnx_open_files(&t, &err), &err);
    const struct part *part = &t.model->tensors[0].parts[PART_DATA];
    CHECK_TEXT(t.model->files[part->file].path, "onnx/data/w.bin");
    CHECK_UINT(part->offset, 8);
    CHECK_NUM(array_number(graph_value(t.model->graph, "w")->data, 1), 2, 0);
    tinyonnx_close(&t);
}

static void external_data_that_are_not_there(void **state) {
    static const struct {
        const char *location, *offset, *says;
    } rows[] = {
        {"../w.bin", "0", "no path within the model"},
        {"/etc/passwd", "0", "no path within the model"},
        {"a/../../w.bin", "0", "no path within the model"},
        {"", "0", "no path within the model"},
        {"other.bin", "0", "which is not here"},
        {"w.bin", "12", "end beyond the file"},
        {"w.bin", "18446744073709551615", "end beyond the file"},
        {"m.onnx", "0", "the model's own file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bytebuf model = {0};
        struct tinyonnx t = {{{{0}}}};
        struct err err = ERR_INIT;
        external_model(&model, rows[i].location, rows[i].offset);
        add_model(&t.files, "m.onnx", &model);
        memfiles_add(&t.files, "w.bin", "0123456789abcdef", 16);
        CHECK_INT(tinyonnx_open_files(&t, &err), -1);
        CHECK_INT(err.code, ERR_BAD_MODEL);
        CHECK_TEXT(err.tensor, "w");
        CHECK_HOLDS(err.text, rows[i].says);
    }
    struct bytebuf model = {0};
    struct tinyonnx t;
    struct err err = ERR_INIT;
    external_model(&model, "w.bin", "0"); /* a lone file: say what to do */
    CHECK_INT(tinyonnx_open(&t, &model, &err), -1);
    CHECK_HOLDS(err.text, "as a folder");
}

/* ---- models of the onnx package (tests/golden/export_onnx.py) ---- */

static void add_golden(struct memfiles *files, const char *path, const char *name) {
    size_t len;
    void *data = golden_read(golden_name("onnx/%s", name), &len);
    memfiles_add(files, path, data, len);
    free(data);
}

static void open_golden(struct tinyonnx *t, const char *name) {
    struct err err = ERR_INIT;
    *t = (struct tinyonnx){.files = {.lone = strcmp(name, "external/model.onnx") != 0}};
    add_golden(&t->files, "model.onnx", name);
    if (!t->files.lone)
        add_golden(&t->files, "weights.bin", "external/weights.bin");
    CHECK_OK(tinyonnx_open_files(t, &err), &err);
}

static void check_tensor(const struct model *model, const char *name, const char *type,
                         const char *dims, const char *sha256) {
    const struct tensor *t = model_tensor(model, "", name);
    char text[160] = "", hex[DIGEST_HEX_LEN + 1];
    struct err err = ERR_INIT;
    if (!t)
        print_error("there is no tensor %s\n", name);
    CHECK(t != NULL);
    /* codes that are scaled are a tensor of numbers with an encoding; the package says how they lie
     */
    bool codes = t->stored.codec->family == CODEC_AFFINE;
    CHECK_TEXT(dtype_row(codes ? t->parts[PART_DATA].dtype : t->stored.dtype)->name, type);
    for (unsigned d = 0; d < t->rank; d++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", d ? "," : "[",
                 (int)t->dims[d]);
    strcat(text, t->rank ? "]" : "[]");
    if (!codes || !t->stored.transposed)
        CHECK_TEXT(text, dims);
    const struct part *data = &t->parts[PART_DATA];
    void *bytes = malloc(data->bytes + 1);
    CHECK_OK(source_read(model->files[data->file].source, data->offset, bytes, data->bytes, &err),
             &err);
    struct digest digest = digest_of(bytes, data->bytes);
    digest_hex(&digest, hex);
    CHECK_TEXT(hex, sha256);
    free(bytes);
}

static void tensors_are_what_the_package_wrote(void **state) {
    size_t len;
    char *expected = golden_read("onnx/expected.txt", &len), *save = NULL;
    size_t checked = 0, found = 0;
    char opened[64] = "";
    struct tinyonnx t = {{{{0}}}};
    expected = realloc(expected, len + 1);
    CHECK(expected);
    expected[len] = 0;
    for (char *line = strtok_r(expected, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char file[64], name[64], type[16], dims[32], sha256[80];
        CHECK_INT(sscanf(line, "%63s %63s %15s %31s %79s", file, name, type, dims, sha256), 5);
        if (strcmp(file, opened) != 0) {
            if (opened[0])
                tinyonnx_close(&t);
            open_golden(&t, file);
            strcpy(opened, file);
            found += t.model->tensor_count;
        }
        CHECK(t.model != NULL);
        const struct value *value = graph_value(t.model->graph, name);
        if (value && value->part != PART_DATA) { /* scales are a part of their codes' tensor */
            const struct tensor *whole = &t.model->tensors[value->tensor];
            CHECK_TEXT(whole->parts[value->part].name, name);
            continue;
        }
        check_tensor(t.model, name, type, dims, sha256);
        checked++;
    }
    CHECK_UINT(checked, found); /* and no others */
    CHECK(checked > 30);
    tinyonnx_close(&t);
    free(expected);
}

static void what_the_package_wrote_goes_out_as_it_came(void **state) {
    static const char *const names[] = {"plain.onnx",     "lists.onnx",          "bodies.onnx",
                                        "functions.onnx", "external/model.onnx", "quantized.onnx",
                                        "old.onnx",       "sequences.onnx"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tinyonnx t;
        struct memfiles written;
        open_golden(&t, names[i]);
        tinyonnx_write(&t, 0, &written);
        CHECK_UINT(written.count, t.files.count);
        CHECK_INT(written.lone, t.files.lone);
        for (size_t f = 0; f < written.count; f++) {
            size_t len;
            const char *bytes = memfiles_get(&t.files, written.files[f].path, &len);
            CHECK_UINT(written.files[f].bytes, len);
            CHECK_BYTES(written.data[f], bytes, len);
        }
        memfiles_free(&written);
        tinyonnx_close(&t);
    }
}

static void without_memory(void **state) {
    struct bytebuf model = {0}, tensor = {0}, graph = {0};
    struct memfiles files = {.lone = true};
    tinyonnx_tensor(&tensor, "i", 7, "2");
    tinyonnx_varint(&tensor, ONNX_TENSOR_INT64_DATA, 1);
    tinyonnx_varint(&tensor, ONNX_TENSOR_INT64_DATA, 2);
    tinyonnx_message(&graph, ONNX_GRAPH_INITIALIZER, &tensor);
    tinyonnx_graph(&graph, "input x f32[2]\nd.F x i -> y\noutput y f32[2]");
    tinyonnx_function(&model, "d.F a b -> out", "x.Op a b -> out");
    tinyonnx_model(&model, 8, 17, &graph);
    add_model(&files, "m.onnx", &model);
    struct resolver *resolver = memfiles_resolver(&files);
    bool failed = true;
    unsigned n = 0;
    for (; failed; n++) {
        struct model *opened = NULL;
        struct err err = ERR_INIT;
        allocfail_arm(n);
        int status = format_open(resolver, &opened, &err);
        failed = allocfail_disarm();
        if (failed)
            CHECK_FAILS(status, &err, ERR_NO_MEMORY);
        else
            CHECK_OK(status, &err);
        model_free(opened);
    }
    CHECK(n > 5);
    resolver_close(resolver);
    memfiles_free(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts),
        cmocka_unit_test(first_bytes),
        cmocka_unit_test(fields_in_any_order),
        cmocka_unit_test(refused_at_the_top),
        cmocka_unit_test(which_file_of_a_folder),
        cmocka_unit_test(external_data),
        cmocka_unit_test(external_data_that_are_not_there),
        cmocka_unit_test(tensors_are_what_the_package_wrote),
        cmocka_unit_test(what_the_package_wrote_goes_out_as_it_came),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
