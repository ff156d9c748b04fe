/* GGUF's K-blocks: bit-identical to ggml's reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/codecs/codec.h"
#include "tests/support/golden.h"

static const char *const names[] = {"q2_k", "q3_k", "q4_k", "q5_k", "q6_k"};
enum { NAMES = sizeof names / sizeof names[0] };

static void decodes_what_ggml_wrote(void **state) {
    for (int i = 0; i < NAMES; i++) {
        struct encoding e = {.codec = codec_by_name(names[i])};
        golden_check_decode(&e, golden_name("ggml/%s.bytes", names[i]),
                            golden_name("ggml/%s.out.f32", names[i]));
    }
}

/* Every bit of a block in use, scales of both signs, subnormal scales. */
static void decodes_arbitrary_bits(void **state) {
    for (int i = 0; i < NAMES; i++) {
        struct encoding e = {.codec = codec_by_name(names[i])};
        golden_check_decode(&e, golden_name("ggml/%s.raw.bytes", names[i]),
                            golden_name("ggml/%s.raw.out.f32", names[i]));
    }
}

static void is_read_only(void **state) {
    for (int i = 0; i < NAMES; i++) {
        const struct codec *codec = codec_by_name(names[i]);
        assert_false(codec->can_encode);
        assert_true(codec->is_quantized);
        assert_ptr_equal(codec_by_gguf_type((uint32_t)codec->gguf_type), codec);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_what_ggml_wrote),
        cmocka_unit_test(decodes_arbitrary_bits),
        cmocka_unit_test(is_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
