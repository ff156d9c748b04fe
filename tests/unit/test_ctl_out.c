/* Exit codes and the words of a problem. */
#include "daemon/ctl_out.h"
#include "tests/support/check.h"

#include "compress/base/arena.h"

#include <stdlib.h>
#include <string.h>

static void codes(void **state) {
    CHECK_INT(ctl_exit_of(ERR_OK, true), CTL_DONE);
    CHECK_INT(ctl_exit_of(ERR_BAD_REQUEST, false), CTL_USAGE);
    CHECK_INT(ctl_exit_of(ERR_MISFIT, false), CTL_REFUSED);
    CHECK_INT(ctl_exit_of(ERR_EXISTS, false), CTL_REFUSED);
    CHECK_INT(ctl_exit_of(ERR_NO_SPACE, false), CTL_REFUSED);
    CHECK_INT(ctl_exit_of(ERR_NO_SPACE, true), CTL_FAILED);
    CHECK_INT(ctl_exit_of(ERR_NON_FINITE, true), CTL_FAILED);
    CHECK_INT(ctl_exit_of(ERR_CANCELLED, true), CTL_CANCELLED);
    CHECK_INT(ctl_exit_of(ERR_NETWORK, false), CTL_NETWORK);
    CHECK_INT(ctl_exit_of(ERR_VERIFY, true), CTL_MISMATCH);
    CHECK_INT(ctl_exit_of(ERR_BAD_DIGEST, true), CTL_MISMATCH);
}

static void every_code_is_documented(void **state) {
    unsigned seen = 0;
    enum ctl_exit code;
    for (unsigned i = 0; ctl_exit_at(i, &code); i++)
        seen |= 1u << code;
    for (unsigned i = 0; err_code_at(i) >= 0; i++) {
        CHECK(seen & 1u << ctl_exit_of((enum err_code)err_code_at(i), true));
        CHECK(seen & 1u << ctl_exit_of((enum err_code)err_code_at(i), false));
    }
}

static void lines(void **state) {
    struct arena *arena = arena_new(1 << 16);
    struct violations list;
    violations_init(&list, arena);
    struct violation *v = violations_add(&list, ERR_MISFIT, "/stages/0/group_size", "no fit");
    v->tensor = "a.weight";
    v->nearest = "64";
    v = violations_add(&list, ERR_BAD_MODEL, "", "bad length");
    v->file = "x.gguf";
    v->offset = 24;
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ctl_print_violation("error", &list.items[0], out);
    ctl_print_violation("error", &list.items[1], out);
    fclose(out);
    CHECK_TEXT(text, "error: /stages/0/group_size: tensor a.weight: no fit (nearest: 64)\n"
                     "error: x.gguf: bad length (offset 24)\n");
    free(text);
    arena_free(arena);
}

/* One slip in a recipe must not fill the screen; another kind of finding must not drown. */
static void many_alike(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct violations list;
    violations_init(&list, arena);
    for (int i = 0; i < 40; i++) {
        char name[40];
        snprintf(name, sizeof name, "layers.%d.weight", i);
        struct violation *v = violations_add(&list, ERR_MISFIT, "/stages/0/group_size",
                                             "128 does not divide %d of %s", 100 + i, name);
        v->tensor = arena_strdup(arena, name);
        if (i == 20)
            violations_add(&list, ERR_MISFIT, "/stages/0/keep/0", "matches nothing");
    }
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ctl_print_findings(&list, out);
    fclose(out);
    CHECK_HOLDS(text, "layers.0.weight");
    CHECK_HOLDS(text, "layers.4.weight");
    CHECK(!strstr(text, "layers.5.weight"));
    CHECK_HOLDS(text, "  and 35 more like it\n");
    CHECK_HOLDS(text, "matches nothing");
    free(text);
    arena_free(arena);
}

static void an_offset_is_said_once(void **state) {
    struct arena *arena = arena_new(1 << 16);
    struct violations list;
    violations_init(&list, arena);
    violations_add(&list, ERR_BAD_MODEL, "", "a length of 7 at offset 4711")->offset = 4711;
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ctl_print_violation("error", &list.items[0], out);
    fclose(out);
    CHECK_TEXT(text, "error: a length of 7 at offset 4711\n");
    free(text);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),
        cmocka_unit_test(every_code_is_documented),
        cmocka_unit_test(lines),
        cmocka_unit_test(many_alike),
        cmocka_unit_test(an_offset_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
