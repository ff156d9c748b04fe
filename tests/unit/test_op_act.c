/* Activations against PyTorch 2.13 in f64 (torch.nn.functional), and what they refuse. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

#define X " x:f32[6]{-3.0,-1.0,-0.25,0.0,0.5,2.0}"
#define X32 " x:f32[3,2]{-3.0,-1.0,-0.25,0.0,0.5,2.0}"

static void numbers_agree(void **state) {
    const double e = 1e-6;
    OPCHECK("Relu" X, 0, 0, 0, 0, 0, 0.5, 2);
    OPCHECK("LeakyRelu(alpha=0.1)" X, e, -0.3, -0.1, -0.025, 0, 0.5, 2);
    OPCHECK("ThresholdedRelu(alpha=0.5)" X, 0, 0, 0, 0, 0, 0, 2);
    OPCHECK("Elu(alpha=0.5)" X, e, -0.4751064658, -0.3160602794, -0.1105996085, 0, 0.5, 2);
    OPCHECK("Selu" X, e, -1.670568729, -1.111330738, -0.3888901975, 0, 0.5253504937, 2.101401975);
    OPCHECK("Celu(alpha=2.0)" X, e, -1.55373968, -0.7869386806, -0.2350061948, 0, 0.5, 2);
    OPCHECK("Sigmoid" X, e, 0.04742587318, 0.2689414214, 0.4378234991, 0.5, 0.6224593312,
            0.880797078);
    OPCHECK("Tanh" X, e, -0.9950547537, -0.761594156, -0.2449186624, 0, 0.4621171573, 0.9640275801);
    OPCHECK("HardSigmoid" X, e, 0, 0.3, 0.45, 0.5, 0.6, 0.9);
    OPCHECK("HardSwish" X, e, 0, -0.3333333333, -0.1145833333, 0, 0.2916666667, 1.666666667);
    OPCHECK("Softplus" X, e, 0.04858735157, 0.3132616875, 0.5759394199, 0.6931471806, 0.9740769842,
            2.126928011);
    OPCHECK("Softsign" X, e, -0.75, -0.5, -0.2, 0, 0.3333333333, 0.6666666667);
    OPCHECK("Gelu" X, e, -0.004049694095, -0.1586552539, -0.1003234186, 0, 0.3457312306,
            1.954499736);
    OPCHECK("Gelu(approximate='tanh')" X, e, -0.003637392082, -0.1588080094, -0.1003246493, 0,
            0.3457140098, 1.954597694);
    OPCHECK("com.microsoft::Gelu" X, e, -0.004049694095, -0.1586552539, -0.1003234186, 0,
            0.3457312306, 1.954499736);
    OPCHECK("com.microsoft::QuickGelu" X, e, -0.01807130971, -0.1542042341, -0.0988003501, 0,
            0.3503884366, 1.935658623);
    OPCHECK("Swish@24" X, e, -0.1422776195, -0.2689414214, -0.1094558748, 0, 0.3112296656,
            1.761594156);
    OPCHECK("Mish" X, e, -0.1456474613, -0.3034014614, -0.1299269637, 0, 0.3752452113, 1.94395896);
    OPCHECK("Shrink(lambd=0.3, bias=0.3)" X, e, -2.7, -0.7, 0, 0, 0.2, 1.7);
    OPCHECK("Erf" X, e, -0.9999779095, -0.8427007929, -0.2763263902, 0, 0.5204998778, 0.995322265);
    OPCHECK("PRelu" X32 " s:f32[3,1]{0.1,0.2,0.3}", e, -0.3, -0.1, -0.05, 0, 0.5, 2);
    OPCHECK("com.microsoft::BiasGelu" X32 " b:f32[2]{0.5,-0.5}", e, -0.01552416331, -0.1002108019,
            0.1496765814, -0.1542687694, 0.8413447461, 1.399789198);
    OPCHECK("com.microsoft::FastGelu" X32 " b:f32[2]{0.5,-0.5}", e, -0.01508426609, -0.100428423,
            0.1496753507, -0.1542859902, 0.8411919906, 1.399571577);
}

/* Far out the result is the limit, not NaN, and small numbers are not lost. */
static void ends_hold(void **state) {
    OPCHECK("Softplus x:f32[4]{-1000.0,-20.0,1000.0,inf}", 1e-15, 0, 2.06115361e-9, 1000, INFINITY);
    OPCHECK("Softplus x:f32[1]{-50.0}", 1e-27, 1.92874985e-22);
    OPCHECK("Mish x:f32[2]{-1000.0,1000.0}", 0, 0, 1000);
    OPCHECK("Gelu x:f32[3]{-1000.0,1000.0,nan}", 0, 0, 1000, NAN);
    OPCHECK("Elu x:f32[2]{-1000.0,1000.0}", 0, -1, 1000);
    OPCHECK("Relu x:f32[2]{nan,-inf}", 0, NAN, 0);
}

static void clip_takes_bounds_from_where_they_stand(void **state) {
    OPCHECK("Clip@6(min=-1.0, max=1.0)" X, 0, -1, -1, -0.25, 0, 0.5, 1);
    OPCHECK("Clip x:f32[3]{-5.0,0.0,5.0} lo:f32[]{-2.0}", 0, -2, 0, 5);
    OPCHECK("Clip x:f32[3]{-5.0,0.0,5.0} - hi:f32[]{2.0}", 0, -5, 0, 2);
    OPCHECK("Clip x:f32[3]{-5.0,0.0,5.0} lo:f32[]{3.0} hi:f32[]{2.0}", 0, 2, 2, 2);
    OPCHECK("Clip x:i8[3]{-5,0,5} lo:i8[]{-2} hi:i8[]{2}", 0, -2, 0, 2);
    OPCHECK("Clip x:u8[3]{0,100,255} lo:u8[]{5} hi:u8[]{200}", 0, 5, 100, 200);
    OPCHECK("Clip x:u64[2]{-1,3} lo:u64[]{5}", 0, 0x1p64, 5);
    OPCHECK("Clip x:f16[3]{-5.0,0.0,5.0} lo:f16[]{-2.0} hi:f16[]{2.0}", 0, -2, 0, 2);
    opcheck_refused("Clip x:f32[3] lo:f32[2]", ERR_BAD_MODEL, "a bound is no scalar");
    opcheck_refused("Clip x:f32[3] lo:i64[]", ERR_BAD_MODEL, "x is f32 and a bound i64");
    opcheck_refused("Clip@6 x:f32[3] lo:f32[]", ERR_BAD_MODEL, "bounds are attributes");
}

static void integers_are_activated_too(void **state) {
    OPCHECK("Relu x:i32[3]{-3,0,3}", 0, 0, 0, 3);
    OPCHECK("Relu x:i8[2]{-128,127}", 0, 0, 127);
    OPCHECK("Shrink(lambd=1.5, bias=1.5) x:i32[5]{-2,-1,0,1,3}", 0, 0, 0, 0, 0, 1);
    opcheck_refused("Sigmoid x:i32[3]", ERR_UNSUPPORTED, "Sigmoid of i32");
    opcheck_refused("PRelu x:i32[3] s:i32[3]", ERR_UNSUPPORTED, "PRelu of i32");
}

static void shapes_are_checked(void **state) {
    opcheck_refused("PRelu x:f32[3] s:f32[2,3]", ERR_BAD_MODEL, "does not broadcast to x");
    opcheck_refused("PRelu x:f32[3] s:f32[2]", ERR_BAD_MODEL, "do not broadcast");
    opcheck_refused("com.microsoft::BiasGelu x:f32[2,3] b:f32[2]", ERR_BAD_MODEL, "last axis");
    opcheck_refused("com.microsoft::BiasGelu x:f32[2,3] b:f32[1,3]", ERR_BAD_MODEL, "rank");
    opcheck_refused("Gelu(approximate='sigmoid') x:f32[3]", ERR_BAD_MODEL, "approximate");
    opcheck_refused("Celu(alpha=0.0) x:f32[3]", ERR_BAD_MODEL, "alpha");
    opcheck_symbolic("Gelu x:f32[2,3]", "f32[?,?]");
    opcheck_symbolic("PRelu x:f32[2,3] s:f32[3]", "f32[?,?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_agree),
        cmocka_unit_test(ends_hold),
        cmocka_unit_test(clip_takes_bounds_from_where_they_stand),
        cmocka_unit_test(integers_are_activated_too),
        cmocka_unit_test(shapes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
