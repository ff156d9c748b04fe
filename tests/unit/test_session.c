/* Running plans: right numbers, the same on every team, and nothing allocated on the way. */
#include "compress/exec/session.h"
#include "tests/support/allocfail.h"
#include "tests/support/check.h"
#include "tests/support/tinygraph.h"

#include <stdlib.h>
#include <string.h>

struct rig {
    struct tinygraph t;
    struct exec_plan *plan;
    struct exec_session *session;
    struct team *team;
};

static void rig_start(struct rig *r, const struct binding *bindings, size_t count,
                      const struct exec_options *options, unsigned threads) {
    struct err err = ERR_INIT;
    struct exec_options all = options ? *options : (struct exec_options){0};
    all.threads = threads;
    r->team = threads > 1 ? team_new(threads, 0) : NULL;
    CHECK(threads == 1 || r->team);
    CHECK_OK(exec_plan_new(r->t.graph, bindings, count, &all, &r->plan, &err), &err);
    struct exec_session_options session = {.team = r->team};
    CHECK_OK(exec_session_new(r->plan, r->t.weights, &session, &r->session, &err), &err);
}

static void rig_stop(struct rig *r) {
    exec_session_free(r->session);
    exec_plan_free(r->plan);
    team_free(r->team);
    r->session = NULL;
    r->plan = NULL;
    r->team = NULL;
}

/* y = relu(x w) as plain loops. */
static void expected_net(const struct array *x, const struct array *w, real *y) {
    size_t n = (size_t)x->dims[0], k = (size_t)x->dims[1], m = (size_t)w->dims[1];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)array_real(x)[i * k + l] * (double)array_real(w)[l * m + j];
            y[i * m + j] = sum < 0 ? 0 : (real)sum;
        }
}

static void check_near(const struct array *got, const real *want, double tolerance) {
    for (uint64_t i = 0; i < got->elements; i++)
        CHECK_NUM((double)array_real(got)[i], (double)want[i], tolerance);
}

static void runs_and_runs_again(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    tinygraph_new(&r.t);
    struct value *x = tinygraph_input(&r.t, "x", "f32[n,6]");
    struct value *w = tinygraph_weight(&r.t, "w", "f32[6,5]");
    struct value *a = tinygraph_op(r.t.graph, "MatMul", "a", TINY_IN(x, w), NULL, 0);
    struct value *y = tinygraph_op(r.t.graph, "Relu", "y", TINY_IN(a), NULL, 0);
    tinygraph_output(r.t.graph, y);
    struct binding binding = {x, tinygraph_fact("f32[4,6]")};
    rig_start(&r, &binding, 1, NULL, 1);
    struct array *weight = tinygraph_array("f32[6,5]", "w");
    for (int run = 0; run < 2; run++) {
        struct array *given = tinygraph_array("f32[4,6]", run ? "second" : "first");
        real want[20] = {0};
        expected_net(given, weight, want);
        CHECK_OK(exec_run(r.session, &(struct exec_input){x, given}, 1, NULL, &err), &err);
        check_near(exec_output(r.session, y), want, 1e-6);
        CHECK(!exec_output(r.session, a));
        array_free(given);
    }
    struct array *other = tinygraph_array("f32[3,6]", "other");
    CHECK_FAILS(exec_run(r.session, &(struct exec_input){x, other}, 1, NULL, &err), &err,
                ERR_BAD_FIELD);
    CHECK_FAILS(exec_run(r.session, NULL, 0, NULL, &err), &err, ERR_BAD_FIELD);
    array_free(other);
    array_free(weight);
    rig_stop(&r);
    tinygraph_free(&r.t);
}

/* A float of another width goes in and comes out; between its rows everything is f32. */
static void converts_around_rows(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    tinygraph_new(&r.t);
    struct value *x = tinygraph_input(&r.t, "x", "f16[2,6]");
    struct value *w = tinygraph_weight(&r.t, "w", "f16[6,5]");
    struct value *a = tinygraph_op(r.t.graph, "MatMul", "a", TINY_IN(x, w), NULL, 0);
    struct value *y = tinygraph_op(r.t.graph, "Relu", "y", TINY_IN(a), NULL, 0);
    struct value *shape = tinygraph_ints(r.t.graph, "shape", (int64_t[]){10}, 1);
    struct value *z = tinygraph_op(r.t.graph, "Reshape", "z", TINY_IN(y, shape), NULL, 0);
    tinygraph_output(r.t.graph, z);
    struct binding binding = {x, tinygraph_fact("f16[2,6]")};
    rig_start(&r, &binding, 1, NULL, 1);
    struct array *given = tinygraph_array("f16[2,6]", "x"), *as_f32;
    as_f32 = tinygraph_array("f32[2,6]", "x");
    struct array *weight = tinygraph_array("f32[6,5]", "w");
    real want[10] = {0};
    expected_net(as_f32, weight, want);
    CHECK_OK(exec_run(r.session, &(struct exec_input){x, given}, 1, NULL, &err), &err);
    const struct array *got = exec_output(r.session, z);
    CHECK_INT(got->dtype, DTYPE_F16);
    CHECK_UINT(got->rank, 1);
    for (uint64_t i = 0; i < got->elements; i++)
        CHECK_NUM(array_number(got, i), (double)want[i], 1e-3);
    array_free(given);
    array_free(as_f32);
    array_free(weight);
    rig_stop(&r);
    tinygraph_free(&r.t);
}

/* if flag: relu(x w) else: x w' where w' is a weight of the body. */
static struct graph *body(struct tinygraph *t, const char *weight, bool relu) {
    struct err err = ERR_INIT;
    struct graph *g = graph_new(t->arena, t->graph);
    struct value *x, *w;
    CHECK(g);
    CHECK_OK(graph_resolve(g, "x", &x, &err), &err);
    CHECK_OK(graph_resolve(g, weight, &w, &err), &err);
    struct value *y = tinygraph_op(g, "MatMul", "product", TINY_IN(x, w), NULL, 0);
    if (relu)
        y = tinygraph_op(g, "Relu", "positive", TINY_IN(y), NULL, 0);
    tinygraph_output(g, y);
    return g;
}

static struct value *if_net(struct tinygraph *t, const char *other_type) {
    struct value *flag = tinygraph_input(t, "flag", "bool[]");
    tinygraph_input(t, "x", "f32[2,6]");
    tinygraph_weight(t, "w", "f32[6,5]");
    tinygraph_weight(t, "v", other_type);
    const struct attr bodies[] = {
        {.name = "then_branch", .kind = ATTR_GRAPH, .body = body(t, "w", true)},
        {.name = "else_branch", .kind = ATTR_GRAPH, .body = body(t, "v", false)},
    };
    struct value *chosen = tinygraph_op(t->graph, "If", "chosen", TINY_IN(flag), bodies, 2);
    struct value *y = tinygraph_op(t->graph, "Relu", "y", TINY_IN(chosen), NULL, 0);
    tinygraph_output(t->graph, y);
    return y;
}

static void takes_a_branch(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    tinygraph_new(&r.t);
    struct value *y = if_net(&r.t, "f32[6,5]");
    const struct value *x = graph_value(r.t.graph, "x"), *flag = graph_value(r.t.graph, "flag");
    struct binding bindings[] = {{x, tinygraph_fact("f32[2,6]")}, {flag, tinygraph_fact("bool[]")}};
    rig_start(&r, bindings, 2, NULL, 1);
    struct array *given = tinygraph_array("f32[2,6]", "x");
    for (uint8_t taken = 0; taken < 2; taken++) {
        struct array choice = {.dtype = DTYPE_BOOL, .elements = 1, .data = &taken};
        struct exec_input inputs[] = {{x, given}, {flag, &choice}};
        struct array *weight = tinygraph_array("f32[6,5]", taken ? "w" : "v");
        real want[10] = {0};
        expected_net(given, weight, want);
        CHECK_OK(exec_run(r.session, inputs, 2, NULL, &err), &err);
        check_near(exec_output(r.session, y), want, 1e-6);
        array_free(weight);
    }
    rig_stop(&r);
    /* A condition known to the planner leaves one branch, without guards. */
    uint8_t yes = 1;
    struct array choice = {.dtype = DTYPE_BOOL, .elements = 1, .data = &yes};
    bindings[1].fact.data = &choice;
    rig_start(&r, bindings, 2, NULL, 1);
    struct exec_facts facts;
    exec_plan_facts(r.plan, &facts);
    CHECK_UINT(facts.forward_steps, 3);
    struct exec_input inputs[] = {{x, given}, {flag, &choice}};
    CHECK_OK(exec_run(r.session, inputs, 2, NULL, &err), &err);
    yes = 0;
    CHECK_FAILS(exec_run(r.session, inputs, 2, NULL, &err), &err, ERR_BAD_FIELD);
    rig_stop(&r);
    array_free(given);
    tinygraph_free(&r.t);
}

static void bad_branch_fails_when_taken(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    tinygraph_new(&r.t);
    if_net(&r.t, "f32[7,5]"); /* the product does not fit */
    const struct value *x = graph_value(r.t.graph, "x"), *flag = graph_value(r.t.graph, "flag");
    struct binding bindings[] = {{x, tinygraph_fact("f32[2,6]")}, {flag, tinygraph_fact("bool[]")}};
    rig_start(&r, bindings, 2, NULL, 1);
    struct array *given = tinygraph_array("f32[2,6]", "x");
    uint8_t taken = 1;
    struct array choice = {.dtype = DTYPE_BOOL, .elements = 1, .data = &taken};
    struct exec_input inputs[] = {{x, given}, {flag, &choice}};
    CHECK_OK(exec_run(r.session, inputs, 2, NULL, &err), &err);
    taken = 0;
    CHECK_INT(exec_run(r.session, inputs, 2, NULL, &err), -1);
    CHECK_INT(err.code, ERR_BAD_MODEL);
    CHECK_HOLDS(err.text, "product");
    array_free(given);
    rig_stop(&r);
    tinygraph_free(&r.t);
}

/* Something the size of a model: a stack of layers. */
static struct value *deep_net(struct tinygraph *t, size_t layers) {
    struct value *x = tinygraph_input(t, "x", "f32[n,64]");
    for (size_t l = 0; l < layers; l++) {
        char name[3][32];
        for (size_t i = 0; i < 3; i++)
            snprintf(name[i], sizeof name[i], "%c%zu", "wmr"[i], l);
        struct value *w = tinygraph_weight(t, name[0], "f32[64,64]");
        struct value *m = tinygraph_op(t->graph, "MatMul", name[1], TINY_IN(x, w), NULL, 0);
        x = tinygraph_op(t->graph, "Relu", name[2], TINY_IN(m), NULL, 0);
    }
    tinygraph_output(t->graph, x);
    return x;
}

static void same_on_every_team(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    real *first = NULL;
    tinygraph_new(&r.t);
    struct value *y = deep_net(&r.t, 4);
    const struct value *x = graph_value(r.t.graph, "x");
    struct binding binding = {x, tinygraph_fact("f32[300,64]")};
    struct array *given = tinygraph_array("f32[300,64]", "x");
    for (unsigned threads = 1; threads <= 4; threads++) {
        rig_start(&r, &binding, 1, NULL, threads);
        CHECK_OK(exec_run(r.session, &(struct exec_input){x, given}, 1, NULL, &err), &err);
        const struct array *got = exec_output(r.session, y);
        size_t bytes = (size_t)array_bytes(got);
        if (!first) {
            first = malloc(bytes);
            CHECK(first);
            memcpy(first, got->data, bytes);
        }
        CHECK_BYTES(got->data, first, bytes);
        rig_stop(&r);
    }
    free(first);
    array_free(given);
    tinygraph_free(&r.t);
}

static void allocates_nothing_while_running(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    tinygraph_new(&r.t);
    deep_net(&r.t, 3);
    const struct value *x = graph_value(r.t.graph, "x");
    struct binding binding = {x, tinygraph_fact("f32[100,64]")};
    struct array *given = tinygraph_array("f32[100,64]", "x");
    rig_start(&r, &binding, 1, NULL, 2);
    allocfail_arm(0);
    int rc = exec_run(r.session, &(struct exec_input){x, given}, 1, NULL, &err);
    CHECK(!allocfail_disarm());
    CHECK_OK(rc, &err);
    array_free(given);
    rig_stop(&r);
    tinygraph_free(&r.t);
}

static void comes_home_without_memory(void **state) {
    struct tinygraph t;
    tinygraph_new(&t);
    if_net(&t, "f32[6,5]");
    const struct value *x = graph_value(t.graph, "x"), *flag = graph_value(t.graph, "flag");
    struct binding bindings[] = {{x, tinygraph_fact("f32[2,6]")}, {flag, tinygraph_fact("bool[]")}};
    unsigned n = 0;
    for (bool failed = true; failed; n++) {
        struct err err = ERR_INIT;
        struct exec_plan *plan = NULL;
        struct exec_session *session = NULL;
        allocfail_arm(n);
        int rc = exec_plan_new(t.graph, bindings, 2, NULL, &plan, &err);
        if (rc == 0)
            rc = exec_session_new(plan, t.weights, NULL, &session, &err);
        failed = allocfail_disarm();
        CHECK(rc == 0 || err.code == ERR_NO_MEMORY);
        CHECK(failed || rc == 0);
        exec_session_free(session);
        exec_plan_free(plan);
    }
    CHECK(n > 10);
    tinygraph_free(&t);
}

static bool says_yes(void *self) {
    unsigned *left = self;
    return (*left)-- == 0;
}

/* Wherever it is asked to stop it does, and the next run is as if nothing had been. */
static void stops_when_asked(void **state) {
    struct rig r = {0};
    tinygraph_new(&r.t);
    struct value *y = deep_net(&r.t, 3);
    const struct value *x = graph_value(r.t.graph, "x");
    struct binding binding = {x, tinygraph_fact("f32[9,64]")};
    struct array *given = tinygraph_array("f32[9,64]", "x");
    struct exec_input input = {x, given};
    real want[9 * 64] = {0};
    struct err err = ERR_INIT;
    rig_start(&r, &binding, 1, NULL, 1);
    CHECK_OK(exec_run(r.session, &input, 1, NULL, &err), &err);
    memcpy(want, exec_output(r.session, y)->data, sizeof want);
    unsigned stops = 0;
    for (int rc = -1; rc < 0; stops++) {
        unsigned left = stops;
        struct progress progress = {.self = &left, .is_cancelled = says_yes};
        err = ERR_INIT;
        rc = exec_run(r.session, &input, 1, &progress, &err);
        CHECK(rc == 0 || err.code == ERR_CANCELLED);
    }
    CHECK(stops > 6); /* before each of six steps, and in them */
    CHECK_BYTES(exec_output(r.session, y)->data, want, sizeof want);
    array_free(given);
    rig_stop(&r);
    tinygraph_free(&r.t);
}

struct seen {
    char names[200];
    size_t count;
};

/* With room for two weights of four they come and go, and the numbers stay. */
static void streams_weights(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    tinygraph_new(&r.t);
    struct value *y = deep_net(&r.t, 4);
    const struct value *x = graph_value(r.t.graph, "x");
    struct binding binding = {x, tinygraph_fact("f32[5,64]")};
    struct array *given = tinygraph_array("f32[5,64]", "x");
    struct exec_input input = {x, given};
    real want[5 * 64] = {0};
    rig_start(&r, &binding, 1, NULL, 1);
    CHECK_OK(exec_run(r.session, &input, 1, NULL, &err), &err);
    memcpy(want, exec_output(r.session, y)->data, sizeof want);
    exec_session_free(r.session);
    /* The same content, but in the graph, so that it may be dropped. (The planner has not seen it
     * there, so to the plan it is no constant.) */
    weights_free(r.t.weights);
    uint64_t budget = UINT64_C(2) * 64 * 64 * sizeof(real);
    r.t.weights = weights_new(NULL, r.t.graph, budget);
    struct array *arrays[4];
    for (size_t l = 0; l < 4; l++) {
        char name[8];
        snprintf(name, sizeof name, "w%zu", l);
        arrays[l] = tinygraph_array("f32[64,64]", name);
        graph_value(r.t.graph, name)->data = arrays[l];
    }
    CHECK_OK(exec_session_new(r.plan, r.t.weights, NULL, &r.session, &err), &err);
    for (int run = 0; run < 2; run++) {
        CHECK_OK(exec_run(r.session, &input, 1, NULL, &err), &err);
        CHECK_BYTES(exec_output(r.session, y)->data, want, sizeof want);
        CHECK_UINT(weights_bytes(r.t.weights), budget);
    }
    rig_stop(&r);
    for (size_t l = 0; l < 4; l++)
        array_free(arrays[l]);
    array_free(given);
    tinygraph_free(&r.t);
}

static int look(void *self, const struct value *value, const struct array *array, struct err *err) {
    struct seen *seen = self;
    CHECK_INT(array->dtype, DTYPE_F32);
    CHECK(array->data);
    strcat(seen->names, value->name);
    strcat(seen->names, " ");
    return ++seen->count == 5 ? err_set(err, ERR_CANCELLED, "enough") : 0;
}

static void observers_see_in_order(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    tinygraph_new(&r.t);
    deep_net(&r.t, 2);
    const struct graph *g = r.t.graph;
    const struct value *x = graph_value(g, "x");
    const struct value *observed[] = {graph_value(g, "r1"), x, graph_value(g, "m0")};
    struct binding binding = {x, tinygraph_fact("f32[2,64]")};
    struct exec_options options = {.observed = observed, .observed_count = 3};
    CHECK_OK(exec_plan_new(g, &binding, 1, &options, &r.plan, &err), &err);
    struct seen seen = {0};
    struct exec_session_options session = {.observe = look, .observe_self = &seen};
    CHECK_OK(exec_session_new(r.plan, r.t.weights, &session, &r.session, &err), &err);
    struct array *given = tinygraph_array("f32[2,64]", "x");
    CHECK_OK(exec_run(r.session, &(struct exec_input){x, given}, 1, NULL, &err), &err);
    CHECK_TEXT(seen.names, "x m0 r1 ");
    CHECK_FAILS(exec_run(r.session, &(struct exec_input){x, given}, 1, NULL, &err), &err,
                ERR_CANCELLED);
    array_free(given);
    rig_stop(&r);
    tinygraph_free(&r.t);
}

/* What looks at the output of an If whose condition is known sees it by its name, not the body's.
 */
static void sees_past_a_branch(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    tinygraph_new(&r.t);
    if_net(&r.t, "f32[6,5]");
    const struct graph *g = r.t.graph;
    const struct value *x = graph_value(g, "x"), *flag = graph_value(g, "flag");
    const struct value *chosen = graph_value(g, "chosen");
    uint8_t yes = 1;
    struct array choice = {.dtype = DTYPE_BOOL, .elements = 1, .data = &yes};
    struct binding bindings[] = {{x, tinygraph_fact("f32[2,6]")}, {flag, tinygraph_fact("bool[]")}};
    bindings[1].fact.data = &choice;
    struct exec_options options = {.observed = &chosen, .observed_count = 1};
    struct seen seen = {0};
    struct exec_session_options session = {.observe = look, .observe_self = &seen};
    CHECK_OK(exec_plan_new(g, bindings, 2, &options, &r.plan, &err), &err);
    CHECK_OK(exec_session_new(r.plan, r.t.weights, &session, &r.session, &err), &err);
    struct array *given = tinygraph_array("f32[2,6]", "x");
    struct exec_input inputs[] = {{x, given}, {flag, &choice}};
    CHECK_OK(exec_run(r.session, inputs, 2, NULL, &err), &err);
    CHECK_TEXT(seen.names, "chosen ");
    array_free(given);
    rig_stop(&r);
    tinygraph_free(&r.t);
}

/* Bounds right behind a convolution are put on its result by itself: the same bits as when somebody
 * looks at what lies between, whatever way it is computed. */
static void clamps_in_one_step(void **state) {
    static const struct {
        const char *x, *w, *op;
        int64_t group;
    } cases[] = {
        {"f32[2,3,9,7]", "f32[4,3,3,3]", "Relu", 1},      /* panels */
        {"f32[1,40,20,20]", "f32[70,40,5,5]", "Clip", 1}, /* all positions at once */
        {"f32[1,32,30,31]", "f32[40,32,3,3]", "Clip", 1}, /* minimal filtering */
        {"f32[2,6,9,40]", "f32[6,1,3,3]", "Clip", 6},     /* depthwise: short rows, long ones */
        {"f32[2,6,9,90]", "f32[6,1,3,3]", "Relu", 6},
        {"f32[1,5,1,9]", "f32[1,5,1,1]", "Relu", 1}, /* one row */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig r = {0};
        struct err err = ERR_INIT;
        tinygraph_new(&r.t);
        const struct attr group = {.name = "group", .kind = ATTR_INT, .i = cases[i].group};
        struct value *x = tinygraph_input(&r.t, "x", cases[i].x);
        struct value *w = tinygraph_weight(&r.t, "w", cases[i].w);
        struct array *bounds[] = {tinygraph_array("f32[]", "low"),
                                  tinygraph_array("f32[]", "high")};
        array_real(bounds[0])[0] = (real)-0.125;
        array_real(bounds[1])[0] = (real)0.25;
        struct value *low = tinygraph_constant(r.t.graph, "low", bounds[0]);
        struct value *high = tinygraph_constant(r.t.graph, "high", bounds[1]);
        struct value *c = tinygraph_op(r.t.graph, "Conv", "c", TINY_IN(x, w), &group, 1);
        bool clip = strcmp(cases[i].op, "Clip") == 0;
        struct value *y = clip
                              ? tinygraph_op(r.t.graph, "Clip", "y", TINY_IN(c, low, high), NULL, 0)
                              : tinygraph_op(r.t.graph, "Relu", "y", TINY_IN(c), NULL, 0);
        tinygraph_output(r.t.graph, y);
        struct binding binding = {x, tinygraph_fact(cases[i].x)};
        struct array *given = tinygraph_array(cases[i].x, "x");
        const struct value *wanted[] = {y, c};
        real *first = NULL;
        for (size_t count = 2; count > 0; count--) {
            struct exec_options options = {.wanted = wanted, .wanted_count = count};
            rig_start(&r, &binding, 1, &options, 2);
            CHECK_OK(exec_run(r.session, &(struct exec_input){x, given}, 1, NULL, &err), &err);
            const struct array *got = exec_output(r.session, y);
            size_t bytes = (size_t)array_bytes(got);
            if (!first) {
                first = malloc(bytes);
                CHECK(first);
                memcpy(first, got->data, bytes);
                const real *plain = array_real(exec_output(r.session, c));
                size_t changed = 0;
                for (uint64_t k = 0; k < got->elements; k++)
                    changed += plain[k] != first[k];
                CHECK(changed > 0);
            }
            CHECK_BYTES(got->data, first, bytes);
            char *text = NULL;
            size_t len = 0;
            FILE *f = open_memstream(&text, &len);
            exec_plan_print(r.plan, f);
            fclose(f);
            CHECK((strstr(text, "within [") != NULL) == (count == 1));
            free(text);
            rig_stop(&r);
        }
        free(first);
        array_free(given);
        array_free(bounds[0]);
        array_free(bounds[1]);
        tinygraph_free(&r.t);
    }
}

/* What a training changes is read anew at every run, by a plan without a loss too, though the
 * reader knows what it was and steps of fixed inputs run once. */
static void sees_weights_change(void **state) {
    struct rig r = {0};
    struct err err = ERR_INIT;
    tinygraph_new(&r.t);
    struct value *x = tinygraph_input(&r.t, "x", "f32[2,4]");
    struct value *w = tinygraph_weight(&r.t, "w", "f32[4]");
    struct value *n = tinygraph_op(r.t.graph, "Neg", "n", TINY_IN(w), NULL, 0);
    tinygraph_output(r.t.graph, tinygraph_op(r.t.graph, "Add", "y", TINY_IN(x, n), NULL, 0));
    struct array *known = tinygraph_array("f32[4]", "w"), *held;
    struct array *given = tinygraph_array("f32[2,4]", "x");
    w->data = known;
    const struct value *trained = w;
    struct binding binding = {x, tinygraph_fact("f32[2,4]")};
    struct exec_options options = {.trainable = &trained, .trainable_count = 1};
    rig_start(&r, &binding, 1, &options, 1);
    CHECK_OK(weights_hold(r.t.weights, w, NULL, &held, &err), &err);
    for (int run = 0; run < 3; run++) {
        real want[8];
        for (size_t i = 0; i < 4; i++)
            array_real(held)[i] = (real)(10 * run + (int)i);
        for (size_t i = 0; i < 8; i++)
            want[i] = array_real(given)[i] - array_real(held)[i % 4];
        CHECK_OK(exec_run(r.session, &(struct exec_input){x, given}, 1, NULL, &err), &err);
        check_near(exec_output(r.session, graph_value(r.t.graph, "y")), want, 1e-6);
    }
    rig_stop(&r);
    array_free(given);
    array_free(known);
    tinygraph_free(&r.t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_and_runs_again),
        cmocka_unit_test(converts_around_rows),
        cmocka_unit_test(takes_a_branch),
        cmocka_unit_test(bad_branch_fails_when_taken),
        cmocka_unit_test(same_on_every_team),
        cmocka_unit_test(allocates_nothing_while_running),
        cmocka_unit_test(comes_home_without_memory),
        cmocka_unit_test(streams_weights),
        cmocka_unit_test(stops_when_asked),
        cmocka_unit_test(observers_see_in_order),
        cmocka_unit_test(sees_past_a_branch),
        cmocka_unit_test(clamps_in_one_step),
        cmocka_unit_test(sees_weights_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
