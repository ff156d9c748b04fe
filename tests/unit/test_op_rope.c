/* Rotary position against onnx/reference/ops/op_rotary_embedding.py of ONNX 1.23. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#define X "f32[1,1,2,4]{1,2,3,4,5,6,7,8}"
#define ANGLES "f32[3,2]{1,1,0.6,0.8,0,1} f32[3,2]{0,0,0.8,0.6,1,0}"

static void turns(void **state) {
    OPCHECK("RotaryEmbedding " X ANGLES " i64[1,2]{1,2}", 1e-6, -1.8, -0.8, 2.6, 4.4, -7, 6, 5, 8);
    OPCHECK("RotaryEmbedding(interleaved=1) " X ANGLES " i64[1,2]{1,2}", 1e-6, -1, 2, 0, 5, -6, 5,
            7, 8);
    OPCHECK("RotaryEmbedding(rotary_embedding_dim=2) " X
            " f32[3,1]{1,0.6,0} f32[3,1]{0,0.8,1} i64[1,2]{1,2}",
            1e-6, -1, 2, 3, 4, -6, 5, 7, 8);
    /* Without positions the angles are those of the sequence; two heads side by side. */
    OPCHECK("RotaryEmbedding(num_heads=2) f32[1,2,4]{1,2,3,4,5,6,7,8} f32[1,2,1]{0.6,0} "
            "f32[1,2,1]{0.8,1}",
            1e-6, -1, 2, -1.4, 4.8, -6, 5, -8, 7);
}

static void microsoft(void **state) {
    OPCHECK("com.microsoft::RotaryEmbedding " X " i64[1,2]{1,2} " ANGLES, 1e-6, -1.8, -0.8, 2.6,
            4.4, -7, 6, 5, 8);
    /* One number: where the first position stands. */
    OPCHECK("com.microsoft::RotaryEmbedding " X " i64[1]{1} " ANGLES, 1e-6, -1.8, -0.8, 2.6, 4.4,
            -7, 6, 5, 8);
    opcheck_refused("com.microsoft::RotaryEmbedding(scale=2.0) " X " i64[1]{1} " ANGLES,
                    ERR_UNSUPPORTED, "scale");
}

static void positions_out_of_range(void **state) {
    opcheck_refused("RotaryEmbedding " X ANGLES " i64[1,2]{0,3}", ERR_BAD_FIELD,
                    "position 3 at [0,1] is not below 3");
    opcheck_refused("RotaryEmbedding " X ANGLES " i64[1,2]{-1,0}", ERR_BAD_FIELD, "position -1");
    opcheck_refused("com.microsoft::RotaryEmbedding " X " i64[1]{2} " ANGLES, ERR_BAD_FIELD,
                    "position 2 and what follows it at [0,1]");
}

static void misfits(void **state) {
    opcheck_refused("RotaryEmbedding f32[2,4] " ANGLES, ERR_BAD_MODEL, "rank 2");
    opcheck_refused("RotaryEmbedding(rotary_embedding_dim=3) " X ANGLES, ERR_BAD_MODEL, "turning");
    opcheck_refused("RotaryEmbedding " X ANGLES, ERR_BAD_MODEL, "cosine cache does not fit");
    opcheck_refused("RotaryEmbedding " X ANGLES " i64[2]{0,0}", ERR_BAD_MODEL, "positions do not");
    opcheck_refused("RotaryEmbedding(num_heads=3) f32[1,2,4] f32[1,2,1] f32[1,2,1]", ERR_BAD_MODEL,
                    "no whole heads");
    opcheck_symbolic("RotaryEmbedding " X ANGLES " i64[1,2]", "f32[?,?,?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns),
        cmocka_unit_test(microsoft),
        cmocka_unit_test(positions_out_of_range),
        cmocka_unit_test(misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
