/* The model: the matrix view, roles in words, and what model_finish() finds out. */
#include "compress/base/arena.h"
#include "compress/graph/arch.h"
#include "compress/graph/model.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <string.h>

static void matrix_view(void **state) {
    static const struct {
        unsigned rank;
        uint64_t dims[4];
        uint64_t rows, cols, block_rows, block_cols;
    } rows[] = {
        {0, {0}, 1, 1, 1, 1},
        {1, {7}, 1, 7, 1, 7},
        {2, {3, 5}, 3, 5, 3, 5},
        {3, {2, 3, 5}, 2, 15, 6, 5},
        {4, {2, 3, 5, 7}, 2, 105, 30, 7},
        {2, {0, 5}, 0, 5, 0, 5},
        {2, {5, 0}, 5, 0, 5, 0},
    };
    struct encoding plain = encoding_plain(DTYPE_F32), block = {.codec = codec_by_name("q8_0")};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tensor t = {.rank = rows[i].rank};
        memcpy(t.dims, rows[i].dims, sizeof rows[i].dims);
        uint64_t r, c;
        tensor_matrix(&t, &plain, &r, &c);
        CHECK_UINT(r, rows[i].rows);
        CHECK_UINT(c, rows[i].cols);
        tensor_matrix(&t, &block, &r, &c);
        CHECK_UINT(r, rows[i].block_rows);
        CHECK_UINT(c, rows[i].block_cols);
    }
}

static void roles_in_words(void **state) {
    char text[64];
    CHECK_TEXT(role_text(ROLE_ATTN_QKV | ROLE_FIRST, text, sizeof text), "attn_qkv,first");
    CHECK_TEXT(role_text(ROLE_NONE, text, sizeof text), "");
    CHECK_TEXT(role_text(ROLE_MLP | ROLE_FIRST | ROLE_LAST, text, sizeof text), "mlp,first,last");
    CHECK_TEXT(role_text(ROLE_EMBED, text, 3), "em"); /* cut, never past the end */
    CHECK_UINT(role_by_name("attn"), ROLE_ATTN_QKV | ROLE_ATTN_OUT);
    CHECK_UINT(role_by_name("head"), ROLE_HEAD);
    CHECK_UINT(role_by_name("Head"), 0);
    CHECK_UINT(role_by_name(""), 0);
    for (unsigned bit = 1; bit <= ROLE_OTHER; bit <<= 1)
        CHECK_UINT(role_by_name(role_text(bit, text, sizeof text)), bit);
}

static struct model *fresh(const struct memfiles *m, struct resolver **ret_files) {
    *ret_files = memfiles_resolver(m);
    struct model *model = model_new(*ret_files);
    CHECK(model);
    model->tensors = ARENA_ARRAY(model->arena, struct tensor, 8);
    return model;
}

static void add(struct model *model, const char *name, enum dtype dtype, unsigned rank, uint64_t d0,
                uint64_t d1) {
    struct tensor *t = &model->tensors[model->tensor_count++];
    *t = (struct tensor){.name = name, .rank = rank, .stored = encoding_plain(dtype)};
    t->dims[0] = d0;
    t->dims[1] = d1;
}

static void finish_counts(void **state) {
    struct err err = ERR_INIT;
    struct memfiles m = {0};
    memfiles_text(&m, "a", "12345");
    memfiles_text(&m, "b", "123");
    struct resolver *files;
    struct model *model = fresh(&m, &files);
    model->architecture = "llama";
    add(model, "model.embed_tokens.weight", DTYPE_BF16, 2, 10, 4);
    add(model, "model.layers.0.mlp.up_proj.weight", DTYPE_BF16, 2, 4, 6);
    add(model, "model.norm.weight", DTYPE_F32, 1, 4, 0);
    add(model, "model.layers.0.self_attn.rotary_emb.inv_freq", DTYPE_F32, 1, 1000, 0);
    add(model, "position_ids", DTYPE_I64, 1, 512, 0);
    CHECK_OK(model_finish(model, &err), &err);
    CHECK_UINT(model->parameters, 40 + 24 + 4);
    CHECK_UINT(model->bytes, 8);
    CHECK_INT(model->float_dtype, DTYPE_BF16);
    CHECK_TEXT(model->arch->name, "llama");
    CHECK(model->tied_embeddings); /* no head in the file */
    CHECK_UINT(model->tensors[1].elements, 24);
    CHECK(encoding_equal(&model->tensors[1].wanted, &model->tensors[1].stored));
    CHECK_TEXT(model->tensors[0].component, "");
    CHECK(model_tensor(model, "", "model.norm.weight") == &model->tensors[2]);
    CHECK(!model_tensor(model, "unet", "model.norm.weight"));
    CHECK(!model_tensor(model, "", "nothing"));
    CHECK_OK(model_add_fact(model, "layers", "1", &err), &err);
    CHECK_TEXT(model->facts[0].value, "1");
    model_free(model);
    resolver_close(files);

    model = fresh(&m, &files);
    model->architecture = "llama";
    add(model, "model.embed_tokens.weight", DTYPE_F16, 2, 10, 4);
    add(model, "lm_head.weight", DTYPE_F16, 2, 10, 4);
    CHECK_OK(model_finish(model, &err), &err);
    CHECK(!model->tied_embeddings);
    model_free(model);
    model_free(NULL);
    resolver_close(files);
    memfiles_free(&m);
}

static void shapes_are_capped(void **state) {
    struct err err = ERR_INIT;
    struct memfiles m = {0};
    struct resolver *files;
    struct model *model = fresh(&m, &files);
    add(model, "huge", DTYPE_F32, 2, UINT64_C(1) << 30, UINT64_C(1) << 30);
    CHECK(model_finish(model, &err) < 0);
    CHECK_INT(err.code, ERR_TOO_LARGE);
    CHECK_TEXT(err.tensor, "huge");
    err_clear(&err);
    /* A zero does not hide it. */
    model->tensors[0].rank = 3;
    model->tensors[0].dims[2] = 0;
    CHECK_FAILS(model_finish(model, &err), &err, ERR_TOO_LARGE);
    model_free(model);
    resolver_close(files);
}

static void files_are_opened_and_closed(void **state) {
    struct err err = ERR_INIT;
    struct memfiles m = {0};
    memfiles_text(&m, "a", "12345");
    struct resolver *files;
    struct model *model = fresh(&m, &files);
    uint32_t file = 9;
    CHECK_OK(model_add_file(model, 0, &file, &err), &err);
    CHECK_UINT(file, 0);
    CHECK_TEXT(model->files[0].path, "a");
    char bytes[5];
    CHECK_OK(source_read(model->files[0].source, 0, bytes, 5, &err), &err);
    CHECK_BYTES(bytes, "12345", 5);
    CHECK_FAILS(model_add_file(model, 0, &file, &err), &err, ERR_BUG);
    model_free(model);
    resolver_close(files);
    memfiles_free(&m);
}

static void memory_reads_like_a_file(void **state) {
    struct err err = ERR_INIT;
    struct memfiles m = {0};
    memfiles_text(&m, "a", "12345");
    struct resolver *files;
    struct model *model = fresh(&m, &files);
    uint32_t file, memory = 9;
    CHECK_OK(model_add_memory(model, "decoded", 7, &memory, &err), &err);
    CHECK_OK(model_add_file(model, 0, &file, &err), &err); /* there is still room for the file */
    CHECK_UINT(model->file_count, 2);
    CHECK_UINT(model->files[memory].resolver_index, SIZE_MAX);
    char bytes[3];
    CHECK_OK(source_read(model->files[memory].source, 4, bytes, 3, &err), &err);
    CHECK_BYTES(bytes, "ded", 3);
    CHECK_FAILS(source_read(model->files[memory].source, 5, bytes, 3, &err), &err, ERR_BAD_MODEL);
    CHECK_OK(model_add_memory(model, "made", 4, &memory, &err), &err); /* by a pass */
    CHECK_FAILS(model_add_memory(model, "more", 4, &memory, &err), &err, ERR_BUG);
    model_free(model);
    resolver_close(files);
    memfiles_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix_view),
        cmocka_unit_test(roles_in_words),
        cmocka_unit_test(finish_counts),
        cmocka_unit_test(shapes_are_capped),
        cmocka_unit_test(files_are_opened_and_closed),
        cmocka_unit_test(memory_reads_like_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
