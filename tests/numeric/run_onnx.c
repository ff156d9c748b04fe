/*
 * Runs a model on inputs from files and writes what comes out, so that another runtime's numbers
 * can be held against ours (tests/interop/test_onnx_models.py).
 *
 * usage: run_onnx MODEL FOLDER...
 *
 *   FOLDER/input_N.pb     input N of the graph, as TensorProto
 *   FOLDER/output_N.npy   written: output N of the graph
 *
 * One line on stdout for each folder, as JSON: what the plan says of itself. Shapes are planned
 * from the inputs' shapes; contents count only where a shape depends on them.
 */
#include "compress/base/arena.h"
#include "compress/base/dirfiles.h"
#include "compress/exec/session.h"
#include "compress/formats/format.h"
#include "tests/support/onnxtensor.h"
#include "tests/support/tinynpy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PORTS = 64, THREADS = 2 };

struct run {
    struct graph *graph;
    struct weights *weights;
    struct team *team;
    struct arena *arena;
    struct array *in[MAX_PORTS];
};

static int read_inputs(struct run *r, const char *folder, struct err *err) {
    char path[1024];
    for (size_t i = 0; i < r->graph->input_count; i++) {
        snprintf(path, sizeof path, "%s/input_%zu.pb", folder, i);
        if (onnxtensor_read(path, r->arena, &r->in[i], err) < 0)
            return err_context(err, "input '%s'", r->graph->inputs[i]->name);
    }
    return 0;
}

static int plan(struct run *r, bool with_contents, struct exec_plan **ret, struct err *err) {
    struct binding bindings[MAX_PORTS];
    struct exec_options options = {.threads = THREADS};
    for (size_t i = 0; i < r->graph->input_count; i++)
        bindings[i] = (struct binding){
            r->graph->inputs[i],
            {.type = type_of_array(r->in[i]), .data = with_contents ? r->in[i] : NULL}};
    return exec_plan_new(r->graph, bindings, r->graph->input_count, &options, ret, err);
}

/* "<f4" and the like; NULL for types that numpy has not. */
static const char *descr_of(enum dtype dtype) {
    switch (dtype) {
    case DTYPE_F64:
        return "<f8";
    case DTYPE_F32:
        return "<f4";
    case DTYPE_F16:
        return "<f2";
    case DTYPE_I64:
        return "<i8";
    case DTYPE_I32:
        return "<i4";
    case DTYPE_I16:
        return "<i2";
    case DTYPE_I8:
        return "|i1";
    case DTYPE_U64:
        return "<u8";
    case DTYPE_U32:
        return "<u4";
    case DTYPE_U16:
        return "<u2";
    case DTYPE_U8:
        return "|u1";
    case DTYPE_BOOL:
        return "|b1";
    default:
        return NULL;
    }
}

static int write_npy(const char *path, const struct array *array, struct err *err) {
    char shape[32 * LIMIT_RANK + 3] = "(";
    const char *descr = descr_of(array->dtype);
    if (!descr)
        return err_set(err, ERR_UNSUPPORTED, "numpy has no %s", dtype_row(array->dtype)->name);
    for (unsigned d = 0; d < array->rank; d++)
        sprintf(shape + strlen(shape), "%" PRIu64 ", ", array->dims[d]);
    strcat(shape, ")");
    struct bytebuf b = {0};
    tinynpy(&b, descr, shape, array->data, array_bytes(array));
    FILE *to = fopen(path, "wb");
    bool written = to && fwrite(b.at, 1, b.len, to) == b.len;
    written = to && fclose(to) == 0 && written;
    bytebuf_free(&b);
    return written ? 0 : err_set(err, ERR_IO, "cannot write %s", path);
}

static int run_plan(struct run *r, const struct exec_plan *plan, const char *folder,
                    struct err *err) {
    struct exec_input inputs[MAX_PORTS];
    struct exec_session_options options = {.team = r->team};
    struct exec_session *session = NULL;
    char path[1024];
    if (exec_session_new(plan, r->weights, &options, &session, err) < 0)
        return -1;
    for (size_t i = 0; i < r->graph->input_count; i++)
        inputs[i] = (struct exec_input){r->graph->inputs[i], r->in[i]};
    int rc = exec_run(session, inputs, r->graph->input_count, NULL, err);
    for (size_t i = 0; i < r->graph->output_count && rc == 0; i++) {
        const struct array *out = exec_output(session, r->graph->outputs[i]);
        snprintf(path, sizeof path, "%s/output_%zu.npy", folder, i);
        rc = out ? write_npy(path, out, err)
                 : err_set(err, ERR_BUG, "'%s' was not made", r->graph->outputs[i]->name);
    }
    exec_session_free(session);
    return rc;
}

static int run_folder(struct run *r, const char *folder, struct err *err) {
    struct exec_plan *made = NULL;
    struct err first = ERR_INIT;
    struct exec_facts facts;
    if (read_inputs(r, folder, err) < 0)
        return -1;
    if (plan(r, false, &made, &first) < 0 && plan(r, true, &made, err) < 0)
        return -1;
    exec_plan_facts(made, &facts);
    int rc = run_plan(r, made, folder, err);
    if (rc == 0)
        printf("{\"steps\": %zu, \"once\": %zu, \"workspace\": %" PRIu64 ", \"live\": %" PRIu64
               ", \"macs\": %" PRIu64 "}\n",
               facts.forward_steps, facts.once_steps, facts.workspace_bytes, facts.live_bytes,
               facts.macs);
    exec_plan_free(made);
    return rc;
}

static int run_all(const struct model *model, char **folders, int count, struct err *err) {
    struct run r = {.graph = model->graph};
    int rc = 0;
    if (!r.graph)
        return err_set(err, ERR_UNSUPPORTED, "the model has no graph");
    if (r.graph->input_count > MAX_PORTS)
        return err_set(err, ERR_TOO_LARGE, "more than %d inputs", MAX_PORTS);
    r.weights = weights_new(model, r.graph, 0);
    r.team = team_new(THREADS, 0);
    if (!r.weights || !r.team)
        rc = err_set(err, ERR_NO_MEMORY, "no memory for a run");
    for (int i = 0; i < count && rc == 0; i++) {
        r.arena = arena_new((size_t)1 << 30);
        rc = r.arena ? run_folder(&r, folders[i], err)
                     : err_set(err, ERR_NO_MEMORY, "no memory for a run");
        arena_free(r.arena);
    }
    team_free(r.team);
    weights_free(r.weights);
    return rc;
}

int main(int argc, char **argv) {
    struct err err = ERR_INIT;
    struct resolver *files;
    struct model *model;
    int rc = -1;
    if (argc < 3) {
        fprintf(stderr, "usage: run_onnx MODEL FOLDER...\n");
        return 2;
    }
    if (dirfiles_open(argv[1], true, &files, &err) == 0) {
        if (format_open(files, &model, &err) == 0) {
            rc = run_all(model, argv + 2, argc - 2, &err);
            model_free(model);
        }
        resolver_close(files);
    }
    if (rc < 0)
        fprintf(stderr, "run_onnx: %s\n", err.text);
    return rc < 0;
}
