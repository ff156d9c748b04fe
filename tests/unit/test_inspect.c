/* Inspection as JSON: what the headers of a tiny model say. */
#include "compress/recipe/inspect.h"
#include "tests/support/check.h"

#include "compress/base/dirfiles.h"
#include "compress/base/jspec.h"
#include "compress/formats/format.h"
#include "tests/support/tempdir.h"
#include "tests/support/tinymodel.h"
#include "tests/support/tinyonnx.h"

#include <stdlib.h>

static struct json_t *inspect(const char *path, bool with_tensors) {
    struct resolver *files;
    struct model *model;
    struct json_t *json;
    struct err err = ERR_INIT;
    size_t len;
    CHECK_OK(dirfiles_open(path, false, &files, &err), &err);
    CHECK_OK(format_open(files, &model, &err), &err);
    char *text = inspect_json(model, with_tensors, &len);
    CHECK_OK(jspec_parse(text, len, &json, &err), &err);
    free(text);
    model_free(model);
    resolver_close(files);
    return json;
}

static int64_t integer(const struct json_t *json, const char *key) {
    int64_t value = -1;
    json_int(json_get(json, key), &value);
    return value;
}

/* Two layers of 8 matrices and 2 norms, embedding and head of 64 x 128, a last norm. */
#define PARAMETERS \
    (2 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 256 * 128 + 2 * 128) + 2 * 64 * 128 + 128)

static void both_containers(void **state) {
    struct tempdir dir;
    tempdir_make(&dir);
    tinymodel_folder(&dir, "folder", (struct tinymodel_poke){0});
    tinymodel_gguf(&dir, "m.gguf", (struct tinymodel_poke){0});
    struct json_t *json = inspect(tempdir_path(&dir, "folder"), true);
    CHECK_TEXT(json_text(json_get(json, "format")), "safetensors");
    CHECK_TEXT(json_text(json_get(json, "architecture")), "LlamaForCausalLM");
    CHECK_INT(integer(json, "parameters"), PARAMETERS);
    CHECK_INT(integer(json_get(json, "dtypes"), "bf16"), 2 * PARAMETERS);
    CHECK_UINT(json_array_len(json_get(json, "files")), 4);
    CHECK_UINT(json_array_len(json_get(json, "tensors")), (size_t)integer(json, "tensor_count"));
    const struct json_t *first = json_array_at(json_get(json, "tensors"), 0);
    CHECK_TEXT(json_text(json_get(first, "name")), "model.embed_tokens.weight");
    CHECK_TEXT(json_text(json_get(first, "dtype")), "bf16");
    CHECK_TEXT(json_text(json_get(first, "role")), "embed");
    CHECK_INT(integer(first, "bytes"), 2 * 64 * 128);
    CHECK_UINT(json_array_len(json_get(first, "shape")), 2);
    jspec_free(json);
    json = inspect(tempdir_path(&dir, "m.gguf"), false);
    CHECK_TEXT(json_text(json_get(json, "format")), "gguf");
    CHECK_INT(integer(json, "parameters"), PARAMETERS);
    CHECK_INT(integer(json_get(json, "dtypes"), "f32"), 4 * PARAMETERS);
    CHECK(json_get(json, "tensors") == NULL);
    jspec_free(json);
    tempdir_free(&dir);
}

/* A graph says what a weight is for, and who reads it. */
static void a_graph(void **state) {
    struct bytebuf bytes = {0};
    struct tinyonnx t;
    struct json_t *json;
    struct err err = ERR_INIT;
    size_t len;
    tinyonnx_lines(&bytes, 17,
                   "input x f32[2,4]\nweight val_7 f32[4,3]\nMatMul x val_7 -> y #fc/MatMul\n"
                   "output y f32[2,3]");
    CHECK_OK(tinyonnx_open(&t, &bytes, &err), &err);
    char *text = inspect_json(t.model, true, &len);
    CHECK_OK(jspec_parse(text, len, &json, &err), &err);
    free(text);
    const struct json_t *first = json_array_at(json_get(json, "tensors"), 0);
    CHECK_TEXT(json_text(json_get(first, "role")), "head,first,last");
    CHECK_TEXT(json_text(json_array_at(json_get(first, "nodes"), 0)), "fc/MatMul");
    jspec_free(json);
    tinyonnx_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_containers),
        cmocka_unit_test(a_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
