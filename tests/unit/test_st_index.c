/* The index on its own: which one is meant, and what is met where. Its faults are tested with whole
 * folders in test_st_open.c. */
#include "compress/formats/st_index.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"

#include <stdbool.h>
#include <string.h>

static size_t found(struct memfiles *m, const char *folder, const char *suffix,
                    const char **ret_path) {
    struct err err = ERR_INIT;
    struct resolver *files = memfiles_resolver(m);
    size_t file;
    CHECK_OK(st_index_find(files, folder, suffix, &file, &err), &err);
    static char path[64];
    *ret_path = NULL;
    if (file != SIZE_MAX)
        *ret_path = strcpy(path, files->files[file].path);
    resolver_close(files);
    return file;
}

static void which_one(void **state) {
    struct memfiles m = {0};
    const char *path;
    memfiles_text(&m, "zzz.safetensors.index.json", "{}");
    memfiles_text(&m, "unet/model.safetensors.index.json", "{}");
    found(&m, "", ".safetensors", &path);
    CHECK_TEXT(path, "zzz.safetensors.index.json"); /* the only one */
    memfiles_text(&m, "model.safetensors.index.json", "{}");
    memfiles_text(&m, "pytorch_model.bin.index.json", "{}");
    found(&m, "", ".safetensors", &path);
    CHECK_TEXT(path, "model.safetensors.index.json"); /* the canonical one */
    found(&m, "unet/", ".safetensors", &path);
    CHECK_TEXT(path, "unet/model.safetensors.index.json");
    found(&m, "", ".bin", &path);
    CHECK_TEXT(path, "pytorch_model.bin.index.json");
    CHECK(found(&m, "vae/", ".safetensors", &path) == SIZE_MAX);
    memfiles_free(&m);
}

static void what_is_where(void **state) {
    struct memfiles m = {0};
    struct err err = ERR_INIT;
    struct arena *arena = arena_new(1 << 20);
    memfiles_text(&m, "a.safetensors", "");
    memfiles_text(&m, "b.safetensors", "");
    memfiles_text(&m, "c.safetensors", "");
    memfiles_text(&m, "model.safetensors.index.json",
                  "{\"x\":[1,{\"y\":null}],\"weight_map\":{\"t\":\"a.safetensors\",\"u\":"
                  "\"c.safetensors\"},\"z\":\"\"}");
    struct resolver *files = memfiles_resolver(&m);
    struct st_index index;
    CHECK_OK(st_index_read(files, "", ".safetensors", arena, &index, &err), &err);
    CHECK(index.present);
    bool chosen[4] = {false};
    st_index_mark(&index, chosen);
    CHECK(chosen[0] && !chosen[1] && chosen[2] && !chosen[3]);
    CHECK_OK(st_index_take(&index, "t", 0, &err), &err);
    CHECK_FAILS(st_index_take(&index, "u", 0, &err), &err, ERR_BAD_MODEL);
    CHECK_FAILS(st_index_take(&index, "v", 0, &err), &err, ERR_BAD_MODEL);
    CHECK_FAILS(st_index_check_complete(&index, &err), &err, ERR_BAD_MODEL);
    CHECK_OK(st_index_take(&index, "u", 2, &err), &err);
    CHECK_OK(st_index_check_complete(&index, &err), &err);
    CHECK_OK(st_index_read(files, "none/", ".safetensors", arena, &index, &err), &err);
    CHECK(!index.present);
    CHECK_OK(st_index_take(&index, "anything", 0, &err), &err);
    resolver_close(files);
    arena_free(arena);
    memfiles_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_one),
        cmocka_unit_test(what_is_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
