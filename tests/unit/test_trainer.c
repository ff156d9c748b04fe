/* Training: it learns, it is the same on every team and through a kill, and it stops where numbers
 * end. */
#include "compress/exec/shuffle.h"
#include "compress/exec/trainer.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/tinygraph.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAMPLES = 10, BATCH = 4, WIDTH = 6, HIDDEN = 8, STEPS = 24 };

/* loss = |relu(x w + ...) z|^2 over the batch: the best weights send every sample to zero. */
struct rig {
    struct tinygraph t;
    struct value *x, *loss;
    struct value *weights[2];
    struct trainer *trainer;
    struct team *team;
    struct array *data, *batch;
    struct batches_state order;
    struct exec_input input;
    bool poisoned;
};

static void rig_start(struct rig *r, unsigned threads, const struct trainer_options *options) {
    struct err err = ERR_INIT;
    *r = (struct rig){.order = {.seed = 5}};
    tinygraph_new(&r->t);
    struct graph *g = r->t.graph;
    r->x = tinygraph_input(&r->t, "x", "f32[4,6]");
    r->weights[0] = tinygraph_weight(&r->t, "w", "f32[6,8]");
    r->weights[1] = tinygraph_weight(&r->t, "z", "f32[8,1]");
    struct value *a = tinygraph_op(g, "MatMul", "a", TINY_IN(r->x, r->weights[0]), NULL, 0);
    struct value *h = tinygraph_op(g, "Relu", "h", TINY_IN(a), NULL, 0);
    struct value *e = tinygraph_op(g, "MatMul", "e", TINY_IN(h, r->weights[1]), NULL, 0);
    struct value *et = tinygraph_op(g, "Transpose", "et", TINY_IN(e), NULL, 0);
    r->loss = tinygraph_op(g, "MatMul", "loss", TINY_IN(et, e), NULL, 0);
    r->team = threads > 1 ? team_new(threads, 0) : NULL;
    r->data = tinygraph_array("f32[10,6]", "data");
    r->batch = tinygraph_array("f32[4,6]", "batch");
    r->input = (struct exec_input){r->x, r->batch};
    struct trainer_param params[2] = {{.weight = r->weights[0]}, {.weight = r->weights[1]}};
    struct trainer_options all = *options;
    all.loss = r->loss;
    all.params = params;
    all.param_count = 2;
    all.team = r->team;
    struct binding binding = {r->x, tinygraph_fact("f32[4,6]")};
    CHECK_OK(trainer_new(g, r->t.weights, &binding, 1, &all, &r->trainer, &err), &err);
}

static void rig_stop(struct rig *r) {
    trainer_free(r->trainer);
    team_free(r->team);
    array_free(r->data);
    array_free(r->batch);
    tinygraph_free(&r->t);
}

static int next_batch(void *self, const struct exec_input **ret_inputs, size_t *ret_count,
                      struct err *err) {
    struct rig *r = self;
    uint64_t key = shuffle_key(r->order.seed, 1 + r->order.epoch);
    for (size_t i = 0; i < BATCH; i++) {
        uint64_t sample = shuffle_at(key, SAMPLES, r->order.position + i);
        memcpy(array_real(r->batch) + i * WIDTH, array_real(r->data) + sample * WIDTH,
               WIDTH * sizeof(real));
    }
    if (r->poisoned)
        array_real(r->batch)[0] = (real)NAN;
    r->order.position += BATCH;
    if (r->order.position + BATCH > SAMPLES) {
        r->order.position = 0;
        r->order.epoch++;
    }
    *ret_inputs = &r->input;
    *ret_count = 1;
    return 0;
}

static const struct trainer_options adamw = {
    .optim = {.kind = OPTIM_ADAMW, .decay = 0.01, .clip_norm = 10},
    .schedule = {.kind = SCHEDULE_COSINE,
                 .rate = 0.05,
                 .final_rate = 0.01,
                 .steps = STEPS,
                 .warmup_steps = 3},
    .accumulate = 2,
};

static double run(struct rig *r, uint64_t steps) {
    struct err err = ERR_INIT;
    struct trainer_report report = {0};
    while (trainer_steps(r->trainer) < steps)
        CHECK_OK(trainer_step(r->trainer, next_batch, r, NULL, &report, &err), &err);
    return report.loss;
}

static void copy_weights(struct rig *r, real *ret) {
    struct err err = ERR_INIT;
    struct array *array;
    CHECK_OK(weights_hold(r->t.weights, r->weights[0], NULL, &array, &err), &err);
    memcpy(ret, array->data, WIDTH * HIDDEN * sizeof(real));
    CHECK_OK(weights_hold(r->t.weights, r->weights[1], NULL, &array, &err), &err);
    memcpy(ret + WIDTH * HIDDEN, array->data, HIDDEN * sizeof(real));
}

enum { WEIGHTS = WIDTH * HIDDEN + HIDDEN };

static void learns(void **state) {
    for (int kind = 0; kind < 2; kind++) {
        struct rig r;
        struct trainer_options options = adamw;
        if (kind == 1)
            options.optim = (struct optim_options){.kind = OPTIM_SGD, .momentum = 0.5};
        if (kind == 1)
            options.schedule.rate = 0.02;
        rig_start(&r, 1, &options);
        double first = run(&r, 1), last = run(&r, STEPS);
        printf("%s: loss %g, after %d steps %g\n", optim_name(options.optim.kind), first, STEPS,
               last);
        CHECK(first > 0.1);
        CHECK(last < first / 5);
        rig_stop(&r);
    }
}

static void same_on_every_team(void **state) {
    real want[WEIGHTS], got[WEIGHTS];
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct rig r;
        rig_start(&r, threads, &adamw);
        run(&r, STEPS);
        copy_weights(&r, threads == 1 ? want : got);
        if (threads > 1)
            CHECK_BYTES(got, want, sizeof want);
        rig_stop(&r);
    }
}

/* Killed without warning, again and again, by a signal that nothing can catch. */
static void survives_kills(void **state) {
    struct tempdir dir;
    struct err err = ERR_INIT;
    real want[WEIGHTS], got[WEIGHTS];
    struct rig r;
    rig_start(&r, 1, &adamw);
    run(&r, STEPS);
    copy_weights(&r, want);
    rig_stop(&r);
    tempdir_make(&dir);
    int fd = open(dir.path, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    unsigned kills = 0;
    for (bool done = false; !done;) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            rig_start(&r, 1, &adamw);
            if (faccessat(fd, "state", F_OK, 0) == 0 &&
                trainer_load(r.trainer, "test", fd, "state", &r.order, &err) < 0)
                _exit(2);
            for (uint64_t step = trainer_steps(r.trainer); step < STEPS; step++) {
                if (trainer_step(r.trainer, next_batch, &r, NULL, NULL, &err) < 0 ||
                    trainer_save(r.trainer, "test", &r.order, fd, "state", &err) < 0)
                    _exit(3);
                if (step % 7 == 6 && step < STEPS - 3)
                    raise(SIGKILL);
            }
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        done = WIFEXITED(status);
        CHECK_INT(done ? WEXITSTATUS(status) : 0, 0);
        kills += !done;
        CHECK(kills < 10);
    }
    CHECK_UINT(kills, 3);
    rig_start(&r, 1, &adamw);
    CHECK_OK(trainer_load(r.trainer, "test", fd, "state", &r.order, &err), &err);
    CHECK_UINT(trainer_steps(r.trainer), STEPS);
    copy_weights(&r, got);
    CHECK_BYTES(got, want, sizeof want);
    CHECK_FAILS(trainer_load(r.trainer, "other", fd, "state", &r.order, &err), &err, ERR_STATE);
    rig_stop(&r);
    close(fd);
    tempdir_free(&dir);
}

static void nan_keeps_the_last_checkpoint(void **state) {
    struct tempdir dir;
    struct err err = ERR_INIT;
    real before[WEIGHTS], after[WEIGHTS];
    struct rig r;
    tempdir_make(&dir);
    int fd = open(dir.path, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    rig_start(&r, 1, &adamw);
    run(&r, 5);
    CHECK_OK(trainer_save(r.trainer, "test", &r.order, fd, "state", &err), &err);
    copy_weights(&r, before);
    r.poisoned = true;
    CHECK_INT(trainer_step(r.trainer, next_batch, &r, NULL, NULL, &err), -1);
    CHECK_INT(err.code, ERR_DIVERGED);
    CHECK_HOLDS(err.text, "step 5: ");
    err = ERR_INIT;
    copy_weights(&r, after);
    CHECK_BYTES(after, before, sizeof before);
    CHECK_UINT(trainer_steps(r.trainer), 5);
    /* Weights that are not finite are not saved over good ones. */
    struct array *w;
    CHECK_OK(weights_hold(r.t.weights, r.weights[0], NULL, &w, &err), &err);
    array_real(w)[3] = (real)INFINITY;
    CHECK_FAILS(trainer_save(r.trainer, "test", &r.order, fd, "state", &err), &err, ERR_DIVERGED);
    r.poisoned = false;
    CHECK_OK(trainer_load(r.trainer, "test", fd, "state", &r.order, &err), &err);
    copy_weights(&r, after);
    CHECK_BYTES(after, before, sizeof before);
    run(&r, STEPS);
    rig_stop(&r);
    close(fd);
    tempdir_free(&dir);
}

/* ---- a small convolutional net: which quarter of the picture is bright? ---- */

enum { PICTURES = 16, SIDE = 8, PARAMS = 7, NUMBERS = 54 + 6 + 384 + 4 + 3 * 324 };

struct pictures {
    struct array *x, *labels;
    struct exec_input inputs[2];
    uint32_t random;
};

static int next_pictures(void *self, const struct exec_input **ret_inputs, size_t *ret_count,
                         struct err *err) {
    struct pictures *p = self;
    for (size_t i = 0; i < PICTURES; i++) {
        size_t label = (p->random = p->random * 1664525u + 1013904223u) >> 30;
        ((int64_t *)p->labels->data)[i] = (int64_t)label;
        for (size_t k = 0; k < SIDE * SIDE; k++) {
            bool bright = k / SIDE / (SIDE / 2) == label / 2 && k % SIDE / (SIDE / 2) == label % 2;
            p->random = p->random * 1664525u + 1013904223u;
            array_real(p->x)[i * SIDE * SIDE + k] =
                (real)((double)(p->random >> 8) / 0x1p24 + (bright ? 0.5 : 0));
        }
    }
    *ret_inputs = p->inputs;
    *ret_count = 2;
    return 0;
}

static struct value *picture_net(struct tinygraph *t, struct value *weights[PARAMS]) {
    static const int64_t pads[4] = {1, 1, 1, 1}, two[2] = {2, 2};
    static const struct attr conv = {.name = "pads", .kind = ATTR_INTS, .count = 4, .ints = pads};
    static const struct attr pool[2] = {
        {.name = "kernel_shape", .kind = ATTR_INTS, .count = 2, .ints = two},
        {.name = "strides", .kind = ATTR_INTS, .count = 2, .ints = two}};
    struct graph *g = t->graph;
    struct value *x = tinygraph_input(t, "x", "f32[16,1,8,8]");
    struct value *labels = tinygraph_input(t, "labels", "i64[16]");
    weights[0] = tinygraph_weight(t, "w0", "f32[6,1,3,3]");
    weights[1] = tinygraph_weight(t, "b0", "f32[6]");
    weights[2] = tinygraph_weight(t, "w1", "f32[96,4]");
    weights[3] = tinygraph_weight(t, "b1", "f32[4]");
    struct value *c = tinygraph_op(g, "Conv", "c", TINY_IN(x, weights[0], weights[1]), &conv, 1);
    struct value *r = tinygraph_op(g, "Relu", "r", TINY_IN(c), NULL, 0);
    for (size_t l = 0; l < 3; l++) { /* more of the same, so that there is something to run again */
        static const char *const names[3][3] = {
            {"w2", "c2", "r2"}, {"w3", "c3", "r3"}, {"w4", "c4", "r4"}};
        weights[4 + l] = tinygraph_weight(t, names[l][0], "f32[6,6,3,3]");
        c = tinygraph_op(g, "Conv", names[l][1], TINY_IN(r, weights[4 + l]), &conv, 1);
        r = tinygraph_op(g, "Relu", names[l][2], TINY_IN(c), NULL, 0);
    }
    struct value *m = tinygraph_op(g, "MaxPool", "m", TINY_IN(r), pool, 2);
    struct value *f = tinygraph_op(g, "Flatten", "f", TINY_IN(m), NULL, 0);
    struct value *s = tinygraph_op(g, "Gemm", "s", TINY_IN(f, weights[2], weights[3]), NULL, 0);
    return tinygraph_op(g, "SoftmaxCrossEntropyLoss", "loss", TINY_IN(s, labels), NULL, 0);
}

/* Returns the bytes of the workspace; ret: the weights one behind the other. */
static uint64_t train_pictures(unsigned threads, uint64_t memory_bytes, real ret[NUMBERS],
                               size_t *ret_again) {
    struct tinygraph t;
    struct err err = ERR_INIT;
    struct value *weights[PARAMS];
    tinygraph_new(&t);
    struct value *loss = picture_net(&t, weights);
    const struct value *x = graph_value(t.graph, "x"), *labels = graph_value(t.graph, "labels");
    struct trainer_param params[PARAMS];
    for (size_t i = 0; i < PARAMS; i++)
        params[i] = (struct trainer_param){.weight = weights[i], .undecayed = i == 1 || i == 3};
    struct team *team = team_new(threads, 0);
    struct trainer_options options = {
        .loss = loss,
        .params = params,
        .param_count = PARAMS,
        .optim = {.kind = OPTIM_ADAMW, .decay = 0.01, .clip_norm = 5},
        .schedule = {.kind = SCHEDULE_LINEAR, .rate = 0.02, .steps = 150, .warmup_steps = 5},
        .memory_bytes = memory_bytes,
        .team = team,
    };
    struct binding bindings[] = {{x, tinygraph_fact("f32[16,1,8,8]")},
                                 {labels, tinygraph_fact("i64[16]")}};
    struct trainer *trainer;
    CHECK_OK(trainer_new(t.graph, t.weights, bindings, 2, &options, &trainer, &err), &err);
    struct pictures p = {.x = tinygraph_array("f32[16,1,8,8]", "x"),
                         .labels = tinygraph_array("i64[16]", "labels"),
                         .random = 1};
    p.inputs[0] = (struct exec_input){x, p.x};
    p.inputs[1] = (struct exec_input){labels, p.labels};
    struct trainer_report report = {0};
    double first = 0;
    for (int step = 0; step < 150; step++) {
        CHECK_OK(trainer_step(trainer, next_pictures, &p, NULL, &report, &err), &err);
        first = step == 0 ? report.loss : first;
    }
    struct exec_facts facts;
    exec_plan_facts(trainer_plan(trainer), &facts);
    printf("%u threads, workspace %llu (%.3f x the lower bound), %zu again: loss %g to %g\n",
           threads, (unsigned long long)facts.workspace_bytes,
           (double)facts.workspace_bytes / (double)facts.live_bytes, facts.recomputed_steps, first,
           report.loss);
    CHECK(first > 1);
    CHECK(report.loss < 0.3);
    CHECK((double)facts.workspace_bytes <= 1.2 * (double)facts.live_bytes);
    for (size_t i = 0; i < PARAMS; i++) {
        struct array *array;
        CHECK_OK(weights_hold(t.weights, weights[i], NULL, &array, &err), &err);
        memcpy(ret, array->data, (size_t)array_bytes(array));
        ret += array->elements;
    }
    *ret_again = facts.recomputed_steps;
    trainer_free(trainer);
    team_free(team);
    array_free(p.x);
    array_free(p.labels);
    tinygraph_free(&t);
    return facts.workspace_bytes;
}

static void pictures_the_same_everywhere(void **state) {
    static real want[NUMBERS], got[NUMBERS];
    size_t again;
    uint64_t whole = train_pictures(1, 0, want, &again);
    CHECK_UINT(again, 0);
    train_pictures(3, 0, got, &again);
    CHECK_BYTES(got, want, sizeof want);
    train_pictures(1, whole * 9 / 10, got, &again);
    CHECK(again > 0);
    CHECK_BYTES(got, want, sizeof want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns),
        cmocka_unit_test(same_on_every_team),
        cmocka_unit_test(survives_kills),
        cmocka_unit_test(nan_keeps_the_last_checkpoint),
        cmocka_unit_test(pictures_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
