/*
 * The machine: a stack of values, a stack of marks (positions in the former), a memo, and one table
 * of opcodes. A handler takes its argument from the cursor and works on the stack; an opcode
 * without a handler is refused by its name. Stack and memo are malloc'd and die with the call.
 */
#include "compress/formats/pickle.h"

#include "compress/base/limits.h"
#include "compress/base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct machine {
    struct cursor in;
    const char *path;
    const struct pickle_global *globals;
    size_t global_count;
    struct arena *arena;
    struct err *err;
    uint64_t start; /* offset of the first opcode */
    uint64_t at;    /* of the one being done */
    bool stopped;

    struct pickle_value **stack;
    size_t depth, stack_capacity;
    size_t *marks;
    size_t mark_count, mark_capacity;
    struct pickle_value **memo;
    size_t memo_count, memo_capacity; /* count: highest index put + 1 */
};

struct opcode {
    const char *name;
    int (*run)(struct machine *m); /* NULL: forbidden */
};

static const struct opcode opcodes[256];

static int bad(struct machine *m, const char *what) {
    err_set(m->err, ERR_BAD_MODEL, "the pickle is damaged: %s", what);
    return err_at_file(m->err, m->path, m->at);
}

static int no_memory(struct machine *m) {
    return err_set(m->err, ERR_NO_MEMORY, "the pickle needs more memory than is allowed");
}

static int forbid(struct machine *m, uint8_t code) {
    const char *name = opcodes[code].name;
    if (name)
        err_set(m->err, ERR_FORBIDDEN_PICKLE,
                "the pickle uses the opcode %s, which no dictionary of tensors needs", name);
    else
        err_set(m->err, ERR_FORBIDDEN_PICKLE, "the pickle uses the unknown opcode 0x%02x", code);
    return err_at_file(m->err, m->path, m->at);
}

int pickle_load(struct bytes pickle, uint64_t file_offset, const char *path,
                const struct pickle_global *globals, size_t global_count, struct arena *arena,
                struct pickle_value **ret, struct err *err) {
    struct machine m = {
        .in = cursor_over(pickle.at, pickle.len, file_offset),
        .path = path,
        .globals = globals,
        .global_count = global_count,
        .arena = arena,
        .err = err,
        .start = file_offset,
        .at = file_offset,
    };
    int status = 0;
    while (status == 0 && !m.stopped) {
        m.at = m.in.offset;
        uint8_t code = cursor_u8(&m.in);
        if (m.in.failed)
            status = bad(&m, "it ends without STOP");
        else if (!opcodes[code].run)
            status = forbid(&m, code);
        else
            status = opcodes[code].run(&m);
    }
    if (status == 0 && (m.depth != 1 || m.mark_count != 0))
        status = bad(&m, "it does not leave exactly one value");
    if (status == 0 && m.in.left != 0)
        status = bad(&m, "bytes follow its STOP");
    if (status == 0)
        *ret = m.stack[0];
    free(m.stack);
    free(m.marks);
    free(m.memo);
    return status;
}

bool pickle_is_text(const struct pickle_value *value, const char *text) {
    return value->kind == PICKLE_TEXT && value->text.len == strlen(text) &&
           memcmp(value->text.at, text, value->text.len) == 0;
}

struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key) {
    /* From the end: a key set twice has the later value. */
    for (size_t i = dict->kind == PICKLE_DICT ? dict->count : 0; i >= 2; i -= 2)
        if (pickle_is_text(dict->items[i - 2], key))
            return dict->items[i - 1];
    return NULL;
}

/* ---- stack, marks, memo ---- */

/* Room for one more element of any of the three arrays. */
static int reserve(struct machine *m, void *array_ptr, size_t count, size_t *capacity,
                   size_t size) {
    if (count < *capacity)
        return 0;
    void *array;
    memcpy(&array, array_ptr, sizeof array);
    size_t grown = count < 32 ? 64 : count * 2;
    void *moved = realloc(array, grown * size);
    if (!moved)
        return no_memory(m);
    memcpy(array_ptr, &moved, sizeof moved);
    *capacity = grown;
    return 0;
}

static int push(struct machine *m, struct pickle_value *value) {
    if (m->depth >= LIMIT_PICKLE_MEMO)
        return no_memory(m);
    if (reserve(m, &m->stack, m->depth, &m->stack_capacity, sizeof *m->stack) < 0)
        return -1;
    m->stack[m->depth++] = value;
    return 0;
}

static struct pickle_value *new_value(struct machine *m, enum pickle_kind kind) {
    struct pickle_value *value = ARENA_NEW(m->arena, struct pickle_value);
    if (!value) {
        no_memory(m);
        return NULL;
    }
    value->kind = kind;
    value->offset = m->at;
    return value;
}

/* A new value on the stack; NULL after an error. */
static struct pickle_value *push_new(struct machine *m, enum pickle_kind kind) {
    struct pickle_value *value = new_value(m, kind);
    return value && push(m, value) == 0 ? value : NULL;
}

/* How many values lie above the topmost mark. */
static size_t above_mark(const struct machine *m) {
    return m->depth - (m->mark_count ? m->marks[m->mark_count - 1] : 0);
}

/* The topmost value, which must lie above the topmost mark; NULL after an error. */
static struct pickle_value *top(struct machine *m) {
    if (above_mark(m) == 0) {
        bad(m, "the stack is empty");
        return NULL;
    }
    return m->stack[m->depth - 1];
}

static struct pickle_value *pop(struct machine *m) {
    struct pickle_value *value = top(m);
    if (value)
        m->depth--;
    return value;
}

/* Lists and dictionaries grow; the rest is filled once and gets just the room it needs. */
static int append(struct machine *m, struct pickle_value *to, struct pickle_value *const *items,
                  size_t count) {
    if (count == 0)
        return 0;
    bool grows = to->kind == PICKLE_LIST || to->kind == PICKLE_DICT;
    struct pickle_value **grown =
        grows ? arena_grow(m->arena, to->items, &to->capacity, to->count + count, sizeof *grown)
              : arena_calloc(m->arena, count, sizeof *grown);
    if (!grown)
        return no_memory(m);
    to->items = grown;
    memcpy(to->items + to->count, items, count * sizeof *items);
    to->count += count;
    return 0;
}

/* Takes the topmost mark and what lies above it: *ret_items stays on the stack's memory, valid
 * until the next push. */
static int take_marked(struct machine *m, struct pickle_value ***ret_items, size_t *ret_count) {
    if (m->mark_count == 0)
        return bad(m, "there is no mark");
    size_t mark = m->marks[--m->mark_count];
    *ret_count = m->depth - mark;
    *ret_items = *ret_count ? m->stack + mark : NULL;
    m->depth = mark;
    return 0;
}

static int memo_put(struct machine *m, uint64_t index) {
    struct pickle_value *value = top(m);
    if (!value)
        return -1;
    /* The pickler numbers from 0 upward, and each number costs it at least two bytes. */
    if (index >= LIMIT_PICKLE_MEMO || index > m->in.offset - m->start)
        return bad(m, "a memo index is out of range");
    while (m->memo_count <= index) {
        if (reserve(m, &m->memo, m->memo_count, &m->memo_capacity, sizeof *m->memo) < 0)
            return -1;
        m->memo[m->memo_count++] = NULL;
    }
    m->memo[index] = value;
    return 0;
}

static int memo_get(struct machine *m, uint64_t index) {
    if (index >= m->memo_count || !m->memo[index])
        return bad(m, "a memo index was never set");
    return push(m, m->memo[index]);
}

/* ---- opcodes ---- */

static int op_proto(struct machine *m) {
    uint8_t version = cursor_u8(&m->in);
    return version >= 2 && version <= 5 ? 0 : bad(m, "its protocol is not 2 to 5");
}

static int op_frame(struct machine *m) {
    /* Frames are hints for reading ahead; one that is longer than the rest is a lie. */
    return cursor_u64(&m->in) <= m->in.left && !m->in.failed ? 0 : bad(m, "a frame is too long");
}

static int op_stop(struct machine *m) {
    m->stopped = true;
    return 0;
}

static int op_mark(struct machine *m) {
    if (m->mark_count >= LIMIT_PICKLE_DEPTH) {
        err_set(m->err, ERR_TOO_LARGE, "the pickle is nested more than %d deep",
                LIMIT_PICKLE_DEPTH);
        return err_at_file(m->err, m->path, m->at);
    }
    if (reserve(m, &m->marks, m->mark_count, &m->mark_capacity, sizeof *m->marks) < 0)
        return -1;
    m->marks[m->mark_count++] = m->depth;
    return 0;
}

static int op_none(struct machine *m) {
    return push_new(m, PICKLE_NONE) ? 0 : -1;
}

static int push_bool(struct machine *m, bool truth) {
    struct pickle_value *value = push_new(m, PICKLE_BOOL);
    if (!value)
        return -1;
    value->truth = truth;
    return 0;
}

static int op_true(struct machine *m) {
    return push_bool(m, true);
}

static int op_false(struct machine *m) {
    return push_bool(m, false);
}

static int push_int(struct machine *m, int64_t integer) {
    if (m->in.failed)
        return bad(m, "it ends inside a number");
    struct pickle_value *value = push_new(m, PICKLE_INT);
    if (!value)
        return -1;
    value->integer = integer;
    return 0;
}

static int op_binint(struct machine *m) {
    return push_int(m, (int32_t)cursor_u32(&m->in));
}

static int op_binint1(struct machine *m) {
    return push_int(m, cursor_u8(&m->in));
}

static int op_binint2(struct machine *m) {
    return push_int(m, cursor_u16(&m->in));
}

/* Two's complement, little-endian, as many bytes as it takes. */
static int push_long(struct machine *m, uint64_t len) {
    struct bytes raw = cursor_take(&m->in, len);
    if (m->in.failed)
        return bad(m, "it ends inside a number");
    if (len > 8)
        return push_new(m, PICKLE_BIG_INT) ? 0 : -1;
    uint64_t value = 0;
    for (size_t i = 0; i < raw.len; i++)
        value |= (uint64_t)raw.at[i] << (8 * i);
    if (len > 0 && len < 8 && (raw.at[len - 1] & 0x80))
        value |= UINT64_MAX << (8 * len);
    return push_int(m, (int64_t)value);
}

static int op_long1(struct machine *m) {
    return push_long(m, cursor_u8(&m->in));
}

static int op_binfloat(struct machine *m) {
    uint64_t bits = __builtin_bswap64(cursor_u64(&m->in)); /* the one big-endian field */
    if (m->in.failed)
        return bad(m, "it ends inside a number");
    struct pickle_value *value = push_new(m, PICKLE_FLOAT);
    if (!value)
        return -1;
    memcpy(&value->real, &bits, sizeof bits);
    return 0;
}

static int push_bytes(struct machine *m, enum pickle_kind kind, uint64_t len) {
    struct bytes raw = cursor_take(&m->in, len);
    if (m->in.failed)
        return bad(m, "it ends inside a text");
    if (kind == PICKLE_TEXT && !utf8_valid(raw.at, raw.len))
        return bad(m, "a text is not UTF-8");
    struct pickle_value *value = push_new(m, kind);
    if (!value)
        return -1;
    value->text = raw;
    return 0;
}

static int op_short_binunicode(struct machine *m) {
    return push_bytes(m, PICKLE_TEXT, cursor_u8(&m->in));
}

static int op_binunicode(struct machine *m) {
    return push_bytes(m, PICKLE_TEXT, cursor_u32(&m->in));
}

static int op_binunicode8(struct machine *m) {
    return push_bytes(m, PICKLE_TEXT, cursor_u64(&m->in));
}

static int op_short_binbytes(struct machine *m) {
    return push_bytes(m, PICKLE_BYTES, cursor_u8(&m->in));
}

static int op_binbytes(struct machine *m) {
    return push_bytes(m, PICKLE_BYTES, cursor_u32(&m->in));
}

static int op_empty_dict(struct machine *m) {
    return push_new(m, PICKLE_DICT) ? 0 : -1;
}

static int op_empty_list(struct machine *m) {
    return push_new(m, PICKLE_LIST) ? 0 : -1;
}

static int op_empty_tuple(struct machine *m) {
    return push_new(m, PICKLE_TUPLE) ? 0 : -1;
}

static int push_tuple(struct machine *m, struct pickle_value *const *items, size_t count) {
    struct pickle_value *tuple = new_value(m, PICKLE_TUPLE);
    return tuple && append(m, tuple, items, count) == 0 ? push(m, tuple) : -1;
}

static int op_tuple(struct machine *m) {
    struct pickle_value **items = NULL;
    size_t count = 0;
    return take_marked(m, &items, &count) == 0 ? push_tuple(m, items, count) : -1;
}

static int short_tuple(struct machine *m, size_t count) {
    if (above_mark(m) < count)
        return bad(m, "the stack is empty");
    m->depth -= count;
    return push_tuple(m, m->stack + m->depth, count);
}

static int op_tuple1(struct machine *m) {
    return short_tuple(m, 1);
}

static int op_tuple2(struct machine *m) {
    return short_tuple(m, 2);
}

static int op_tuple3(struct machine *m) {
    return short_tuple(m, 3);
}

static int append_to(struct machine *m, enum pickle_kind kind, struct pickle_value *const *items,
                     size_t count) {
    struct pickle_value *to = top(m);
    if (!to)
        return -1;
    if (to->kind != kind)
        return bad(m, kind == PICKLE_LIST ? "it appends to what is no list"
                                          : "it sets an item of what is no dictionary");
    if (kind == PICKLE_DICT && count % 2 != 0)
        return bad(m, "a key without a value");
    return append(m, to, items, count);
}

static int op_append(struct machine *m) {
    struct pickle_value *item = pop(m);
    return item ? append_to(m, PICKLE_LIST, &item, 1) : -1;
}

static int op_appends(struct machine *m) {
    struct pickle_value **items = NULL;
    size_t count = 0;
    return take_marked(m, &items, &count) == 0 ? append_to(m, PICKLE_LIST, items, count) : -1;
}

static int op_setitem(struct machine *m) {
    if (above_mark(m) < 3)
        return bad(m, "the stack is empty");
    m->depth -= 2;
    return append_to(m, PICKLE_DICT, m->stack + m->depth, 2);
}

static int op_setitems(struct machine *m) {
    struct pickle_value **items = NULL;
    size_t count = 0;
    return take_marked(m, &items, &count) == 0 ? append_to(m, PICKLE_DICT, items, count) : -1;
}

static int op_binput(struct machine *m) {
    uint8_t index = cursor_u8(&m->in);
    return m->in.failed ? bad(m, "it ends inside an opcode") : memo_put(m, index);
}

static int op_long_binput(struct machine *m) {
    uint32_t index = cursor_u32(&m->in);
    return m->in.failed ? bad(m, "it ends inside an opcode") : memo_put(m, index);
}

static int op_memoize(struct machine *m) {
    return memo_put(m, m->memo_count);
}

static int op_binget(struct machine *m) {
    uint8_t index = cursor_u8(&m->in);
    return m->in.failed ? bad(m, "it ends inside an opcode") : memo_get(m, index);
}

static int op_long_binget(struct machine *m) {
    uint32_t index = cursor_u32(&m->in);
    return m->in.failed ? bad(m, "it ends inside an opcode") : memo_get(m, index);
}

static bool same(struct bytes raw, const char *text) {
    return raw.len == strlen(text) && memcmp(raw.at, text, raw.len) == 0;
}

static int push_global(struct machine *m, struct bytes module, struct bytes name) {
    for (size_t i = 0; i < m->global_count; i++) {
        if (!same(module, m->globals[i].module) || !same(name, m->globals[i].name))
            continue;
        struct pickle_value *value = push_new(m, PICKLE_GLOBAL);
        if (!value)
            return -1;
        value->global = &m->globals[i];
        return 0;
    }
    err_set(m->err, ERR_FORBIDDEN_PICKLE, "the pickle asks for %.*s.%.*s, which is no tensor",
            (int)(module.len < 100 ? module.len : 100), (const char *)module.at,
            (int)(name.len < 100 ? name.len : 100), (const char *)name.at);
    return err_at_file(m->err, m->path, m->at);
}

static int take_line(struct machine *m, struct bytes *ret) {
    const uint8_t *end = m->in.left ? memchr(m->in.at, '\n', m->in.left) : NULL;
    if (!end)
        return bad(m, "it ends inside a name");
    *ret = cursor_take(&m->in, (uint64_t)(end - m->in.at));
    cursor_take(&m->in, 1);
    return 0;
}

static int op_global(struct machine *m) {
    struct bytes module, name;
    if (take_line(m, &module) < 0 || take_line(m, &name) < 0)
        return -1;
    return push_global(m, module, name);
}

static int op_stack_global(struct machine *m) {
    struct pickle_value *name = pop(m);
    struct pickle_value *module = name ? pop(m) : NULL;
    if (!module)
        return -1;
    if (name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT)
        return bad(m, "a global's name is no text");
    return push_global(m, module->text, name->text);
}

static int op_binpersid(struct machine *m) {
    struct pickle_value *id = pop(m);
    struct pickle_value *value = id ? new_value(m, PICKLE_PERSID) : NULL;
    return value && append(m, value, &id, 1) == 0 ? push(m, value) : -1;
}

static int forbid_call(struct machine *m, const struct pickle_value *callee) {
    if (callee->global)
        err_set(m->err, ERR_FORBIDDEN_PICKLE,
                "the pickle calls %s.%s in a way that makes no tensor", callee->global->module,
                callee->global->name);
    else
        err_set(m->err, ERR_FORBIDDEN_PICKLE, "the pickle calls something that is no function");
    return err_at_file(m->err, m->path, m->at);
}

static int op_reduce(struct machine *m) {
    struct pickle_value *args = pop(m);
    struct pickle_value *callee = args ? pop(m) : NULL;
    if (!callee)
        return -1;
    if (callee->kind != PICKLE_GLOBAL)
        return forbid_call(m, callee);
    if (args->kind != PICKLE_TUPLE)
        return bad(m, "the arguments of a call are no tuple");
    struct pickle_value *value;
    switch (callee->global->call) {
    case PICKLE_CALL_DICT:
        return args->count == 0 ? op_empty_dict(m) : forbid_call(m, callee);
    case PICKLE_CALL_TUPLE:
        if (args->count != 1 || args->items[0]->kind != PICKLE_TUPLE)
            return forbid_call(m, callee);
        return push(m, args->items[0]);
    case PICKLE_CALL_NODE:
        value = new_value(m, PICKLE_CALL);
        if (!value || append(m, value, &args, 1) < 0)
            return -1;
        value->global = callee->global;
        return push(m, value);
    case PICKLE_CALL_NEVER:
        break;
    }
    return forbid_call(m, callee);
}

/* An object's state: attributes that Python hangs on it, such as the version table of a state
 * dictionary. Dropped; only what we built ourselves may have one. */
static int op_build(struct machine *m) {
    struct pickle_value *state = pop(m);
    struct pickle_value *object = state ? top(m) : NULL;
    if (!object)
        return -1;
    if (object->kind != PICKLE_DICT && object->kind != PICKLE_CALL)
        return forbid(m, 'b');
    return 0;
}

/* Named but without a function: known and forbidden. */
static const struct opcode opcodes[256] = {
    ['('] = {"MARK", op_mark},
    ['.'] = {"STOP", op_stop},
    ['0'] = {"POP", NULL},
    ['1'] = {"POP_MARK", NULL},
    ['2'] = {"DUP", NULL},
    ['F'] = {"FLOAT", NULL},
    ['I'] = {"INT", NULL},
    ['J'] = {"BININT", op_binint},
    ['K'] = {"BININT1", op_binint1},
    ['L'] = {"LONG", NULL},
    ['M'] = {"BININT2", op_binint2},
    ['N'] = {"NONE", op_none},
    ['P'] = {"PERSID", NULL},
    ['Q'] = {"BINPERSID", op_binpersid},
    ['R'] = {"REDUCE", op_reduce},
    ['S'] = {"STRING", NULL},
    ['T'] = {"BINSTRING", NULL},
    ['U'] = {"SHORT_BINSTRING", NULL},
    ['V'] = {"UNICODE", NULL},
    ['X'] = {"BINUNICODE", op_binunicode},
    ['a'] = {"APPEND", op_append},
    ['b'] = {"BUILD", op_build},
    ['c'] = {"GLOBAL", op_global},
    ['d'] = {"DICT", NULL},
    ['}'] = {"EMPTY_DICT", op_empty_dict},
    ['e'] = {"APPENDS", op_appends},
    ['g'] = {"GET", NULL},
    ['h'] = {"BINGET", op_binget},
    ['i'] = {"INST", NULL},
    ['j'] = {"LONG_BINGET", op_long_binget},
    ['l'] = {"LIST", NULL},
    [']'] = {"EMPTY_LIST", op_empty_list},
    ['o'] = {"OBJ", NULL},
    ['p'] = {"PUT", NULL},
    ['q'] = {"BINPUT", op_binput},
    ['r'] = {"LONG_BINPUT", op_long_binput},
    ['s'] = {"SETITEM", op_setitem},
    ['t'] = {"TUPLE", op_tuple},
    [')'] = {"EMPTY_TUPLE", op_empty_tuple},
    ['u'] = {"SETITEMS", op_setitems},
    ['G'] = {"BINFLOAT", op_binfloat},
    ['B'] = {"BINBYTES", op_binbytes},
    ['C'] = {"SHORT_BINBYTES", op_short_binbytes},
    [0x80] = {"PROTO", op_proto},
    [0x81] = {"NEWOBJ", NULL},
    [0x82] = {"EXT1", NULL},
    [0x83] = {"EXT2", NULL},
    [0x84] = {"EXT4", NULL},
    [0x85] = {"TUPLE1", op_tuple1},
    [0x86] = {"TUPLE2", op_tuple2},
    [0x87] = {"TUPLE3", op_tuple3},
    [0x88] = {"NEWTRUE", op_true},
    [0x89] = {"NEWFALSE", op_false},
    [0x8a] = {"LONG1", op_long1},
    [0x8b] = {"LONG4", NULL},
    [0x8c] = {"SHORT_BINUNICODE", op_short_binunicode},
    [0x8d] = {"BINUNICODE8", op_binunicode8},
    [0x8e] = {"BINBYTES8", NULL},
    [0x8f] = {"EMPTY_SET", NULL},
    [0x90] = {"ADDITEMS", NULL},
    [0x91] = {"FROZENSET", NULL},
    [0x92] = {"NEWOBJ_EX", NULL},
    [0x93] = {"STACK_GLOBAL", op_stack_global},
    [0x94] = {"MEMOIZE", op_memoize},
    [0x95] = {"FRAME", op_frame},
    [0x96] = {"BYTEARRAY8", NULL},
    [0x97] = {"NEXT_BUFFER", NULL},
    [0x98] = {"READONLY_BUFFER", NULL},
};
