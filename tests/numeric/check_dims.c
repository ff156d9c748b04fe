/*
 * What every row of the operator table says of its axes (dims, cut), by cutting: of a case
 * (op_cases.c), units that the tracer found are removed from all inputs that they touch, the node
 * is fitted to it (cut) and run again on what is left. It must still infer and run, its outputs
 * must have lost exactly what the units say, and where the units touch no contracted axis they must
 * hold the same numbers as the full result without them.
 *
 *     check_dims [-v] [OPERATOR...]      -v: how many units each case has, and how many were cut
 *
 * Each row runs in a process of its own: one that crashes hides no other.
 */
#include "compress/base/arena.h"
#include "compress/graph/dims.h"
#include "compress/graph/relate.h"
#include "tests/numeric/op_cases.h"
#include "tests/support/opcase.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_PORTS = 64, ROW_SECONDS = 120 };
/* Sums over fewer or other tiles are rounded otherwise. */
static const double apart_at_most = 1e-5;

#define ROW(row) extern const struct op op_##row;
OP_ROWS(ROW)
#undef ROW

static const struct row {
    const struct op *op;
    const char *const *cases;
} rows[] = {
#define ROW(row) {&op_##row, op_cases_##row},
    OP_ROWS(ROW)
#undef ROW
};
enum { ROWS = sizeof rows / sizeof rows[0] };

struct counts {
    unsigned cases, cuts, compared, failures;
};

static struct counts counts;
static bool verbose;
static const char *current = "";

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list args;
    counts.failures++;
    fflush(stdout);
    fprintf(stderr, "FAILED: %s\n        ", current);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- what is removed ---- */

/* Of one value: lost[axis][index]. */
struct loss {
    bool *lost[LIMIT_RANK]; /* NULL: nothing */
};

/* Of a node's values; inputs first. */
struct losses {
    struct loss in[MAX_PORTS], out[MAX_PORTS];
};

static int lose(struct loss *loss, const struct array *array, unsigned axis, uint64_t index,
                struct arena *arena) {
    if (!loss->lost[axis])
        loss->lost[axis] = ARENA_ARRAY(arena, bool, array->dims[axis] + 1);
    if (!loss->lost[axis])
        return -1;
    loss->lost[axis][index] = true;
    return 0;
}

/* What the unit takes from this node's values. */
static int losses_of(const struct opcase *c, const struct dims *dims, uint32_t unit,
                     struct losses *ret) {
    size_t count;
    const struct dims_member *members = dims_members(dims, unit, &count);
    for (size_t m = 0; m < count; m++) {
        for (size_t i = 0; i < c->in_count; i++)
            if (c->node->in[i] == members[m].value &&
                lose(&ret->in[i], c->in[i], members[m].axis, members[m].index, c->arena) < 0)
                return -1;
        for (size_t i = 0; i < c->out_count; i++)
            if (c->out[i] && c->node->out[i] == members[m].value &&
                lose(&ret->out[i], c->out[i], members[m].axis, members[m].index, c->arena) < 0)
                return -1;
    }
    return 0;
}

/* The shape that is left; false when an axis loses everything. */
static bool shape_left(const struct array *full, const struct loss *loss, struct array *ret) {
    uint64_t dims[LIMIT_RANK];
    for (unsigned d = 0; d < full->rank; d++) {
        dims[d] = full->dims[d];
        for (uint64_t i = 0; loss->lost[d] && i < full->dims[d]; i++)
            dims[d] -= loss->lost[d][i];
        if (dims[d] == 0 && full->dims[d])
            return false;
    }
    return array_shape(ret, full->dtype, full->rank, dims, NULL) == 0;
}

static bool is_left(const struct array *full, const struct loss *loss, uint64_t element) {
    for (unsigned d = full->rank; d-- > 0; element /= full->dims[d])
        if (loss->lost[d] && loss->lost[d][element % full->dims[d]])
            return false;
    return true;
}

static struct array *slice(const struct array *full, const struct loss *loss, struct arena *arena) {
    struct array shape;
    if (!shape_left(full, loss, &shape))
        return NULL;
    struct array *left = array_in_arena(arena, full->dtype, full->rank, shape.dims);
    size_t item = array_item_bytes(full->dtype);
    uint8_t *to = left ? left->data : NULL;
    for (uint64_t i = 0; left && i < full->elements; i++)
        if (is_left(full, loss, i)) {
            memcpy(to, (const uint8_t *)full->data + i * item, item);
            to += item;
        }
    return left;
}

/* ---- cutting ---- */

/* Does a contracted axis lose something? Then the results of other axes change. */
static bool is_contracted(const struct opcase *c, const struct losses *losses) {
    struct op_run shapes = {
        .node = c->node, .in = (const struct array *const *)c->in, .out = c->out};
    struct relations relations = {.shapes = &shapes, .arena = c->arena};
    bool found = c->node->op->dims(&relations, &shapes) < 0;
    for (size_t i = 0; i < relations.count && !found; i++) {
        const struct relation *r = &relations.list[i];
        for (int side = 0; side < 2 && r->contracted; side++) {
            struct axis a = side ? r->b : r->a;
            found = found || (a.output ? losses->out : losses->in)[a.slot].lost[a.axis];
        }
    }
    return found;
}

/* Takes what is lost from the inputs of `narrow`, a second copy of the case. False when nothing
 * would be left. */
static bool cut_inputs(const struct opcase *full, const struct losses *losses,
                       struct opcase *narrow) {
    for (size_t i = 0; i < full->in_count; i++) {
        if (!full->in[i])
            continue;
        narrow->in[i] = slice(full->in[i], &losses->in[i], narrow->arena);
        if (!narrow->in[i])
            return false;
        struct value *value = narrow->node->in[i];
        value->type = type_of_array(narrow->in[i]);
        if (value->kind == VALUE_CONSTANT)
            value->data = narrow->in[i];
    }
    return true;
}

/* Lets the row fit its attributes and small constants to the new shapes. */
static int fit(const struct opcase *full, const struct losses *losses, struct opcase *narrow,
               struct err *err) {
    struct array *out[MAX_PORTS] = {NULL}, shapes[MAX_PORTS];
    struct op_run before = {
        .node = narrow->node, .in = (const struct array *const *)full->in, .out = full->out};
    for (size_t i = 0; i < full->out_count; i++)
        if (full->out[i] && shape_left(full->out[i], &losses->out[i], &shapes[i]))
            out[i] = &shapes[i];
    struct op_run after = {
        .node = narrow->node, .in = (const struct array *const *)narrow->in, .out = out};
    if (narrow->node->op->cut && narrow->node->op->cut(narrow->node, &before, &after, err) < 0)
        return -1;
    for (size_t i = 0; i < narrow->in_count; i++) { /* it may have given constants new contents */
        const struct value *value = narrow->node->in[i];
        if (!value || !value->data || value->data == narrow->in[i])
            continue;
        narrow->in[i] =
            array_in_arena(narrow->arena, value->data->dtype, value->data->rank, value->data->dims);
        if (!narrow->in[i])
            return err_set(err, ERR_NO_MEMORY, "no memory for a constant");
        memcpy(narrow->in[i]->data, value->data->data, array_bytes(value->data));
    }
    return 0;
}

static bool same_number(const struct array *a, uint64_t i, const struct array *b, uint64_t k,
                        double scale) {
    double x = array_number(a, i), y = array_number(b, k);
    return x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= apart_at_most * scale;
}

static void compare(const struct array *full, const struct loss *loss, const struct array *got,
                    size_t which, bool numbers, uint32_t unit) {
    struct array want;
    char a[128], b[128];
    uint64_t k = 0;
    double scale = 1e-3;
    if (!shape_left(full, loss, &want))
        return;
    want.dtype = got->dtype;
    if (!array_same_shape(&want, got)) {
        fail("without unit %u, output %zu is %s, not %s", (unsigned)unit, which,
             array_describe(got, a, sizeof a), array_describe(&want, b, sizeof b));
        return;
    }
    for (uint64_t i = 0; i < full->elements; i++)
        scale = fmax(scale, fabs(array_number(full, i)));
    for (uint64_t i = 0; i < full->elements && numbers; i++)
        if (is_left(full, loss, i) && !same_number(full, i, got, k++, scale)) {
            fail("without unit %u, element %llu of output %zu is %.9g, not %.9g", (unsigned)unit,
                 (unsigned long long)(k - 1), which, array_number(got, k - 1),
                 array_number(full, i));
            return;
        }
}

/* True when it was possible to cut. */
static bool cut_unit(const struct opcase *full, const char *text, uint64_t seed,
                     const struct dims *dims, uint32_t unit) {
    struct losses *losses = ARENA_NEW(full->arena, struct losses);
    struct opcase narrow = {0};
    struct err err = ERR_INIT;
    bool possible = false;
    if (!losses || losses_of(full, dims, unit, losses) < 0 ||
        opcase_new(text, seed, &narrow, &err) < 0)
        abort();
    for (size_t i = 0; i < full->out_count; i++) {
        struct array left;
        if (full->out[i] && !shape_left(full->out[i], &losses->out[i], &left))
            goto out;
    }
    if (!cut_inputs(full, losses, &narrow))
        goto out;
    possible = true;
    if (fit(full, losses, &narrow, &err) < 0 || opcase_infer(&narrow, &err) < 0 ||
        op_run_node(narrow.node, (const struct array *const *)narrow.in, narrow.out, NULL, &err) <
            0) {
        fail("without unit %u: %s", (unsigned)unit, err.text);
        goto out;
    }
    bool numbers = !is_contracted(full, losses);
    counts.compared += numbers;
    for (size_t i = 0; i < full->out_count; i++)
        if (full->out[i])
            compare(full->out[i], &losses->out[i], narrow.out[i], i, numbers, unit);
out:
    opcase_free(&narrow);
    return possible;
}

/* ---- a case, a row ---- */

static int trace(struct opcase *c, struct dims **ret, struct err *err) {
    struct binding bindings[MAX_PORTS];
    struct dims_options options = {.open_ends = true};
    struct fact *facts;
    size_t count = 0;
    for (size_t i = 0; i < c->in_count; i++)
        if (c->in[i] && c->node->in[i]->kind == VALUE_INPUT)
            bindings[count++] = (struct binding){c->node->in[i], {.type = type_of_array(c->in[i])}};
    return infer_graph(c->graph, bindings, count, c->arena, &facts, err) < 0 ||
                   dims_trace(c->graph, facts, &options, c->arena, ret, err) < 0
               ? -1
               : 0;
}

static void check_case(const char *text) {
    struct opcase c = {0};
    struct err err = ERR_INIT;
    struct dims *dims = NULL;
    uint64_t seed = ++counts.cases;
    unsigned cuts = 0;
    current = text;
    if (opcase_run(text, seed, &c, &err) < 0 || trace(&c, &dims, &err) < 0) {
        fail("%s", err.text);
        opcase_free(&c);
        return;
    }
    /* The first and the last unit of every group: offsets and groups show at the ends. */
    uint32_t units = dims_units(dims);
    for (uint32_t u = 0; u < units; u++)
        if (u == 0 || u + 1 == units || dims_group(dims, u) != dims_group(dims, u - 1) ||
            dims_group(dims, u) != dims_group(dims, u + 1))
            cuts += cut_unit(&c, text, seed, dims, u);
    counts.cuts += cuts;
    if (verbose)
        printf("%4u units in %u groups, %u cut  %s\n", units, dims_groups(dims), cuts, text);
    opcase_free(&c);
}

static void check_row(const struct row *row) {
    for (size_t i = 0; row->cases[i]; i++)
        check_case(row->cases[i]);
    current = row->op->op_type;
    if (counts.cuts == 0)
        fail("no case has an axis that can be cut");
}

static void run_row(const struct row *row) {
    int ends[2], status = 0;
    struct counts child = {0};
    fflush(NULL);
    if (pipe(ends) < 0)
        abort();
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        close(ends[0]);
        alarm(ROW_SECONDS);
        memset(&counts, 0, sizeof counts);
        check_row(row);
        if (write(ends[1], &counts, sizeof counts) != sizeof counts)
            abort();
        exit(0); /* not _exit(): leaks are looked for */
    }
    close(ends[1]);
    bool told = read(ends[0], &child, sizeof child) == sizeof child;
    close(ends[0]);
    waitpid(pid, &status, 0);
    counts.cases += child.cases;
    counts.cuts += child.cuts;
    counts.compared += child.compared;
    counts.failures += child.failures;
    current = row->op->op_type;
    if (!told || status != 0)
        fail("its process ended with status 0x%x", (unsigned)status);
}

int main(int argc, char **argv) {
    unsigned count = 0, without = 0;
    if (argc > 1 && strcmp(argv[1], "-v") == 0) {
        verbose = true;
        argc--, argv++;
    }
    for (size_t i = 0; i < ROWS; i++) {
        bool wanted = argc == 1;
        for (int a = 1; a < argc; a++)
            wanted = wanted || strcmp(argv[a], rows[i].op->op_type) == 0;
        if (!wanted || !rows[i].op->forward)
            continue;
        if (rows[i].op->dims) {
            run_row(&rows[i]);
            count++;
        } else {
            without++;
        }
    }
    printf("%u rows, %u cases, %u cuts, %u of them compared, %u failures; %u rows are never cut\n",
           count, counts.cases, counts.cuts, counts.compared, counts.failures, without);
    return counts.failures || counts.cuts == 0;
}
