/* Dispatch: every set fills every row, the environment caps the set, unknown names do not. */
#include "compress/kernels/kernels.h"

#include "compress/kernels/cpu.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void every_row_is_filled(void **state) {
    for (size_t i = 0; kernels_isa_at(i); i++) {
        struct kernels k;
        if (kernels_fill(kernels_isa_at(i), &k) != 0)
            continue;
#define FILLED(name, type) CHECK(k.name != NULL);
        KERNELS(FILLED)
#undef FILLED
    }
}

static void sets_follow_the_cpu(void **state) {
    struct kernels k;
    CHECK_TEXT(kernels_isa_at(0), "reference");
    CHECK_INT(kernels_fill("reference", &k), 0);
    CHECK_INT(kernels_fill("sse9", &k), -1);
    for (size_t i = 1; kernels_isa_at(i); i++) {
        const char *name = kernels_isa_at(i);
        unsigned flag = strcmp(name, "avx2") == 0     ? CPU_AVX2
                        : strcmp(name, "avx512") == 0 ? CPU_AVX512
                                                      : CPU_NEON;
        CHECK_INT(kernels_fill(name, &k), cpu_flags() & flag ? 0 : -1);
    }
}

/* What a fresh process uses with this in its environment: the table is filled once. */
static void check_cap(const char *wish, const char *want) {
    pid_t child = fork();
    if (child == 0) {
        setenv("COMPRESSD_CPU", wish, 1);
        _exit(strcmp(kernels_isa(), want) != 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("COMPRESSD_CPU=%s does not give %s", wish, want);
}

static void environment_caps_the_set(void **state) {
    const char *highest = "reference";
    for (size_t i = 0; kernels_isa_at(i); i++) {
        struct kernels k;
        if (kernels_fill(kernels_isa_at(i), &k) != 0)
            break;
        highest = kernels_isa_at(i);
        check_cap(highest, highest);
    }
    check_cap("", highest);
    check_cap("warp", highest);
}

int main(void) {
    unsetenv("COMPRESSD_CPU");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_filled),
        cmocka_unit_test(sets_follow_the_cpu),
        cmocka_unit_test(environment_caps_the_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
