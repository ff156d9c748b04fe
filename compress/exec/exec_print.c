/*
 * The list for people: one line a step, and what it costs.
 *
 *      3  Conv 'c1'        x w b -> y f32[1,8,4,4]      [0, 512) scratch [512, 1024)
 *
 * Backward steps name only what they read the content of.
 */
#include "compress/exec/exec_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_steps(const struct exec_plan *plan, const struct exec_steps *list, size_t from,
                        size_t to, const char *title, FILE *file);

void exec_plan_print(const struct exec_plan *plan, FILE *file) {
    const struct exec_facts *f = &plan->facts;
    print_steps(plan, &plan->once, 0, plan->once.count, "once", file);
    print_steps(plan, &plan->run, 0, plan->forward_count, "forward", file);
    print_steps(plan, &plan->run, plan->forward_count, plan->run.count, "backward", file);
    fprintf(file, "workspace %" PRIu64 " bytes, %" PRIu64 " of them alive at once at most\n",
            f->workspace_bytes, f->live_bytes);
    fprintf(file,
            "beside it: kept results %" PRIu64 ", gradients %" PRIu64 ", weights %" PRIu64
            " bytes\n",
            f->kept_bytes, f->gradient_bytes, f->weight_bytes);
    fprintf(file, "%" PRIu64 " multiply-accumulates\n", f->macs);
}

const char *exec_slot_name(const struct exec_plan *plan, uint32_t slot, char *text, size_t cap) {
    const struct exec_slot *s = &plan->slots[slot];
    const char *name = s->value ? s->value->name : "";
    switch (s->kind) {
    case SLOT_VALUE:
        snprintf(text, cap, "%s", name);
        break;
    case SLOT_REAL:
        snprintf(text, cap, "%s:f32", name);
        break;
    case SLOT_GRADIENT:
        snprintf(text, cap, "d(%s)", name);
        break;
    case SLOT_SCRATCH:
        snprintf(text, cap, "scratch");
        break;
    }
    return text;
}

static void print_place(const struct exec_plan *plan, uint32_t index, FILE *file) {
    const struct exec_slot *slot = &plan->slots[index];
    const struct exec_slot *root = &plan->slots[slot->shares];
    static const char *const names[] = {
        [PLACE_NONE] = "nowhere",         [PLACE_WORKSPACE] = "",    [PLACE_KEPT] = "kept ",
        [PLACE_GRADIENTS] = "gradients ", [PLACE_WEIGHT] = "weight", [PLACE_CONSTANT] = "constant",
        [PLACE_INPUT] = "input"};
    fprintf(file, "%s", names[root->place]);
    if (root->place == PLACE_WORKSPACE || root->place == PLACE_KEPT ||
        root->place == PLACE_GRADIENTS)
        fprintf(file, "[%" PRIu64 ", %" PRIu64 ")", root->offset, root->offset + slot->bytes);
}

static void print_name(const struct exec_step *step, FILE *file) {
    static const char *const names[] = {
        [STEP_FORWARD] = "",        [STEP_BACKWARD] = "grad ", [STEP_CONVERT] = "convert",
        [STEP_COPY] = "copy",       [STEP_ADD] = "add",        [STEP_FILL] = "fill",
        [STEP_OBSERVE] = "observe", [STEP_FAIL] = "fail "};
    char text[160];
    if (step->kind == STEP_FILL)
        snprintf(text, sizeof text, "fill %g", step->fill);
    else if (step->node && *step->node->name)
        snprintf(text, sizeof text, "%s%s '%s'", names[step->kind], step->node->op_type,
                 step->node->name);
    else
        snprintf(text, sizeof text, "%s%s", names[step->kind],
                 step->node ? step->node->op_type : "");
    fprintf(file, "%-20s ", text);
}

/* Names of the operands that have content. */
static void print_operands(const struct exec_plan *plan, const uint32_t *slots, size_t count,
                           FILE *file) {
    char name[600];
    for (size_t i = 0; slots && i < count; i++)
        if (slots[i] != SLOT_NONE && plan->slots[slots[i]].place != PLACE_NONE)
            fprintf(file, " %s", exec_slot_name(plan, slots[i], name, sizeof name));
}

static void print_results(const struct exec_plan *plan, const uint32_t *slots, size_t count,
                          const struct exec_step *step, FILE *file) {
    char name[600], shape[128];
    for (size_t i = 0; i < count; i++) {
        if (slots[i] == SLOT_NONE)
            continue;
        fprintf(file, " %s %s ", exec_slot_name(plan, slots[i], name, sizeof name),
                array_describe(&plan->slots[slots[i]].shape, shape, sizeof shape));
        if (i == 0 && step->skipped)
            fprintf(file, "as it is, ");
        if (i == 0 && step->in_place && !step->skipped)
            fprintf(file, "in place, ");
        if (i == 0 && step->clamps)
            fprintf(file, "within [%g, %g], ", (double)step->clamp.low, (double)step->clamp.high);
        print_place(plan, slots[i], file);
    }
}

static void print_guard(const struct exec_plan *plan, uint32_t guard, FILE *file) {
    char name[600];
    for (uint32_t g = guard; g; g = plan->guards[g].parent)
        fprintf(file, ", %s %s", plan->guards[g].side ? "if" : "unless",
                exec_slot_name(plan, plan->guards[g].slot, name, sizeof name));
}

static void print_steps(const struct exec_plan *plan, const struct exec_steps *list, size_t from,
                        size_t to, const char *title, FILE *file) {
    if (from == to)
        return;
    fprintf(file, "%s\n", title);
    for (size_t i = from; i < to; i++) {
        const struct exec_step *step = &list->at[i];
        bool backward = step->kind == STEP_BACKWARD;
        if (step->kind == STEP_FILL && step->skipped) /* the gradient comes from elsewhere */
            continue;
        fprintf(file, "%5zu  ", i);
        print_name(step, file);
        print_operands(plan, step->in, step->in_count, file);
        if (backward) {
            print_operands(plan, step->out, step->out_count, file);
            print_operands(plan, step->dout, step->out_count, file);
        }
        fprintf(file, " ->");
        print_results(plan, backward ? step->din : step->out,
                      backward ? step->in_count : step->out_count, step, file);
        if (step->scratch != SLOT_NONE) {
            fprintf(file, " scratch ");
            print_place(plan, step->scratch, file);
        }
        print_guard(plan, step->guard, file);
        fprintf(file, "%s\n", step->again ? ", again" : "");
    }
}
