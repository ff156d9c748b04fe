/*
 * The order of nodes and the proof that a graph is whole.
 *
 * Sorting is Kahn's algorithm with a queue ordered by the present position, so a graph that is in
 * order stays as it is. A body depends on what its VALUE_OUTERs name: those count as inputs of the
 * node that has the body.
 */
#include "compress/graph/graph.h"

#include "compress/base/arena.h"
#include "compress/graph/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Calls visit for every value of `graph` that the node reads, through bodies too. */
static int each_input(const struct graph *graph, const struct node *node,
                      int (*visit)(void *self, struct value *value), void *self) {
    for (size_t i = 0; i < node->in_count; i++)
        if (node->in[i] && visit(self, node->in[i]) < 0)
            return -1;
    for (size_t a = 0; a < node->attr_count; a++) {
        if (node->attrs[a].kind != ATTR_GRAPH)
            continue;
        const struct graph *body = node->attrs[a].body;
        for (size_t v = 0; v < body->value_count; v++) {
            struct value *outer = body->values[v];
            /* The body's own parent is this graph, so its outer values are ours; deeper bodies
             * reach us through it (graph_resolve makes an outer value at every level). */
            if (outer->kind == VALUE_OUTER && !outer->dead && visit(self, outer->outer) < 0)
                return -1;
        }
    }
    return 0;
}

struct sorting {
    struct node **ready; /* a heap by position */
    size_t ready_count;
    uint32_t *missing; /* by node id: inputs that are not made yet */
    uint32_t *position;
};

static void push(struct sorting *s, struct node *node) {
    size_t i = s->ready_count++;
    for (; i > 0; i = (i - 1) / 2) {
        struct node *up = s->ready[(i - 1) / 2];
        if (s->position[up->id] <= s->position[node->id])
            break;
        s->ready[i] = up;
    }
    s->ready[i] = node;
}

static struct node *pop(struct sorting *s) {
    struct node *top = s->ready[0], *last = s->ready[--s->ready_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->ready_count)
            break;
        if (child + 1 < s->ready_count &&
            s->position[s->ready[child + 1]->id] < s->position[s->ready[child]->id])
            child++;
        if (s->position[last->id] <= s->position[s->ready[child]->id])
            break;
        s->ready[i] = s->ready[child];
        i = child;
    }
    s->ready[i] = last;
    return top;
}

static int count_missing(void *self, struct value *value) {
    if (value->producer)
        ++*(uint32_t *)self;
    return 0;
}

/* What a node's bodies read of the graph, as edges: (producer's id → reader). */
struct extra {
    uint32_t from;
    struct node *to;
};

struct extras {
    struct extra *list; /* sorted by `from` */
    size_t count, capacity;
    struct arena *arena;
    struct node *reader;
};

static int note_extra(void *self, struct value *value) {
    struct extras *x = self;
    if (!value->producer)
        return 0;
    struct extra *list = arena_grow(x->arena, x->list, &x->capacity, x->count + 1, sizeof *list);
    if (!list)
        return -1;
    x->list = list;
    list[x->count++] = (struct extra){value->producer->id, x->reader};
    return 0;
}

static int by_from(const void *a, const void *b) {
    const struct extra *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

static void made(struct sorting *s, struct node *reader) {
    if (--s->missing[reader->id] == 0)
        push(s, reader);
}

static int sort(struct graph *graph, struct arena *scratch, struct err *err) {
    struct sorting s = {
        .ready = ARENA_ARRAY(scratch, struct node *, graph->node_count + 1),
        .missing = ARENA_ARRAY(scratch, uint32_t, graph->next_node_id + 1),
        .position = ARENA_ARRAY(scratch, uint32_t, graph->next_node_id + 1),
    };
    struct extras extras = {.arena = scratch};
    struct node **order = ARENA_ARRAY(scratch, struct node *, graph->node_count + 1);
    if (!s.ready || !s.missing || !s.position || !order)
        return err_set(err, ERR_NO_MEMORY, "no memory to sort the graph");
    uint32_t position = 0;
    GRAPH_NODES(graph, node) {
        s.position[node->id] = position++;
        size_t direct = 0;
        each_input(graph, node, count_missing, &s.missing[node->id]);
        for (size_t i = 0; i < node->in_count; i++)
            direct += node->in[i] && node->in[i]->producer;
        if (s.missing[node->id] > direct) { /* bodies read something */
            struct node bodies = *node;
            bodies.in_count = 0;
            extras.reader = node;
            if (each_input(graph, &bodies, note_extra, &extras) < 0)
                return err_set(err, ERR_NO_MEMORY, "no memory to sort the graph");
        }
    }
    if (extras.count)
        qsort(extras.list, extras.count, sizeof *extras.list, by_from);
    GRAPH_NODES(graph, node) {
        if (s.missing[node->id] == 0)
            push(&s, node);
    }
    size_t done = 0;
    while (s.ready_count > 0) {
        struct node *node = pop(&s);
        order[done++] = node;
        for (size_t o = 0; o < node->out_count; o++)
            for (size_t u = 0; node->out[o] && u < node->out[o]->use_count; u++)
                made(&s, node->out[o]->uses[u].node);
        size_t low = 0, high = extras.count;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (extras.list[middle].from < node->id)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < extras.count && extras.list[low].from == node->id; low++)
            made(&s, extras.list[low].to);
    }
    if (done < graph->node_count) {
        char text[256];
        GRAPH_NODES(graph, node) {
            if (s.missing[node->id])
                return err_set(err, ERR_BAD_MODEL, "the graph has a cycle through %s",
                               node_describe(node, text, sizeof text));
        }
    }
    graph->first = graph->last = NULL;
    for (size_t i = 0; i < done; i++) {
        order[i]->prev = i ? order[i - 1] : NULL;
        order[i]->next = i + 1 < done ? order[i + 1] : NULL;
    }
    graph->first = done ? order[0] : NULL;
    graph->last = done ? order[done - 1] : NULL;
    return 0;
}

int graph_sort(struct graph *graph, struct err *err) {
    struct arena *scratch = arena_new(LIMIT_MODEL_ARENA_BYTES);
    if (!scratch)
        return err_set(err, ERR_NO_MEMORY, "no memory to sort the graph");
    int result = sort(graph, scratch, err);
    arena_free(scratch);
    return result;
}

/* ---- the proof ---- */

struct checking {
    const struct graph *graph;
    const struct node *node;
    const uint8_t *ready; /* by value id: made by what stands before */
    struct err *err;
};

static int fail(const struct checking *c, const struct value *value, const char *what) {
    char text[256];
    return err_set(c->err, ERR_BAD_MODEL, "%s: %s%s%s%s",
                   c->node ? node_describe(c->node, text, sizeof text) : "the graph",
                   value ? "'" : "", value ? value->name : "", value ? "' " : "", what);
}

static int check_input(void *self, struct value *value) {
    const struct checking *c = self;
    const struct graph *graph = c->graph;
    if (value->dead)
        return fail(c, value, "was removed and is still read");
    if (value->id >= graph->value_count || graph->values[value->id] != value)
        return fail(c, value, "belongs to another graph");
    if (value->kind == VALUE_NODE && !value->producer)
        return fail(c, value, "is made by nothing");
    if (value->producer && !c->ready[value->id])
        return fail(c, value, "is read before it is made");
    return 0;
}

static bool has_use(const struct value *value, const struct node *node, size_t slot) {
    for (size_t i = 0; i < value->use_count; i++)
        if (value->uses[i].node == node && value->uses[i].slot == slot)
            return true;
    return false;
}

static int check_node(struct checking *c, uint8_t *ready) {
    const struct node *node = c->node;
    const struct op *op = node->op;
    if (!op && !node->why_not)
        return fail(c, NULL, "has no operator and no reason");
    if (op && (node->in_count < op->min_in || node->in_count > op->max_in ||
               node->out_count < op->min_out || node->out_count > op->max_out))
        return fail(c, NULL, "has a number of inputs or outputs that its operator does not take");
    for (size_t i = 0; op && i < op->min_in && op->max_in != OP_MANY; i++)
        if (!node->in[i])
            return fail(c, NULL, "lacks an input that its operator needs");
    if (each_input(c->graph, node, check_input, c) < 0)
        return -1;
    for (size_t i = 0; i < node->in_count; i++)
        if (node->in[i] && node->in[i]->use_count < 64 && !has_use(node->in[i], node, i))
            return fail(c, node->in[i], "does not know that it is read here");
    for (size_t i = 0; i < node->out_count; i++) {
        const struct value *value = node->out[i];
        if (!value)
            continue;
        if (value->dead || value->kind != VALUE_NODE || value->producer != node ||
            value->producer_slot != i)
            return fail(c, value, "is not made where it says");
        ready[value->id] = 1;
    }
    return 0;
}

static int verify(const struct graph *graph, unsigned depth, struct err *err) {
    struct checking c = {.graph = graph, .err = err};
    if (depth > LIMIT_GRAPH_DEPTH)
        return err_set(err, ERR_TOO_LARGE, "bodies are nested deeper than %d", LIMIT_GRAPH_DEPTH);
    uint8_t *ready = calloc(graph->value_count + 1, 1);
    if (!ready)
        return err_set(err, ERR_NO_MEMORY, "no memory to verify the graph");
    c.ready = ready;
    int result = 0;
    size_t nodes = 0;
    for (const struct node *node = graph->first; node && result == 0; node = node->next) {
        c.node = node;
        nodes++;
        if (node->dead || node->graph != graph || (node->next && node->next->prev != node))
            result = fail(&c, NULL, "stands in a list that it does not belong to");
        else
            result = check_node(&c, ready);
        for (size_t a = 0; a < node->attr_count && result == 0; a++)
            if (node->attrs[a].kind == ATTR_GRAPH) {
                result = verify(node->attrs[a].body, depth + 1, err);
                char text[256];
                if (result < 0)
                    err_context(err, "in the body '%s' of %s", node->attrs[a].name,
                                node_describe(node, text, sizeof text));
            }
    }
    c.node = NULL;
    if (result == 0 && nodes != graph->node_count)
        result = fail(&c, NULL, "does not know how many nodes it has");
    for (size_t i = 0; i < graph->output_count && result == 0; i++)
        if (graph->outputs[i]->producer || graph->outputs[i]->kind == VALUE_NODE ||
            graph->outputs[i]->dead)
            result = check_input(&c, graph->outputs[i]);
    free(ready);
    return result;
}

int graph_verify(const struct graph *graph, struct err *err) {
    return verify(graph, 0, err);
}
