/* Backward plans: the right gradients, nothing that nobody needs, the same on every team. */
#include "compress/exec/session.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/tinygraph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 3, K = 4, H = 5, M = 2 };

/* loss = u (relu(x w) z) v, so that d(loss)/d(relu(x w) z) = u' v'. */
struct net {
    struct tinygraph t;
    struct value *x, *w, *z, *loss;
};

static void net_new(struct net *n) {
    tinygraph_new(&n->t);
    struct graph *g = n->t.graph;
    n->x = tinygraph_input(&n->t, "x", "f32[3,4]");
    n->w = tinygraph_weight(&n->t, "w", "f32[4,5]");
    n->z = tinygraph_weight(&n->t, "z", "f32[5,2]");
    struct value *u = tinygraph_weight(&n->t, "u", "f32[1,3]");
    struct value *v = tinygraph_weight(&n->t, "v", "f32[2,1]");
    struct value *a = tinygraph_op(g, "MatMul", "a", TINY_IN(n->x, n->w), NULL, 0);
    struct value *r = tinygraph_op(g, "Relu", "r", TINY_IN(a), NULL, 0);
    struct value *o = tinygraph_op(g, "MatMul", "o", TINY_IN(r, n->z), NULL, 0);
    struct value *shape = tinygraph_ints(g, "shape", (int64_t[]){3, -1}, 2);
    struct value *same = tinygraph_op(g, "Reshape", "same", TINY_IN(o, shape), NULL, 0);
    struct value *uo = tinygraph_op(g, "MatMul", "uo", TINY_IN(u, same), NULL, 0);
    n->loss = tinygraph_op(g, "MatMul", "loss", TINY_IN(uo, v), NULL, 0);
    tinygraph_output(g, o);
}

static struct exec_plan *plan_of(const struct graph *g, const struct value *x, const char *type,
                                 const struct exec_options *options) {
    struct err err = ERR_INIT;
    struct binding binding = {x, tinygraph_fact(type)};
    struct exec_plan *plan;
    CHECK_OK(exec_plan_new(g, &binding, 1, options, &plan, &err), &err);
    return plan;
}

static struct exec_session *session_of(const struct exec_plan *plan, struct weights *weights,
                                       struct team *team) {
    struct err err = ERR_INIT;
    struct exec_session_options options = {.team = team};
    struct exec_session *session;
    CHECK_OK(exec_session_new(plan, weights, &options, &session, &err), &err);
    return session;
}

/* c += a' b, or a b', ... : plain loops over [m,k] and [k,n]. */
static void product(const real *a, bool at, const real *b, bool bt, size_t m, size_t k, size_t n,
                    real *c) {
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < k; l++)
                c[i * n + j] += a[at ? l * m + i : i * k + l] * b[bt ? j * k + l : l * n + j];
}

static void check_near(const struct array *got, const real *want, real times) {
    CHECK(got);
    for (uint64_t i = 0; i < got->elements; i++)
        CHECK_NUM((double)array_real(got)[i], (double)(times * want[i]), 1e-5);
}

static void gradients_of_a_small_net(void **state) {
    struct net n;
    struct err err = ERR_INIT;
    net_new(&n);
    const struct value *trainable[] = {n.z, n.w}, *inputs[] = {n.x};
    struct exec_options options = {.loss = n.loss,
                                   .trainable = trainable,
                                   .trainable_count = 2,
                                   .wanted_inputs = inputs,
                                   .wanted_input_count = 1};
    struct exec_plan *plan = plan_of(n.t.graph, n.x, "f32[3,4]", &options);
    struct exec_session *session = session_of(plan, n.t.weights, NULL);
    struct array *x = tinygraph_array("f32[3,4]", "x"), *w = tinygraph_array("f32[4,5]", "w"),
                 *z = tinygraph_array("f32[5,2]", "z"), *u = tinygraph_array("f32[1,3]", "u"),
                 *v = tinygraph_array("f32[2,1]", "v");
    real r[N * H] = {0}, o[N * M] = {0}, dout[N * M] = {0}, dr[N * H] = {0}, dz[H * M] = {0},
               dw[K * H] = {0}, dx[N * K] = {0};
    product(x->data, false, w->data, false, N, K, H, r);
    for (size_t i = 0; i < N * H; i++)
        r[i] = r[i] > 0 ? r[i] : 0;
    product(r, false, z->data, false, N, H, M, o);
    product(u->data, true, v->data, true, N, 1, M, dout);
    product(r, true, dout, false, H, N, M, dz);
    product(dout, false, z->data, true, N, M, H, dr);
    for (size_t i = 0; i < N * H; i++)
        dr[i] = r[i] > 0 ? dr[i] : 0;
    product(x->data, true, dr, false, K, N, H, dw);
    product(dr, false, w->data, true, N, H, K, dx);
    for (int run = 1; run <= 3; run++) { /* they add up until they are zeroed */
        real times = run == 3 ? 1 : (real)run;
        if (run == 3)
            exec_zero_gradients(session);
        CHECK_OK(exec_run(session, &(struct exec_input){n.x, x}, 1, NULL, &err), &err);
        CHECK_OK(exec_backward(session, NULL, &err), &err);
        check_near(exec_gradient(session, n.z), dz, times);
        check_near(exec_gradient(session, n.w), dw, times);
        check_near(exec_gradient(session, n.x), dx, times);
        check_near(exec_output(session, graph_value(n.t.graph, "o")), o, 1);
    }
    CHECK_FAILS(exec_backward(session, NULL, &err), &err, ERR_BUG); /* a forward pass first */
    CHECK(!exec_gradient(session, graph_value(n.t.graph, "u")));
    exec_session_free(session);
    exec_plan_free(plan);
    array_free(x);
    array_free(w);
    array_free(z);
    array_free(u);
    array_free(v);
    tinygraph_free(&n.t);
}

static void computes_only_what_is_needed(void **state) {
    struct net n;
    net_new(&n);
    const struct value *z = n.z;
    struct exec_options options = {.loss = n.loss, .trainable = &z, .trainable_count = 1};
    struct exec_plan *plan = plan_of(n.t.graph, n.x, "f32[3,4]", &options);
    char *text = NULL;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    CHECK(to);
    exec_plan_print(plan, to);
    fclose(to);
    /* Nothing flows on to r, and so neither to a nor to w. */
    CHECK_TEXT(text, "forward\n"
                     "    0  MatMul 'a'            x w -> a f32[3,5] [0, 60)\n"
                     "    1  Relu 'r'              a -> r f32[3,5] in place, [0, 60)\n"
                     "    2  MatMul 'o'            r z -> o f32[3,2] [64, 88)\n"
                     "    3  Reshape 'same'        o shape -> same f32[3,2] as it is, [64, 88)\n"
                     "    4  MatMul 'uo'           u same -> uo f32[1,2] [128, 136)\n"
                     "    5  MatMul 'loss'         uo v -> loss f32[1,1] [192, 196)\n"
                     "backward\n"
                     "    6  fill 1                -> d(loss) f32[1,1] [256, 260)\n"
                     "    7  fill 0                -> d(uo) f32[1,2] [320, 328)\n"
                     "    8  grad MatMul 'loss'    uo v d(loss) -> d(uo) f32[1,2] [320, 328)\n"
                     "    9  fill 0                -> d(same) f32[3,2] [128, 152)\n"
                     "   10  grad MatMul 'uo'      u same d(uo) -> d(same) f32[3,2] [128, 152)\n"
                     "   12  grad Reshape 'same'   d(same) -> d(o) f32[3,2] as it is, [128, 152)\n"
                     "   13  grad MatMul 'o'       r z d(o) -> d(z) f32[5,2] gradients [0, 40)\n"
                     "workspace 384 bytes, 384 of them alive at once at most\n"
                     "beside it: kept results 0, gradients 64, weights 140 bytes\n"
                     "98 multiply-accumulates\n");
    free(text);
    exec_plan_free(plan);
    tinygraph_free(&n.t);
}

/* A stack of layers that share one weight with the next but one; ends in one number. */
static struct value *deep_net(struct tinygraph *t, size_t layers) {
    struct value *x = tinygraph_input(t, "x", "f32[40,32]");
    struct value *weights[2] = {tinygraph_weight(t, "w0", "f32[32,32]"),
                                tinygraph_weight(t, "w1", "f32[32,32]")};
    for (size_t l = 0; l < layers; l++) {
        char name[2][32];
        for (size_t i = 0; i < 2; i++)
            snprintf(name[i], sizeof name[i], "%c%zu", "mr"[i], l);
        struct value *m =
            tinygraph_op(t->graph, "MatMul", name[0], TINY_IN(x, weights[l % 2]), NULL, 0);
        x = tinygraph_op(t->graph, "Relu", name[1], TINY_IN(m), NULL, 0);
    }
    struct value *u = tinygraph_weight(t, "u", "f32[1,40]");
    struct value *v = tinygraph_weight(t, "v", "f32[32,1]");
    struct value *ux = tinygraph_op(t->graph, "MatMul", "ux", TINY_IN(u, x), NULL, 0);
    return tinygraph_op(t->graph, "MatMul", "loss", TINY_IN(ux, v), NULL, 0);
}

static void shared_weights_add_up(void **state) {
    struct tinygraph t;
    struct err err = ERR_INIT;
    tinygraph_new(&t);
    const struct value *loss = deep_net(&t, 5);
    const struct value *x = graph_value(t.graph, "x"), *w = graph_value(t.graph, "w0");
    struct exec_options options = {
        .wanted = &loss, .wanted_count = 1, .loss = loss, .trainable = &w, .trainable_count = 1};
    struct exec_plan *plan = plan_of(t.graph, x, "f32[40,32]", &options);
    struct exec_session *session = session_of(plan, t.weights, NULL);
    struct array *given = tinygraph_array("f32[40,32]", "x"), *weight;
    struct exec_input input = {x, given};
    CHECK_OK(exec_run(session, &input, 1, NULL, &err), &err);
    CHECK_OK(exec_backward(session, NULL, &err), &err);
    CHECK_OK(weights_hold(t.weights, w, NULL, &weight, &err), &err);
    double gradient[4], found[4];
    static const uint64_t probes[4] = {0, 37, 500, 1023};
    for (size_t i = 0; i < 4; i++)
        gradient[i] = (double)array_real(exec_gradient(session, w))[probes[i]];
    for (size_t i = 0; i < 4; i++) { /* central differences; relu's corners are far away */
        real *at = &array_real(weight)[probes[i]], old = *at, step = (real)1 / 1024;
        double loss_at[2];
        for (int side = 0; side < 2; side++) {
            *at = side ? old + step : old - step;
            CHECK_OK(exec_run(session, &input, 1, NULL, &err), &err);
            loss_at[side] = (double)array_real(exec_output(session, loss))[0];
        }
        *at = old;
        found[i] = (loss_at[1] - loss_at[0]) / (2 * (double)step);
        CHECK_NUM(gradient[i] / found[i], 1, 0.02);
    }
    exec_session_free(session);
    exec_plan_free(plan);
    array_free(given);
    tinygraph_free(&t);
}

static void same_on_every_team(void **state) {
    struct tinygraph t;
    struct err err = ERR_INIT;
    tinygraph_new(&t);
    const struct value *loss = deep_net(&t, 5);
    const struct value *x = graph_value(t.graph, "x"), *w = graph_value(t.graph, "w1");
    struct array *given = tinygraph_array("f32[40,32]", "x");
    struct exec_input input = {x, given};
    real first[1024];
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct team *team = team_new(threads, 0);
        CHECK(team);
        struct exec_options options = {.wanted = &loss,
                                       .wanted_count = 1,
                                       .loss = loss,
                                       .trainable = &w,
                                       .trainable_count = 1,
                                       .threads = threads};
        struct exec_plan *plan = plan_of(t.graph, x, "f32[40,32]", &options);
        struct exec_session *session = session_of(plan, t.weights, team);
        allocfail_arm(0);
        int rc = exec_run(session, &input, 1, NULL, &err);
        if (rc == 0)
            rc = exec_backward(session, NULL, &err);
        CHECK(!allocfail_disarm()); /* nothing was allocated */
        CHECK_OK(rc, &err);
        const struct array *gradient = exec_gradient(session, w);
        if (threads == 1)
            memcpy(first, gradient->data, sizeof first);
        CHECK_BYTES(gradient->data, first, sizeof first);
        exec_session_free(session);
        exec_plan_free(plan);
        team_free(team);
    }
    array_free(given);
    tinygraph_free(&t);
}

static void fewer_bytes_same_bits(void **state) {
    struct tinygraph t;
    struct err err = ERR_INIT;
    tinygraph_new(&t);
    const struct value *loss = deep_net(&t, 30);
    const struct value *x = graph_value(t.graph, "x");
    const struct value *w[2] = {graph_value(t.graph, "w0"), graph_value(t.graph, "w1")};
    struct exec_options options = {
        .wanted = &loss, .wanted_count = 1, .loss = loss, .trainable = w, .trainable_count = 2};
    struct array *given = tinygraph_array("f32[40,32]", "x");
    struct exec_input input = {x, given};
    real first[2048];
    size_t recomputed = 0;
    uint64_t whole = 0;
    for (unsigned tenths = 10; tenths >= 4; tenths -= 3) { /* of what everything at once takes */
        options.memory_bytes = whole * tenths / 10;
        struct exec_plan *plan = plan_of(t.graph, x, "f32[40,32]", &options);
        struct exec_facts facts;
        exec_plan_facts(plan, &facts);
        if (tenths == 10)
            whole = facts.workspace_bytes;
        printf("workspace %llu, %zu of %zu steps run again, %.3f x the lower bound\n",
               (unsigned long long)facts.workspace_bytes, facts.recomputed_steps,
               facts.forward_steps, (double)facts.workspace_bytes / (double)facts.live_bytes);
        CHECK(facts.workspace_bytes <= whole * tenths / 10);
        CHECK((double)facts.workspace_bytes <= 1.2 * (double)facts.live_bytes);
        CHECK((tenths < 10) == (facts.recomputed_steps > recomputed));
        recomputed = facts.recomputed_steps;
        struct exec_session *session = session_of(plan, t.weights, NULL);
        CHECK_OK(exec_run(session, &input, 1, NULL, &err), &err);
        CHECK_OK(exec_backward(session, NULL, &err), &err);
        for (size_t i = 0; i < 2; i++) {
            const struct array *gradient = exec_gradient(session, w[i]);
            if (tenths == 10)
                memcpy(first + 1024 * i, gradient->data, 1024 * sizeof(real));
            CHECK_BYTES(gradient->data, first + 1024 * i, 1024 * sizeof(real));
        }
        exec_session_free(session);
        exec_plan_free(plan);
    }
    options.memory_bytes = whole / 20;
    struct binding binding = {x, tinygraph_fact("f32[40,32]")};
    struct exec_plan *plan;
    CHECK_FAILS(exec_plan_new(t.graph, &binding, 1, &options, &plan, &err), &err, ERR_OVER_BUDGET);
    array_free(given);
    tinygraph_free(&t);
}

/* loss = u h(x w) v where h is relu in one branch and a product with z in the other. */
static struct graph *body(struct tinygraph *t, const char *with) {
    struct err err = ERR_INIT;
    struct graph *g = graph_new(t->arena, t->graph);
    struct value *a, *z = NULL, *y;
    CHECK(g);
    CHECK_OK(graph_resolve(g, "a", &a, &err), &err);
    if (with) {
        CHECK_OK(graph_resolve(g, with, &z, &err), &err);
        y = tinygraph_op(g, "MatMul", "product", TINY_IN(a, z), NULL, 0);
    } else {
        y = tinygraph_op(g, "Relu", "positive", TINY_IN(a), NULL, 0);
    }
    tinygraph_output(g, y);
    return g;
}

static void gradients_through_a_branch(void **state) {
    struct tinygraph t;
    struct err err = ERR_INIT;
    tinygraph_new(&t);
    struct value *flag = tinygraph_input(&t, "flag", "bool[]");
    struct value *x = tinygraph_input(&t, "x", "f32[3,4]");
    struct value *w = tinygraph_weight(&t, "w", "f32[4,5]");
    struct value *z = tinygraph_weight(&t, "z", "f32[5,5]");
    struct value *u = tinygraph_weight(&t, "u", "f32[1,3]");
    struct value *v = tinygraph_weight(&t, "v", "f32[5,1]");
    tinygraph_op(t.graph, "MatMul", "a", TINY_IN(x, w), NULL, 0);
    const struct attr bodies[] = {
        {.name = "then_branch", .kind = ATTR_GRAPH, .body = body(&t, NULL)},
        {.name = "else_branch", .kind = ATTR_GRAPH, .body = body(&t, "z")},
    };
    struct value *h = tinygraph_op(t.graph, "If", "h", TINY_IN(flag), bodies, 2);
    struct value *uh = tinygraph_op(t.graph, "MatMul", "uh", TINY_IN(u, h), NULL, 0);
    const struct value *loss = tinygraph_op(t.graph, "MatMul", "loss", TINY_IN(uh, v), NULL, 0);
    const struct value *trainable[] = {w, z};
    struct exec_options options = {.wanted = &loss,
                                   .wanted_count = 1,
                                   .loss = loss,
                                   .trainable = trainable,
                                   .trainable_count = 2};
    struct binding bindings[] = {{x, tinygraph_fact("f32[3,4]")}, {flag, tinygraph_fact("bool[]")}};
    struct exec_plan *plan;
    CHECK_OK(exec_plan_new(t.graph, bindings, 2, &options, &plan, &err), &err);
    struct exec_session *session = session_of(plan, t.weights, NULL);
    struct array *xa = tinygraph_array("f32[3,4]", "x"), *wa = tinygraph_array("f32[4,5]", "w"),
                 *za = tinygraph_array("f32[5,5]", "z"), *ua = tinygraph_array("f32[1,3]", "u"),
                 *va = tinygraph_array("f32[5,1]", "v");
    real a[15] = {0}, dh[15] = {0};
    product(xa->data, false, wa->data, false, 3, 4, 5, a);
    product(ua->data, true, va->data, true, 3, 1, 5, dh);
    for (uint8_t taken = 0; taken < 2; taken++) {
        struct array choice = {.dtype = DTYPE_BOOL, .elements = 1, .data = &taken};
        struct exec_input inputs[] = {{x, xa}, {flag, &choice}};
        real da[15] = {0}, dw[20] = {0}, dz[25] = {0};
        if (taken) {
            for (size_t i = 0; i < 15; i++)
                da[i] = a[i] > 0 ? dh[i] : 0;
        } else {
            product(dh, false, za->data, true, 3, 5, 5, da);
            product(a, true, dh, false, 5, 3, 5, dz);
        }
        product(xa->data, true, da, false, 4, 3, 5, dw);
        exec_zero_gradients(session);
        CHECK_OK(exec_run(session, inputs, 2, NULL, &err), &err);
        CHECK_OK(exec_backward(session, NULL, &err), &err);
        check_near(exec_gradient(session, w), dw, 1);
        check_near(exec_gradient(session, z), dz, 1);
    }
    exec_session_free(session);
    exec_plan_free(plan);
    array_free(xa);
    array_free(wa);
    array_free(za);
    array_free(ua);
    array_free(va);
    tinygraph_free(&t);
}

/* A model of f16: weights are held, and gradients are, in f32. */
static void gradients_of_halves(void **state) {
    struct tinygraph t;
    struct err err = ERR_INIT;
    real dx[2][6];
    for (int half = 0; half < 2; half++) {
        tinygraph_new(&t);
        struct graph *g = t.graph;
        struct value *x = tinygraph_input(&t, "x", half ? "f16[2,3]" : "f32[2,3]");
        struct value *w = tinygraph_weight(&t, "w", half ? "f16[3,4]" : "f32[3,4]");
        struct value *u = tinygraph_weight(&t, "u", half ? "f16[1,8]" : "f32[1,8]");
        struct value *a = tinygraph_op(g, "MatMul", "a", TINY_IN(x, w), NULL, 0);
        struct value *shape = tinygraph_ints(g, "shape", (int64_t[]){8, 1}, 2);
        struct value *flat = tinygraph_op(g, "Reshape", "flat", TINY_IN(a, shape), NULL, 0);
        struct value *positive = tinygraph_op(g, "Relu", "positive", TINY_IN(flat), NULL, 0);
        const struct value *loss = tinygraph_op(g, "MatMul", "loss", TINY_IN(u, positive), NULL, 0);
        const struct value *inputs[] = {x}, *trainable[] = {w};
        struct exec_options options = {.wanted = &loss,
                                       .wanted_count = 1,
                                       .loss = loss,
                                       .trainable = trainable,
                                       .trainable_count = 1,
                                       .wanted_inputs = inputs,
                                       .wanted_input_count = 1};
        struct exec_plan *plan = plan_of(g, x, half ? "f16[2,3]" : "f32[2,3]", &options);
        struct exec_session *session = session_of(plan, t.weights, NULL);
        struct array *given = tinygraph_array(half ? "f16[2,3]" : "f32[2,3]", "x");
        CHECK_OK(exec_run(session, &(struct exec_input){x, given}, 1, NULL, &err), &err);
        CHECK_OK(exec_backward(session, NULL, &err), &err);
        CHECK_INT(exec_gradient(session, w)->dtype, DTYPE_F32);
        const struct array *gradient = exec_gradient(session, x);
        CHECK_INT(gradient->dtype, DTYPE_F32);
        memcpy(dx[half], gradient->data, sizeof dx[half]);
        array_free(given);
        exec_session_free(session);
        exec_plan_free(plan);
        tinygraph_free(&t);
    }
    for (size_t i = 0; i < 6; i++)
        CHECK_NUM((double)dx[1][i], (double)dx[0][i], 1e-5);
}

static void refusals(void **state) {
    struct net n;
    struct err err = ERR_INIT;
    struct exec_plan *plan;
    net_new(&n);
    struct binding binding = {n.x, tinygraph_fact("f32[3,4]")};
    const struct value *o = graph_value(n.t.graph, "o"), *w = n.w;
    struct exec_options options = {.loss = o};
    CHECK_FAILS(exec_plan_new(n.t.graph, &binding, 1, &options, &plan, &err), &err, ERR_BAD_FIELD);
    options = (struct exec_options){.loss = n.loss, .trainable = &o, .trainable_count = 1};
    CHECK_FAILS(exec_plan_new(n.t.graph, &binding, 1, &options, &plan, &err), &err, ERR_BAD_FIELD);
    options = (struct exec_options){.loss = n.loss, .wanted_inputs = &w, .wanted_input_count = 1};
    CHECK_FAILS(exec_plan_new(n.t.graph, &binding, 1, &options, &plan, &err), &err, ERR_BAD_FIELD);
    tinygraph_free(&n.t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_small_net), cmocka_unit_test(computes_only_what_is_needed),
        cmocka_unit_test(shared_weights_add_up),    cmocka_unit_test(same_on_every_team),
        cmocka_unit_test(fewer_bytes_same_bits),    cmocka_unit_test(gradients_through_a_branch),
        cmocka_unit_test(gradients_of_halves),      cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
