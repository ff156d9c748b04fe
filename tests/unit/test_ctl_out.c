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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),
        cmocka_unit_test(every_code_is_documented),
        cmocka_unit_test(lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
