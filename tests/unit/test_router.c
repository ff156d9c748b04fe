/* Paths → rows: decoding by segment, arguments, 404 and 405. */
#include "api/http/router.h"
#include "tests/support/check.h"

#include <string.h>

static const struct route table[] = {
    {METHOD_GET, "/"},          {METHOD_GET, "/a"},        {METHOD_PUT, "/a/{x}"},
    {METHOD_GET, "/a/{x}"},     {METHOD_DELETE, "/a/{x}"}, {METHOD_GET, "/a/{x}/f/{p*}"},
    {METHOD_POST, "/a/{x}/go"},
};

static struct route_match match(struct arena *arena, const char *method, const char *path) {
    struct route_match found;
    struct err err = ERR_INIT;
    CHECK_OK(router_match(table, sizeof table / sizeof *table, method, path, arena, &found, &err),
             &err);
    return found;
}

static void finds(void **state) {
    struct arena *arena = arena_new(1 << 20);
    CHECK(match(arena, "GET", "/").route == &table[0]);
    CHECK(match(arena, "GET", "/a").route == &table[1]);
    CHECK(match(arena, "HEAD", "/a").route == &table[1]);
    struct route_match m = match(arena, "GET", "/a/b%20c");
    CHECK(m.route == &table[3]);
    CHECK_TEXT(m.args[0], "b c");
    m = match(arena, "GET", "/a/b/f/one/t%C3%A4o/3");
    CHECK(m.route == &table[5]);
    CHECK_TEXT(m.args[0], "b");
    CHECK_TEXT(m.args[1], "one/t\xc3\xa4o/3");
    CHECK(match(arena, "POST", "/a/b/go").route == &table[6]);
    arena_free(arena);
}

static void finds_not(void **state) {
    struct arena *arena = arena_new(1 << 20);
    static const char *const absent[] = {"/b",      "/a/",       "/a//f/x", "/a/b/f",
                                         "/a/b/f/", "/a/b/f//x", "//",      "/a/b/go/on"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        struct route_match m = match(arena, "GET", absent[i]);
        CHECK(!m.route && !m.allow);
    }
    struct route_match m = match(arena, "POST", "/a/b");
    CHECK(!m.route);
    CHECK_TEXT(m.allow, "GET, HEAD, PUT, DELETE");
    CHECK_TEXT(match(arena, "get", "/a").allow, "GET, HEAD");
    char deep[400] = "";
    for (int i = 0; i < 100; i++)
        strcat(deep, "/a");
    CHECK(!match(arena, "GET", deep).route);
    arena_free(arena);
}

static void refuses(void **state) {
    struct arena *arena = arena_new(1 << 20);
    static const char *const bad[] = {
        "a",      "",       "http://x/a", "/a/%00", "/a/%2F",  "/a/%2f",    "/a/%",        "/a/%4",
        "/a/%zz", "/a/%1F", "/a/%7f",     "/a/%ff", "/a/\x01", "/a/%C0%AF", "/a/%ED%A0%80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct route_match m;
        struct err err = ERR_INIT;
        CHECK_FAILS(
            router_match(table, sizeof table / sizeof *table, "GET", bad[i], arena, &m, &err), &err,
            ERR_BAD_REQUEST);
    }
    CHECK_TEXT(router_decode("%2F", 3, false, arena), "/");
    arena_free(arena);
    arena = arena_new(1);
    CHECK(!router_decode("abc", 3, true, arena));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),
        cmocka_unit_test(finds_not),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
