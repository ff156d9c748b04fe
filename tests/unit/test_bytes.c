/* The cursor: never past the end, failed stays failed. */
#include "compress/base/bytes.h"
#include "tests/support/check.h"

#include <stdlib.h>

static void reads_little_endian(void **state) {
    static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    struct cursor c = cursor_over(data, sizeof data, 100);
    CHECK_UINT(cursor_u8(&c), 1);
    CHECK_UINT(cursor_u16(&c), 0x0302);
    CHECK_UINT(cursor_u32(&c), 0x07060504);
    CHECK_UINT(cursor_u64(&c), 0x0f0e0d0c0b0a0908);
    CHECK_UINT(c.offset, 115);
    CHECK_UINT(c.left, 1);
    CHECK(!c.failed);
}

static void stops_at_the_end(void **state) {
    /* On the heap and exactly as long, so that the sanitizer sees one byte too many. */
    for (size_t len = 0; len < 8; len++) {
        uint8_t *data = malloc(len + 1);
        struct cursor c = cursor_over(data + 1, len, 0);
        CHECK_UINT(cursor_u64(&c), 0);
        CHECK(c.failed);
        struct bytes b = cursor_take(&c, 0);
        CHECK(b.at == NULL);
        CHECK_UINT(cursor_u8(&c), 0);
        CHECK_UINT(c.left, len);
        free(data);
    }
}

static void hostile_lengths(void **state) {
    static const uint8_t data[4] = {9, 8, 7, 6};
    static const uint64_t lengths[] = {5, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct cursor c = cursor_over(data, sizeof data, 0);
        struct bytes b = cursor_take(&c, lengths[i]);
        CHECK(b.at == NULL && b.len == 0 && c.failed);
    }
    struct cursor c = cursor_over(data, sizeof data, 0);
    struct bytes b = cursor_take(&c, 4);
    CHECK(b.at == data && b.len == 4 && !c.failed && c.left == 0);
}

static void overflow_is_told(void **state) {
    uint64_t r;
    CHECK(mul_u64(UINT32_MAX, UINT32_MAX, &r));
    CHECK_UINT(r, 18446744065119617025u);
    CHECK(!mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &r));
    CHECK(add_u64(UINT64_MAX, 0, &r));
    CHECK_UINT(r, UINT64_MAX);
    CHECK(!add_u64(UINT64_MAX, 1, &r));
}

static void stores_load_back(void **state) {
    uint8_t buf[9] = {0};
    store_u16(buf + 1, 0x1234);
    CHECK_UINT(buf[1], 0x34);
    CHECK_UINT(load_u16(buf + 1), 0x1234);
    store_u32(buf + 1, 0x12345678);
    CHECK_UINT(load_u32(buf + 1), 0x12345678);
    store_u64(buf + 1, UINT64_C(0x123456789abcdef0));
    CHECK_UINT(buf[1], 0xf0);
    CHECK_UINT(load_u64(buf + 1), UINT64_C(0x123456789abcdef0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_little_endian), cmocka_unit_test(stops_at_the_end),
        cmocka_unit_test(hostile_lengths),     cmocka_unit_test(overflow_is_told),
        cmocka_unit_test(stores_load_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
