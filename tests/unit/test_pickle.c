/* The pickle machine: what it builds, and each opcode and global that it must refuse. Pickles are
 * written out by hand, opcode by opcode. */
#include "compress/formats/pickle.h"

#include "compress/base/limits.h"
#include "tests/support/bytebuf.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static const struct pickle_global globals[] = {
    {"collections", "OrderedDict", PICKLE_CALL_DICT, 1},
    {"torch", "Size", PICKLE_CALL_TUPLE, 2},
    {"torch._utils", "_rebuild_tensor_v2", PICKLE_CALL_NODE, 3},
    {"torch", "FloatStorage", PICKLE_CALL_NEVER, 4},
};

static struct arena *arena;

static int set_up(void **state) {
    arena = arena_new(256 * MIB);
    return arena ? 0 : -1;
}

static int tear_down(void **state) {
    arena_free(arena);
    return 0;
}

static int load(const void *data, size_t len, struct pickle_value **ret, struct err *err) {
    return pickle_load((struct bytes){data, len}, 1000, "m.pt", globals,
                       sizeof globals / sizeof globals[0], arena, ret, err);
}

/* The value of a pickle given as a C string literal. */
#define VALUE_OF(literal) value_of(literal, sizeof(literal) - 1)

static struct pickle_value *value_of(const char *pickle, size_t len) {
    struct err err = ERR_INIT;
    struct pickle_value *value = NULL;
    CHECK_OK(load(pickle, len, &value, &err), &err);
    return value;
}

static void builds_numbers(void **state) {
    CHECK_INT(VALUE_OF("\x80\2N.")->kind, PICKLE_NONE);
    CHECK(VALUE_OF("\x80\2\x88.")->truth);
    CHECK(!VALUE_OF("\x80\2\x89.")->truth);
    CHECK_INT(VALUE_OF("\x80\2K\xff.")->integer, 255);
    CHECK_INT(VALUE_OF("\x80\2M\xff\xff.")->integer, 65535);
    CHECK_INT(VALUE_OF("\x80\2J\xfe\xff\xff\xff.")->integer, -2);
    CHECK_INT(VALUE_OF("\x80\2\x8a\0.")->integer, 0);
    CHECK_INT(VALUE_OF("\x80\2\x8a\1\xff.")->integer, -1);
    CHECK_INT(VALUE_OF("\x80\2\x8a\3\0\0\1.")->integer, 65536);
    CHECK_INT(VALUE_OF("\x80\2\x8a\x8\0\0\0\0\0\0\0\x80.")->integer, INT64_MIN);
    CHECK_INT(VALUE_OF("\x80\2\x8a\x9\0\0\0\0\0\0\0\0\1.")->kind, PICKLE_BIG_INT);
    CHECK_NUM(VALUE_OF("\x80\2G\x3f\xf8\0\0\0\0\0\0.")->real, 1.5, 0);
}

static void builds_texts(void **state) {
    CHECK(pickle_is_text(VALUE_OF("\x80\2X\3\0\0\0abc."), "abc"));
    CHECK(pickle_is_text(VALUE_OF("\x80\4\x8c\2\xc3\xa9."), "\xc3\xa9"));
    CHECK(pickle_is_text(VALUE_OF("\x80\4\x8d\1\0\0\0\0\0\0\0a."), "a"));
    CHECK_UINT(VALUE_OF("\x80\3B\2\0\0\0\xff\0.")->text.len, 2);
    CHECK_INT(VALUE_OF("\x80\3C\1\xff.")->kind, PICKLE_BYTES);
    CHECK(!pickle_is_text(VALUE_OF("\x80\3C\1a."), "a"));
}

static void builds_containers(void **state) {
    struct pickle_value *v = VALUE_OF("\x80\2(K\1K\2K\3K\4t.");
    CHECK_INT(v->kind, PICKLE_TUPLE);
    CHECK_UINT(v->count, 4);
    CHECK_INT(v->items[3]->integer, 4);
    CHECK_UINT(VALUE_OF("\x80\2K\1K\2\x86.")->count, 2);
    CHECK_UINT(VALUE_OF("\x80\2K\1\x85.")->count, 1);
    CHECK_UINT(VALUE_OF("\x80\2K\1K\2K\3\x87.")->count, 3);
    CHECK_UINT(VALUE_OF("\x80\2).")->count, 0);
    v = VALUE_OF("\x80\2]K\1a(K\2K\3e.");
    CHECK_INT(v->kind, PICKLE_LIST);
    CHECK_UINT(v->count, 3);
    CHECK_INT(v->items[2]->integer, 3);
    v = VALUE_OF("\x80\2}X\1\0\0\0aK\1s(X\1\0\0\0bK\2X\1\0\0\0aK\3u.");
    CHECK_INT(v->kind, PICKLE_DICT);
    CHECK_UINT(v->count, 6);
    CHECK_INT(pickle_get(v, "b")->integer, 2);
    CHECK_INT(pickle_get(v, "a")->integer, 3); /* the later one */
    CHECK(pickle_get(v, "c") == NULL);
    CHECK(pickle_get(v->items[0], "a") == NULL);
}

static void remembers(void **state) {
    struct pickle_value *v = VALUE_OF("\x80\2K\7q\0h\0\x86.");
    CHECK(v->items[0] == v->items[1]);
    v = VALUE_OF("\x80\4\x95\5\0\0\0\0\0\0\0K\7\x94h\0\x86.");
    CHECK(v->items[0] == v->items[1]);
    v = VALUE_OF("\x80\2K\7r\1\0\0\0j\1\0\0\0\x86.");
    CHECK(v->items[0] == v->items[1]);
    v = VALUE_OF("\x80\2]q\0h\0a."); /* a list that holds itself: built, never walked here */
    CHECK(v->items[0] == v);
}

static void builds_calls(void **state) {
    struct pickle_value *v = VALUE_OF("\x80\2ccollections\nOrderedDict\n)RX\1\0\0\0aK\1s}b.");
    CHECK_INT(v->kind, PICKLE_DICT);
    CHECK_INT(pickle_get(v, "a")->integer, 1);
    v = VALUE_OF("\x80\2ctorch\nSize\nK\2K\3\x86\x85R.");
    CHECK_INT(v->kind, PICKLE_TUPLE);
    CHECK_INT(v->items[1]->integer, 3);
    v = VALUE_OF("\x80\2ctorch._utils\n_rebuild_tensor_v2\nX\1\0\0\0kQ\x85R.");
    CHECK_INT(v->kind, PICKLE_CALL);
    CHECK_INT(v->global->id, 3);
    CHECK_INT(v->items[0]->kind, PICKLE_TUPLE);
    CHECK_INT(v->items[0]->items[0]->kind, PICKLE_PERSID);
    CHECK(pickle_is_text(v->items[0]->items[0]->items[0], "k"));
    v = VALUE_OF("\x80\4\x8c\5torch\x8c\x0c"
                 "FloatStorage\x93.");
    CHECK_INT(v->kind, PICKLE_GLOBAL);
    CHECK_INT(v->global->id, 4);
    CHECK_UINT(v->offset, 1000 + 2 + 7 + 14);
}

struct bad {
    const char *name;
    const char *pickle;
    size_t len;
    enum err_code code;
    const char *says;
    uint64_t at; /* offset of the opcode in the pickle */
};

#define BAD(name, literal, code, says, at) \
    { name, literal, sizeof(literal) - 1, code, says, at }
#define FORBIDDEN(name, literal, says, at) BAD(name, literal, ERR_FORBIDDEN_PICKLE, says, at)
#define DAMAGED(name, literal, says, at) BAD(name, literal, ERR_BAD_MODEL, says, at)

static const struct bad bad_pickles[] = {
    /* The ways to run code. */
    FORBIDDEN("GLOBAL os.system", "\x80\2cos\nsystem\nX\2\0\0\0id\x85R.", "os.system", 2),
    FORBIDDEN("GLOBAL posix.system", "cposix\nsystem\n.", "posix.system", 0),
    FORBIDDEN("GLOBAL builtins.eval", "c__builtin__\neval\n.", "__builtin__.eval", 0),
    FORBIDDEN("STACK_GLOBAL os.system", "\x80\4\x8c\2os\x8c\6system\x93\x8c\2id\x85R.", "os.system",
              14),
    FORBIDDEN("a module that starts like ours", "\x80\2ctorch.hub\nload\n.", "torch.hub.load", 2),
    FORBIDDEN("our module, another name", "\x80\2ctorch\nload\n.", "torch.load", 2),
    FORBIDDEN("our names together", "\x80\2ctorch\nOrderedDict\n.", "torch.OrderedDict", 2),
    FORBIDDEN("a dotted name", "\x80\4\x8c\5torch\x8c\x12serialization.load\x93.",
              "torch.serialization.load", 29),
    FORBIDDEN("INST", "(X\2\0\0\0idios\nsystem\n.", "INST", 8),
    FORBIDDEN("OBJ", "(cos\nsystem\no.", "os.system", 1),
    FORBIDDEN("OBJ of ours", "(ctorch\nSize\no.", "OBJ", 13),
    FORBIDDEN("EXT1", "\x80\2\x82\1.", "EXT1", 2),
    FORBIDDEN("EXT2", "\x80\2\x83\1\0.", "EXT2", 2),
    FORBIDDEN("EXT4", "\x80\2\x84\1\0\0\0.", "EXT4", 2),
    FORBIDDEN("NEWOBJ", "\x80\2ctorch\nSize\n)\x81.", "NEWOBJ", 15),
    FORBIDDEN("NEWOBJ_EX", "\x80\4ctorch\nSize\n)}\x92.", "NEWOBJ_EX", 16),
    FORBIDDEN("PERSID", "Pid\n.", "PERSID", 0),
    FORBIDDEN("call of a name", "\x80\2ctorch\nFloatStorage\n)R.", "torch.FloatStorage", 23),
    FORBIDDEN("call of a text", "\x80\2X\2\0\0\0os)R.", "no function", 10),
    FORBIDDEN("call of a call's result", "\x80\2ctorch._utils\n_rebuild_tensor_v2\n)R)R.",
              "no tensor", 38),
    FORBIDDEN("OrderedDict of something", "\x80\2ccollections\nOrderedDict\n]\x85R.",
              "collections.OrderedDict", 29),
    FORBIDDEN("Size of a list", "\x80\2ctorch\nSize\n]\x85R.", "torch.Size", 16),
    FORBIDDEN("state of a global", "\x80\2ctorch\nFloatStorage\n}b.", "BUILD", 23),
    FORBIDDEN("state of a list", "\x80\2]}b.", "BUILD", 4),
    /* Opcodes that torch.save does not write. */
    FORBIDDEN("POP", "N0.", "POP", 1),
    FORBIDDEN("POP_MARK", "(1.", "POP_MARK", 1),
    FORBIDDEN("DUP", "N2.", "DUP", 1),
    FORBIDDEN("INT", "I1\n.", "INT", 0),
    FORBIDDEN("LONG", "L1L\n.", "LONG", 0),
    FORBIDDEN("LONG4", "\x8b\1\0\0\0\1.", "LONG4", 0),
    FORBIDDEN("FLOAT", "F1\n.", "FLOAT", 0),
    FORBIDDEN("STRING", "S'a'\n.", "STRING", 0),
    FORBIDDEN("BINSTRING", "T\1\0\0\0a.", "BINSTRING", 0),
    FORBIDDEN("SHORT_BINSTRING", "U\1a.", "SHORT_BINSTRING", 0),
    FORBIDDEN("UNICODE", "Va\n.", "UNICODE", 0),
    FORBIDDEN("DICT", "(d.", "DICT", 1),
    FORBIDDEN("LIST", "(l.", "LIST", 1),
    FORBIDDEN("GET", "g0\n.", "GET", 0),
    FORBIDDEN("PUT", "Np0\n.", "PUT", 1),
    FORBIDDEN("BINBYTES8", "\x8e.", "BINBYTES8", 0),
    FORBIDDEN("EMPTY_SET", "\x8f.", "EMPTY_SET", 0),
    FORBIDDEN("ADDITEMS", "\x90.", "ADDITEMS", 0),
    FORBIDDEN("FROZENSET", "\x91.", "FROZENSET", 0),
    FORBIDDEN("BYTEARRAY8", "\x96.", "BYTEARRAY8", 0),
    FORBIDDEN("NEXT_BUFFER", "\x97.", "NEXT_BUFFER", 0),
    FORBIDDEN("READONLY_BUFFER", "\x98.", "READONLY_BUFFER", 0),
    FORBIDDEN("no opcode", "\xff.", "0xff", 0),
    /* Damage. */
    DAMAGED("nothing", "", "without STOP", 0),
    DAMAGED("no STOP", "\x80\2N", "without STOP", 3),
    DAMAGED("protocol 1", "\x80\1N.", "protocol", 0),
    DAMAGED("protocol 6", "\x80\6N.", "protocol", 0),
    DAMAGED("protocol cut", "\x80", "protocol", 0),
    DAMAGED("STOP without a value", "\x80\2.", "exactly one", 2),
    DAMAGED("STOP with two", "\x80\2NN.", "exactly one", 4),
    DAMAGED("STOP in a mark", "\x80\2N(.", "exactly one", 4),
    DAMAGED("bytes behind STOP", "\x80\2N.N", "follow its STOP", 3),
    DAMAGED("frame past the end", "\x80\4\x95\xff\0\0\0\0\0\0\0N.", "frame", 2),
    DAMAGED("frame cut", "\x80\4\x95\xff", "frame", 2),
    DAMAGED("number cut", "\x80\2J\1", "inside a number", 2),
    DAMAGED("float cut", "\x80\2G\1", "inside a number", 2),
    DAMAGED("long cut", "\x80\2\x8a\x8\1", "inside a number", 2),
    DAMAGED("text of 2^32", "\x80\2X\xff\xff\xff\xff.", "inside a text", 2),
    DAMAGED("text of 2^64", "\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "inside a text", 2),
    DAMAGED("text in Latin-1", "\x80\2X\1\0\0\0\xe9.", "not UTF-8", 2),
    DAMAGED("TUPLE without mark", "Nt.", "no mark", 1),
    DAMAGED("APPENDS without mark", "]Ne.", "no mark", 2),
    DAMAGED("SETITEMS without mark", "}NNu.", "no mark", 3),
    DAMAGED("TUPLE1 of nothing", "\x85.", "empty", 0),
    DAMAGED("TUPLE2 across a mark", "N(N\x86.", "empty", 3),
    DAMAGED("TUPLE3 of two", "NN\x87.", "empty", 2),
    DAMAGED("APPEND to a dict", "}Na.", "no list", 2),
    DAMAGED("APPEND to nothing", "Na.", "empty", 1),
    DAMAGED("APPENDS to nothing", "(e.", "empty", 1),
    DAMAGED("SETITEM of a list", "]NNs.", "no dictionary", 3),
    DAMAGED("SETITEM of nothing", "NNs.", "empty", 2),
    DAMAGED("a key without a value", "}(Nu.", "without a value", 3),
    DAMAGED("BINGET of nothing", "h\0.", "never set", 0),
    DAMAGED("BINGET cut", "h", "inside an opcode", 0),
    DAMAGED("LONG_BINGET cut", "j\0", "inside an opcode", 0),
    DAMAGED("LONG_BINGET of 2^32", "j\xff\xff\xff\xff.", "never set", 0),
    DAMAGED("BINGET of a hole", "Nr\4\0\0\0h\2.", "never set", 6),
    DAMAGED("BINPUT of nothing", "q\0.", "empty", 0),
    DAMAGED("BINPUT cut", "Nq", "inside an opcode", 1),
    DAMAGED("LONG_BINPUT cut", "Nr\0", "inside an opcode", 1),
    DAMAGED("LONG_BINPUT of 2^32", "Nr\xff\xff\xff\xff.", "out of range", 1),
    DAMAGED("MEMOIZE of nothing", "\x94.", "empty", 0),
    DAMAGED("GLOBAL cut", "ctorch\nSi", "inside a name", 0),
    DAMAGED("GLOBAL without a name", "ctorch", "inside a name", 0),
    DAMAGED("STACK_GLOBAL of nothing", "\x8c\1a\x93.", "empty", 3),
    DAMAGED("STACK_GLOBAL of numbers", "K\1K\2\x93.", "no text", 4),
    DAMAGED("BINPERSID of nothing", "Q.", "empty", 0),
    DAMAGED("REDUCE of one", ")R.", "empty", 1),
    DAMAGED("REDUCE without tuple", "ctorch\nSize\nNR.", "no tuple", 13),
    DAMAGED("BUILD of nothing", "}b.", "empty", 1),
};

static void bad_pickles_are_refused(void **state) {
    for (size_t i = 0; i < sizeof bad_pickles / sizeof bad_pickles[0]; i++) {
        const struct bad *row = &bad_pickles[i];
        struct err err = ERR_INIT;
        struct pickle_value *value;
        /* An exact copy on the heap: a read past its end is seen by the sanitizer. */
        char *copy = malloc(row->len ? row->len : 1);
        memcpy(copy, row->pickle, row->len);
        if (load(copy, row->len, &value, &err) == 0)
            fail_msg("%s: was accepted", row->name);
        if (err.code != row->code || !strstr(err.text, row->says) || err.offset != 1000 + row->at ||
            strcmp(err.file, "m.pt") != 0)
            fail_msg("%s: %s at %s:%lld: %s", row->name, err_name(err.code), err.file,
                     (long long)err.offset, err.text);
        free(copy);
    }
}

static void ceilings(void **state) {
    struct err err = ERR_INIT;
    struct pickle_value *value;
    struct bytebuf b = {0};
    bytebuf_fill(&b, '(', LIMIT_PICKLE_DEPTH + 1);
    CHECK_FAILS(load(b.at, b.len, &value, &err), &err, ERR_TOO_LARGE);
    b.len = 0;
    /* More values than a stack may have, without one of them costing arena. */
    bytebuf_text(&b, "Nq");
    bytebuf_u8(&b, 0);
    for (size_t i = 0; i <= LIMIT_PICKLE_MEMO; i++)
        bytebuf_raw(&b, "h\0", 2);
    CHECK_FAILS(load(b.at, b.len, &value, &err), &err, ERR_NO_MEMORY);
    b.len = 0;
    /* A chain of tuples, each holding the one before twice: small here, huge if it were walked. */
    bytebuf_text(&b, "N");
    for (int i = 0; i < 200; i++)
        bytebuf_raw(&b, (uint8_t[]){'q', (uint8_t)i, 'h', (uint8_t)i, 0x86}, 5);
    bytebuf_text(&b, ".");
    CHECK_OK(load(b.at, b.len, &value, &err), &err);
    bytebuf_free(&b);
}

static void little_memory(void **state) {
    static const char pickle[] = "\x80\2(K\1K\2ctorch\nSize\nX\1\0\0\0kQt.";
    struct err err = ERR_INIT;
    struct pickle_value *value;
    int status = -1, failures = 0;
    for (size_t cap = 64; status < 0; cap += 32, failures++) {
        struct arena *small = arena_new(cap);
        status = pickle_load((struct bytes){(const uint8_t *)pickle, sizeof pickle - 1}, 0, "m.pt",
                             globals, sizeof globals / sizeof globals[0], small, &value, &err);
        if (status < 0)
            CHECK_FAILS(status, &err, ERR_NO_MEMORY);
        arena_free(small);
    }
    CHECK(failures > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_numbers),    cmocka_unit_test(builds_texts),
        cmocka_unit_test(builds_containers), cmocka_unit_test(remembers),
        cmocka_unit_test(builds_calls),      cmocka_unit_test(bad_pickles_are_refused),
        cmocka_unit_test(ceilings),          cmocka_unit_test(little_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
