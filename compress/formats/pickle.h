/*
 * A restricted pickle machine: builds inert data, executes nothing.
 *
 * It knows the opcodes that protocols 2 to 4 use for dictionaries, lists, tuples, numbers, texts
 * and persistent ids. A name that the pickle wants from a module must stand in the caller's table
 * of globals; "calling" one makes a node that holds the callee's row and its arguments, and the
 * caller decides what they mean. Everything else is ERR_FORBIDDEN_PICKLE, naming the global or the
 * opcode and its offset: in the real machine those are the ways to run code.
 *
 * Values form a graph, not a tree (memo), and a hostile one may even hold itself: whoever walks it
 * bounds depth and steps. Texts are borrowed from the pickle's bytes, nodes live in the arena.
 *
 * Source: CPython Lib/pickletools.py (opcodes and their arguments).
 */
#ifndef COMPRESS_FORMATS_PICKLE_H
#define COMPRESS_FORMATS_PICKLE_H

#include "compress/base/arena.h"
#include "compress/base/bytes.h"
#include "compress/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_BIG_INT, /* does not fit 64 bits; value not kept */
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_BYTES,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,   /* items: key, value, key, value ... */
    PICKLE_GLOBAL, /* a row of the caller's table */
    PICKLE_CALL,   /* of such a row, with items[0] the argument tuple */
    PICKLE_PERSID, /* items[0] is the id */
};

/* What becomes of a call of this global. */
enum pickle_call {
    PICKLE_CALL_NEVER, /* only a name: forbidden to call */
    PICKLE_CALL_NODE,  /* a PICKLE_CALL */
    PICKLE_CALL_DICT,  /* without arguments: an empty dictionary (OrderedDict) */
    PICKLE_CALL_TUPLE, /* of one tuple: that tuple (torch.Size) */
};

struct pickle_global {
    const char *module;
    const char *name;
    enum pickle_call call;
    int id; /* the caller's */
};

struct pickle_value {
    enum pickle_kind kind;
    uint64_t offset; /* of the opcode that made it, for messages */
    union {
        bool truth;
        int64_t integer;
        double real;
        struct bytes text; /* TEXT (valid UTF-8) and BYTES */
    };
    const struct pickle_global *global; /* GLOBAL and CALL */
    struct pickle_value **items;
    size_t count;
    size_t capacity; /* internal */
};

/* `file_offset` is where the pickle starts in its file, for messages; `path` names the file. */
int pickle_load(struct bytes pickle, uint64_t file_offset, const char *path,
                const struct pickle_global *globals, size_t global_count, struct arena *arena,
                struct pickle_value **ret, struct err *err);

/* The value under a text key, or NULL (also when it is no dictionary). */
struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key);
bool pickle_is_text(const struct pickle_value *value, const char *text);

#endif
