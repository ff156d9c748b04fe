/* Selectors: globs, roles, and what is said when nothing matches. */
#include "compress/passes/selector.h"
#include "tests/support/check.h"

#include "compress/base/arena.h"

static struct tensor tensors[] = {
    {.name = "model.embed_tokens.weight", .component = "", .role = ROLE_EMBED},
    {.name = "layers.0.q.weight", .component = "", .role = ROLE_ATTN_QKV | ROLE_FIRST},
    {.name = "layers.0.o.weight", .component = "", .role = ROLE_ATTN_OUT | ROLE_FIRST},
    {.name = "conv_in.weight", .component = "unet", .role = ROLE_CONV},
};
static const struct model model = {.tensors = tensors, .tensor_count = 4};

struct fixture {
    struct arena *arena;
    struct violations list, warnings;
};

static void begin(struct fixture *f) {
    f->arena = arena_new(1 << 20);
    violations_init(&f->list, f->arena);
    violations_init(&f->warnings, f->arena);
}

static struct selector parse(struct fixture *f, const char *text) {
    struct selector s;
    CHECK_INT(selector_parse(text, "/p", f->arena, &f->list, &s), 0);
    return s;
}

static void matching(void **state) {
    struct fixture f;
    begin(&f);
    struct selector glob = parse(&f, "layers.*.weight"), attn = parse(&f, "role:attn"),
                    qkv = parse(&f, "role:attn_qkv"), first = parse(&f, "role:first"),
                    embed = parse(&f, "role:embed"), exact = parse(&f, "model.embed_tokens.weight");
    CHECK(!selector_matches(&glob, &tensors[0]));
    CHECK(selector_matches(&glob, &tensors[1]) && selector_matches(&glob, &tensors[2]));
    CHECK(selector_matches(&attn, &tensors[1]) && selector_matches(&attn, &tensors[2]));
    CHECK(selector_matches(&qkv, &tensors[1]) && !selector_matches(&qkv, &tensors[2]));
    CHECK(selector_matches(&first, &tensors[2]) && !selector_matches(&first, &tensors[0]));
    CHECK(selector_names(&embed, &tensors[0]) && selector_names(&exact, &tensors[0]));
    CHECK(!selector_names(&glob, &tensors[1]) && !selector_names(&first, &tensors[1]));
    struct selector both[] = {attn, glob};
    struct selector_list list = {both, 2};
    CHECK(selector_first(&list, &tensors[1]) == &both[0]);
    CHECK(selector_first(&list, &tensors[0]) == NULL);
    arena_free(f.arena);
}

static void refusals(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {{"role:wings", "not a role"}, {"node:", "empty"}, {"", "empty"}};
    struct fixture f;
    begin(&f);
    struct selector s;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_INT(selector_parse(cases[i].text, "/stages/0/ignore/1", f.arena, &f.list, &s), -1);
        CHECK_UINT(f.list.count, i + 1);
        CHECK_HOLDS(f.list.items[i].detail, cases[i].says);
        CHECK_TEXT(f.list.items[i].pointer, "/stages/0/ignore/1");
    }
    arena_free(f.arena);
}

static void nothing_matches(void **state) {
    struct fixture f;
    begin(&f);
    struct selector glob = parse(&f, "layers.1.*"), head = parse(&f, "role:head"),
                    conv = parse(&f, "conv_*");
    selector_check(&glob, &model, NULL, &f.list, &f.warnings);
    CHECK_UINT(f.list.count, 1);
    CHECK_HOLDS(f.list.items[0].detail, "layers.1.*");
    selector_check(&head, &model, NULL, &f.list, &f.warnings);
    CHECK_UINT(f.list.count, 1);
    CHECK_UINT(f.warnings.count, 1);
    selector_check(&conv, &model, "unet", &f.list, &f.warnings);
    CHECK_UINT(f.list.count, 1);
    selector_check(&conv, &model, "vae", &f.list, &f.warnings); /* another part's tensors */
    CHECK_UINT(f.list.count, 2);
    arena_free(f.arena);
}

static void nodes(void **state) {
    static const char *const up[] = {"/up/Transpose", "/up/MatMul"}, *const down[] = {
                                                                         "/down/MatMul"};
    struct tensor weights[] = {
        {.name = "onnx::MatMul_1", .component = "", .readers = up, .reader_count = 2},
        {.name = "onnx::MatMul_2", .component = "", .readers = down, .reader_count = 1},
        {.name = "unread", .component = ""},
    };
    struct model with = {
        .tensors = weights, .tensor_count = 3, .graph = (struct graph *)(void *)weights};
    struct fixture f;
    begin(&f);
    struct selector any = parse(&f, "node:*/MatMul"), exact = parse(&f, "node:/up/MatMul"),
                    slip = parse(&f, "node:/dwn/MatMul"), far = parse(&f, "node:attention*"),
                    tensor = parse(&f, "onnx::MatMul_11");
    CHECK(selector_matches(&any, &weights[0]) && selector_matches(&any, &weights[1]));
    CHECK(!selector_matches(&any, &weights[2]) && !selector_matches(&exact, &weights[1]));
    CHECK(selector_names(&exact, &weights[0]) && !selector_names(&any, &weights[0]));
    selector_check(&any, &with, NULL, &f.list, &f.warnings);
    CHECK_UINT(f.list.count, 0);
    selector_check(&slip, &with, NULL, &f.list, &f.warnings);
    CHECK_UINT(f.list.count, 1);
    CHECK_TEXT(f.list.items[0].pointer, "/p");
    CHECK_TEXT(f.list.items[0].nearest, "/down/MatMul");
    selector_check(&far, &with, NULL, &f.list, &f.warnings);
    CHECK_HOLDS(f.list.items[1].detail, "no node that reads a weight is called \"attention*\"");
    CHECK(!f.list.items[1].nearest);
    selector_check(&tensor, &with, NULL, &f.list, &f.warnings);
    CHECK_TEXT(f.list.items[2].nearest, "onnx::MatMul_1");
    selector_check(&any, &model, NULL, &f.list, &f.warnings);
    CHECK_UINT(f.list.count, 4);
    CHECK_HOLDS(f.list.items[3].detail, "comes without one");
    CHECK_UINT(f.warnings.count, 0);
    arena_free(f.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matching),
        cmocka_unit_test(refusals),
        cmocka_unit_test(nothing_matches),
        cmocka_unit_test(nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
