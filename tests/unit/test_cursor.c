/* Names, and cursors that are bound to what they were made with. */
#include "api/routes/cursor.h"
#include "compress/base/jbuf.h"
#include "compress/base/jspec.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static const struct query_key keys[] = {{"state", QUERY_STRING, 0, 0, ""},
                                        {"limit", QUERY_INT, 0, 0, ""},
                                        {"cursor", QUERY_STRING, 0, 0, ""},
                                        {0}};
static const struct route route = {METHOD_GET, "/v1/jobs", .query = keys};

static void names(void **state) {
    char longest[130];
    memset(longest, 'a', 128);
    longest[128] = 0;
    CHECK(name_ok("a") && name_ok("A.b_c-1") && name_ok("0") && name_ok(longest));
    longest[128] = 'a';
    longest[129] = 0;
    CHECK(!name_ok("") && !name_ok(".a") && !name_ok("-a") && !name_ok("a b") && !name_ok("a/b"));
    CHECK(!name_ok(longest) && !name_ok("k\xc3\xa4se"));
}

static void ask(struct request *r, struct arena *arena, const char *state, const char *cursor) {
    memset(r, 0, sizeof *r);
    r->arena = arena;
    r->route = &route;
    r->path = "/v1/jobs";
    r->principal.team = "blue";
    if (state) {
        r->query[r->query_count].key = "state";
        r->query[r->query_count++].value = state;
    }
    if (cursor) {
        r->query[r->query_count].key = "cursor";
        r->query[r->query_count++].value = cursor;
    }
}

static void cursors(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct request r;
    struct err err = ERR_INIT;
    int64_t before = 9;
    ask(&r, arena, "a b", NULL);
    CHECK_OK(cursor_read(&r, &before, &err), &err);
    CHECK_INT(before, 0);
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    cursor_write(&r, &b, 123456789012);
    jbuf_object_end(&b);
    CHECK_UINT(r.reply.header_count, 1);
    CHECK_HOLDS(r.reply.headers[0].value, "state=a%20b");
    CHECK_HOLDS(r.reply.headers[0].value, ">; rel=\"next\"");
    size_t len;
    char *text = jbuf_take(&b, &len);
    struct json_t *json;
    CHECK_OK(jspec_parse(text, len, &json, &err), &err);
    char *cursor = arena_strdup(arena, json_text(json_get(json, "next")));
    jspec_free(json);
    free(text);
    ask(&r, arena, "a b", cursor);
    CHECK_OK(cursor_read(&r, &before, &err), &err);
    CHECK_INT(before, 123456789012);
    ask(&r, arena, "other", cursor);
    CHECK_FAILS(cursor_read(&r, &before, &err), &err, ERR_BAD_QUERY);
    ask(&r, arena, "a b", cursor);
    r.principal.team = "red";
    CHECK_FAILS(cursor_read(&r, &before, &err), &err, ERR_BAD_QUERY);
    static const char *const bad[] = {"", "x", "1", "1-", "-1", "1-00000000x", "g-00000000"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask(&r, arena, "a b", bad[i]);
        CHECK_FAILS(cursor_read(&r, &before, &err), &err, ERR_BAD_QUERY);
    }
    jbuf_init(&b);
    ask(&r, arena, NULL, NULL);
    jbuf_object(&b);
    cursor_write(&r, &b, 0);
    jbuf_object_end(&b);
    text = jbuf_take(&b, &len);
    CHECK_TEXT(text, "{\"next\":null}");
    free(text);
    CHECK_UINT(r.reply.header_count, 0);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(cursors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
