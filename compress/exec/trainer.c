/* One step at a time. See trainer.h. */
#include "compress/exec/trainer.h"

#include "compress/exec/checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct trainer {
    struct exec_plan *plan;
    struct exec_session *session;
    struct optim *optim;
    const struct value *loss;
    struct schedule schedule;
    unsigned accumulate;
    struct team *team;
    struct optim_param *params;
    const struct value **values; /* per param */
    size_t param_count;
    /* What a checkpoint holds, in order: per param the weight, then its moments. */
    struct checkpoint_array *arrays;
    char *names;
    size_t array_count;
};

enum { NAME_BYTES = LIMIT_TENSOR_NAME_BYTES + 16 };

static int make(struct trainer *t, const struct graph *graph, struct weights *weights,
                const struct binding *bindings, size_t binding_count,
                const struct trainer_options *options, struct err *err);
static int list_arrays(struct trainer *t, struct err *err);

int trainer_new(const struct graph *graph, struct weights *weights, const struct binding *bindings,
                size_t binding_count, const struct trainer_options *options, struct trainer **ret,
                struct err *err) {
    struct trainer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(err, ERR_NO_MEMORY, "no memory to train");
    if (make(t, graph, weights, bindings, binding_count, options, err) < 0) {
        trainer_free(t);
        return -1;
    }
    *ret = t;
    return 0;
}

static int make(struct trainer *t, const struct graph *graph, struct weights *weights,
                const struct binding *bindings, size_t binding_count,
                const struct trainer_options *options, struct err *err) {
    t->loss = options->loss;
    t->schedule = options->schedule;
    t->accumulate = options->accumulate ? options->accumulate : 1;
    t->team = options->team;
    t->param_count = options->param_count;
    t->params = calloc(t->param_count + 1, sizeof *t->params);
    t->values = calloc(t->param_count + 1, sizeof(const struct value *));
    if (!t->params || !t->values)
        return err_set(err, ERR_NO_MEMORY, "no memory to train");
    for (size_t i = 0; i < t->param_count; i++)
        t->values[i] = options->params[i].weight;
    struct exec_options plan = {.wanted = &t->loss,
                                .wanted_count = 1,
                                .loss = t->loss,
                                .trainable = t->values,
                                .trainable_count = t->param_count,
                                .memory_bytes = options->memory_bytes,
                                .threads = team_threads(t->team)};
    struct exec_session_options session = {.team = t->team};
    if (exec_plan_new(graph, bindings, binding_count, &plan, &t->plan, err) < 0 ||
        exec_session_new(t->plan, weights, &session, &t->session, err) < 0)
        return -1;
    for (size_t i = 0; i < t->param_count; i++) {
        t->params[i] = (struct optim_param){.gradient = exec_gradient(t->session, t->values[i]),
                                            .mask = options->params[i].mask,
                                            .undecayed = options->params[i].undecayed};
        if (weights_hold(weights, t->values[i], t->team, &t->params[i].weight, err) < 0)
            return -1;
    }
    if (optim_new(t->params, t->param_count, &options->optim, &t->optim, err) < 0)
        return -1;
    return list_arrays(t, err);
}

static int list_arrays(struct trainer *t, struct err *err) {
    unsigned moments = optim_moments(t->optim);
    size_t count = t->param_count * (1 + moments);
    t->arrays = calloc(count + 1, sizeof *t->arrays);
    t->names = calloc(count + 1, NAME_BYTES);
    if (!t->arrays || !t->names)
        return err_set(err, ERR_NO_MEMORY, "no memory to train");
    for (size_t i = 0; i < t->param_count; i++)
        for (unsigned m = 0; m <= moments; m++) {
            char *name = t->names + t->array_count * NAME_BYTES;
            snprintf(name, NAME_BYTES, m ? "%s/moment%u" : "%s", t->values[i]->name, m);
            t->arrays[t->array_count++] = (struct checkpoint_array){
                name, m ? optim_moment(t->optim, i, m - 1) : t->params[i].weight};
        }
    return 0;
}

void trainer_free(struct trainer *t) {
    if (!t)
        return;
    free(t->names);
    free(t->arrays);
    optim_free(t->optim);
    exec_session_free(t->session);
    exec_plan_free(t->plan);
    free(t->values);
    free(t->params);
    free(t);
}

static int diverged(const struct trainer *t, double loss, struct err *err) {
    return err_set(err, ERR_DIVERGED, "step %" PRIu64 ": the loss is %s", optim_steps(t->optim),
                   isnan(loss) ? "not a number" : "infinite");
}

int trainer_step(struct trainer *t, trainer_feed *feed, void *self, const struct progress *progress,
                 struct trainer_report *ret, struct err *err) {
    struct trainer_report report = {.step = optim_steps(t->optim)};
    exec_zero_gradients(t->session);
    for (unsigned i = 0; i < t->accumulate; i++) {
        const struct exec_input *inputs;
        size_t count;
        if (feed(self, &inputs, &count, err) < 0 ||
            exec_run(t->session, inputs, count, progress, err) < 0)
            return -1;
        double loss = array_number(exec_output(t->session, t->loss), 0);
        if (!isfinite(loss))
            return diverged(t, loss, err);
        report.loss += loss / t->accumulate;
        if (exec_backward(t->session, progress, err) < 0)
            return -1;
    }
    report.rate = schedule_rate(&t->schedule, report.step);
    /* Not to be cancelled: it is short, and half an update would be neither step. */
    if (optim_step(t->optim, report.rate, 1.0 / t->accumulate, t->team, NULL, &report.norm, err) <
        0)
        return err_context(err, "step %" PRIu64, report.step);
    if (ret)
        *ret = report;
    return 0;
}

uint64_t trainer_steps(const struct trainer *t) {
    return optim_steps(t->optim);
}

const struct exec_plan *trainer_plan(const struct trainer *t) {
    return t->plan;
}

/* ---- checkpoints ---- */

static int check_finite(const struct trainer *t, struct err *err) {
    for (size_t i = 0; i < t->array_count; i++) {
        const struct array *array = t->arrays[i].array;
        for (uint64_t k = 0; k < array->elements; k++)
            if (!isfinite(array_real(array)[k])) {
                err_set(err, ERR_DIVERGED, "after step %" PRIu64 " a weight is not finite",
                        optim_steps(t->optim));
                return err_at_tensor(err, t->arrays[i].name);
            }
    }
    return 0;
}

int trainer_save(const struct trainer *t, const char *identity, const struct batches_state *order,
                 int dir_fd, const char *name, struct err *err) {
    struct checkpoint c = {.identity = identity,
                           .arrays = t->arrays,
                           .array_count = t->array_count,
                           .step = optim_steps(t->optim),
                           .order = *order};
    if (check_finite(t, err) < 0)
        return -1;
    return checkpoint_save(&c, dir_fd, name, err);
}

int trainer_load(struct trainer *t, const char *identity, int dir_fd, const char *name,
                 struct batches_state *ret_order, struct err *err) {
    struct checkpoint c = {
        .identity = identity, .arrays = t->arrays, .array_count = t->array_count};
    if (checkpoint_load(&c, dir_fd, name, err) < 0)
        return -1;
    optim_set_steps(t->optim, c.step);
    *ret_order = c.order;
    return 0;
}
