/* The map: put, get, growth, a full arena. */
#include "compress/base/arena.h"
#include "compress/base/strmap.h"
#include "tests/support/check.h"

static void puts_and_gets(void **state) {
    struct arena *arena = arena_new(64 << 20);
    struct strmap map;
    strmap_init(&map, arena);
    CHECK_UINT(strmap_get(&map, "absent"), STRMAP_NONE);
    enum { N = 20000 };
    for (unsigned i = 0; i < N; i++) {
        const char *key = arena_printf(arena, "model.layers.%u.weight", i);
        CHECK_INT(strmap_put(&map, key, i), 1);
    }
    for (unsigned i = 0; i < N; i++)
        CHECK_UINT(strmap_get(&map, arena_printf(arena, "model.layers.%u.weight", i)), i);
    CHECK_UINT(strmap_get(&map, "model.layers.20000.weight"), STRMAP_NONE);
    CHECK_UINT(strmap_get(&map, "model.layers.1.weigh"), STRMAP_NONE);
    CHECK_UINT(strmap_get(&map, ""), STRMAP_NONE);
    CHECK_INT(strmap_put(&map, "", 7), 1);
    CHECK_UINT(strmap_get(&map, ""), 7);
    arena_free(arena);
}

static void second_put_changes_nothing(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct strmap map;
    strmap_init(&map, arena);
    CHECK_INT(strmap_put(&map, "key", 1), 1);
    CHECK_INT(strmap_put(&map, "key", 2), 0);
    CHECK_UINT(strmap_get(&map, "key"), 1);
    CHECK_UINT(map.count, 1);
    arena_free(arena);
}

/* Every length around the hash's block of eight bytes, and keys that differ in the last byte. */
static void lengths_around_a_block(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct strmap map;
    strmap_init(&map, arena);
    for (unsigned len = 1; len < 40; len++)
        for (unsigned last = 0; last < 2; last++) {
            char *key = arena_printf(arena, "%0*d", (int)len, 0);
            key[len - 1] = last ? 'b' : 'a';
            CHECK_INT(strmap_put(&map, key, len * 2 + last), 1);
        }
    for (unsigned len = 1; len < 40; len++) {
        char *key = arena_printf(arena, "%0*d", (int)len, 0);
        key[len - 1] = 'b';
        CHECK_UINT(strmap_get(&map, key), len * 2 + 1);
    }
    arena_free(arena);
}

static void full_arena(void **state) {
    struct arena *arena = arena_new(8 << 10);
    struct strmap map;
    strmap_init(&map, arena);
    static char keys[4000][8];
    unsigned in = 0;
    int rc = 1;
    for (; in < 4000 && rc == 1; in++) {
        for (unsigned digit = 0, n = in; digit < 5; digit++, n /= 10)
            keys[in][digit] = (char)('0' + n % 10);
        rc = strmap_put(&map, keys[in], in);
    }
    CHECK_INT(rc, -1);
    CHECK_UINT(map.count, in - 1);
    for (unsigned i = 0; i + 1 < in; i++)
        CHECK_UINT(strmap_get(&map, keys[i]), i);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_and_gets),
        cmocka_unit_test(second_put_changes_nothing),
        cmocka_unit_test(lengths_around_a_block),
        cmocka_unit_test(full_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
