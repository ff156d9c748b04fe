/* Arithmetic with broadcasting, integers of every width, and what is known of shapes while their
 * symbols are not. Expected numbers by hand. */
#include "compress/base/arena.h"
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#include <math.h>

static void shapes_broadcast(void **state) {
    OPCHECK("Add a:f32[2,3]{1,2,3,4,5,6} b:f32[3]{10,20,30}", 0, 11, 22, 33, 14, 25, 36);
    OPCHECK("Add a:f32[2,1]{1,2} b:f32[3]{10,20,30}", 0, 11, 21, 31, 12, 22, 32);
    OPCHECK("Sub a:f32[]{1} b:f32[2,2]{1,2,3,4}", 0, 0, -1, -2, -3);
    OPCHECK("Sub a:f32[2,2]{1,2,3,4} b:f32[1]{1}", 0, 0, 1, 2, 3);
    OPCHECK("Mul a:f32[2,1,2]{1,2,3,4} b:f32[2,1]{10,100}", 0, 10, 20, 100, 200, 30, 40, 300, 400);
    OPCHECK("Div a:f32[2]{1,-3} b:f32[2,1]{2,0}", 0, 0.5, -1.5, INFINITY, -INFINITY);
    OPCHECK("Where c:bool[2,1]{1,0} a:f32[2]{1,2} b:f32[]{9}", 0, 1, 2, 9, 9);
    opcheck_type("Add a:f32[0,3] b:f32[1,3]", 0, "f32[0,3]");
    opcheck_type("Where c:bool[3,1] a:f16[1] b:f16[2,1,4]", 0, "f16[2,3,4]");
    opcheck_symbolic("Add a:f32[2,3] b:f32[3]", "f32[?,?]");
    opcheck_symbolic("Equal a:f32[2,3] b:f32[3]", "bool[?,?]");
}

static void integers_wrap_around(void **state) {
    OPCHECK("Add a:u8[2]{200,1} b:u8[2]{100,1}", 0, 44, 2);
    OPCHECK("Sub a:u8[1]{1} b:u8[1]{2}", 0, 255);
    OPCHECK("Mul a:i8[1]{100} b:i8[1]{3}", 0, 44);
    OPCHECK("Div a:i32[4]{7,-7,7,-7} b:i32[4]{2,2,-2,-2}", 0, 3, -3, -3, 3);
    OPCHECK("Div a:i64[1]{-9223372036854775808} b:i64[1]{-1}", 0, -0x1p63);
    OPCHECK("Div a:u64[1]{-2} b:u64[1]{2}", 0, 0x1p63 - 1);
    OPCHECK("Max a:u64[2]{-1,1} b:u64[2]{1,2}", 0, 0x1p64, 2);
    OPCHECK("Less a:u64[1]{-1} b:u64[1]{1}", 0, 0);
    OPCHECK("Less a:i64[1]{-1} b:i64[1]{1}", 0, 1);
    opcheck_refused("Div a:i32[2] b:i32[2]{1,0}", ERR_BAD_FIELD, "divided by zero");
    opcheck_refused("Mod a:i32[2] b:i32[1]{0}", ERR_BAD_FIELD, "divided by zero");
}

static void remainders_have_a_sign(void **state) {
    OPCHECK("Mod a:i32[4]{7,-7,7,-7} b:i32[4]{3,3,-3,-3}", 0, 1, 2, -2, -1);
    OPCHECK("Mod(fmod=1) a:i32[4]{7,-7,7,-7} b:i32[4]{3,3,-3,-3}", 0, 1, -1, 1, -1);
    OPCHECK("Mod(fmod=1) a:f32[2]{-4.5,4.5} b:f32[]{2.0}", 0, -0.5, 0.5);
    OPCHECK("Mod a:i64[1]{-9223372036854775808} b:i64[1]{-1}", 0, 0);
    opcheck_refused("Mod(fmod=2) a:i32[1] b:i32[1]", ERR_BAD_MODEL, "fmod");
}

static void powers_mix_types(void **state) {
    OPCHECK("Pow a:f32[3]{1.5,2.0,3.0} b:f32[]{2.0}", 0, 2.25, 4, 9);
    OPCHECK("Pow a:f32[2]{2.0,3.0} b:i64[2]{-1,3}", 1e-7, 0.5, 27);
    OPCHECK("Pow a:i64[2]{3,2} b:i64[2]{39,62}", 0, 4052555153018976267., 4611686018427387904.);
    OPCHECK("Pow a:i32[2]{4,9} b:f32[]{0.5}", 0, 2, 3);
    OPCHECK("Pow a:i32[2]{2,-1} b:i32[2]{-1,-3}", 0, 0, -1);
    opcheck_type("Pow a:i32[2] b:f32[3,1]", 0, "i32[3,2]");
}

static void any_number_of_inputs(void **state) {
    OPCHECK("Sum a:f32[2]{1,2} b:f32[2,1]{10,20} c:f32[]{100}", 0, 111, 112, 121, 122);
    OPCHECK("Mean a:f32[2]{1,2} b:f32[1]{3} c:f32[2]{2,4}", 1e-7, 2, 3);
    OPCHECK("Max a:f32[2]{1,nan} b:f32[2]{2,2} c:f32[2]{0,3}", 0, 2, NAN);
    OPCHECK("Min a:i32[2]{1,5} b:i32[1]{3}", 0, 1, 3);
    OPCHECK("Max a:f32[2]{1,2}", 0, 1, 2);
}

static void logic_and_bits(void **state) {
    OPCHECK("And a:bool[4]{0,0,1,1} b:bool[4]{0,1,0,1}", 0, 0, 0, 0, 1);
    OPCHECK("Or a:bool[4]{0,0,1,1} b:bool[4]{0,1,0,1}", 0, 0, 1, 1, 1);
    OPCHECK("Xor a:bool[4]{0,0,1,1} b:bool[4]{0,1,0,1}", 0, 0, 1, 1, 0);
    OPCHECK("Equal a:f32[3]{1.0,nan,2.0} b:f32[3]{1.0,nan,3.0}", 0, 1, 0, 0);
    OPCHECK("GreaterOrEqual a:f32[3]{1.0,nan,2.0} b:f32[3]{1.0,nan,3.0}", 0, 1, 0, 0);
    OPCHECK("BitwiseAnd a:u8[1]{12} b:u8[1]{10}", 0, 8);
    OPCHECK("BitwiseXor a:i32[1]{-1} b:i32[1]{5}", 0, -6);
    OPCHECK("BitShift(direction='LEFT') a:u8[2]{129,1} b:u8[2]{1,8}", 0, 2, 0);
    OPCHECK("BitShift(direction='RIGHT') a:u64[2]{-1,1} b:u64[2]{63,64}", 0, 1, 0);
}

static void mistakes_are_named(void **state) {
    opcheck_refused("Add a:f32[2] b:i32[2]", ERR_BAD_MODEL, "inputs are f32 and i32");
    opcheck_refused("Add a:bool[2] b:bool[2]", ERR_BAD_MODEL, "input 0 is bool");
    opcheck_refused("Add a:f32[2] b:f32[3]", ERR_BAD_MODEL, "do not broadcast");
    opcheck_refused("And a:i32[2] b:i32[2]", ERR_BAD_MODEL, "input 0 is i32");
    opcheck_refused("Where c:i32[2] a:f32[2] b:f32[2]", ERR_BAD_MODEL, "condition is i32");
    opcheck_refused("BitShift(direction='UP') a:u8[2] b:u8[2]", ERR_BAD_MODEL, "direction");
    opcheck_refused("BitShift(direction='LEFT') a:i8[2] b:i8[2]", ERR_BAD_MODEL, "i8");
    opcheck_refused("Sum a:f32[2] - b:f32[2]", ERR_BAD_MODEL, "input 1 is not given");
    opcheck_refused("Mean a:i32[2] b:i32[2]", ERR_BAD_MODEL, "of i32, not a float");
}

/* What [batch, 3, unnamed] and {2, 1, 0} (or any two such) become; the case gives the operator. */
static void known(const char *text, const struct dim *a, const struct dim *b,
                  const struct dim *want) {
    struct opcase c;
    struct err err = ERR_INIT;
    CHECK_OK(opcase_new(text, 1, &c, &err), &err);
    CHECK_UINT(symbols_get(c.graph->symbols, "batch"), 1);
    CHECK_UINT(symbols_get(c.graph->symbols, NULL), 2);
    struct fact in[3] = {0}, out = {0};
    bool is_where = c.in_count == 3;
    for (size_t i = 0; i < c.in_count; i++)
        in[i].type = type_of_array(c.in[i]);
    if (is_where)
        in[0].data = c.in[0];
    in[is_where].partial = a;
    in[is_where + 1].partial = b;
    const struct fact *ins[3] = {&in[0], &in[1], &in[2]};
    struct op_infer infer = {c.node, c.graph->symbols, c.arena, ins, &out};
    CHECK_OK(op_infer_node(&infer, &err), &err);
    CHECK(out.partial);
    for (int i = 0; i < 3; i++)
        if (want[i].size == -2) /* nobody knows: neither a number nor one of ours */
            CHECK(out.partial[i].symbol > 2);
        else
            CHECK(dim_same(out.partial[i], want[i]));
    opcase_free(&c);
}

static void symbols_survive(void **state) {
    const struct dim batch = {-1, 1}, other = {-1, 2}, unknown = {-2, 0};
#define D3(x, y, z) ((const struct dim[3]){x, y, z})
    const struct dim *shape = D3(batch, DIM(3), other);
    known("Mul a:i64[3] b:i64[3]", shape, D3(DIM(1), DIM(2), DIM(0)), D3(batch, DIM(6), DIM(0)));
    known("Mul a:i64[3] b:i64[3]", shape, D3(DIM(2), batch, DIM(1)), D3(unknown, unknown, other));
    known("Add a:i64[3] b:i64[3]", shape, D3(DIM(0), DIM(2), DIM(1)), D3(batch, DIM(5), unknown));
    known("Sub a:i64[3] b:i64[3]", shape, shape, D3(DIM(0), DIM(0), DIM(0)));
    known("Div a:i64[3] b:i64[3]", shape, D3(DIM(1), DIM(2), DIM(0)), D3(batch, DIM(1), unknown));
    known("Mod a:i64[3] b:i64[3]", shape, D3(DIM(1), DIM(2), DIM(2)), D3(DIM(0), DIM(1), unknown));
    known("Max a:i64[3] b:i64[3]", shape, D3(batch, DIM(5), batch), D3(batch, DIM(5), unknown));
    /* -1 asks for the size that there is (torch.Tensor.expand); only what is named is a size. */
    known("Equal a:i64[3] b:i64[3]", shape, D3(DIM(-1), DIM(-1), DIM(-1)),
          D3(DIM(0), DIM(0), unknown));
    known("Equal a:i64[3] b:i64[3]", shape, shape, D3(DIM(1), DIM(1), DIM(1)));
    known("Where c:bool[3]{1,0,1} a:i64[3] b:i64[3]", shape, D3(DIM(1), DIM(7), DIM(2)),
          D3(batch, DIM(7), other));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_broadcast),       cmocka_unit_test(integers_wrap_around),
        cmocka_unit_test(remainders_have_a_sign), cmocka_unit_test(powers_mix_types),
        cmocka_unit_test(any_number_of_inputs),   cmocka_unit_test(logic_and_bits),
        cmocka_unit_test(mistakes_are_named),     cmocka_unit_test(symbols_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
