/* Optimisers against PyTorch 2.13 (torch.optim.SGD, AdamW, clip_grad_norm_), and against one
 * thread.
 */
#include "compress/exec/optim.h"
#include "tests/support/check.h"

#include <math.h>
#include <string.h>

struct rig {
    struct array *w, *b, *dw, *db;
    struct optim *optim;
};

static void rig_start(struct rig *r, const struct optim_options *options, bool undecayed) {
    static const real w[5] = {0.5, -1, 2, 0.25, -0.125}, b[2] = {1, -2};
    struct err err = ERR_INIT;
    r->w = array_new(DTYPE_F32, 1, (uint64_t[]){5});
    r->dw = array_new(DTYPE_F32, 1, (uint64_t[]){5});
    r->b = array_new(DTYPE_F32, 1, (uint64_t[]){2});
    r->db = array_new(DTYPE_F32, 1, (uint64_t[]){2});
    CHECK(r->w && r->dw && r->b && r->db);
    memcpy(r->w->data, w, sizeof w);
    memcpy(r->b->data, b, sizeof b);
    struct optim_param params[2] = {{.weight = r->w, .gradient = r->dw},
                                    {.weight = r->b, .gradient = r->db, .undecayed = undecayed}};
    CHECK_OK(optim_new(params, 2, options, &r->optim, &err), &err);
}

static void rig_stop(struct rig *r) {
    optim_free(r->optim);
    array_free(r->w);
    array_free(r->b);
    array_free(r->dw);
    array_free(r->db);
}

static void set_gradients(struct rig *r, double t, double times) {
    const double dw[5] = {0.1 * t, -0.2, 0.3 / t, -0.4 * t, 0.5}, db[2] = {1 / t, 0.25 * t};
    for (size_t i = 0; i < 5; i++)
        array_real(r->dw)[i] = (real)(dw[i] * times);
    for (size_t i = 0; i < 2; i++)
        array_real(r->db)[i] = (real)(db[i] * times);
}

static void as_pytorch(void **state) {
    static const struct {
        struct optim_options options;
        double rate;
        bool undecayed;
        double want[7];
    } cases[] = {
        {{.kind = OPTIM_SGD},
         0.1,
         false,
         {0.40000001, -0.92000008, 1.9375, 0.65000004, -0.32500002, 0.79166663, -2.25}},
        {{.kind = OPTIM_SGD, .momentum = 0.9, .decay = 0.01, .clip_norm = 0.5},
         0.1,
         true,
         {0.43191922, -0.92484879, 1.9169419, 0.50199407, -0.28916064, 0.78293002, -2.1590984}},
        {{.kind = OPTIM_SGD, .momentum = 0.9, .nesterov = true, .decay = 0.01},
         0.1,
         false,
         {0.22743203, -0.7456938, 1.7607943, 1.3130246, -0.72897702, 0.27127004, -2.6420629}},
        {{.kind = OPTIM_ADAMW,
          .beta1 = 0.9,
          .beta2 = 0.95,
          .epsilon = 1e-8,
          .decay = 0.1,
          .clip_norm = 0.5},
         0.01,
         true,
         {0.45912254, -0.956451, 1.9560077, 0.287882, -0.16405584, 0.96393788, -2.0389392}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rig r;
        struct err err = ERR_INIT;
        double norm;
        rig_start(&r, &cases[c].options, cases[c].undecayed);
        for (int t = 1; t <= 4; t++) { /* as if four batches had been added up */
            set_gradients(&r, t, 4);
            CHECK_OK(optim_step(r.optim, cases[c].rate, 0.25, NULL, NULL, &norm, &err), &err);
        }
        CHECK_NUM(norm, 2.019436836242676, 1e-5);
        CHECK_UINT(optim_steps(r.optim), 4);
        for (size_t i = 0; i < 7; i++)
            CHECK_NUM((double)(i < 5 ? array_real(r.w)[i] : array_real(r.b)[i - 5]),
                      cases[c].want[i], 2e-6);
        rig_stop(&r);
    }
}

static void masked_stay_zero(void **state) {
    for (unsigned kind = 0; kind < OPTIM_KINDS; kind++) {
        struct rig r;
        struct err err = ERR_INIT;
        struct optim_options options = {
            .kind = (enum optim_kind)kind, .momentum = 0.9, .decay = 0.1};
        uint8_t bits[5] = {1, 0, 1, 0, 1};
        struct array mask = {
            .dtype = DTYPE_BOOL, .rank = 1, .dims = {5}, .elements = 5, .data = bits};
        double norm;
        rig_start(&r, &options, false);
        struct optim_param param = {.weight = r.w, .gradient = r.dw, .mask = &mask};
        struct optim *masked;
        CHECK_OK(optim_new(&param, 1, &options, &masked, &err), &err);
        CHECK(array_real(r.w)[1] == 0 && array_real(r.w)[3] == 0);
        for (int t = 1; t <= 3; t++) {
            set_gradients(&r, t, 1);
            CHECK_OK(optim_step(masked, 0.1, 1, NULL, NULL, &norm, &err), &err);
            for (size_t i = 0; i < 5; i++)
                CHECK((array_real(r.w)[i] != 0) == bits[i]);
        }
        CHECK_NUM(norm, sqrt(0.3 * 0.3 + 0.1 * 0.1 + 0.5 * 0.5), 1e-6);
        optim_free(masked);
        rig_stop(&r);
    }
}

static void refuses_what_is_not_finite(void **state) {
    struct rig r;
    struct err err = ERR_INIT;
    struct optim_options options = {.kind = OPTIM_ADAMW};
    rig_start(&r, &options, false);
    set_gradients(&r, 1, 1);
    array_real(r.db)[1] = (real)NAN;
    CHECK_FAILS(optim_step(r.optim, 0.1, 1, NULL, NULL, NULL, &err), &err, ERR_DIVERGED);
    CHECK_NUM((double)array_real(r.w)[0], 0.5, 0); /* untouched */
    CHECK_UINT(optim_steps(r.optim), 0);
    rig_stop(&r);
}

static void same_on_every_team(void **state) {
    enum { N = 100001 };
    struct err err = ERR_INIT;
    static real first[N];
    struct optim_options options = {.kind = OPTIM_ADAMW, .decay = 0.1, .clip_norm = 0.5};
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct array *w = array_new(DTYPE_F32, 1, (uint64_t[]){N}),
                     *g = array_new(DTYPE_F32, 1, (uint64_t[]){N});
        struct team *team = team_new(threads, 0);
        CHECK(w && g && team);
        struct optim_param param = {.weight = w, .gradient = g};
        struct optim *optim;
        CHECK_OK(optim_new(&param, 1, &options, &optim, &err), &err);
        for (int t = 0; t < 3; t++) {
            for (size_t i = 0; i < N; i++)
                array_real(g)[i] = (real)((double)(i * 7919 % 1009) / 1009 - 0.4);
            CHECK_OK(optim_step(optim, 0.01, 1, team, NULL, NULL, &err), &err);
        }
        if (threads == 1)
            memcpy(first, w->data, sizeof first);
        CHECK_BYTES(w->data, first, sizeof first);
        optim_free(optim);
        team_free(team);
        array_free(w);
        array_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_pytorch),
        cmocka_unit_test(masked_stay_zero),
        cmocka_unit_test(refuses_what_is_not_finite),
        cmocka_unit_test(same_on_every_team),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
