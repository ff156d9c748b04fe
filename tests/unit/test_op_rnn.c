/* Recurrent layers against ONNX Runtime 1.32. */
#include "tests/support/check.h"
#include "tests/support/opcheck.h"

#define X "f32[3,2,1]{1,2,-1,0.5,0.25,-2}"
#define H0 "f32[1,2,1]{0.5,-0.5}"

static void plain(void **state) {
    /* The second sequence is over after two steps. */
#define PLAIN \
    "RNN(hidden_size=1) " X " f32[1,1,1]{0.5} f32[1,1,1]{-1} f32[1,2]{0.1,0.2} i32[2]{3,2} -> 2"
    OPCHECK(PLAIN, 1e-6, 0.664036751, 0.861723185, -0.698331654, -0.30200392, 0.808724642, 0);
    OPCHECK_OUT(PLAIN, 1, 1e-6, 0.808724642, -0.30200392);
    /* Backwards, it begins at its own end. */
#define BOTH                                           \
    "RNN(hidden_size=1, direction='bidirectional') " X \
    " f32[2,1,1]{0.5,1} f32[2,1,1]{-1,0.5} - i32[2]{3,2} -> 2"
    OPCHECK(BOTH, 1e-6, 0.462117195, 0.761594057, 0.56992209, 0.977187395, -0.745219767,
            -0.47118628, -0.705185115, 0.462117195, 0.701485753, 0, 0.244918704, 0);
    OPCHECK_OUT(BOTH, 1, 1e-6, 0.701485753, -0.47118628, 0.56992209, 0.977187395);
    OPCHECK("RNN(activations=['Affine'], activation_alpha=[2.0], activation_beta=[1.0]) "
            "f32[1,1,1]{3} f32[1,1,1]{1} f32[1,1,1]{0}",
            0, 7);
}

static void batch_first(void **state) {
    OPCHECK(
        "RNN(layout=1, activations=['Relu']) f32[2,2,1]{1,2,3,4} f32[1,1,1]{1} f32[1,1,1]{10} - "
        "- f32[2,1,1]{0.5,1}",
        1e-6, 6, 62, 13, 134);
}

static void gru(void **state) {
#define GRU(more)                                                                   \
    "GRU(hidden_size=1" more ") " X " f32[1,3,1]{0.5,-0.5,1} f32[1,3,1]{1,0.5,-1} " \
    "f32[1,6]{0.1,0.2,0.3,0.4,0.5,0.6} - " H0 " -> 2"
    OPCHECK(GRU(""), 1e-6, 0.576776326, -0.09771505, 0.183816209, 0.243075252, 0.36546731,
            -0.381227463);
    OPCHECK(GRU(", linear_before_reset=1"), 1e-6, 0.568708658, -0.0989945829, 0.150544986,
            0.222594187, 0.320189357, -0.404662907);
    OPCHECK_OUT(GRU(""), 1, 1e-6, 0.36546731, -0.381227463);
}

static void lstm(void **state) {
#define WEIGHTS " f32[1,4,1]{0.5,-0.5,1,0.25} f32[1,4,1]{1,0.5,-1,0.75} "
#define PEEPHOLES                                                                      \
    "LSTM(hidden_size=1) " X WEIGHTS "f32[1,8]{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8} - " H0 \
    " f32[1,2,1]{1,-1} f32[1,3]{0.3,-0.2,0.1} -> 3"
    OPCHECK(PEEPHOLES, 1e-6, 0.515543163, -0.143656135, 0.683627069, 0.139086604, 0.620508909,
            0.295523584);
    OPCHECK_OUT(PEEPHOLES, 1, 1e-6, 0.620508909, 0.295523584);
    OPCHECK_OUT(PEEPHOLES, 2, 1e-6, 1.70759773, 0.35917303);
#define COUPLED                                                               \
    "LSTM(hidden_size=1, clip=0.5, input_forget=1, "                          \
    "activations=['HardSigmoid','Softsign','relu'], activation_alpha=[0.3], " \
    "activation_beta=[0.4]) " X WEIGHTS "-> 3"
    OPCHECK(COUPLED, 1e-6, 0.0275000017, 0.0458333343, 0.0183747318, 0.0534039438, 0.0182651952,
            0.0230592825);
    OPCHECK_OUT(COUPLED, 2, 1e-6, 0.0500065275, 0.0419259667);
}

static void misfits(void **state) {
#define R " f32[1,8,3] f32[1,8,2]"
    opcheck_refused("LSTM f32[4,2] " R, ERR_BAD_MODEL, "rank 2");
    opcheck_refused("LSTM f32[4,2,5] " R, ERR_BAD_MODEL, "W is f32[1,8,3]");
    opcheck_refused("LSTM(hidden_size=3) f32[4,2,3] " R, ERR_BAD_MODEL, "W is f32[1,8,3]");
    opcheck_refused("LSTM(direction='bidirectional') f32[4,2,3] " R, ERR_BAD_MODEL, "W is");
    opcheck_refused("LSTM f32[4,2,3] " R " f32[1,8]", ERR_BAD_MODEL, "the bias is f32[1,8]");
    opcheck_refused("LSTM f32[4,2,3] " R " - - f32[2,1,2]", ERR_BAD_MODEL, "initial_h is");
    opcheck_refused("LSTM f32[4,2,3] " R " - i32[2]{5,1}", ERR_BAD_FIELD,
                    "sequence 0 has length 5, there are 4 steps");
    opcheck_refused("LSTM f32[4,2,3] " R " - i32[2]{1,-1}", ERR_BAD_FIELD, "length -1");
    opcheck_refused("LSTM(direction='up') f32[4,2,3] " R, ERR_BAD_MODEL, "direction 'up'");
    opcheck_refused("LSTM(layout=2) f32[4,2,3] " R, ERR_BAD_MODEL, "layout 2");
    opcheck_refused("LSTM(activations=['Tanh']) f32[4,2,3] " R, ERR_BAD_MODEL,
                    "wants 3 activations");
    opcheck_refused("LSTM(activations=['Tanh','Swish','Tanh']) f32[4,2,3] " R, ERR_UNSUPPORTED,
                    "activation 'Swish'");
    opcheck_type("LSTM(direction='bidirectional', layout=1) f32[2,5,3] f32[2,8,3] f32[2,8,2] -> 3",
                 0, "f32[2,5,2,2]");
    opcheck_type("LSTM(direction='bidirectional', layout=1) f32[2,5,3] f32[2,8,3] f32[2,8,2] -> 3",
                 2, "f32[2,2,2]");
    opcheck_symbolic("GRU(hidden_size=7) f32[4,2,3] f32[1,21,3] f32[1,21,7]", "f32[?,1,?,7]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain), cmocka_unit_test(batch_first), cmocka_unit_test(gru),
        cmocka_unit_test(lstm),  cmocka_unit_test(misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
