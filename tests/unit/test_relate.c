/* Relations of one node: what a reshape says of axes, and what broadcasting does. */
#include "compress/graph/relate.h"

#include "compress/base/arena.h"
#include "tests/support/check.h"

#include <stdio.h>

struct fixture {
    struct arena *arena;
    struct array in[2], out;
    const struct array *ins[2];
    struct array *outs[1];
    struct node node;
    struct op_run shapes;
    struct relations relations;
};

static void start(struct fixture *f, size_t in_count) {
    f->arena = arena_new(1 << 20);
    f->ins[0] = &f->in[0], f->ins[1] = &f->in[1], f->outs[0] = &f->out;
    f->node = (struct node){.op_type = "T", .domain = "", .in_count = in_count, .out_count = 1};
    f->shapes = (struct op_run){.node = &f->node, .in = f->ins, .out = f->outs};
    f->relations = (struct relations){.shapes = &f->shapes, .arena = f->arena};
}

static struct array shape(unsigned rank, const uint64_t *dims) {
    struct array a;
    array_shape(&a, DTYPE_F32, rank, dims, NULL);
    return a;
}
#define SHAPE(...) \
    shape(sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]){__VA_ARGS__})

/* "i0.1=o0.2" ties, "i0.1=o0.1*o0.2" factored, "!i0.0" fixed. */
static const char *say(struct fixture *f, char *text, size_t cap) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < f->relations.count; i++) {
        const struct relation *r = &f->relations.list[i];
        used += (size_t)snprintf(text + used, cap - used, "%s%s%c%u.%u", used ? " " : "",
                                 r->kind == RELATION_FIXED ? "!" : "", r->a.output ? 'o' : 'i',
                                 r->a.slot, r->a.axis);
        if (r->kind == RELATION_TIE) {
            used += (size_t)snprintf(text + used, cap - used, "=%c%u.%u", r->b.output ? 'o' : 'i',
                                     r->b.slot, r->b.axis);
            if (r->div != 1)
                used += (size_t)snprintf(text + used, cap - used, "/%d", (int)r->div);
        }
        for (unsigned k = 0; k < r->factor_count; k++)
            used += (size_t)snprintf(text + used, cap - used, "%c%c%u.%u", k ? '*' : '=',
                                     r->factors[k].output ? 'o' : 'i', r->factors[k].slot,
                                     r->factors[k].axis);
    }
    return text;
}

static void check_reshape(struct array from, struct array to, const char *want) {
    struct fixture f;
    char text[256];
    start(&f, 1);
    f.in[0] = from, f.out = to;
    CHECK_INT(relate_reshaped(&f.relations, &from, &to), 0);
    CHECK_TEXT(say(&f, text, sizeof text), want);
    arena_free(f.arena);
}

static void reshapes(void **state) {
    check_reshape(SHAPE(2, 5, 12), SHAPE(2, 5, 3, 4), "i0.0=o0.0 i0.1=o0.1 i0.2=o0.2*o0.3");
    check_reshape(SHAPE(1, 6, 4, 4), SHAPE(1, 96), "o0.1=i0.1*i0.2*i0.3");
    check_reshape(SHAPE(3, 1, 4), SHAPE(3, 4), "i0.0=o0.0 i0.2=o0.1");
    check_reshape(SHAPE(3, 4), SHAPE(1, 3, 1, 4, 1), "i0.0=o0.1 i0.1=o0.3");
    check_reshape(SHAPE(2, 3, 5), SHAPE(6, 5), "o0.0=i0.0*i0.1 i0.2=o0.1");
    /* 32 channels in 8 groups, each with its pixels */
    check_reshape(SHAPE(1, 32, 10), SHAPE(1, 8, 40), "i0.1=o0.1/4 !i0.2 !o0.2");
    check_reshape(SHAPE(4, 9), SHAPE(6, 6), "!i0.0 !o0.0 !i0.1 !o0.1");
    check_reshape(SHAPE(0, 4), SHAPE(4, 0), "");
}

static void broadcasting(void **state) {
    struct fixture f;
    char text[256];
    start(&f, 2);
    f.in[0] = SHAPE(2, 3, 4), f.in[1] = SHAPE(1, 4), f.out = SHAPE(2, 3, 4);
    CHECK_INT(relate_broadcast(&f.relations, &f.shapes), 0);
    CHECK_TEXT(say(&f, text, sizeof text), "i0.0=o0.0 i0.1=o0.1 i0.2=o0.2 !i1.0 i1.1=o0.2");
    arena_free(f.arena);
}

static void what_is_not_there_is_ignored(void **state) {
    struct fixture f;
    start(&f, 2);
    f.in[0] = SHAPE(2), f.out = SHAPE(2);
    f.ins[1] = NULL;
    CHECK_INT(relate_same(&f.relations, AXIS_IN(1, 0), AXIS_OUT(0, 0)), 0);
    CHECK_INT(relate_same(&f.relations, AXIS_IN(2, 0), AXIS_OUT(0, 0)), 0);
    CHECK_INT(relate_fixed(&f.relations, AXIS_IN(0, 1)), 0);
    CHECK_UINT(f.relations.count, 0);
    arena_free(f.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reshapes),
        cmocka_unit_test(broadcasting),
        cmocka_unit_test(what_is_not_there_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
