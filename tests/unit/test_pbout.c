/* Messages to be written: sizes, nesting, and what stands between the literals. */
#include "compress/formats/pbout.h"

#include "compress/base/arena.h"
#include "tests/support/check.h"
#include "tests/support/memfiles.h"
#include "tests/support/tinyonnx.h"

#include <string.h>

/* The same message by tests/support, which shares nothing with pbout. */
static void as_by_hand(void **state) {
    static const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    struct arena *arena = arena_new(MIB);
    struct bytebuf hand = {0}, hand_child = {0}, long_text = {0};
    struct pbout out, child;
    pbout_init(&out, arena);
    pbout_init(&child, arena);
    bytebuf_fill(&long_text, 'x', 1000);
    bytebuf_u8(&long_text, 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        pbout_varint(&child, (uint32_t)(i * 100 + 1), numbers[i]);
        tinyonnx_varint(&hand_child, (uint32_t)(i * 100 + 1), numbers[i]);
    }
    pbout_float(&child, 2, -0.5f);
    tinyonnx_fixed32(&hand_child, 2, -0.5f);
    pbout_text(&child, 3, "");
    tinyonnx_text(&hand_child, 3, "");
    pbout_text(&child, 4, (const char *)long_text.at);
    tinyonnx_text(&hand_child, 4, (const char *)long_text.at);
    CHECK_UINT(child.bytes, hand_child.len);
    pbout_varint(&out, 1, 8);
    tinyonnx_varint(&hand, 1, 8);
    pbout_message(&out, 7, &child);
    CHECK_UINT(child.bytes, 0);
    tinyonnx_message(&hand, 7, &hand_child);
    pbout_text(&out, 9, "end");
    tinyonnx_text(&hand, 9, "end");
    CHECK_UINT(out.bytes, hand.len);

    struct memfiles none = {0}, files;
    struct resolver *resolver = memfiles_resolver(&none);
    struct model *model = model_new(resolver);
    struct layout layout;
    struct err err = ERR_INIT;
    layout_init(&layout, arena);
    CHECK_OK(pbout_lay(&out, &layout, layout_add_file(&layout, "m"), &err), &err);
    memfiles_emit(model, &layout, &files);
    size_t len;
    const char *bytes = memfiles_get(&files, "m", &len);
    CHECK_UINT(len, hand.len);
    CHECK_BYTES(bytes, hand.at, len);
    memfiles_free(&files);
    model_free(model);
    resolver_close(resolver);
    bytebuf_free(&hand);
    bytebuf_free(&long_text);
    arena_free(arena);
}

static void ranges_are_joined(void **state) {
    struct arena *arena = arena_new(MIB);
    struct pbout out, child;
    struct layout layout;
    struct err err = ERR_INIT;
    struct tensor tensor = {0};
    pbout_init(&out, arena);
    pbout_init(&child, arena);
    layout_init(&layout, arena);
    pbout_copy(&out, 0, (struct pbwire_span){0, 10});
    pbout_copy(&out, 0, (struct pbwire_span){10, 5}); /* goes on */
    pbout_copy(&out, 0, (struct pbwire_span){99, 0}); /* nothing */
    pbout_copy(&out, 1, (struct pbwire_span){15, 5}); /* another file */
    pbout_copy(&out, 1, (struct pbwire_span){30, 5}); /* a gap */
    pbout_part(&child, &tensor, PART_DATA, 7);
    pbout_part(&child, &tensor, PART_DATA, 0);
    pbout_append(&out, &child);
    CHECK_UINT(out.bytes, 32);
    struct layout_file *file = layout_add_file(&layout, "m");
    CHECK_OK(pbout_lay(&out, &layout, file, &err), &err);
    CHECK_UINT(file->count, 4);
    CHECK_UINT(file->segments[0].bytes, 15);
    CHECK_UINT(file->segments[1].resolver_index, 1);
    CHECK_UINT(file->segments[2].offset, 30);
    CHECK_INT(file->segments[3].kind, SEGMENT_PART);
    arena_free(arena);
}

static void memory_that_ends_is_told_once(void **state) {
    struct arena *arena = arena_new(4096);
    struct pbout out, child;
    struct layout layout;
    struct err err = ERR_INIT;
    pbout_init(&out, arena);
    pbout_init(&child, arena);
    layout_init(&layout, arena);
    struct layout_file *file = layout_add_file(&layout, "m");
    for (int i = 0; i < 10000; i++)
        pbout_text(&child, 1, "much");
    CHECK(child.failed);
    pbout_message(&out, 2, &child);
    CHECK_FAILS(pbout_lay(&out, &layout, file, &err), &err, ERR_NO_MEMORY);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_by_hand),
        cmocka_unit_test(ranges_are_joined),
        cmocka_unit_test(memory_that_ends_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
