/* The model card: what was there stays, our section is there once. */
#include "compress/base/arena.h"
#include "compress/formats/model_card.h"
#include "tests/support/check.h"

#include <string.h>

static const char *card(struct arena *arena, const char *old) {
    static struct tensor tensors[3];
    for (int i = 0; i < 3; i++) {
        tensors[i] = (struct tensor){.name = "t", .component = "", .rank = 2, .elements = 64};
        tensors[i].dims[0] = 4;
        tensors[i].dims[1] = 16;
        tensors[i].stored = encoding_plain(DTYPE_F32);
        tensors[i].wanted = encoding_plain(i == 0 ? DTYPE_F32 : DTYPE_F16);
    }
    tensors[2].removed = true;
    struct model model = {.tensors = tensors, .tensor_count = 3};
    struct output_facts facts = {.recipe_name = "f16",
                                 .recipe_json = "{\"stages\":[{\"scheme\":\"f16\"}]}",
                                 .source_name = "tiny"};
    struct err err = ERR_INIT;
    const char *text;
    size_t len;
    CHECK_OK(model_card_write(&model, &facts, old, old ? strlen(old) : 0, arena, &text, &len, &err),
             &err);
    return arena_strndup(arena, text, len);
}

static size_t count(const char *text, const char *part) {
    size_t n = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        n++;
    return n;
}

static void makes_one(void **state) {
    struct arena *arena = arena_new(1 << 20);
    const char *text = card(arena, NULL);
    CHECK_HOLDS(text, "# tiny\n");
    CHECK_HOLDS(text, "| before | 768 |\n| after | 384 |\n");
    CHECK_HOLDS(text, "ratio: 2.000");
    CHECK_HOLDS(text, "| f32 | 1 | 64 |\n| f16 | 1 | 64 |\n");
    CHECK_HOLDS(text, "    {\n      \"stages\": [\n");
    CHECK_HOLDS(text, "recipe `f16`");
    CHECK_TEXT(card(arena, NULL), text); /* and always the same */
    arena_free(arena);
}

static void keeps_what_was_there(void **state) {
    struct arena *arena = arena_new(1 << 20);
    const char *once = card(arena, "---\nlicense: mit\n---\n# Mine");
    static const char want[] = "---\nlicense: mit\n---\n# Mine\n\n<!-- compressd:begin -->";
    CHECK_BYTES(once, want, sizeof want - 1);
    const char *twice = card(arena, once);
    CHECK_TEXT(twice, once);
    CHECK_UINT(count(twice, "compressd:begin"), 1);
    const char *behind = arena_printf(arena, "%sEnd.\n", once);
    CHECK_TEXT(card(arena, behind), behind);
    /* A section without an end is replaced to the end. */
    const char *open = card(arena, "Text\n<!-- compressd:begin --> broken");
    CHECK_UINT(count(open, "compressd:begin"), 1);
    CHECK(!strstr(open, "broken"));
    CHECK(strncmp(card(arena, ""), "\n<!-- compressd", 10) == 0);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_one),
        cmocka_unit_test(keeps_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
