/*
 * Walking the list. Everything a step needs – pointers to arrays, in the order its row wants them –
 * is laid out when the session starts; what changes between runs is only where the caller's inputs
 * and (with a small budget) the weights lie, so their arrays' data pointers are set anew.
 */
#include "compress/exec/session.h"

#include "compress/base/arena.h"
#include "compress/base/loop.h"
#include "compress/exec/exec_layout.h"
#include "compress/exec/exec_list.h"
#include "compress/graph/op.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A step's operands as its row takes them. */
struct call {
    const struct array **in;
    struct array **out;
    const struct array **dout;
    struct array **din;
    void *scratch;
};

struct exec_session {
    const struct exec_plan *plan;
    struct weights *weights;
    struct exec_session_options options;
    struct arena *arena;
    struct array *arrays; /* per slot; data set where it has a place */
    struct call *once, *run;
    char *workspace, *kept, *gradients;
    bool streams; /* weights are fetched step by step */
    bool ready;   /* the steps of the start have run */
    bool ran;     /* exec_run() has ended well: backward may follow */
};

static int allocate(struct exec_session *s, struct err *err);
static struct call *make_calls(struct exec_session *s, const struct exec_steps *list,
                               struct err *err);
static int pin_weights(struct exec_session *s, struct err *err);
static int check_input(const struct exec_session *s, const struct exec_input *input,
                       struct err *err);
static int run_steps(struct exec_session *s, const struct exec_steps *list,
                     const struct call *calls, size_t from, size_t to,
                     const struct progress *progress, struct err *err);

int exec_session_new(const struct exec_plan *plan, struct weights *weights,
                     const struct exec_session_options *options, struct exec_session **ret,
                     struct err *err) {
    struct exec_session *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(err, ERR_NO_MEMORY, "no memory for a session");
    s->plan = plan;
    s->weights = weights;
    if (options)
        s->options = *options;
    if (team_threads(s->options.team) > plan->threads) {
        err_set(err, ERR_BUG, "a plan for %u threads on a team of %u", plan->threads,
                team_threads(s->options.team));
        goto failed;
    }
    if (allocate(s, err) < 0 || pin_weights(s, err) < 0 ||
        run_steps(s, &plan->once, s->once, 0, plan->once.count, NULL, err) < 0)
        goto failed;
    s->ready = true;
    *ret = s;
    return 0;
failed:
    exec_session_free(s);
    return -1;
}

/* Weights whose memory the session relies on from its start to its end. */
static bool is_pinned(const struct exec_session *s, uint32_t slot) {
    return s->plan->slots[slot].place == PLACE_WEIGHT && !s->streams && s->arrays[slot].data;
}

void exec_session_free(struct exec_session *s) {
    if (!s)
        return;
    for (uint32_t i = 0; s->arrays && i < s->plan->slot_count; i++)
        if (is_pinned(s, i) && s->plan->slots[i].shares == i)
            weights_release(s->weights, s->plan->slots[i].value);
    free(s->workspace);
    free(s->kept);
    free(s->gradients);
    arena_free(s->arena);
    free(s);
}

int exec_run(struct exec_session *s, const struct exec_input *inputs, size_t input_count,
             const struct progress *progress, struct err *err) {
    const struct exec_plan *plan = s->plan;
    s->ran = false;
    for (size_t i = 0; i < plan->input_count; i++)
        s->arrays[plan->inputs[i].slot].data = NULL;
    for (size_t i = 0; i < input_count; i++) {
        if (check_input(s, &inputs[i], err) < 0)
            return -1;
        for (size_t k = 0; k < plan->input_count; k++)
            if (plan->inputs[k].value == inputs[i].input)
                s->arrays[plan->inputs[k].slot].data = inputs[i].array->data;
    }
    for (size_t i = 0; i < plan->input_count; i++)
        if (!s->arrays[plan->inputs[i].slot].data) {
            err_set(err, ERR_BAD_FIELD, "input '%s' is not given", plan->inputs[i].value->name);
            return err_at_tensor(err, plan->inputs[i].value->name);
        }
    for (uint32_t i = 0; i < plan->slot_count; i++) /* what shares the caller's memory */
        if (plan->slots[plan->slots[i].shares].place == PLACE_INPUT)
            s->arrays[i].data = s->arrays[plan->slots[i].shares].data;
    if (run_steps(s, &plan->run, s->run, 0, plan->forward_count, progress, err) < 0)
        return -1;
    s->ran = true;
    return 0;
}

int exec_backward(struct exec_session *s, const struct progress *progress, struct err *err) {
    const struct exec_plan *plan = s->plan;
    if (!s->ran)
        return err_set(err, ERR_BUG, "a backward pass without a forward pass before it");
    s->ran = false; /* activations are overwritten on the way */
    return run_steps(s, &plan->run, s->run, plan->forward_count, plan->run.count, progress, err);
}

void exec_zero_gradients(struct exec_session *s) {
    memset(s->gradients, 0, (size_t)s->plan->facts.gradient_bytes);
}

static struct array *result(const struct exec_session *s, const struct exec_result *results,
                            size_t count, const struct value *value) {
    for (size_t i = 0; i < count; i++)
        if (results[i].value == value)
            return &s->arrays[results[i].slot];
    return NULL;
}

const struct array *exec_output(const struct exec_session *s, const struct value *value) {
    const struct array *array = result(s, s->plan->outputs, s->plan->output_count, value);
    return array && array->data ? array : NULL;
}

struct array *exec_gradient(const struct exec_session *s, const struct value *value) {
    return result(s, s->plan->gradients, s->plan->gradient_count, value);
}

/* ---- the start ---- */

/* Never NULL for a size of 0: an empty array has a place too. */
static char *block_new(uint64_t bytes, struct err *err) {
    if (bytes > SIZE_MAX / 2) {
        err_set(err, ERR_NO_MEMORY, "no memory for a workspace of %" PRIu64 " bytes", bytes);
        return NULL;
    }
    size_t whole = ((size_t)bytes / EXEC_LAYOUT_ALIGN + 1) * EXEC_LAYOUT_ALIGN;
    char *block = aligned_alloc(EXEC_LAYOUT_ALIGN, whole);
    if (!block)
        err_set(err, ERR_NO_MEMORY, "no memory for a workspace of %" PRIu64 " bytes", bytes);
    return block;
}

static int allocate(struct exec_session *s, struct err *err) {
    const struct exec_plan *plan = s->plan;
    s->arena = arena_new(LIMIT_MODEL_ARENA_BYTES);
    s->arrays = s->arena ? ARENA_ARRAY(s->arena, struct array, plan->slot_count + 1) : NULL;
    if (!s->arrays)
        return err_set(err, ERR_NO_MEMORY, "no memory for a session");
    s->workspace = block_new(plan->facts.workspace_bytes, err);
    s->kept = s->workspace ? block_new(plan->facts.kept_bytes, err) : NULL;
    s->gradients = s->kept ? block_new(plan->facts.gradient_bytes, err) : NULL;
    if (!s->gradients)
        return -1;
    exec_zero_gradients(s);
    for (uint32_t i = 0; i < plan->slot_count; i++) {
        const struct exec_slot *slot = &plan->slots[i], *root = &plan->slots[slot->shares];
        s->arrays[i] = slot->shape;
        switch (root->place) {
        case PLACE_WORKSPACE:
            s->arrays[i].data = s->workspace + root->offset;
            break;
        case PLACE_KEPT:
            s->arrays[i].data = s->kept + root->offset;
            break;
        case PLACE_GRADIENTS:
            s->arrays[i].data = s->gradients + root->offset;
            break;
        case PLACE_CONSTANT:
            s->arrays[i].data = root->shape.data;
            break;
        case PLACE_NONE:
        case PLACE_WEIGHT:
        case PLACE_INPUT:
            s->arrays[i].data = NULL;
            break;
        }
    }
    s->once = make_calls(s, &plan->once, err);
    s->run = s->once ? make_calls(s, &plan->run, err) : NULL;
    return s->run ? 0 : -1;
}

static struct array **operands(struct exec_session *s, const uint32_t *slots, size_t count) {
    struct array **arrays = ARENA_ARRAY(s->arena, struct array *, count + 1);
    for (size_t i = 0; arrays && i < count; i++)
        arrays[i] = slots[i] == SLOT_NONE ? NULL : &s->arrays[slots[i]];
    return arrays;
}

static const struct array **const_operands(struct exec_session *s, const uint32_t *slots,
                                           size_t count) {
    const struct array **arrays = ARENA_ARRAY(s->arena, const struct array *, count + 1);
    for (size_t i = 0; arrays && i < count; i++)
        arrays[i] = slots[i] == SLOT_NONE ? NULL : &s->arrays[slots[i]];
    return arrays;
}

static struct call *make_calls(struct exec_session *s, const struct exec_steps *list,
                               struct err *err) {
    struct call *calls = ARENA_ARRAY(s->arena, struct call, list->count + 1);
    for (size_t i = 0; calls && i < list->count; i++) {
        const struct exec_step *step = &list->at[i];
        struct call *call = &calls[i];
        call->in = const_operands(s, step->in, step->in_count);
        call->out = operands(s, step->out, step->out_count);
        if (step->kind == STEP_BACKWARD) {
            call->dout = const_operands(s, step->dout, step->out_count);
            call->din = operands(s, step->din, step->in_count);
        }
        if (step->scratch != SLOT_NONE)
            call->scratch = s->arrays[step->scratch].data;
        if (!call->in || !call->out || (step->kind == STEP_BACKWARD && (!call->dout || !call->din)))
            calls = NULL;
    }
    if (!calls)
        err_set(err, ERR_NO_MEMORY, "no memory for a session");
    return calls;
}

/* ---- weights ---- */

static int fetch(struct exec_session *s, uint32_t slot, const struct array **ret, struct err *err) {
    const struct exec_slot *weight = &s->plan->slots[slot];
    if (weights_get(s->weights, weight->value, s->options.team, ret, err) < 0)
        return -1;
    if ((*ret)->dtype != weight->shape.dtype || (*ret)->elements != weight->shape.elements) {
        char want[128], got[128];
        err_set(err, ERR_BAD_MODEL, "the weight is %s, the graph wants %s",
                array_describe(*ret, got, sizeof got),
                array_describe(&weight->shape, want, sizeof want));
        err_at_tensor(err, weight->value->name);
        weights_release(s->weights, weight->value);
        return -1;
    }
    return 0;
}

/* All of them for good when they fit the budget; those that are trained in any case. */
static int pin_weights(struct exec_session *s, struct err *err) {
    const struct exec_plan *plan = s->plan;
    for (size_t i = 0; i < plan->gradient_count; i++) {
        struct array *held;
        if (plan->gradients[i].value->kind == VALUE_WEIGHT &&
            weights_hold(s->weights, plan->gradients[i].value, s->options.team, &held, err) < 0)
            return -1;
    }
    if (plan->facts.weight_bytes == 0)
        return 0;
    s->streams = !weights_fit(s->weights, plan->facts.weight_bytes);
    for (uint32_t i = 0; !s->streams && i < plan->slot_count; i++) {
        const struct array *array;
        if (plan->slots[i].place != PLACE_WEIGHT)
            continue;
        if (fetch(s, i, &array, err) < 0)
            return -1;
        s->arrays[i].data = array->data;
    }
    for (uint32_t i = 0; !s->streams && i < plan->slot_count; i++)
        if (plan->slots[plan->slots[i].shares].place == PLACE_WEIGHT)
            s->arrays[i].data = s->arrays[plan->slots[i].shares].data;
    return 0;
}

/* The weight behind an operand, or SLOT_NONE. */
static uint32_t weight_of(const struct exec_plan *plan, uint32_t slot) {
    if (slot == SLOT_NONE || plan->slots[plan->slots[slot].shares].place != PLACE_WEIGHT)
        return SLOT_NONE;
    return plan->slots[slot].shares;
}

static void let_go(struct exec_session *s, const struct exec_step *step, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t weight = weight_of(s->plan, step->in[i]);
        if (weight != SLOT_NONE)
            weights_release(s->weights, s->plan->slots[weight].value);
    }
}

/* Weights are only ever read; a step finds them among its inputs. */
static int take(struct exec_session *s, const struct exec_step *step, struct err *err) {
    for (size_t i = 0; i < step->in_count; i++) {
        uint32_t weight = weight_of(s->plan, step->in[i]);
        const struct array *array;
        if (weight == SLOT_NONE)
            continue;
        if (fetch(s, weight, &array, err) < 0) {
            let_go(s, step, i);
            return -1;
        }
        s->arrays[step->in[i]].data = array->data;
    }
    return 0;
}

/* ---- inputs ---- */

static int check_input(const struct exec_session *s, const struct exec_input *input,
                       struct err *err) {
    const struct exec_plan *plan = s->plan;
    const struct array *array = input->array;
    char want[128], got[128];
    for (size_t i = 0; i < plan->binding_count; i++) {
        const struct fact *fact = &plan->bindings[i].fact;
        struct array planned;
        if (plan->bindings[i].input != input->input || !type_to_array(&fact->type, &planned))
            continue;
        if (planned.dtype != array->dtype || !array_same_shape(&planned, array)) {
            err_set(err, ERR_BAD_FIELD, "input '%s' was planned as %s and is given as %s",
                    input->input->name, array_describe(&planned, want, sizeof want),
                    array_describe(array, got, sizeof got));
            return err_at_tensor(err, input->input->name);
        }
        if (fact->data && memcmp(fact->data->data, array->data, (size_t)array_bytes(array)) != 0) {
            err_set(err, ERR_BAD_FIELD, "input '%s' has another content than it was planned with",
                    input->input->name);
            return err_at_tensor(err, input->input->name);
        }
    }
    return 0;
}

/* ---- steps ---- */

/* Elements to a tile of the small steps: some 10 us of work. */
enum { TILE = 16384 };

struct move {
    enum step_kind kind;
    const struct array *from;
    struct array *to;
    double fill;
};

static void *element(const struct array *array, uint64_t i) {
    return (char *)array->data + i * array_item_bytes(array->dtype);
}

static int move_tile(void *ctx, size_t tile, unsigned worker, struct err *err) {
    const struct move *m = ctx;
    uint64_t first = (uint64_t)tile * TILE, count = m->to->elements - first;
    if (count > TILE)
        count = TILE;
    struct array to = {.dtype = m->to->dtype, .rank = 1, .dims = {count}, .elements = count};
    to.data = element(m->to, first);
    if (m->kind == STEP_FILL) {
        for (uint64_t i = 0; i < count; i++)
            array_real(&to)[i] = (real)m->fill;
        return 0;
    }
    struct array from = {.dtype = m->from->dtype, .rank = 1, .dims = {count}, .elements = count};
    from.data = element(m->from, first);
    if (m->kind == STEP_CONVERT)
        return array_convert(&from, &to, false, err);
    if (m->kind == STEP_COPY)
        memcpy(to.data, from.data, (size_t)array_bytes(&from));
    else
        for (uint64_t i = 0; i < count; i++)
            array_real(&to)[i] += array_real(&from)[i];
    return 0;
}

static int run_move(const struct exec_session *s, const struct exec_step *step,
                    const struct call *call, const struct progress *progress, struct err *err) {
    struct move m = {step->kind, step->in_count ? call->in[0] : NULL, call->out[0], step->fill};
    size_t tiles = (size_t)((m.to->elements + TILE - 1) / TILE);
    return loop_run(s->options.team, progress, tiles, move_tile, &m, err);
}

static int run_row(const struct exec_session *s, const struct exec_step *step,
                   const struct call *call, const struct progress *progress, struct err *err) {
    struct op_backward back = {.run = {.node = step->node,
                                       .in = call->in,
                                       .out = call->out,
                                       .scratch = call->scratch,
                                       .team = s->options.team,
                                       .progress = progress,
                                       .clamp = step->clamps ? &step->clamp : NULL},
                               .dout = call->dout,
                               .din = call->din};
    int rc = step->kind == STEP_FORWARD ? step->node->op->forward(&back.run, err)
                                        : step->node->op->backward(&back, err);
    if (rc < 0 && err && !strstr(err->text, step->node->op_type)) {
        char name[256];
        err_context(err, "%s", node_describe(step->node, name, sizeof name));
    }
    return rc;
}

static int run_step(const struct exec_session *s, const struct exec_step *step,
                    const struct call *call, const struct progress *progress, struct err *err) {
    switch (step->kind) {
    case STEP_FORWARD:
    case STEP_BACKWARD:
        return run_row(s, step, call, progress, err);
    case STEP_CONVERT:
    case STEP_COPY:
    case STEP_ADD:
    case STEP_FILL:
        return run_move(s, step, call, progress, err);
    case STEP_OBSERVE:
        return s->options.observe(s->options.observe_self, step->value, call->in[0], err);
    case STEP_FAIL:
        if (err && err->code == ERR_OK)
            *err = *step->failure;
        return -1;
    }
    return err_set(err, ERR_BUG, "a step of no kind");
}

static bool guard_holds(const struct exec_session *s, uint32_t guard) {
    const struct exec_guard *guards = s->plan->guards;
    if (guard == 0)
        return true;
    if (!guard_holds(s, guards[guard].parent)) /* else the condition was not computed */
        return false;
    return (array_int(&s->arrays[guards[guard].slot], 0) != 0) == guards[guard].side;
}

static int run_steps(struct exec_session *s, const struct exec_steps *list,
                     const struct call *calls, size_t from, size_t to,
                     const struct progress *progress, struct err *err) {
    for (size_t i = from; i < to; i++) {
        const struct exec_step *step = &list->at[i];
        if (step->skipped || !guard_holds(s, step->guard) ||
            (step->kind == STEP_OBSERVE && !s->options.observe))
            continue;
        if (progress_check(progress, err) < 0)
            return -1;
        bool streams = s->streams && step->in_count > 0;
        if (streams && take(s, step, err) < 0)
            return -1;
        int rc = run_step(s, step, &calls[i], progress, err);
        if (streams)
            let_go(s, step, step->in_count);
        if (rc < 0)
            return -1;
    }
    return 0;
}
