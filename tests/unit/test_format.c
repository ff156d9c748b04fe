/* The table of containers: sound rows, and who recognises what. */
#include "compress/formats/format.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <stdbool.h>
#include <string.h>

static void table_is_sound(void **state) {
    size_t rows = 0;
    for (const struct format *f; (f = format_at(rows)) != NULL; rows++) {
        CHECK(f->name && f->doc && f->extensions && f->sniff && f->open && f->adapt && f->lay_out);
        CHECK(format_by_name(f->name) == f);
        CHECK(format_by_name(f->writes_as)); /* what comes out can be read again */
    }
    CHECK_UINT(rows, 4);
    CHECK(!format_by_name("tflite"));
}

static void who_recognises_what(void **state) {
    static const struct {
        const char *path, *bytes;
        size_t len;
        bool lone;
        const char *format;
    } rows[] = {
        {"x.safetensors", "x", 1, true, "safetensors"},
        {"x", "\2\0\0\0\0\0\0\0{}", 10, true, "safetensors"},
        {"model.safetensors", "x", 1, false, "safetensors"},
        {"model.safetensors.index.json", "{}", 2, false, "safetensors"},
        {"sub/model.safetensors", "x", 1, false, NULL},
        {"x.gguf", "GGUF", 4, true, "gguf"},
        {"pytorch_model.bin", "x", 1, false, "pytorch"},
        {"x.onnx", "x", 1, true, "onnx"},
        {"onnx/model.onnx", "x", 1, false, "onnx"},
        {"x", "\x08\x08\x3a\x00", 4, true, "onnx"},
        {"x", "\x08\x08\x3a\x01", 4, true, NULL}, /* the graph is cut */
        {"x", "\x08\x08", 2, true, NULL},
        {"notes.txt", "words", 5, true, NULL},
        {"empty", "", 0, true, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct memfiles m = {.lone = rows[i].lone};
        memfiles_add(&m, rows[i].path, rows[i].bytes, rows[i].len);
        struct resolver *files = memfiles_resolver(&m);
        const char *found = NULL;
        struct err err = ERR_INIT;
        const struct format *f;
        for (size_t k = 0; !found && (f = format_at(k)) != NULL; k++)
            if (f->sniff(files, &err))
                found = f->name;
        CHECK_OK(err.code == ERR_OK ? 0 : -1, &err);
        if (!rows[i].format) {
            CHECK(!found);
            struct model *model = NULL;
            CHECK_FAILS(format_open(files, &model, &err), &err, ERR_UNKNOWN_FORMAT);
        } else
            CHECK_TEXT(found, rows[i].format);
        resolver_close(files);
        memfiles_free(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(who_recognises_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
