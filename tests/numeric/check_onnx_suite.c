/*
 * The operator suite of the onnx package (onnx/backend/test/data/node), taken
 * as data: every model is read by formats/onnx, its inputs are fed, its outputs
 * compared as the package does: floats within rtol 1e-3 and atol 1e-7,
 * everything else bit by bit; types and shapes exactly. Twice: node by node
 * through op_run_node(), and as a whole through the executor. What inference
 * says of the outputs from the model alone must not contradict what they are.
 *
 *     check_onnx_suite SUITE SKIPPED           all of it, against the list
 *     check_onnx_suite SUITE SKIPPED CASE...   these alone, each with what is
 * wrong check_onnx_suite SUITE                   prints what a list would have
 * to say
 *
 * SKIPPED lists the cases that do not pass, a line each: "case-name reason". A
 * case that fails and is not listed is a failure, and so is a listed one that
 * passes, that the suite does not have, or whose reason "no row: X" is not the
 * true one: the list can only shrink.
 *
 * Prints "ok - " or "not ok - " lines and last "N passed, N failed".
 */
#include "compress/base/arena.h"
#include "compress/base/dirfiles.h"
#include "compress/exec/session.h"
#include "compress/formats/format.h"
#include "compress/graph/op.h"
#include "tests/support/onnxtensor.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_PORTS = 64, THREADS = 3, CASE_SECONDS = 60, REASON_BYTES = 512 };
static const double relative = 1e-3, absolute = 1e-7;

/* One case; everything it reads lives in the arena. */
struct run {
    struct arena *arena;
    struct model *model;
    struct graph *graph;
    struct weights *weights;
    struct array *in[MAX_PORTS];   /* by graph->inputs */
    struct array *want[MAX_PORTS]; /* by graph->outputs */
};

/* ---- reading ---- */

/* The model's word on types counts: NumPy has no bfloat16, so the files say
 * uint16 there. */
static int read_tensors(struct run *r, const char *dir, const char *kind, size_t count,
                        struct value *const *values, struct array **ret, struct err *err) {
    for (size_t i = 0; i < count; i++) {
        char path[1024];
        enum dtype dtype = values[i]->type.dtype;
        snprintf(path, sizeof path, "%s/test_data_set_0/%s_%zu.pb", dir, kind, i);
        if (dtype == DTYPE_NONE)
            return err_set(err, ERR_UNSUPPORTED, "%s '%s' is no tensor", kind, values[i]->name);
        if (onnxtensor_read(path, r->arena, &ret[i], err) < 0)
            return err_context(err, "%s '%s'", kind, values[i]->name);
        if (dtype == DTYPE_BF16 && ret[i]->dtype == DTYPE_U16)
            ret[i]->dtype = dtype;
    }
    return 0;
}

static int read_case(struct run *r, const char *dir, struct resolver **files, struct err *err) {
    char path[1024];
    snprintf(path, sizeof path, "%s/model.onnx", dir);
    if (dirfiles_open(path, true, files, err) < 0 || format_open(*files, &r->model, err) < 0)
        return -1;
    r->graph = r->model->graph;
    if (!r->graph)
        return err_set(err, ERR_BUG, "the model came without a graph");
    r->weights = weights_new(r->model, r->graph, 0);
    if (!r->weights)
        return err_set(err, ERR_NO_MEMORY, "no memory for weights");
    if (r->graph->input_count > MAX_PORTS || r->graph->output_count > MAX_PORTS)
        return err_set(err, ERR_TOO_LARGE, "more inputs or outputs than the check has room for");
    return read_tensors(r, dir, "input", r->graph->input_count, r->graph->inputs, r->in, err) < 0
               ? -1
               : read_tensors(r, dir, "output", r->graph->output_count, r->graph->outputs, r->want,
                              err);
}

/* ---- comparing ---- */

static bool close_to(double got, double want) {
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got))
        return got == want;
    return fabs(got - want) <= absolute + relative * fabs(want);
}

static bool is_compared_loosely(enum dtype dtype) {
    return dtype == DTYPE_F32 || dtype == DTYPE_F64 || dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

static int compare(const char *how, const struct value *value, const struct array *got,
                   const struct array *want, struct err *err) {
    char a[128], b[128];
    if (got->dtype != want->dtype || !array_same_shape(got, want))
        return err_set(err, ERR_BAD_MODEL, "%s: '%s' is %s, not %s", how, value->name,
                       array_describe(got, a, sizeof a), array_describe(want, b, sizeof b));
    size_t item = array_item_bytes(got->dtype);
    for (uint64_t i = 0; i < got->elements; i++)
        if (isnan(array_number(got, i)) && isnan(array_number(want, i)))
            continue; /* whatever its sign and payload */
        else if (is_compared_loosely(got->dtype)
                     ? !close_to(array_number(got, i), array_number(want, i))
                     : memcmp((char *)got->data + i * item, (char *)want->data + i * item, item) !=
                           0)
            return err_set(err, ERR_BAD_MODEL, "%s: element %llu of '%s' (%s) is %.9g, not %.9g",
                           how, (unsigned long long)i, value->name,
                           array_describe(got, a, sizeof a), array_number(got, i),
                           array_number(want, i));
    return 0;
}

/* The model alone, without a binding. */
static int check_types(struct run *r, struct err *err) {
    struct fact *facts;
    if (infer_graph(r->graph, NULL, 0, r->arena, &facts, err) < 0)
        return err_context(err, "inference");
    for (size_t i = 0; i < r->graph->output_count; i++) {
        const struct type *type = &facts[r->graph->outputs[i]->id].type;
        const struct array *want = r->want[i];
        bool fits = (type->dtype == DTYPE_NONE || type->dtype == want->dtype) &&
                    (!type->ranked || type->rank == want->rank);
        for (unsigned d = 0; fits && type->ranked && d < want->rank; d++)
            fits = !dim_known(type->dims[d]) || (uint64_t)type->dims[d].size == want->dims[d];
        char a[128], b[128];
        if (!fits)
            return err_set(err, ERR_BAD_MODEL, "inference: '%s' is %s, not %s",
                           r->graph->outputs[i]->name, array_describe(want, a, sizeof a),
                           type_describe(type, r->graph->symbols, b, sizeof b));
    }
    return 0;
}

/* ---- node by node ---- */

struct frame {
    struct run *run;
    const struct graph *graph;
    const struct array **at; /* by value id */
    struct frame *around;
};

static int run_graph(struct frame *f, struct err *err);

static int lookup(const struct frame *f, const struct value *value, const struct array **ret,
                  struct err *err) {
    if (value->kind == VALUE_OUTER && f->around)
        return lookup(f->around, value->outer, ret, err);
    struct array *held = NULL;
    if (value->kind == VALUE_WEIGHT && weights_hold(f->run->weights, value, NULL, &held, err) < 0)
        return -1;
    *ret = held ? held : value->kind == VALUE_CONSTANT ? value->data : f->at[value->id];
    return *ret ? 0 : err_set(err, ERR_UNSUPPORTED, "'%s' has no content", value->name);
}

static struct frame *frame_new(struct run *run, const struct graph *graph, struct frame *around) {
    struct frame *f = ARENA_NEW(run->arena, struct frame);
    if (f)
        *f = (struct frame){run, graph,
                            ARENA_ARRAY(run->arena, const struct array *, graph->value_count + 1),
                            around};
    return f && f->at ? f : NULL;
}

static int run_if(struct frame *f, const struct node *node, const struct array *condition,
                  struct err *err) {
    const struct attr *attr =
        node_attr(node, array_int(condition, 0) ? "then_branch" : "else_branch");
    struct frame *body = frame_new(f->run, attr->body, f);
    if (!body)
        return err_set(err, ERR_NO_MEMORY, "no memory for a body");
    if (run_graph(body, err) < 0)
        return -1;
    for (size_t i = 0; i < node->out_count; i++)
        if (node->out[i] && lookup(body, attr->body->outputs[i], &f->at[node->out[i]->id], err) < 0)
            return -1;
    return 0;
}

static int run_node(struct frame *f, const struct node *node, struct err *err) {
    struct arena *arena = f->run->arena;
    struct fact *facts = ARENA_ARRAY(arena, struct fact, node->in_count + node->out_count + 1);
    const struct fact **in_facts = ARENA_ARRAY(arena, const struct fact *, node->in_count + 1);
    const struct array **in = ARENA_ARRAY(arena, const struct array *, node->in_count + 1);
    struct array **out = ARENA_ARRAY(arena, struct array *, node->out_count + 1);
    if (!facts || !in_facts || !in || !out)
        return err_set(err, ERR_NO_MEMORY, "no memory for a node");
    if (!node->op)
        return err_set(err, ERR_UNSUPPORTED, "%s", node->why_not);
    for (size_t i = 0; i < node->in_count; i++) {
        if (!node->in[i])
            continue;
        if (lookup(f, node->in[i], &in[i], err) < 0)
            return -1;
        facts[i] = (struct fact){.type = type_of_array(in[i]), .data = in[i]};
        in_facts[i] = &facts[i];
    }
    if (strcmp(node->op_type, "If") == 0)
        return run_if(f, node, in[0], err);
    struct op_infer infer = {node, node->graph->symbols, arena, in_facts, facts + node->in_count};
    if (op_infer_node(&infer, err) < 0)
        return -1;
    for (size_t i = 0; i < node->out_count; i++) {
        struct array shape;
        char text[128];
        if (!node->out[i])
            continue;
        f->at[node->out[i]->id] = infer.out[i].data;
        if (!node->op->forward)
            continue;
        if (!type_to_array(&infer.out[i].type, &shape))
            return err_set(
                err, ERR_UNSUPPORTED, "%s: output %zu is %s", node->op_type, i,
                type_describe(&infer.out[i].type, node->graph->symbols, text, sizeof text));
        out[i] = array_in_arena(arena, shape.dtype, shape.rank, shape.dims);
        if (!out[i])
            return err_set(err, ERR_NO_MEMORY, "no memory for a node");
        memset(out[i]->data, 0xff, array_bytes(out[i]));
        f->at[node->out[i]->id] = out[i];
    }
    return node->op->forward ? op_run_node(node, in, out, NULL, err) : 0;
}

static int run_graph(struct frame *f, struct err *err) {
    GRAPH_NODES(f->graph, node) {
        if (run_node(f, node, err) < 0)
            return -1;
    }
    return 0;
}

static int check_nodes(struct run *r, struct err *err) {
    struct frame *f = frame_new(r, r->graph, NULL);
    if (!f)
        return err_set(err, ERR_NO_MEMORY, "no memory for a graph");
    for (size_t i = 0; i < r->graph->input_count; i++)
        f->at[r->graph->inputs[i]->id] = r->in[i];
    if (run_graph(f, err) < 0)
        return -1;
    for (size_t i = 0; i < r->graph->output_count; i++) {
        const struct array *got;
        if (lookup(f, r->graph->outputs[i], &got, err) < 0 ||
            compare("node by node", r->graph->outputs[i], got, r->want[i], err) < 0)
            return -1;
    }
    return 0;
}

/* ---- as a whole ---- */

/* Inputs by their shapes alone; their contents too when some shape depends on
 * them. */
static int plan(struct run *r, bool with_contents, struct exec_plan **ret, struct err *err) {
    struct binding bindings[MAX_PORTS];
    struct exec_options options = {.threads = THREADS};
    for (size_t i = 0; i < r->graph->input_count; i++)
        bindings[i] = (struct binding){
            r->graph->inputs[i],
            {.type = type_of_array(r->in[i]), .data = with_contents ? r->in[i] : NULL}};
    return exec_plan_new(r->graph, bindings, r->graph->input_count, &options, ret, err);
}

static int run_plan(struct run *r, const struct exec_plan *plan, struct team *team,
                    struct err *err) {
    struct exec_input inputs[MAX_PORTS];
    struct exec_session_options options = {.team = team};
    struct exec_session *session = NULL;
    if (exec_session_new(plan, r->weights, &options, &session, err) < 0)
        return -1;
    for (size_t i = 0; i < r->graph->input_count; i++)
        inputs[i] = (struct exec_input){r->graph->inputs[i], r->in[i]};
    int rc = exec_run(session, inputs, r->graph->input_count, NULL, err);
    for (size_t i = 0; i < r->graph->output_count && rc == 0; i++) {
        const struct value *value = r->graph->outputs[i];
        const struct array *got = exec_output(session, value);
        rc = got ? compare("as a whole", value, got, r->want[i], err)
                 : err_set(err, ERR_BUG, "as a whole: '%s' is not there", value->name);
    }
    exec_session_free(session);
    return rc;
}

static int check_whole(struct run *r, struct err *err) {
    struct exec_plan *made = NULL;
    struct err first = ERR_INIT;
    struct team *team = team_new(THREADS, 0);
    int rc = -1;
    if (!team)
        err_set(err, ERR_NO_MEMORY, "no memory for a run");
    else if (plan(r, false, &made, &first) == 0 || plan(r, true, &made, err) == 0)
        rc = run_plan(r, made, team, err);
    exec_plan_free(made);
    team_free(team);
    return rc;
}

/* ---- a case in a process of its own ---- */

struct verdict {
    bool passed;
    char reason[REASON_BYTES];
};

static void judge(const char *dir, struct verdict *ret) {
    struct run r = {.arena = arena_new((size_t)1 << 30)};
    struct err err = ERR_INIT;
    struct resolver *files = NULL;
    ret->passed = r.arena && read_case(&r, dir, &files, &err) == 0 && check_nodes(&r, &err) == 0 &&
                  check_types(&r, &err) == 0 && check_whole(&r, &err) == 0;
    snprintf(ret->reason, sizeof ret->reason, "%s", err.text);
    for (char *p = ret->reason; *p; p++)
        if (*p == '\n')
            *p = ' ';
    weights_free(r.weights);
    model_free(r.model);
    if (files)
        files->ops->close(files);
    arena_free(r.arena);
}

static struct verdict run_case(const char *dir) {
    struct verdict verdict = {false, "its process ended without a word"};
    int ends[2], status;
    fflush(NULL);
    if (pipe(ends) < 0)
        abort();
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        struct verdict mine = {0};
        alarm(CASE_SECONDS);
        judge(dir, &mine);
        if (write(ends[1], &mine, sizeof mine) != sizeof mine)
            abort();
        exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &verdict, sizeof verdict) != sizeof verdict)
        verdict.passed = false;
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (status != 0) {
        verdict.passed = false;
        snprintf(verdict.reason, sizeof verdict.reason, "its process ended with status 0x%x",
                 (unsigned)status);
    }
    return verdict;
}

/* ---- the list ---- */

struct skipped {
    char name[160];
    bool seen, no_row; /* no_row: that is the reason given */
};

static struct skipped *list;
static size_t list_count;

static int read_list(const char *path) {
    FILE *file = fopen(path, "r");
    char line[1024];
    if (!file)
        return -1;
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        list = realloc(list, (list_count + 1) * sizeof *list);
        if (!list)
            abort();
        list[list_count].seen = false;
        list[list_count].no_row = strstr(line, " no row: ") != NULL;
        if (sscanf(line, "%159s %*s", list[list_count].name) != 1 || !strchr(line, ' ')) {
            fprintf(stderr, "no reason: %s", line);
            fclose(file);
            return -1;
        }
        list_count++;
    }
    fclose(file);
    return 0;
}

static struct skipped *listed(const char *name) {
    for (size_t i = 0; i < list_count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv) {
    struct dirent **cases = NULL;
    unsigned passed = 0, failed = 0, skipped = 0;
    if (argc < 2 || (argc > 2 && read_list(argv[2]) < 0)) {
        fprintf(stderr, "usage: check_onnx_suite SUITE [SKIPPED [CASE...]]\n");
        return 2;
    }
    int count = scandir(argv[1], &cases, visible, alphasort);
    for (int i = 0; i < count; i++) {
        const char *name = cases[i]->d_name;
        char dir[768];
        bool wanted = argc <= 3;
        for (int a = 3; a < argc; a++)
            wanted = wanted || strcmp(argv[a], name) == 0;
        if (!wanted)
            continue;
        snprintf(dir, sizeof dir, "%s/%s", argv[1], name);
        struct verdict verdict = run_case(dir);
        struct skipped *skip = listed(name);
        if (skip)
            skip->seen = true;
        bool stale = skip && (verdict.passed ||
                              (skip->no_row && !strstr(verdict.reason, "is not executable")));
        if (stale)
            printf("not ok - onnx suite: the list is wrong about %s: %s\n", name,
                   verdict.passed ? "it passes" : verdict.reason);
        else if (!verdict.passed && argc == 2)
            printf("%s %s\n", name, verdict.reason);
        else if (!verdict.passed && (!skip || argc > 3))
            printf("not ok - onnx suite: %s: %s\n", name, verdict.reason);
        passed += verdict.passed && !skip;
        failed += stale || (!verdict.passed && !skip);
        skipped += !verdict.passed && skip;
    }
    for (size_t i = 0; i < list_count && argc == 3; i++)
        if (!list[i].seen) {
            printf("not ok - onnx suite: the suite has no %s\n", list[i].name);
            failed++;
        }
    if (argc > 2)
        printf("%s - onnx suite: %u of %d cases pass, %u are skipped\n", failed ? "not ok" : "ok",
               passed, count, skipped);
    printf("%u passed, %u failed\n", passed, failed);
    for (int i = 0; i < count; i++)
        free(cases[i]);
    free(cases);
    free(list);
    return failed || passed == 0;
}
