/* Functions of one value against CPython's math module (f64), and what they refuse. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

static void numbers_agree(void **state) {
    const double e = 1e-6;
    OPCHECK("Abs x:f32[3]{-1.5,0.0,2.0}", 0, 1.5, 0, 2);
    OPCHECK("Neg x:f32[2]{-1.5,2.0}", 0, 1.5, -2);
    OPCHECK("Sign x:f32[4]{-1.5,0.0,2.0,nan}", 0, -1, 0, 1, NAN);
    OPCHECK("Exp x:f32[2]{1.0,-2.0}", e, 2.718281828, 0.1353352832);
    OPCHECK("Log x:f32[4]{1.0,10.0,0.0,-1.0}", e, 0, 2.302585093, -INFINITY, NAN);
    OPCHECK("Sqrt x:f32[3]{4.0,2.0,-1.0}", e, 2, 1.414213562, NAN);
    OPCHECK("Reciprocal x:f32[2]{4.0,-0.5}", 0, 0.25, -2);
    OPCHECK("Sin x:f32[2]{0.5,100.0}", e, 0.4794255386, -0.5063656411);
    OPCHECK("Cos x:f32[2]{0.5,100.0}", e, 0.8775825619, 0.8623188723);
    OPCHECK("Tan x:f32[1]{0.5}", e, 0.5463024898);
    OPCHECK("Asin x:f32[2]{0.5,2.0}", e, 0.5235987756, NAN);
    OPCHECK("Acos x:f32[1]{0.5}", e, 1.047197551);
    OPCHECK("Atan x:f32[1]{0.5}", e, 0.463647609);
    OPCHECK("Sinh x:f32[1]{0.5}", e, 0.5210953055);
    OPCHECK("Cosh x:f32[1]{0.5}", e, 1.127625965);
    OPCHECK("Asinh x:f32[1]{0.5}", e, 0.4812118251);
    OPCHECK("Acosh x:f32[1]{1.5}", e, 0.9624236501);
    OPCHECK("Atanh x:f32[1]{0.5}", e, 0.5493061443);
}

static void halves_round_to_even(void **state) {
    OPCHECK("Round x:f32[7]{-2.5,-1.5,-0.5,0.5,1.5,2.5,2.6}", 0, -2, -2, 0, 0, 2, 2, 3);
    OPCHECK("Floor x:f32[3]{-1.5,1.5,inf}", 0, -2, 1, INFINITY);
    OPCHECK("Ceil x:f32[2]{-1.5,1.5}", 0, -1, 2);
}

static void integers_wrap_around(void **state) {
    OPCHECK("Abs x:i8[3]{-5,5,-128}", 0, 5, 5, -128);
    OPCHECK("Abs x:u64[1]{-1}", 0, 0x1p64);
    OPCHECK("Neg x:i8[2]{-128,3}", 0, -128, -3);
    OPCHECK("Sign x:i64[3]{-7,0,7}", 0, -1, 0, 1);
    OPCHECK("Sign x:u64[2]{-1,0}", 0, 1, 0);
    OPCHECK("BitwiseNot x:u8[2]{0,0x0f}", 0, 255, 240);
    OPCHECK("BitwiseNot x:i32[1]{0}", 0, -1);
    OPCHECK("Not x:bool[2]{0,1}", 0, 1, 0);
}

static void floats_are_classified(void **state) {
    OPCHECK("IsNaN x:f32[4]{nan,0.0,inf,1.0}", 0, 1, 0, 0, 0);
    OPCHECK("IsInf x:f32[4]{nan,0.0,inf,-inf}", 0, 0, 0, 1, 1);
    OPCHECK("IsInf(detect_negative=0) x:f32[2]{inf,-inf}", 0, 1, 0);
    OPCHECK("IsInf(detect_positive=0) x:f32[2]{inf,-inf}", 0, 0, 1);
    OPCHECK("IsNaN x:f16[2]{nan,1.0}", 0, 1, 0);
    opcheck_type("IsNaN x:f32[2,3]", 0, "bool[2,3]");
}

static void other_types_are_refused(void **state) {
    opcheck_refused("Sin x:i32[3]", ERR_UNSUPPORTED, "Sin of i32");
    opcheck_refused("Not x:i32[3]", ERR_BAD_MODEL, "of i32, not bool");
    opcheck_refused("BitwiseNot x:f32[3]", ERR_BAD_MODEL, "of f32, not an integer");
    opcheck_refused("IsNaN x:i32[3]", ERR_BAD_MODEL, "of i32, not a float");
    opcheck_symbolic("IsNaN x:f32[2,3]", "bool[?,?]");
    opcheck_symbolic("Exp x:f32[2]", "f32[?]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_agree),           cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(integers_wrap_around),    cmocka_unit_test(floats_are_classified),
        cmocka_unit_test(other_types_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
