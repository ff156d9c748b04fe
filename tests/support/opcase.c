/* See opcase.h. A recursive descent over one line; everything lands in the case's arena. */
#include "tests/support/opcase.h"

#include "compress/base/arena.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 4096, ARENA_BYTES = 256 << 20 };

struct text {
    const char *begin, *at;
    struct arena *arena;
    uint64_t state; /* of the random numbers */
    struct err *err;
};

struct number {
    double d;
    int64_t i;
    bool is_float;
};

/* ---- reading ---- */

static int bad(struct text *t, const char *what) {
    return err_set(t->err, ERR_BAD_FIELD, "%s expected at '%.40s' of \"%.200s\"", what, t->at,
                   t->begin);
}

static int no_memory(struct err *err) {
    return err_set(err, ERR_NO_MEMORY, "the case does not fit its arena");
}

static void skip(struct text *t) {
    while (*t->at == ' ' || *t->at == '\n')
        t->at++;
}

static bool accept(struct text *t, const char *token) {
    skip(t);
    size_t len = strlen(token);
    if (strncmp(t->at, token, len) != 0)
        return false;
    t->at += len;
    return true;
}

static int expect(struct text *t, const char *token) {
    return accept(t, token) ? 0 : bad(t, token);
}

static const char *word(struct text *t, const char *more) {
    skip(t);
    const char *from = t->at;
    while (isalnum((unsigned char)*t->at) || (*t->at && strchr(more, *t->at)))
        t->at++;
    return t->at == from ? NULL : arena_strndup(t->arena, from, (size_t)(t->at - from));
}

static int read_number(struct text *t, struct number *ret) {
    skip(t);
    char *end;
    ret->d = strtod(t->at, &end);
    if (end == t->at)
        return bad(t, "a number");
    size_t len = (size_t)(end - t->at);
    bool hex = memchr(t->at, 'x', len) != NULL;
    ret->is_float =
        !isfinite(ret->d) || (!hex && (memchr(t->at, '.', len) || memchr(t->at, 'e', len)));
    ret->i = ret->is_float ? 0 : strtoll(t->at, NULL, 0);
    t->at = end;
    return 0;
}

static int read_string(struct text *t, struct bytes *ret) {
    skip(t);
    char quote = *t->at;
    if (quote != '"' && quote != '\'')
        return bad(t, "a quoted text");
    const char *from = t->at + 1, *end = strchr(from, quote);
    if (!end)
        return bad(t, "a closing quote");
    char *copy = arena_strndup(t->arena, from, (size_t)(end - from));
    if (!copy)
        return no_memory(t->err);
    *ret = (struct bytes){(const uint8_t *)copy, (size_t)(end - from)};
    t->at = end + 1;
    return 0;
}

/* ---- random numbers: SplitMix64 ---- */

static uint64_t random_bits(struct text *t) {
    uint64_t z = t->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static double random_unit(struct text *t) {
    return (double)(random_bits(t) >> 11) * 0x1p-53;
}

/* ---- arrays ---- */

static int read_shape(struct text *t, enum dtype *ret_dtype, unsigned *ret_rank, uint64_t *dims) {
    const char *name = word(t, "_");
    if (!name || (*ret_dtype = dtype_by_name(name)) == DTYPE_NONE ||
        array_item_bytes(*ret_dtype) == 0)
        return bad(t, "a type of numbers");
    if (expect(t, "[") < 0)
        return -1;
    *ret_rank = 0;
    while (!accept(t, "]")) {
        struct number n;
        if (*ret_rank == LIMIT_RANK)
            return bad(t, "the end of the dimensions");
        if ((*ret_rank && expect(t, ",") < 0) || read_number(t, &n) < 0)
            return -1;
        if (n.is_float || n.i < 0)
            return bad(t, "a dimension");
        dims[(*ret_rank)++] = (uint64_t)n.i;
    }
    return 0;
}

/* {1,2,3}, one number for all, or {} of an empty array. Kept as whole numbers where all of them
 * are, so that 64 bits survive. */
static int read_contents(struct text *t, struct array *array) {
    struct number *items = ARENA_ARRAY(t->arena, struct number, MAX_ITEMS);
    if (!items)
        return no_memory(t->err);
    size_t count = 0;
    bool whole = true;
    while (!accept(t, "}")) {
        if (count == MAX_ITEMS)
            return bad(t, "the end of the contents");
        if ((count && expect(t, ",") < 0) || read_number(t, &items[count]) < 0)
            return -1;
        whole = whole && !items[count].is_float;
        count++;
    }
    if (count != array->elements && count != 1)
        return bad(t, "as many numbers as elements, or one, before this");
    struct array *wide =
        array_in_arena(t->arena, whole ? DTYPE_I64 : DTYPE_F64, array->rank, array->dims);
    if (!wide)
        return no_memory(t->err);
    for (uint64_t i = 0; i < array->elements; i++) {
        const struct number *n = &items[count == 1 ? 0 : i];
        if (whole)
            ((int64_t *)wide->data)[i] = n->i;
        else
            ((double *)wide->data)[i] = n->d;
    }
    return array_convert(wide, array, false, t->err);
}

static int fill_random(struct text *t, struct array *array) {
    bool is_float = dtype_row(array->dtype)->is_float;
    struct number lo = {.d = is_float ? -1 : 0}, hi = {.d = is_float ? 1 : 3};
    if (array->dtype == DTYPE_BOOL)
        hi.d = 1;
    if (accept(t, "~") && (expect(t, "(") < 0 || read_number(t, &lo) < 0 || expect(t, ",") < 0 ||
                           read_number(t, &hi) < 0 || expect(t, ")") < 0))
        return -1;
    struct array *wide = array_in_arena(t->arena, DTYPE_F64, array->rank, array->dims);
    if (!wide)
        return no_memory(t->err);
    for (uint64_t i = 0; i < array->elements; i++) {
        double x = random_unit(t);
        ((double *)wide->data)[i] =
            is_float ? lo.d + (hi.d - lo.d) * x : floor(lo.d + (hi.d - lo.d + 1) * x);
    }
    return array_convert(wide, array, false, t->err);
}

static int read_array(struct text *t, struct array **ret, bool *ret_known) {
    enum dtype dtype = DTYPE_NONE;
    unsigned rank = 0;
    uint64_t dims[LIMIT_RANK];
    if (read_shape(t, &dtype, &rank, dims) < 0)
        return -1;
    struct array *array = array_in_arena(t->arena, dtype, rank, dims);
    if (!array)
        return no_memory(t->err);
    *ret = array;
    *ret_known = accept(t, "{");
    return *ret_known ? read_contents(t, array) : fill_random(t, array);
}

/* ---- attributes ---- */

static int read_string_list(struct text *t, struct attr *attr) {
    struct bytes *strings = ARENA_ARRAY(t->arena, struct bytes, MAX_ITEMS);
    if (!strings)
        return no_memory(t->err);
    attr->kind = ATTR_STRINGS;
    attr->strings = strings;
    do {
        if (attr->count == MAX_ITEMS || read_string(t, &strings[attr->count++]) < 0)
            return bad(t, "a text");
    } while (accept(t, ","));
    return expect(t, "]");
}

static int read_number_list(struct text *t, struct attr *attr) {
    int64_t *ints = ARENA_ARRAY(t->arena, int64_t, MAX_ITEMS);
    float *floats = ARENA_ARRAY(t->arena, float, MAX_ITEMS);
    if (!ints || !floats)
        return no_memory(t->err);
    attr->kind = ATTR_INTS;
    while (!accept(t, "]")) {
        struct number n;
        if (attr->count == MAX_ITEMS)
            return bad(t, "the end of the list");
        if ((attr->count && expect(t, ",") < 0) || read_number(t, &n) < 0)
            return -1;
        if (n.is_float)
            attr->kind = ATTR_FLOATS;
        ints[attr->count] = n.i;
        floats[attr->count++] = (float)n.d;
    }
    if (attr->kind == ATTR_INTS)
        attr->ints = ints;
    else
        attr->floats = floats;
    return 0;
}

static int read_attr(struct text *t, struct attr *attr) {
    attr->name = word(t, "_");
    if (!attr->name)
        return bad(t, "an attribute");
    if (expect(t, "=") < 0)
        return -1;
    skip(t);
    if (*t->at == '"' || *t->at == '\'') {
        attr->kind = ATTR_STRING;
        return read_string(t, &attr->s);
    }
    if (accept(t, "[")) {
        skip(t);
        return *t->at == '"' || *t->at == '\'' ? read_string_list(t, attr)
                                               : read_number_list(t, attr);
    }
    if (isalpha((unsigned char)*t->at) && strncmp(t->at, "inf", 3) != 0 &&
        strncmp(t->at, "nan", 3) != 0) {
        bool known;
        struct array *tensor = NULL;
        attr->kind = ATTR_TENSOR;
        if (read_array(t, &tensor, &known) < 0)
            return -1;
        attr->tensor = tensor;
        return 0;
    }
    struct number n;
    if (read_number(t, &n) < 0)
        return -1;
    attr->kind = n.is_float ? ATTR_FLOAT : ATTR_INT;
    if (n.is_float)
        attr->f = (float)n.d;
    else
        attr->i = n.i;
    return 0;
}

/* ---- the case ---- */

enum { MAX_PORTS = 64 };

struct parts {
    struct node_spec spec;
    struct attr attrs[MAX_PORTS];
    struct value *in[MAX_PORTS], *out[MAX_PORTS];
    struct array *arrays[MAX_PORTS];
    bool known[MAX_PORTS];
};

static int read_operator(struct text *t, struct parts *p) {
    const char *name = word(t, "._");
    p->spec.domain = "";
    if (name && accept(t, "::")) {
        p->spec.domain = name;
        name = word(t, "_");
    }
    if (!name)
        return bad(t, "an operator");
    p->spec.op_type = name;
    p->spec.version = *p->spec.domain ? 1 : OP_ONNX_VERSION;
    if (accept(t, "@")) {
        struct number n;
        if (read_number(t, &n) < 0)
            return -1;
        p->spec.version = n.i;
    }
    if (*t->at != '(')
        return 0;
    t->at++;
    while (!accept(t, ")")) {
        if (p->spec.attr_count == MAX_PORTS)
            return bad(t, "the end of the attributes");
        if ((p->spec.attr_count && expect(t, ",") < 0) ||
            read_attr(t, &p->attrs[p->spec.attr_count++]) < 0)
            return -1;
    }
    return 0;
}

static int read_input(struct text *t, struct graph *graph, struct parts *p) {
    size_t i = p->spec.in_count;
    if (i == MAX_PORTS)
        return bad(t, "the end of the inputs");
    p->spec.in_count++;
    if (accept(t, "-"))
        return 0;
    const char *name = NULL, *from = t->at;
    word(t, "_");
    if (*t->at == ':')
        name = arena_strndup(t->arena, from, (size_t)(t->at++ - from));
    else
        t->at = from;
    if (!name)
        name = arena_printf(t->arena, "in%zu", i);
    if (!name)
        return no_memory(t->err);
    if (read_array(t, &p->arrays[i], &p->known[i]) < 0)
        return -1;
    if (p->known[i])
        return graph_add_constant(graph, name, p->arrays[i], &p->in[i], t->err);
    struct type type = type_of_array(p->arrays[i]);
    return graph_add_input(graph, name, &type, &p->in[i], t->err);
}

/* -> 2, or -> 1,-,1 */
static int read_outputs(struct text *t, struct graph *graph, struct parts *p) {
    bool wanted[MAX_PORTS] = {true};
    size_t count = 1;
    if (accept(t, "->")) {
        struct number n = {0};
        const char *from = t->at;
        if (!accept(t, "-") && read_number(t, &n) < 0)
            return -1;
        skip(t);
        if (*t->at == ',') {
            count = 0;
            t->at = from;
            do {
                if (count == MAX_PORTS)
                    return bad(t, "the end of the outputs");
                wanted[count] = !accept(t, "-");
                if (wanted[count++] && read_number(t, &n) < 0)
                    return -1;
            } while (accept(t, ","));
        } else {
            if (n.i < 1 || n.i > MAX_PORTS)
                return bad(t, "a number of outputs");
            count = (size_t)n.i;
            for (size_t i = 0; i < count; i++)
                wanted[i] = true;
        }
    }
    p->spec.out_count = count;
    for (size_t i = 0; i < count; i++) {
        const char *name = arena_printf(t->arena, "out%zu", i);
        if (wanted[i] && (graph_add_value(graph, name, &p->out[i], t->err) < 0 ||
                          graph_add_output(graph, p->out[i], t->err) < 0))
            return -1;
    }
    return 0;
}

int opcase_new(const char *text, uint64_t seed, struct opcase *ret, struct err *err) {
    struct opcase c = {.arena = arena_new(ARENA_BYTES)};
    struct text t = {text, text, c.arena, seed, err};
    struct parts *p = c.arena ? ARENA_NEW(c.arena, struct parts) : NULL;
    c.graph = p ? graph_new(c.arena, NULL) : NULL;
    if (!c.graph) {
        no_memory(err);
        goto fail;
    }
    if (read_operator(&t, p) < 0)
        goto fail;
    for (skip(&t); *t.at && strncmp(t.at, "->", 2) != 0; skip(&t))
        if (read_input(&t, c.graph, p) < 0)
            goto fail;
    if (read_outputs(&t, c.graph, p) < 0)
        goto fail;
    skip(&t);
    if (*t.at) {
        bad(&t, "the end");
        goto fail;
    }
    p->spec.attrs = p->attrs;
    p->spec.in = p->in;
    p->spec.out = p->out;
    if (graph_add_node(c.graph, NULL, &p->spec, &c.node, err) < 0)
        goto fail;
    c.in_count = p->spec.in_count;
    c.out_count = p->spec.out_count;
    c.in = p->arrays;
    c.in_known = p->known;
    *ret = c;
    return 0;
fail:
    arena_free(c.arena);
    return -1;
}

static void free_outputs(struct opcase *c) {
    for (size_t i = 0; c->out && i < c->out_count; i++)
        array_free(c->out[i]);
    c->out = NULL;
}

void opcase_free(struct opcase *c) {
    if (!c->arena)
        return;
    free_outputs(c);
    arena_free(c->arena);
    *c = (struct opcase){0};
}

/* A fresh symbol for a size. */
static int hide(struct opcase *c, struct dim *dim, struct err *err) {
    uint32_t symbol = symbols_get(c->graph->symbols, NULL);
    int64_t *sizes = arena_grow(c->arena, c->sizes, &c->size_capacity, symbol + 1, sizeof *sizes);
    if (!symbol || !sizes)
        return no_memory(err);
    while (c->size_count < symbol)
        sizes[c->size_count++] = -1;
    sizes[c->size_count++] = dim->size;
    c->sizes = sizes;
    *dim = (struct dim){-1, symbol};
    return 0;
}

int64_t opcase_size(const struct opcase *c, uint32_t symbol) {
    return symbol < c->size_count ? c->sizes[symbol] : -1;
}

static int tell(struct opcase *c, size_t i, enum opcase_telling telling, struct fact *ret,
                struct err *err) {
    *ret = (struct fact){.type = type_of_array(c->in[i])};
    switch (telling) {
    case OPCASE_SHAPES:
        ret->data = c->in_known[i] ? c->in[i] : NULL;
        break;
    case OPCASE_CONTENTS:
        ret->data = c->in[i];
        break;
    case OPCASE_SYMBOLS:
        for (unsigned d = 0; d < ret->type.rank; d++)
            if (hide(c, &ret->type.dims[d], err) < 0)
                return -1;
        break;
    case OPCASE_NOTHING:
        ret->type.ranked = false;
        break;
    }
    return 0;
}

int opcase_facts(struct opcase *c, enum opcase_telling telling, struct fact **ret,
                 struct err *err) {
    struct fact *facts = ARENA_ARRAY(c->arena, struct fact, c->in_count + c->out_count + 1);
    const struct fact **in = ARENA_ARRAY(c->arena, const struct fact *, c->in_count + 1);
    if (!facts || !in)
        return no_memory(err);
    struct fact *out = facts + c->in_count;
    for (size_t i = 0; i < c->in_count; i++) {
        if (!c->in[i])
            continue;
        if (tell(c, i, telling, &facts[i], err) < 0)
            return -1;
        in[i] = &facts[i];
    }
    struct op_infer infer = {c->node, c->graph->symbols, c->arena, in, out};
    if (op_infer_node(&infer, err) < 0)
        return -1;
    *ret = out;
    return 0;
}

/* Arrays for the outputs, if everything about their types is known. */
static int make_outputs(struct opcase *c, const struct fact *facts, struct err *err) {
    c->out = ARENA_ARRAY(c->arena, struct array *, c->out_count);
    if (!c->out)
        return no_memory(err);
    for (size_t i = 0; i < c->out_count; i++) {
        struct array shape;
        char text[128];
        if (!c->node->out[i])
            continue;
        if (!type_to_array(&facts[i].type, &shape) || shape.dtype == DTYPE_NONE)
            return err_set(err, ERR_BAD_MODEL, "output %zu is not known: %s", i,
                           type_describe(&facts[i].type, c->graph->symbols, text, sizeof text));
        c->out[i] = array_new(shape.dtype, shape.rank, shape.dims);
        if (!c->out[i])
            return no_memory(err);
    }
    return 0;
}

int opcase_infer(struct opcase *c, struct err *err) {
    struct fact *facts;
    struct err first = ERR_INIT;
    free_outputs(c);
    if (!c->node->op)
        return err_set(err, ERR_UNSUPPORTED, "%s cannot be run: %s", c->node->op_type,
                       c->node->why_not ? c->node->why_not : "no reason given");
    if (opcase_facts(c, OPCASE_SHAPES, &facts, err) < 0)
        return -1;
    if (make_outputs(c, facts, &first) == 0)
        return 0;
    free_outputs(c);
    if (opcase_facts(c, OPCASE_CONTENTS, &facts, err) < 0)
        return -1;
    return make_outputs(c, facts, err);
}

int opcase_run(const char *text, uint64_t seed, struct opcase *ret, struct err *err) {
    struct opcase c;
    if (opcase_new(text, seed, &c, err) < 0)
        return -1;
    if (opcase_infer(&c, err) < 0 ||
        op_run_node(c.node, (const struct array *const *)c.in, c.out, NULL, err) < 0) {
        opcase_free(&c);
        return -1;
    }
    *ret = c;
    return 0;
}
