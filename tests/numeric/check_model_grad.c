/*
 * Gradients of whole networks against PyTorch's (tests/golden/gradients, export_gradients.py):
 * a residual network (BatchNorm with running and with the batch's statistics), a U-Net, a GPT by
 * two exporters. The loss is a node of the model; every weight and every float input has its
 * gradient checked, relative to the norm of the whole.
 *
 * The same with less memory, so that the forward pass is run again in parts, and on one thread:
 * the same bits.
 *
 * usage: check_model_grad FOLDER
 */
#include "compress/base/arena.h"
#include "compress/base/dirfiles.h"
#include "compress/exec/session.h"
#include "compress/formats/format.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PORTS = 8, MAX_WEIGHTS = 256 };

/* PyTorch's are computed in f64, ours in f32: relative to the norm of a gradient, or to this where
 * it is smaller (that of a bias before a norm is zero in truth). */
static const double tolerance = 1e-5, small = 1e-2;

struct file {
    struct resolver *files;
    struct model *model;
};

struct net {
    struct arena *arena;
    struct file onnx, golden;
    const struct graph *graph;
    struct array *in[MAX_PORTS];
    const struct value *trainable[MAX_WEIGHTS]; /* with a gradient in the golden file */
    size_t trainable_count;
    const struct value *inputs[MAX_PORTS]; /* float inputs */
    size_t input_count;
};

static int open_file(const char *folder, const char *name, const char *suffix, struct file *ret,
                     struct err *err) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    if (dirfiles_open(path, true, &ret->files, err) < 0)
        return -1;
    return format_open(ret->files, &ret->model, err);
}

static void close_file(struct file *f) {
    model_free(f->model);
    resolver_close(f->files);
}

/* An array of the golden file, by prefix and name; NULL when it has none (err untouched). */
static int golden_array(const struct net *n, const char *prefix, const char *name,
                        struct array **ret, struct err *err) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct tensor *t = model_tensor(n->golden.model, "", full);
    *ret = NULL;
    if (!t)
        return 0;
    const struct part *data = &t->parts[PART_DATA];
    struct array *array = array_in_arena(n->arena, data->dtype, t->rank, t->dims);
    if (!array || array_bytes(array) != data->bytes)
        return err_set(err, ERR_BAD_MODEL, "'%s' is not as large as its shape", full);
    *ret = array;
    return source_read(n->golden.model->files[data->file].source, data->offset, array->data,
                       data->bytes, err);
}

static int net_open(struct net *n, const char *folder, const char *name, const char *golden,
                    struct err *err) {
    struct array *found;
    if (open_file(folder, name, ".onnx", &n->onnx, err) < 0 ||
        open_file(folder, golden, ".safetensors", &n->golden, err) < 0)
        return -1;
    n->graph = n->onnx.model->graph;
    if (n->graph->input_count > MAX_PORTS || n->graph->value_count == 0)
        return err_set(err, ERR_BUG, "%zu inputs", n->graph->input_count);
    for (size_t i = 0; i < n->graph->input_count; i++) {
        const struct value *input = n->graph->inputs[i];
        if (golden_array(n, "input.", input->name, &n->in[i], err) < 0)
            return -1;
        if (!n->in[i])
            return err_set(err, ERR_BAD_MODEL, "no input '%s'", input->name);
        if (n->in[i]->dtype == DTYPE_F32)
            n->inputs[n->input_count++] = input;
    }
    for (size_t i = 0; i < n->graph->value_count; i++) {
        const struct value *value = n->graph->values[i];
        if (value->kind != VALUE_WEIGHT)
            continue;
        if (golden_array(n, "gradient.", value->name, &found, err) < 0)
            return -1;
        if (found && n->trainable_count < MAX_WEIGHTS)
            n->trainable[n->trainable_count++] = value;
    }
    return n->trainable_count > 0 ? 0 : err_set(err, ERR_BUG, "no weight has a gradient");
}

static double check_gradient(const struct net *n, const struct value *value,
                             const struct array *got, struct err *err) {
    struct array *want;
    double off = 0, norm = 0;
    if (golden_array(n, "gradient.", value->name, &want, err) < 0)
        return NAN;
    if (!want || !got || !array_same_shape(got, want)) {
        err_set(err, ERR_BUG, "'%s' has no gradient of its shape", value->name);
        return NAN;
    }
    for (uint64_t i = 0; i < want->elements; i++) {
        double a = array_number(got, i), b = array_number(want, i);
        off += (a - b) * (a - b);
        norm += b * b;
    }
    off = sqrt(off) / fmax(sqrt(norm), small);
    if (!(off <= tolerance)) {
        err_set(err, ERR_BUG, "the gradient of '%s' is %.2g off, relative to its norm %.2g",
                value->name, off, sqrt(norm));
        return NAN;
    }
    return off;
}

/* A hash of all gradients' bits (FNV-1a), in the order of the graph. */
static uint64_t bits_of(const struct net *n, const struct exec_session *session) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n->trainable_count; i++) {
        const struct array *g = exec_gradient(session, n->trainable[i]);
        for (uint64_t b = 0; g && b < array_bytes(g); b++)
            hash = (hash ^ ((const uint8_t *)g->data)[b]) * UINT64_C(1099511628211);
    }
    return hash;
}

struct outcome {
    struct exec_facts facts;
    double loss, worst; /* worst: relative to the norm */
    uint64_t bits;
};

static int backward(const struct net *n, struct exec_session *session, struct outcome *ret,
                    struct err *err) {
    struct exec_input inputs[MAX_PORTS];
    for (size_t i = 0; i < n->graph->input_count; i++)
        inputs[i] = (struct exec_input){n->graph->inputs[i], n->in[i]};
    if (exec_run(session, inputs, n->graph->input_count, NULL, err) < 0)
        return -1;
    ret->loss = array_number(exec_output(session, n->graph->outputs[0]), 0);
    if (exec_backward(session, NULL, err) < 0)
        return -1;
    ret->worst = 0;
    ret->bits = bits_of(n, session);
    for (size_t i = 0; i < n->trainable_count + n->input_count; i++) {
        const struct value *value =
            i < n->trainable_count ? n->trainable[i] : n->inputs[i - n->trainable_count];
        double off = check_gradient(n, value, exec_gradient(session, value), err);
        if (isnan(off))
            return -1;
        ret->worst = fmax(ret->worst, off);
    }
    return 0;
}

static int train(const struct net *n, uint64_t memory_bytes, unsigned threads, struct outcome *ret,
                 struct err *err) {
    struct binding bindings[MAX_PORTS];
    struct exec_options options = {
        .loss = n->graph->outputs[0],
        .trainable = n->trainable,
        .trainable_count = n->trainable_count,
        .wanted_inputs = n->inputs,
        .wanted_input_count = n->input_count,
        .memory_bytes = memory_bytes,
        .threads = threads,
    };
    struct exec_plan *plan = NULL;
    struct exec_session *session = NULL;
    struct team *team = team_new(threads, 0);
    struct weights *weights = weights_new(n->onnx.model, n->graph, 0);
    struct exec_session_options how = {.team = team};
    int rc = -1;
    for (size_t i = 0; i < n->graph->input_count; i++)
        bindings[i] = (struct binding){n->graph->inputs[i], {.type = type_of_array(n->in[i])}};
    if (!team || !weights)
        err_set(err, ERR_NO_MEMORY, "no memory for a run");
    else if (exec_plan_new(n->graph, bindings, n->graph->input_count, &options, &plan, err) == 0 &&
             exec_session_new(plan, weights, &how, &session, err) == 0)
        rc = backward(n, session, ret, err);
    if (plan)
        exec_plan_facts(plan, &ret->facts);
    exec_session_free(session);
    exec_plan_free(plan);
    weights_free(weights);
    team_free(team);
    return rc;
}

/* With as little memory as there is a plan for, by steps of a twentieth. Activations are a small
 * part of the residual network's workspace, beside the panels of its convolutions: there is none.
 */
static int train_tight(const struct net *n, const struct outcome *whole, struct outcome *ret,
                       struct err *err) {
    int rc = -1;
    for (unsigned twentieths = 10; twentieths < 20 && rc < 0; twentieths++) {
        struct err e = ERR_INIT;
        rc = train(n, whole->facts.workspace_bytes * twentieths / 20, 2, ret, &e);
        if (rc < 0 && e.code != ERR_OVER_BUDGET) {
            *err = e;
            return -1;
        }
    }
    if (rc < 0)
        *ret = *whole;
    return 0;
}

/* again: there is a plan that needs less memory because it runs steps again. */
static int check_net(const struct net *n, const char *name, bool again, struct err *err) {
    struct outcome whole = {0}, alone = {0}, tight = {0};
    struct array *loss;
    if (golden_array(n, "", "loss", &loss, err) < 0 || train(n, 0, 2, &whole, err) < 0)
        return -1;
    double want = array_number(loss, 0);
    if (!(fabs(whole.loss - want) <= 1e-6 * fabs(want)))
        return err_set(err, ERR_BUG, "the loss is %.9g, not %.9g", whole.loss, want);
    if (train(n, 0, 1, &alone, err) < 0 || train_tight(n, &whole, &tight, err) < 0)
        return -1;
    if (alone.bits != whole.bits)
        return err_set(err, ERR_BUG, "one thread gives other bits");
    if (tight.bits != whole.bits)
        return err_set(err, ERR_BUG, "with less memory come other bits");
    if (again != (tight.facts.recomputed_steps > 0))
        return err_set(err, ERR_BUG, "with less memory %zu steps run again",
                       tight.facts.recomputed_steps);
    printf("ok %-16s loss %.6f; %zu gradients within %.1e; workspace %" PRIu64 " bytes (%.2f of "
           "what is alive), %" PRIu64 " with %zu of %zu steps run again\n",
           name, whole.loss, n->trainable_count + n->input_count, whole.worst,
           whole.facts.workspace_bytes,
           (double)whole.facts.workspace_bytes / (double)whole.facts.live_bytes,
           tight.facts.workspace_bytes, tight.facts.recomputed_steps, tight.facts.forward_steps);
    return (double)whole.facts.workspace_bytes <= 1.2 * (double)whole.facts.live_bytes
               ? 0
               : err_set(err, ERR_BUG, "the workspace is too large");
}

int main(int argc, char **argv) {
    static const struct {
        const char *name, *golden;
        bool again;
    } nets[] = {
        {"resnet", "resnet", false},    {"resnet_training", "resnet_training", false},
        {"unet", "unet", true},         {"gpt", "gpt", true},
        {"gpt_attention", "gpt", true},
    };
    int failed = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: check_model_grad FOLDER\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        struct net n = {.arena = arena_new((size_t)1 << 28)};
        struct err err = ERR_INIT;
        if (!n.arena || net_open(&n, argv[1], nets[i].name, nets[i].golden, &err) < 0 ||
            check_net(&n, nets[i].name, nets[i].again, &err) < 0) {
            printf("not ok %s: %s\n", nets[i].name, err.text);
            failed++;
        }
        close_file(&n.onnx);
        close_file(&n.golden);
        arena_free(n.arena);
    }
    return failed > 0;
}
