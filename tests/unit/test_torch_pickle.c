/* From pickle values to tensors: which dictionary is taken, what a tensor must say, and what a
 * hostile graph of values costs. Pickles by hand; what torch itself writes is in test_pytorch. */
#include "compress/formats/torch_pickle.h"

#include "tests/support/bytebuf.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

static struct arena *arena;
static struct torch_state state;

static int set_up(void **unused) {
    arena = arena_new(64 * MIB);
    return arena ? 0 : -1;
}

static int tear_down(void **unused) {
    arena_free(arena);
    return 0;
}

/* ---- writing pickles ---- */

static void put_global(struct bytebuf *b, const char *module, const char *name) {
    bytebuf_text(b, "c");
    bytebuf_text(b, module);
    bytebuf_text(b, "\n");
    bytebuf_text(b, name);
    bytebuf_text(b, "\n");
}

static void put_text(struct bytebuf *b, const char *text) {
    bytebuf_text(b, "X");
    bytebuf_u32(b, (uint32_t)strlen(text));
    bytebuf_text(b, text);
}

static void put_int(struct bytebuf *b, int64_t value) {
    bytebuf_raw(b, "\x8a\x8", 2);
    bytebuf_u64(b, (uint64_t)value);
}

static void put_tuple(struct bytebuf *b, const int64_t *values) {
    bytebuf_text(b, "(");
    for (; *values != INT64_MIN; values++)
        put_int(b, *values);
    bytebuf_text(b, "t");
}

#define TUPLE(...)            \
    (const int64_t[]) {       \
        __VA_ARGS__ INT64_MIN \
    }

/* What can be said of a tensor; zero members mean the usual. */
struct spec {
    const char *storage; /* class; default FloatStorage */
    const char *module;  /* of the class; default torch */
    const char *key;     /* default "0" */
    int64_t count;       /* of the storage */
    int64_t offset;
    const int64_t *size;
    const int64_t *stride;
    const char *dtype; /* makes it a _rebuild_tensor_v3 */
    bool short_id;
    bool flags;
};

static void put_tensor(struct bytebuf *b, const struct spec *s) {
    put_global(b, "torch._utils", s->dtype ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
    bytebuf_text(b, "((");
    put_text(b, "storage");
    put_global(b, s->module ? s->module : "torch", s->storage ? s->storage : "FloatStorage");
    put_text(b, s->key ? s->key : "0");
    if (!s->short_id) {
        put_text(b, "cpu");
        put_int(b, s->count);
    }
    bytebuf_text(b, "tQ");
    put_int(b, s->offset);
    put_tuple(b, s->size);
    put_tuple(b, s->stride);
    bytebuf_u8(b, 0x89);
    put_global(b, "collections", "OrderedDict");
    bytebuf_text(b, ")R");
    if (s->dtype)
        put_global(b, "torch", s->dtype);
    if (s->flags) {
        bytebuf_text(b, "}");
        put_text(b, "conj");
        bytebuf_u8(b, 0x88);
        bytebuf_text(b, "s");
    }
    bytebuf_text(b, "tR");
}

static const struct spec matrix = {.count = 6, .size = TUPLE(2, 3, ), .stride = TUPLE(3, 1, )};

static int read_state(const struct bytebuf *b, struct err *err) {
    state = (struct torch_state){0};
    return torch_pickle_read((struct bytes){b->at, b->len}, 0, "m.pt", arena, &state, err);
}

/* {"w": tensor} */
static int read_one(const struct spec *s, struct err *err) {
    struct bytebuf b = {0};
    bytebuf_raw(&b, "\x80\2}", 3);
    put_text(&b, "w");
    put_tensor(&b, s);
    bytebuf_text(&b, "s.");
    int status = read_state(&b, err);
    bytebuf_free(&b);
    return status;
}

/* ---- tensors ---- */

static void reads_a_tensor(void **unused) {
    struct err err = ERR_INIT;
    CHECK_OK(read_one(&matrix, &err), &err);
    CHECK_UINT(state.count, 1);
    CHECK_TEXT(state.tensors[0].name, "w");
    CHECK_INT(state.tensors[0].dtype, DTYPE_F32);
    CHECK_UINT(state.tensors[0].rank, 2);
    CHECK_UINT(state.tensors[0].dims[1], 3);
    CHECK_UINT(state.tensors[0].bytes, 24);
    CHECK_UINT(state.tensors[0].storage_bytes, 24);
    CHECK_TEXT(state.tensors[0].storage_key, "0");
    struct spec view = {.storage = "HalfStorage",
                        .key = "17",
                        .count = 20,
                        .offset = 4,
                        .size = TUPLE(2, 1, 3, ),
                        .stride = TUPLE(3, 99, 1, )};
    CHECK_OK(read_one(&view, &err), &err);
    CHECK_INT(state.tensors[0].dtype, DTYPE_F16);
    CHECK_UINT(state.tensors[0].offset, 8);
    CHECK_UINT(state.tensors[0].bytes, 12);
    CHECK_UINT(state.tensors[0].storage_bytes, 40);
    struct spec untyped = {.storage = "UntypedStorage",
                           .module = "torch.storage",
                           .count = 12,
                           .size = TUPLE(3, ),
                           .stride = TUPLE(1, ),
                           .dtype = "uint32"};
    CHECK_OK(read_one(&untyped, &err), &err);
    CHECK_INT(state.tensors[0].dtype, DTYPE_U32);
    CHECK_UINT(state.tensors[0].storage_bytes, 12);
    struct spec scalar = {.count = 1, .size = TUPLE(), .stride = TUPLE()};
    CHECK_OK(read_one(&scalar, &err), &err);
    CHECK_UINT(state.tensors[0].rank, 0);
    CHECK_UINT(state.tensors[0].elements, 1);
    struct spec empty = {.size = TUPLE(0, 3, ), .stride = TUPLE(7, 7, )};
    CHECK_OK(read_one(&empty, &err), &err);
    CHECK_UINT(state.tensors[0].elements, 0);
    CHECK_UINT(state.tensors[0].bytes, 0);
}

static const struct {
    const char *name;
    struct spec spec;
    enum err_code code;
    const char *says;
} bad_tensors[] = {
    {"past its storage",
     {.count = 5, .size = TUPLE(2, 3, ), .stride = TUPLE(3, 1, )},
     ERR_BAD_MODEL,
     "beyond its storage"},
    {"offset past its storage",
     {.count = 6, .offset = 1, .size = TUPLE(2, 3, ), .stride = TUPLE(3, 1, )},
     ERR_BAD_MODEL,
     "beyond its storage"},
    {"offset 2^62",
     {.count = 6, .offset = INT64_C(1) << 62, .size = TUPLE(2, 3, ), .stride = TUPLE(3, 1, )},
     ERR_BAD_MODEL,
     "beyond its storage"},
    {"negative offset",
     {.count = 6, .offset = -1, .size = TUPLE(2, 3, ), .stride = TUPLE(3, 1, )},
     ERR_BAD_MODEL,
     "not described"},
    {"negative count",
     {.count = -6, .size = TUPLE(2, 3, ), .stride = TUPLE(3, 1, )},
     ERR_BAD_MODEL,
     "storage is not described"},
    {"count 2^62",
     {.count = INT64_C(1) << 62, .size = TUPLE(2, 3, ), .stride = TUPLE(3, 1, )},
     ERR_BAD_MODEL,
     "too many elements"},
    {"no count",
     {.short_id = true, .size = TUPLE(2, 3, ), .stride = TUPLE(3, 1, )},
     ERR_BAD_MODEL,
     "storage is not described"},
    {"negative dimension",
     {.count = 6, .size = TUPLE(2, -3, ), .stride = TUPLE(3, 1, )},
     ERR_BAD_MODEL,
     "no count"},
    {"2^62 by 2^62",
     {.count = 6,
      .size = TUPLE(INT64_C(1) << 62, INT64_C(1) << 62, ),
      .stride = TUPLE(INT64_C(1) << 62, 1, )},
     ERR_BAD_MODEL,
     "2^48"},
    {"2^40 by 2^40 by 0",
     {.count = 6,
      .size = TUPLE(INT64_C(1) << 40, INT64_C(1) << 40, 0, ),
      .stride = TUPLE(0, 0, 1, )},
     ERR_BAD_MODEL,
     "2^48"},
    {"nine dimensions",
     {.count = 1,
      .size = TUPLE(1, 1, 1, 1, 1, 1, 1, 1, 1, ),
      .stride = TUPLE(1, 1, 1, 1, 1, 1, 1, 1, 1, )},
     ERR_TOO_LARGE,
     "8 dimensions"},
    {"sizes without strides",
     {.count = 6, .size = TUPLE(2, 3, ), .stride = TUPLE(1, )},
     ERR_BAD_MODEL,
     "do not agree"},
    {"transposed",
     {.count = 6, .size = TUPLE(3, 2, ), .stride = TUPLE(1, 3, )},
     ERR_UNSUPPORTED,
     "not contiguous"},
    {"expanded",
     {.count = 6, .size = TUPLE(2, 3, ), .stride = TUPLE(0, 1, )},
     ERR_UNSUPPORTED,
     "not contiguous"},
    {"reversed",
     {.count = 6, .size = TUPLE(6, ), .stride = TUPLE(-1, )},
     ERR_UNSUPPORTED,
     "not contiguous"},
    {"conjugate",
     {.count = 6, .size = TUPLE(2, 3, ), .stride = TUPLE(3, 1, ), .flags = true},
     ERR_UNSUPPORTED,
     "conjugate"},
    {"untyped without a type",
     {.storage = "UntypedStorage",
      .module = "torch.storage",
      .count = 24,
      .size = TUPLE(6, ),
      .stride = TUPLE(1, )},
     ERR_BAD_MODEL,
     "element type"},
    {"a storage that is a type",
     {.storage = "float32", .count = 6, .size = TUPLE(6, ), .stride = TUPLE(1, )},
     ERR_BAD_MODEL,
     "element type"},
    {"a type that is a storage",
     {.storage = "UntypedStorage",
      .module = "torch.storage",
      .dtype = "FloatStorage",
      .count = 24,
      .size = TUPLE(6, ),
      .stride = TUPLE(1, )},
     ERR_BAD_MODEL,
     "element type"},
    {"a storage we do not know",
     {.storage = "QInt8Storage", .count = 6, .size = TUPLE(6, ), .stride = TUPLE(1, )},
     ERR_FORBIDDEN_PICKLE,
     "torch.QInt8Storage"},
    {"a long key",
     {.key = "0123456789012345678901234567890123456789012345678901234567890123456789",
      .count = 6,
      .size = TUPLE(6, ),
      .stride = TUPLE(1, )},
     ERR_BAD_MODEL,
     "key of a storage"},
};

static void bad_tensors_are_refused(void **unused) {
    for (size_t i = 0; i < sizeof bad_tensors / sizeof bad_tensors[0]; i++) {
        struct err err = ERR_INIT;
        if (read_one(&bad_tensors[i].spec, &err) == 0)
            fail_msg("%s: was accepted", bad_tensors[i].name);
        if (err.code != bad_tensors[i].code || !strstr(err.text, bad_tensors[i].says) ||
            strcmp(err.file, "m.pt") != 0 ||
            (err.code != ERR_FORBIDDEN_PICKLE && strcmp(err.tensor, "w") != 0))
            fail_msg("%s: %s at %s, tensor %s: %s", bad_tensors[i].name, err_name(err.code),
                     err.file, err.tensor, err.text);
    }
}

/* ---- dictionaries ---- */

/* A pickle from a little language: '{' '}' a dictionary, '[' ']' a list, 't' a tensor, 'n' None,
 * 'c' a call that makes no tensor, 'p' a parameter around a tensor, a letter or digit before ':' a
 * key (digits are numbers), '"' a text key up to the next '"'. */
static void put_script(struct bytebuf *b, const char *script) {
    for (const char *at = script; *at; at++) {
        const char *end;
        switch (*at) {
        case '{':
            bytebuf_text(b, "}(");
            break;
        case '}':
            bytebuf_text(b, "u");
            break;
        case '[':
            bytebuf_text(b, "](");
            break;
        case ']':
            bytebuf_text(b, "e");
            break;
        case 't':
            put_tensor(b, &matrix);
            break;
        case 'n':
            bytebuf_text(b, "N");
            break;
        case 'c':
            put_global(b, "torch", "device");
            bytebuf_text(b, ")R");
            break;
        case 'p':
            put_global(b, "torch._utils", "_rebuild_parameter");
            put_tensor(b, &matrix);
            bytebuf_raw(b, "\x88N\x87R", 4);
            break;
        case '"':
            end = strchr(at + 1, '"');
            bytebuf_text(b, "X");
            bytebuf_u32(b, (uint32_t)(end - at - 1));
            bytebuf_raw(b, at + 1, (size_t)(end - at - 1));
            at = end;
            break;
        default: /* a number as a key */
            put_int(b, *at - '0');
        }
    }
}

static int read_script(const char *script, struct err *err) {
    struct bytebuf b = {0};
    bytebuf_raw(&b, "\x80\2", 2);
    put_script(&b, script);
    bytebuf_text(&b, ".");
    int status = read_state(&b, err);
    bytebuf_free(&b);
    return status;
}

static const struct {
    const char *script;
    const char *names; /* with a space behind each */
    const char *under;
    const char *left_out;
} good_states[] = {
    {"{\"a\"t\"b\"p}", "a b ", NULL},
    {"{\"a.b\"t\"x\"n\"y\"c}", "a.b ", NULL},
    {"{\"state_dict\"{\"a\"t}\"epoch\"3}", "a ", "state_dict", "epoch"},
    {"{\"optimizer\"{\"s\"{0{\"m\"t}}}\"model\"{\"a\"t\"b\"t}}", "a b ", "model", "optimizer"},
    {"{\"model\"{\"a\"t}\"state_dict\"{\"b\"t}}", "model.a state_dict.b ", NULL},
    {"{\"state_dict\"{\"a\"t}\"best_acc\"t}", "a ", "state_dict", "best_acc"},
    {"{\"epoch\"3\"model\"{\"a\"t}7n\"lr\"3}", "a ", "model", "epoch, lr"},
    {"{\"module\"{\"a\"t}}", "a ", "module", NULL},
    {"{\"model\"t}", "model ", NULL},
    {"{\"a\"{\"b\"[t{\"c\"t}]}7{\"d\"t}}", "a.b.0 a.b.1.c 7.d ", NULL},
    {"{\"model\"{\"deep\"{\"a\"t}}}", "model.deep.a ", NULL},
};

static void takes_the_state_dictionary(void **unused) {
    for (size_t i = 0; i < sizeof good_states / sizeof good_states[0]; i++) {
        struct err err = ERR_INIT;
        char names[200] = "";
        CHECK_OK(read_script(good_states[i].script, &err), &err);
        for (size_t t = 0; t < state.count; t++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s ",
                     state.tensors[t].name);
        CHECK_TEXT(names, good_states[i].names);
        if (good_states[i].under)
            CHECK_TEXT(state.under, good_states[i].under);
        else
            CHECK(state.under == NULL);
        CHECK_TEXT(state.left_out ? state.left_out : "",
                   good_states[i].left_out ? good_states[i].left_out : "");
    }
}

static const struct {
    const char *script;
    enum err_code code;
    const char *says;
} bad_states[] = {
    {"n", ERR_UNSUPPORTED, "does not hold a dictionary"},
    {"[t]", ERR_UNSUPPORTED, "does not hold a dictionary"},
    {"t", ERR_UNSUPPORTED, "does not hold a dictionary"},
    {"{\"epoch\"3}", ERR_UNSUPPORTED, "no tensors"},
    {"{\"a\"t\"a\"t}", ERR_BAD_MODEL, "two tensors have this name"},
    {"{\"a.b\"t\"a\"{\"b\"t}}", ERR_BAD_MODEL, "two tensors have this name"},
    {"{\"\"t}", ERR_BAD_MODEL, "empty"},
    {"{\"a\nb\"t}", ERR_BAD_MODEL, "control"},
    {"{nt}", ERR_BAD_MODEL, "no text"},
    {"{\"x\"{n{\"w\"t}}}", ERR_UNSUPPORTED, "no tensors"},
};

static void bad_states_are_refused(void **unused) {
    for (size_t i = 0; i < sizeof bad_states / sizeof bad_states[0]; i++) {
        struct err err = ERR_INIT;
        if (read_script(bad_states[i].script, &err) == 0)
            fail_msg("%s: was accepted", bad_states[i].script);
        if (err.code != bad_states[i].code || !strstr(err.text, bad_states[i].says))
            fail_msg("%s: %s: %s", bad_states[i].script, err_name(err.code), err.text);
    }
}

static void names_in_pieces_have_one_ceiling(void **unused) {
    struct err err = ERR_INIT;
    struct bytebuf b = {0};
    char part[LIMIT_TENSOR_NAME_BYTES / 2 + 1];
    memset(part, 'a', sizeof part - 1);
    part[sizeof part - 1] = 0;
    for (int longer = 0; longer < 2; longer++) {
        /* 256 + '.' + 255 bytes are just allowed. */
        b.len = 0;
        bytebuf_raw(&b, "\x80\2}", 3);
        put_text(&b, part);
        bytebuf_text(&b, "}");
        put_text(&b, part + !longer);
        put_tensor(&b, &matrix);
        bytebuf_text(&b, "ss.");
        int status = read_state(&b, &err);
        if (longer)
            CHECK_FAILS(status, &err, ERR_BAD_MODEL);
        else
            CHECK_OK(status, &err);
    }
    bytebuf_free(&b);
}

static void malformed_tensors_and_ids(void **unused) {
    static const struct {
        const char *args; /* of _rebuild_tensor_v2, between '(' and 't' */
        const char *says;
    } rows[] = {
        {"", "not described"},
        {"NK\0", "not described"},
        {"NK\1))", "no storage"},
        {"NK\1NN", "no storage"},
        {"X\1\0\0\0kQK\1))", "storage is not described"},
        {")QK\1))", "storage is not described"},
        {"(X\7\0\0\0storageNNNNtQK\1))", "storage is not described"},
    };
    static const size_t lens[] = {0, 3, 5, 5, 11, 6, 23};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        struct bytebuf b = {0};
        bytebuf_raw(&b, "\x80\2}", 3);
        put_text(&b, "w");
        put_global(&b, "torch._utils", "_rebuild_tensor_v2");
        bytebuf_text(&b, "(");
        bytebuf_raw(&b, rows[i].args, lens[i]);
        bytebuf_text(&b, "tRs.");
        CHECK_INT(read_state(&b, &err), -1);
        CHECK_INT(err.code, ERR_BAD_MODEL);
        CHECK_HOLDS(err.text, rows[i].says);
        bytebuf_free(&b);
    }
}

/* Values that hold themselves, directly or many times over: bounded by depth and by steps. */
static void hostile_graphs_end(void **unused) {
    struct err err = ERR_INIT;
    struct bytebuf b = {0};
    bytebuf_raw(&b, "\x80\2}q\0", 5);
    put_text(&b, "a");
    bytebuf_raw(&b, "h\0s.", 4);
    CHECK_FAILS(read_state(&b, &err), &err, ERR_TOO_LARGE);
    /* {"a": 60 lists}, each but the first holding the one before ten times: 10^59 paths. */
    b.len = 0;
    bytebuf_raw(&b, "\x80\2}", 3);
    put_text(&b, "a");
    bytebuf_text(&b, "(]q");
    bytebuf_u8(&b, 0);
    for (uint8_t i = 1; i < 60; i++) {
        bytebuf_text(&b, "](");
        for (int n = 0; n < 10; n++)
            bytebuf_raw(&b, (uint8_t[]){'h', (uint8_t)(i - 1)}, 2);
        bytebuf_raw(&b, (uint8_t[]){'e', 'q', i}, 3);
    }
    bytebuf_text(&b, "ts.");
    CHECK_FAILS(read_state(&b, &err), &err, ERR_TOO_LARGE);
    bytebuf_free(&b);
}

static void every_type_of_the_whitelist(void **unused) {
    static const struct {
        const char *name;
        enum dtype dtype;
    } storages[] =
        {
            {"DoubleStorage", DTYPE_F64},       {"FloatStorage", DTYPE_F32},
            {"HalfStorage", DTYPE_F16},         {"BFloat16Storage", DTYPE_BF16},
            {"LongStorage", DTYPE_I64},         {"IntStorage", DTYPE_I32},
            {"ShortStorage", DTYPE_I16},        {"CharStorage", DTYPE_I8},
            {"ByteStorage", DTYPE_U8},          {"BoolStorage", DTYPE_BOOL},
            {"ComplexFloatStorage", DTYPE_C64},
        },
      types[] = {
          {"float64", DTYPE_F64},
          {"float32", DTYPE_F32},
          {"float16", DTYPE_F16},
          {"bfloat16", DTYPE_BF16},
          {"float8_e4m3fn", DTYPE_F8_E4M3},
          {"float8_e5m2", DTYPE_F8_E5M2},
          {"int64", DTYPE_I64},
          {"int32", DTYPE_I32},
          {"int16", DTYPE_I16},
          {"int8", DTYPE_I8},
          {"uint64", DTYPE_U64},
          {"uint32", DTYPE_U32},
          {"uint16", DTYPE_U16},
          {"uint8", DTYPE_U8},
          {"bool", DTYPE_BOOL},
          {"complex64", DTYPE_C64},
      };
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof storages / sizeof storages[0]; i++) {
        struct spec s = matrix;
        s.storage = storages[i].name;
        CHECK_OK(read_one(&s, &err), &err);
        CHECK_INT(state.tensors[0].dtype, storages[i].dtype);
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct spec s = matrix;
        s.storage = "UntypedStorage";
        s.module = "torch.storage";
        s.count = 48;
        s.dtype = types[i].name;
        CHECK_OK(read_one(&s, &err), &err);
        CHECK_INT(state.tensors[0].dtype, types[i].dtype);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_tensor),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(takes_the_state_dictionary),
        cmocka_unit_test(bad_states_are_refused),
        cmocka_unit_test(names_in_pieces_have_one_ceiling),
        cmocka_unit_test(malformed_tensors_and_ids),
        cmocka_unit_test(hostile_graphs_end),
        cmocka_unit_test(every_type_of_the_whitelist),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
