/* OpenBLAS as this machine has it: one thread, named, and multiplying. */
#include "compress/tensor/blas.h"

#include "tests/support/check.h"

#include <cblas.h>
#include <string.h>

static void is_sound_and_single_threaded(void **state) {
    const struct blas_facts *facts = blas_facts();
    CHECK(facts->sound);
    CHECK(facts->worst >= 0 && facts->worst <= 1);
    CHECK_UINT(facts->threads, 1);
    CHECK_INT(openblas_get_num_threads(), 1);
    CHECK_HOLDS(facts->text, "OpenBLAS");
    CHECK_HOLDS(facts->text, "1 thread");
    CHECK(blas_facts() == facts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_sound_and_single_threaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
