/* Losses against PyTorch's cross_entropy, kl_div, mse_loss and cosine_similarity in double. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

#define SCORES "f32[2,3]{1,2,3, 0,-1,4}"

static void cross_entropy_of_scores(void **state) {
    OPCHECK("SoftmaxCrossEntropyLoss " SCORES " i64[2]{2,1}", 1e-6, 2.71617543);
    OPCHECK("SoftmaxCrossEntropyLoss(reduction='none') " SCORES " i64[2]{2,1}", 1e-6, 0.407605964,
            5.02474489);
    OPCHECK_OUT("SoftmaxCrossEntropyLoss " SCORES " i32[2]{2,1} -> 2", 1, 1e-6, -2.40760596,
                -1.40760596, -0.407605964, -4.02474489, -5.02474489, -0.0247448901);
    OPCHECK("SoftmaxCrossEntropyLoss " SCORES " i64[2]{2,1} f32[3]{0.5,2,0.25}", 1e-6, 4.51172945);
    OPCHECK("SoftmaxCrossEntropyLoss(reduction='sum') " SCORES " i64[2]{2,1} f32[3]{0.5,2,0.25}",
            1e-5, 10.1513913);
    /* Classes are axis 1, not the last. */
    OPCHECK("SoftmaxCrossEntropyLoss(reduction='none') f32[1,3,2]{1,2,3,-1,0,5} i64[1,2]{1,2}",
            1e-6, 0.16984602, 0.0509457635);
    OPCHECK("SoftmaxCrossEntropyLoss(ignore_index=2) f32[1,3,2]{1,2,3,-1,0,5} i64[1,2]{1,2}", 1e-6,
            0.16984602);
    /* Large scores do not overflow. */
    OPCHECK("SoftmaxCrossEntropyLoss f32[1,2]{1000,998} i64[1]{1}", 1e-6, 2.126928011);
}

static void nll_of_log_probabilities(void **state) {
    OPCHECK("NegativeLogLikelihoodLoss f32[2,2]{-1,-2,-3,-4} i64[2]{1,0}", 0, 2.5);
    OPCHECK("NegativeLogLikelihoodLoss(reduction='none', ignore_index=-1)"
            " f32[2,2]{-1,-2,-3,-4} i64[2]{1,-1} f32[2]{3,5}",
            0, 10, 0);
    OPCHECK("NegativeLogLikelihoodLoss f32[2,2]{-1,-2,-3,-4} i64[2]{1,0} f32[2]{3,5}", 1e-6,
            19.0 / 8);
}

static void cross_entropy_of_positions(void **state) {
    OPCHECK("compressd::CrossEntropy " SCORES " i64[2]{2,1}", 1e-6, 2.71617543);
    OPCHECK_OUT("compressd::CrossEntropy " SCORES " i64[2]{2,1} -> 2", 1, 1e-6, 0.407605964,
                5.02474489);
    OPCHECK("compressd::CrossEntropy(ignore_index=-100) " SCORES " i64[2]{2,-100}", 1e-6,
            0.407605964);
    /* Nothing counts: a loss of 0, not of 0/0. */
    OPCHECK("compressd::CrossEntropy(ignore_index=-1) " SCORES " i64[2]{-1}", 0, 0);
    OPCHECK("compressd::CrossEntropy f32[0,3] i64[0]", 0, 0);
}

static void pairs(void **state) {
#define TEACHER "f32[2,3]{2,0,1, 1,1,-2}"
    OPCHECK("compressd::KLDivergence(temperature=2.0) " SCORES TEACHER, 1e-6, 3.06232026);
    OPCHECK("compressd::KLDivergence " SCORES SCORES, 1e-7, 0);
    /* What the teacher rules out counts nothing, however the student sees it. */
    OPCHECK("compressd::KLDivergence f32[1,2]{0,0} f32[1,2]{0,-inf}", 1e-6, 0.693147181);
    OPCHECK("compressd::MeanSquaredError " SCORES TEACHER, 1e-6, 8.33333333);
    OPCHECK("compressd::CosineLoss " SCORES TEACHER, 1e-6, 1.14675924);
    OPCHECK("compressd::CosineLoss f32[2,2]{0,0,3,4} f32[2,2]{1,2,3,4}", 1e-7, 0.5);
}

static void labels_out_of_range(void **state) {
    opcheck_refused("SoftmaxCrossEntropyLoss " SCORES " i64[2]{2,3}", ERR_BAD_FIELD,
                    "label 3 at position 1 is not below 3");
    opcheck_refused("NegativeLogLikelihoodLoss " SCORES " i64[2]{-1,0}", ERR_BAD_FIELD,
                    "label -1 at position 0");
    opcheck_refused("compressd::CrossEntropy(ignore_index=-100) " SCORES " i64[2]{-100,-1}",
                    ERR_BAD_FIELD, "label -1 at position 1");
    opcheck_refused("compressd::CrossEntropy f32[2,0] i64[2]{0,0}", ERR_BAD_FIELD, "label 0");
}

static void misfits(void **state) {
    opcheck_refused("SoftmaxCrossEntropyLoss(reduction='median') " SCORES " i64[2]{0,0}",
                    ERR_BAD_MODEL, "reduction 'median'");
    opcheck_refused("SoftmaxCrossEntropyLoss " SCORES " i64[3]{0,0,0}", ERR_BAD_MODEL,
                    "3 against 2");
    opcheck_refused("SoftmaxCrossEntropyLoss " SCORES " f32[2]{0,0}", ERR_BAD_MODEL, "labels are");
    opcheck_refused("SoftmaxCrossEntropyLoss " SCORES " i64[2]{0,0} f32[2]", ERR_BAD_MODEL,
                    "one per class");
    opcheck_refused("compressd::KLDivergence(temperature=0.0) " SCORES SCORES, ERR_BAD_MODEL,
                    "temperature");
    opcheck_refused("compressd::MeanSquaredError " SCORES " f32[3,2]", ERR_BAD_MODEL,
                    "shapes must be equal");
    opcheck_refused("compressd::CosineLoss f32[] f32[]", ERR_BAD_MODEL, "no last axis");
}

static void types(void **state) {
    opcheck_type("SoftmaxCrossEntropyLoss(reduction='none') f32[2,3,4] i64[2,4]~(0,2)", 0,
                 "f32[2,4]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_entropy_of_scores),
        cmocka_unit_test(nll_of_log_probabilities),
        cmocka_unit_test(cross_entropy_of_positions),
        cmocka_unit_test(pairs),
        cmocka_unit_test(labels_out_of_range),
        cmocka_unit_test(misfits),
        cmocka_unit_test(types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
