/*
 * Elements, ties, units. See dims.h.
 *
 * Elements are numbered value by value, axis by axis. Union-find with path halving and the smaller
 * root winning, so the result does not depend on the order of nodes' relations. Element 0 is
 * "fixed": what is fixed is tied to it.
 */
#include "compress/graph/dims.h"

#include "compress/base/arena.h"
#include "compress/graph/relate.h"

#include <stdlib.h>
#include <string.h>

enum { FIXED = 0 };

struct dims {
    const struct graph *graph;
    struct arena *arena;
    uint32_t *first;  /* by value id * LIMIT_RANK + axis: its element 0; 0 = not there */
    uint32_t *sizes;  /* the same: how many */
    uint32_t *parent; /* by element */
    uint32_t element_count;
    uint32_t *unit_of_root; /* by element; valid for roots */
    uint32_t unit_count;
    struct dims_member *members; /* sorted by unit */
    size_t *unit_start;          /* unit_count + 1 */
    uint32_t *group_of_unit;
    uint32_t group_count;
};

struct deferred {
    const struct node *node;
    const struct relation *relation;
};

struct tracing {
    struct dims *dims;
    const struct fact *facts;
    struct deferred *deferred;
    size_t deferred_count, deferred_capacity;
    struct err *err;
};

static uint32_t find(struct dims *dims, uint32_t e) {
    while (dims->parent[e] != e)
        e = dims->parent[e] = dims->parent[dims->parent[e]];
    return e;
}

static void unite(struct dims *dims, uint32_t a, uint32_t b) {
    a = find(dims, a);
    b = find(dims, b);
    if (a < b)
        dims->parent[b] = a;
    else
        dims->parent[a] = b;
}

static size_t slot_of(const struct value *value, unsigned axis) {
    return (size_t)value->id * LIMIT_RANK + axis;
}

static const struct value *value_at(const struct node *node, struct axis a) {
    return a.output ? node->out[a.slot] : node->in[a.slot];
}

static size_t slot_at(const struct node *node, struct axis a) {
    return slot_of(value_at(node, a), a.axis);
}

static void fix_axis(struct dims *dims, size_t slot) {
    for (uint32_t i = 0; i < dims->sizes[slot]; i++)
        unite(dims, FIXED, dims->first[slot] + i);
}

static void fix_value(struct dims *dims, const struct value *value) {
    for (unsigned d = 0; d < LIMIT_RANK; d++)
        fix_axis(dims, slot_of(value, d));
}

static bool axis_is_fixed(struct dims *dims, size_t slot) {
    for (uint32_t i = 0; i < dims->sizes[slot]; i++)
        if (find(dims, dims->first[slot] + i) == FIXED)
            return true;
    return false;
}

static void tie(struct dims *dims, const struct node *node, const struct relation *r) {
    size_t a = slot_at(node, r->a), b = slot_at(node, r->b);
    for (uint32_t i = 0; i < dims->sizes[a]; i++) {
        uint64_t j = i / r->div;
        j = (r->mod ? j % r->mod : j) * r->mul + r->offset;
        if (j < dims->sizes[b])
            unite(dims, dims->first[a] + i, dims->first[b] + (uint32_t)j);
    }
}

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "no memory to trace dimensions");
}

/* Shapes of the node's values, without data; false when one is unknown. */
static bool shapes_of(const struct tracing *t, const struct node *node, struct arena *arena,
                      struct op_run *ret) {
    const struct array **in = ARENA_ARRAY(arena, const struct array *, node->in_count + 1);
    struct array **out = ARENA_ARRAY(arena, struct array *, node->out_count + 1);
    struct array *shapes = ARENA_ARRAY(arena, struct array, node->in_count + node->out_count + 1);
    if (!in || !out || !shapes)
        return false;
    for (size_t i = 0; i < node->in_count; i++)
        if (node->in[i]) {
            const struct fact *fact = &t->facts[node->in[i]->id];
            if (!type_to_array(&fact->type, shapes))
                return false;
            if (fact->data) /* axes, shapes: what an attribute was in older versions */
                shapes->data = fact->data->data;
            in[i] = shapes++;
        }
    for (size_t i = 0; i < node->out_count; i++)
        if (node->out[i]) {
            if (!type_to_array(&t->facts[node->out[i]->id].type, shapes))
                return false;
            out[i] = shapes++;
        }
    *ret = (struct op_run){.node = node, .in = in, .out = out};
    return true;
}

static void fix_node(struct dims *dims, const struct node *node) {
    for (size_t i = 0; i < node->in_count; i++)
        if (node->in[i])
            fix_value(dims, node->in[i]);
    for (size_t i = 0; i < node->out_count; i++)
        if (node->out[i])
            fix_value(dims, node->out[i]);
    for (size_t a = 0; a < node->attr_count; a++) {
        if (node->attrs[a].kind != ATTR_GRAPH)
            continue;
        const struct graph *body = node->attrs[a].body;
        for (size_t v = 0; v < body->value_count; v++)
            if (body->values[v]->kind == VALUE_OUTER)
                fix_value(dims, body->values[v]->outer);
    }
}

static int defer(struct tracing *t, const struct node *node, const struct relation *relation) {
    struct deferred *list = arena_grow(t->dims->arena, t->deferred, &t->deferred_capacity,
                                       t->deferred_count + 1, sizeof *list);
    if (!list)
        return no_memory(t->err);
    t->deferred = list;
    list[t->deferred_count++] = (struct deferred){node, relation};
    return 0;
}

static int trace_node(struct tracing *t, const struct node *node) {
    struct dims *dims = t->dims;
    struct op_run shapes;
    if (!node->op || !node->op->dims || !shapes_of(t, node, dims->arena, &shapes)) {
        fix_node(dims, node);
        return 0;
    }
    struct relations relations = {.shapes = &shapes, .arena = dims->arena};
    if (node->op->dims(&relations, &shapes) < 0)
        return no_memory(t->err);
    for (size_t i = 0; i < relations.count; i++) {
        const struct relation *r = &relations.list[i];
        switch (r->kind) {
        case RELATION_TIE:
            tie(dims, node, r);
            break;
        case RELATION_FIXED:
            fix_axis(dims, slot_at(node, r->a));
            break;
        case RELATION_FACTORED:
            if (defer(t, node, r) < 0)
                return -1;
            break;
        }
    }
    return 0;
}

/* Ties each factored axis to its outermost factor that is free. Settling one may fix an axis that
 * another was tied to; fixing only ever grows, and ties to what became fixed stay right (both are
 * fixed then), so one pass in node order and a last look at what is left are enough. */
static void settle_factored(struct tracing *t) {
    struct dims *dims = t->dims;
    for (size_t i = 0; i < t->deferred_count; i++) {
        const struct relation *r = t->deferred[i].relation;
        const struct node *node = t->deferred[i].node;
        size_t whole = slot_at(node, r->a);
        unsigned chosen = r->factor_count;
        uint64_t inner = dims->sizes[whole];
        for (unsigned f = 0; f < r->factor_count; f++) {
            size_t factor = slot_at(node, r->factors[f]);
            uint64_t size = dims->sizes[factor];
            inner = size ? inner / size : 0;
            if (chosen == r->factor_count && !axis_is_fixed(dims, whole) &&
                !axis_is_fixed(dims, factor) && inner) {
                chosen = f;
                tie(dims, node,
                    &(struct relation){
                        .a = r->a, .b = r->factors[f], .div = inner, .mod = size, .mul = 1});
            }
        }
        for (unsigned f = 0; f < r->factor_count; f++)
            if (f != chosen)
                fix_axis(dims, slot_at(node, r->factors[f]));
        if (chosen == r->factor_count)
            fix_axis(dims, whole);
    }
}

/* An axis never loses its last index: one of size 1 is fixed from the start, so is in the end a
 * unit that holds all of an axis. */
static void fix_single(struct dims *dims) {
    for (size_t slot = 0; slot < dims->graph->value_count * LIMIT_RANK; slot++)
        if (dims->sizes[slot] == 1)
            fix_axis(dims, slot);
}

static void fix_whole(struct dims *dims) {
    for (size_t slot = 0; slot < dims->graph->value_count * LIMIT_RANK; slot++) {
        uint32_t first = dims->first[slot], i = 1;
        while (i < dims->sizes[slot] && find(dims, first + i) == find(dims, first))
            i++;
        if (dims->sizes[slot] && i >= dims->sizes[slot])
            unite(dims, FIXED, first);
    }
}

/* ---- numbering ---- */

static int number_elements(struct tracing *t) {
    struct dims *dims = t->dims;
    const struct graph *graph = dims->graph;
    uint64_t count = 1;
    for (size_t v = 0; v < graph->value_count; v++) {
        struct array shape;
        if (graph->values[v]->dead || !type_to_array(&t->facts[v].type, &shape))
            continue;
        for (unsigned d = 0; d < shape.rank; d++) {
            size_t slot = v * LIMIT_RANK + d;
            if (shape.dims[d] > INT32_MAX || count + shape.dims[d] > INT32_MAX)
                return err_set(t->err, ERR_TOO_LARGE,
                               "the axes of the graph have more than 2^31 indices");
            dims->first[slot] = (uint32_t)count;
            dims->sizes[slot] = (uint32_t)shape.dims[d];
            count += shape.dims[d];
        }
    }
    dims->element_count = (uint32_t)count;
    dims->parent = ARENA_ARRAY(dims->arena, uint32_t, count);
    dims->unit_of_root = ARENA_ARRAY(dims->arena, uint32_t, count);
    if (!dims->parent || !dims->unit_of_root)
        return no_memory(t->err);
    for (uint32_t e = 0; e < dims->element_count; e++)
        dims->parent[e] = e;
    return 0;
}

/* Units are of one group when their first members lie on one axis. */
static int number_units(struct tracing *t) {
    struct dims *dims = t->dims;
    const struct graph *graph = dims->graph;
    size_t member_count = 0;
    /* Roots are the smallest elements, so units come in order of value, axis, index, and those of
     * one axis are consecutive. */
    for (uint32_t e = 1; e < dims->element_count; e++) {
        if (find(dims, e) == FIXED)
            continue;
        member_count++;
        if (find(dims, e) == e)
            dims->unit_of_root[e] = dims->unit_count++;
    }
    dims->members = ARENA_ARRAY(dims->arena, struct dims_member, member_count + 1);
    dims->unit_start = ARENA_ARRAY(dims->arena, size_t, (size_t)dims->unit_count + 1);
    dims->group_of_unit = ARENA_ARRAY(dims->arena, uint32_t, (size_t)dims->unit_count + 1);
    size_t *next = ARENA_ARRAY(dims->arena, size_t, (size_t)dims->unit_count + 1);
    if (!dims->members || !dims->unit_start || !dims->group_of_unit || !next)
        return no_memory(t->err);
    for (uint32_t e = 1; e < dims->element_count; e++)
        if (find(dims, e) != FIXED)
            dims->unit_start[dims->unit_of_root[find(dims, e)] + 1]++;
    for (uint32_t u = 0; u < dims->unit_count; u++)
        next[u] = dims->unit_start[u + 1] += dims->unit_start[u];
    for (uint32_t u = dims->unit_count; u-- > 0;)
        next[u] = dims->unit_start[u];
    size_t last_slot = SIZE_MAX;
    for (size_t slot = 0; slot < graph->value_count * LIMIT_RANK; slot++)
        for (uint32_t i = 0; i < dims->sizes[slot]; i++) {
            uint32_t e = dims->first[slot] + i, root = find(dims, e);
            if (root == FIXED)
                continue;
            uint32_t unit = dims->unit_of_root[root];
            dims->members[next[unit]++] = (struct dims_member){graph->values[slot / LIMIT_RANK],
                                                               (unsigned)(slot % LIMIT_RANK), i};
            if (root == e) {
                if (slot != last_slot)
                    dims->group_count++;
                last_slot = slot;
                dims->group_of_unit[unit] = dims->group_count - 1;
            }
        }
    return 0;
}

int dims_trace(const struct graph *graph, const struct fact *facts,
               const struct dims_options *options, struct arena *arena, struct dims **ret,
               struct err *err) {
    struct dims *dims = ARENA_NEW(arena, struct dims);
    struct tracing t = {.dims = dims, .facts = facts, .err = err};
    if (!dims)
        return no_memory(err);
    dims->graph = graph;
    dims->arena = arena;
    dims->first = ARENA_ARRAY(arena, uint32_t, graph->value_count * LIMIT_RANK + 1);
    dims->sizes = ARENA_ARRAY(arena, uint32_t, graph->value_count * LIMIT_RANK + 1);
    if (!dims->first || !dims->sizes)
        return no_memory(err);
    if (number_elements(&t) < 0)
        return -1;
    fix_single(dims);
    bool open_ends = options && options->open_ends;
    for (size_t i = 0; i < graph->input_count && !open_ends; i++)
        fix_value(dims, graph->inputs[i]);
    for (size_t i = 0; i < graph->output_count && !open_ends; i++)
        fix_value(dims, graph->outputs[i]);
    GRAPH_NODES(graph, node) {
        if (trace_node(&t, node) < 0)
            return -1;
    }
    settle_factored(&t);
    fix_whole(dims);
    if (number_units(&t) < 0)
        return -1;
    *ret = dims;
    return 0;
}

uint32_t dims_unit(const struct dims *dims, const struct value *value, unsigned axis,
                   uint64_t index) {
    size_t slot = slot_of(value, axis);
    if (axis >= LIMIT_RANK || index >= dims->sizes[slot])
        return DIMS_FIXED;
    uint32_t e = dims->first[slot] + (uint32_t)index;
    while (dims->parent[e] != e)
        e = dims->parent[e];
    return e == FIXED ? DIMS_FIXED : dims->unit_of_root[e];
}

uint32_t dims_units(const struct dims *dims) {
    return dims->unit_count;
}

const struct dims_member *dims_members(const struct dims *dims, uint32_t unit, size_t *ret_count) {
    *ret_count = dims->unit_start[unit + 1] - dims->unit_start[unit];
    return dims->members + dims->unit_start[unit];
}

uint32_t dims_groups(const struct dims *dims) {
    return dims->group_count;
}

uint32_t dims_group(const struct dims *dims, uint32_t unit) {
    return dims->group_of_unit[unit];
}
