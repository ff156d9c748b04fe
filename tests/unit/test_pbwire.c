/* The walk over protobuf fields: every type, every way to lie about a length. */
#include "compress/formats/pbwire.h"

#include "compress/base/arena.h"
#include "compress/base/files.h"
#include "tests/support/bytebuf.h"
#include "tests/support/check.h"
#include "tests/support/tinyonnx.h"

#include <stdlib.h>
#include <string.h>

static void every_type(void **state) {
    struct bytebuf b = {0};
    tinyonnx_varint(&b, 1, 300);
    tinyonnx_varint(&b, 2, UINT64_MAX);
    tinyonnx_fixed32(&b, 3, 1.5f);
    bytebuf_raw(&b, "\x21\1\2\3\4\5\6\7\x80", 9); /* field 4, fixed64 */
    tinyonnx_text(&b, 5, "hello");
    bytebuf_raw(&b, "\x33\x08\x01\x3b\x3c\x34", 6); /* group 6 { 1: 1, group 7 {} } */
    tinyonnx_text(&b, 536870911, "");
    struct source *source = source_over_memory(b.at, b.len, "m");
    struct pbwire *wire = pbwire_new(source);
    struct pbwire_walk walk = pbwire_walk(wire, pbwire_all(wire));
    struct pbwire_field f;
    struct err err = ERR_INIT;
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_UINT(f.number, 1);
    CHECK_UINT(f.value, 300);
    CHECK_UINT(f.whole.bytes, 3);
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_UINT(f.value, UINT64_MAX);
    CHECK_UINT(f.whole.bytes, 11);
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_UINT(f.value, 0x3fc00000);
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_UINT(f.value, UINT64_C(0x8007060504030201));
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_UINT(f.content.bytes, 5);
    CHECK_UINT(f.whole.bytes, 7);
    char text[6] = "";
    CHECK_OK(pbwire_read(wire, f.content, text, &err), &err);
    CHECK_TEXT(text, "hello");
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_UINT(f.number, 6);
    CHECK_INT(f.type, PBWIRE_GROUP);
    CHECK_UINT(f.whole.bytes, 6);
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_UINT(f.number, 536870911);
    CHECK_UINT(f.content.bytes, 0);
    CHECK_INT(pbwire_next(&walk, &f, &err), 0);
    CHECK_INT(err.code, ERR_OK);
    pbwire_free(wire);
    source_close(source);
    bytebuf_free(&b);
}

static void refusals(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *says;
    } rows[] = {
        {"\x08", 1, "runs past"},                                   /* a tag alone */
        {"\x08\x80", 2, "runs past"},                               /* a cut varint */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, "64"}, /* bit 64 */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 12, "64"},
        {"\x00\x00", 2, "no tag"},                 /* field 0 */
        {"\x0e\x00", 2, "no tag"},                 /* type 6 */
        {"\xf8\xff\xff\xff\x1f\x00", 6, "no tag"}, /* field 2^30 - 1 */
        {"\x12\x05\x01", 3, "are left"},           /* longer than the message */
        {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "are left"},
        {"\x0d\1\2\3", 4, "runs past"}, /* three bytes of four */
        {"\x09\1\2\3\4\5\6\7", 8, "runs past"},
        {"\x0c", 1, "never began"},
        {"\x0b\x08\x01", 3, "does not end"},
        {"\x0b\x14", 2, "ends as another"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct source *source = source_over_memory(rows[i].bytes, rows[i].len, "m");
        struct pbwire *wire = pbwire_new(source);
        struct pbwire_walk walk = pbwire_walk(wire, pbwire_all(wire));
        struct pbwire_field f;
        struct err err = ERR_INIT;
        CHECK_INT(pbwire_next(&walk, &f, &err), -1);
        CHECK_INT(err.code, ERR_BAD_MODEL);
        CHECK_HOLDS(err.text, rows[i].says);
        CHECK_TEXT(err.file, "m");
        pbwire_free(wire);
        source_close(source);
    }
}

static void groups_do_not_nest_for_ever(void **state) {
    char deep[100];
    memset(deep, 0x0b, sizeof deep);
    struct source *source = source_over_memory(deep, sizeof deep, "m");
    struct pbwire *wire = pbwire_new(source);
    struct pbwire_walk walk = pbwire_walk(wire, pbwire_all(wire));
    struct pbwire_field f;
    struct err err = ERR_INIT;
    CHECK_INT(pbwire_next(&walk, &f, &err), -1);
    CHECK_HOLDS(err.text, "deeper");
    pbwire_free(wire);
    source_close(source);
}

/* Ends of messages and of the window do not meet; a field of a megabyte is stepped over. */
static void beyond_the_window(void **state) {
    struct bytebuf b = {0}, big = {0};
    bytebuf_fill(&big, 7, 1000000);
    for (unsigned i = 0; i < 20000; i++)
        tinyonnx_varint(&b, 1, i);
    tinyonnx_message(&b, 2, &big);
    tinyonnx_text(&b, 3, "end");
    struct source *source = source_over_memory(b.at, b.len, "m");
    struct pbwire *wire = pbwire_new(source);
    struct pbwire_walk walk = pbwire_walk(wire, pbwire_all(wire));
    struct pbwire_field f;
    struct err err = ERR_INIT;
    for (unsigned i = 0; i < 20000; i++) {
        CHECK_INT(pbwire_next(&walk, &f, &err), 1);
        CHECK_UINT(f.value, i);
    }
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_UINT(f.content.bytes, 1000000);
    uint8_t *all = malloc(1000000);
    CHECK_OK(pbwire_read(wire, f.content, all, &err), &err);
    CHECK_UINT(all[999999], 7);
    free(all);
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_UINT(f.number, 3);
    CHECK_INT(pbwire_next(&walk, &f, &err), 0);
    pbwire_free(wire);
    source_close(source);
    bytebuf_free(&b);
}

static void lists_of_varints(void **state) {
    struct bytebuf b = {0};
    tinyonnx_varint(&b, 1, 5);
    tinyonnx_bytes(&b, 1, "\x06\xac\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13);
    tinyonnx_bytes(&b, 1, "\x06\xac", 2);
    tinyonnx_fixed32(&b, 1, 0);
    struct arena *arena = arena_new(MIB);
    struct source *source = source_over_memory(b.at, b.len, "m");
    struct pbwire *wire = pbwire_new(source);
    struct pbwire_walk walk = pbwire_walk(wire, pbwire_all(wire));
    struct pbwire_field f;
    struct err err = ERR_INIT;
    int64_t *list = NULL;
    size_t count = 0, capacity = 0;
    for (int i = 0; i < 2; i++) {
        CHECK_INT(pbwire_next(&walk, &f, &err), 1);
        CHECK_OK(pbwire_varints(wire, &f, 4, arena, &list, &count, &capacity, &err), &err);
    }
    CHECK_UINT(count, 4);
    CHECK_INT(list[0], 5);
    CHECK_INT(list[2], 300);
    CHECK_INT(list[3], -1);
    CHECK_FAILS(pbwire_varints(wire, &f, 4, arena, &list, &count, &capacity, &err), &err,
                ERR_TOO_LARGE);
    CHECK_INT(pbwire_next(&walk, &f, &err), 1); /* the last number is cut */
    CHECK_FAILS(pbwire_varints(wire, &f, 99, arena, &list, &count, &capacity, &err), &err,
                ERR_BAD_MODEL);
    CHECK_INT(pbwire_next(&walk, &f, &err), 1);
    CHECK_FAILS(pbwire_varints(wire, &f, 99, arena, &list, &count, &capacity, &err), &err,
                ERR_BAD_MODEL);
    CHECK_FAILS(pbwire_expect(wire, &f, PBWIRE_BYTES, "the thing", &err), &err, ERR_BAD_MODEL);
    pbwire_free(wire);
    source_close(source);
    arena_free(arena);
    bytebuf_free(&b);
}

static void texts(void **state) {
    struct arena *arena = arena_new(MIB);
    struct source *source = source_over_memory("k\xc3\xa4se\0\xff", 7, "m");
    struct pbwire *wire = pbwire_new(source);
    struct err err = ERR_INIT;
    const char *text = NULL;
    CHECK_OK(pbwire_text(wire, (struct pbwire_span){0, 5}, 5, arena, &text, &err), &err);
    CHECK_TEXT(text, "k\xc3\xa4se");
    CHECK_FAILS(pbwire_text(wire, (struct pbwire_span){0, 5}, 4, arena, &text, &err), &err,
                ERR_BAD_MODEL);
    CHECK_FAILS(pbwire_text(wire, (struct pbwire_span){0, 6}, 9, arena, &text, &err), &err,
                ERR_BAD_MODEL);
    CHECK_FAILS(pbwire_text(wire, (struct pbwire_span){6, 1}, 9, arena, &text, &err), &err,
                ERR_BAD_MODEL);
    pbwire_free(wire);
    source_close(source);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),        cmocka_unit_test(refusals),
        cmocka_unit_test(beyond_the_window), cmocka_unit_test(groups_do_not_nest_for_ever),
        cmocka_unit_test(lists_of_varints),  cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
