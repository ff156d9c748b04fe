/* Attention against onnx/reference/ops/op_attention.py of ONNX 1.23, in f64. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

#define QKV "f32[1,1,2,2]{1,0,0.5,-1} f32[1,1,3,2]{1,2,-1,0.5,0,1} f32[1,1,3,1]{1,2,3}"
#define PAST "f32[1,1,1,2]{0.5,0.5} f32[1,1,1,1]{-1}"

static void forms(void **state) {
    OPCHECK("Attention " QKV, 1e-6, 1.70802006, 2.11021122);
    OPCHECK("Attention(is_causal=1) " QKV, 1e-6, 1, 1.587479);
    OPCHECK("Attention(softcap=0.5, scale=1.0) " QKV, 1e-6, 1.80866331, 2.00515776);
    /* Four query heads on one key head, heads beside each other in the columns. */
    OPCHECK("Attention(q_num_heads=4, kv_num_heads=1) f32[1,1,4]{1,0,0.5,-1} f32[1,2,1]{1,-1} "
            "f32[1,2,1]{3,5}",
            1e-6, 3.23840584, 4, 3.53788284, 4.76159416);
}

static void masks(void **state) {
    OPCHECK("Attention " QKV " f32[2,3]{0,1,-1,0.5,0,0}", 1e-6, 1.55564645, 1.95005464);
    /* A query that sees nothing gives nothing. */
    OPCHECK("Attention " QKV " bool[2,3]{1,0,1,0,0,0}", 1e-6, 1.6604769, 0);
    /* What is behind a mask's end is not seen. */
    OPCHECK("Attention " QKV " f32[2,2]{0}", 1e-6, 1.19557032, 1.587479);
}

static void past(void **state) {
#define CASE "Attention(is_causal=1) " QKV " - " PAST " -> 3"
    OPCHECK(CASE, 1e-6, 0.174958002, 0.294764589);
    OPCHECK_OUT(CASE, 1, 0, 0.5, 0.5, 1, 2, -1, 0.5, 0, 1);
    OPCHECK_OUT(CASE, 2, 0, -1, 1, 2, 3);
}

static void scores(void **state) {
#define SCORES(mode) \
    "Attention(scale=1.0, is_causal=1, qk_matmul_output_mode=" mode ") " QKV " -> 4"
    OPCHECK_OUT(SCORES("0"), 3, 1e-6, 1, -1, 0, -1.5, -1, -1);
    OPCHECK_OUT(SCORES("2"), 3, 1e-6, 1, -INFINITY, -INFINITY, -1.5, -1, -INFINITY);
    OPCHECK_OUT(SCORES("3"), 3, 1e-6, 1, 0, 0, 0.377540669, 0.622459331, 0);
}

/* What the softmax carries from one block of keys to the next: 300 equal keys, values 0 and 1 by
 * halves; then one key that outweighs all that came before it. */
static void many_keys(void **state) {
    struct opcase c;
    struct err err = ERR_INIT;
    CHECK_OK(opcase_new("Attention f32[1,1,70,4] f32[1,1,600,4] f32[1,1,600,1]", 1, &c, &err),
             &err);
    real *q = array_real(c.in[0]), *k = array_real(c.in[1]), *v = array_real(c.in[2]);
    for (size_t i = 0; i < 600; i++) {
        v[i] = i < 300;
        for (size_t d = 0; d < 4; d++)
            k[4 * i + d] = i == 599 ? 50 : 0;
    }
    for (size_t d = 0; d < 4; d++) {
        q[d] = 1;
        q[4 * 69 + d] = -1;
    }
    CHECK_OK(opcase_infer(&c, &err), &err);
    CHECK_OK(op_run_node(c.node, (const struct array *const *)c.in, c.out, NULL, &err), &err);
    CHECK_NUM((double)array_real(c.out[0])[0], 0, 1e-6);
    CHECK_NUM((double)array_real(c.out[0])[69], 300.0 / 599, 1e-6);
    opcase_free(&c);
}

static void microsoft(void **state) {
    OPCHECK("com.microsoft::MultiHeadAttention(num_heads=1, scale=1.0, unidirectional=1) "
            "f32[1,2,2]{1,0,0.5,-1} f32[1,3,2]{1,2,-1,0.5,0,1} f32[1,3,1]{1,2,3}",
            1e-6, 1, 0.377540669 + 2 * 0.622459331);
    opcheck_refused("com.microsoft::MultiHeadAttention(num_heads=1) f32[1,2,2] f32[1,3,2] "
                    "f32[1,3,1] f32[5]",
                    ERR_UNSUPPORTED, "bias");
    opcheck_refused("com.microsoft::MultiHeadAttention(num_heads=1) f32[1,2,1,3,2]",
                    ERR_UNSUPPORTED, "packed");
}

static void misfits(void **state) {
    opcheck_refused("Attention f32[1,2,4] f32[1,2,4] f32[1,2,4]", ERR_BAD_MODEL, "how many heads");
    opcheck_refused("Attention(q_num_heads=3, kv_num_heads=1) f32[1,2,4] f32[1,2,4] f32[1,2,4]",
                    ERR_BAD_MODEL, "no 3 heads");
    opcheck_refused("Attention f32[1,3,2,4] f32[1,2,2,4] f32[1,2,2,4]", ERR_BAD_MODEL,
                    "3 heads of queries for 2");
    opcheck_refused("Attention f32[1,1,2,4] f32[1,1,2,3] f32[1,1,2,4]", ERR_BAD_MODEL,
                    "4 columns, keys of 3");
    opcheck_refused("Attention f32[1,1,2,4] f32[1,1,2,4] f32[1,1,3,4]", ERR_BAD_MODEL, "disagree");
    opcheck_refused("Attention " QKV " f32[2,4]", ERR_BAD_MODEL, "4 keys where there are 3");
    opcheck_refused("Attention " QKV " f32[3,3]", ERR_BAD_MODEL, "a mask of 3");
    opcheck_refused("Attention " QKV " i64[2,3]", ERR_BAD_MODEL, "a mask of i64");
    opcheck_refused("Attention " QKV " - f32[1,1,1,2]", ERR_BAD_MODEL, "come together");
    opcheck_refused("Attention(qk_matmul_output_mode=4) " QKV, ERR_BAD_MODEL, "mode 4");
    opcheck_refused("Attention(softmax_precision=11) " QKV, ERR_UNSUPPORTED, "f64");
}

static void types(void **state) {
    opcheck_type("Attention(q_num_heads=2, kv_num_heads=1) f16[3,5,8] f16[3,7,4] f16[3,7,6] - "
                 "f16[3,1,2,4] f16[3,1,2,6] -> 4",
                 0, "f16[3,5,12]");
    opcheck_type("Attention(q_num_heads=2, kv_num_heads=1) f32[3,5,8] f32[3,7,4] f32[3,7,6] - "
                 "f32[3,1,2,4] f32[3,1,2,6] -> 4",
                 2, "f32[3,1,9,6]");
    opcheck_type("Attention f32[3,2,5,8] f32[3,2,7,8] f32[3,2,7,6] -> 4", 3, "f32[3,2,5,7]");
    opcheck_symbolic("Attention f32[3,2,5,8] f32[3,2,7,8] f32[3,2,7,6]", "f32[?,?,?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),   cmocka_unit_test(masks),     cmocka_unit_test(past),
        cmocka_unit_test(scores),  cmocka_unit_test(many_keys), cmocka_unit_test(microsoft),
        cmocka_unit_test(misfits), cmocka_unit_test(types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
