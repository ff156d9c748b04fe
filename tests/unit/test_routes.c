/* The route table: unique, complete, consistent with schemas and problem rules. */
#include "api/routes/routes.h"

#include "api/http/problem.h"
#include "api/http/router.h"
#include "api/routes/schemas.h"
#include "tests/support/check.h"

#include <string.h>

static void rows_are_complete(void **state) {
    size_t count;
    const struct route *table = routes_table(&count);
    CHECK(count > 25);
    for (size_t i = 0; i < count; i++) {
        const struct route *r = &table[i];
        CHECK(r->pattern[0] == '/' && *r->operation && *r->tag && *r->summary);
        CHECK(r->run);
        CHECK(r->responses && r->responses[0].status);
        CHECK((r->body == BODY_STREAM) == (r->chunk != NULL));
        CHECK((r->body == BODY_JSON) == (r->request_schema != NULL));
        CHECK(r->body != BODY_JSON || r->body_limit_bytes > 0);
        CHECK(r->method != METHOD_GET || r->body == BODY_NONE);
        if (r->request_schema)
            CHECK(schema_by_name(r->request_schema));
        for (const struct route_response *a = r->responses; a->status; a++) {
            CHECK(a->status >= 200 && a->status < 400 && *a->doc);
            CHECK(!a->schema || (schema_by_name(a->schema) && a->type));
            /* Rows of one status stand together: the document makes one response of them. */
            for (const struct route_response *b = a + 1; b->status; b++)
                if (b->status == a->status)
                    CHECK((b - 1)->status == a->status);
        }
        for (const enum err_code *code = r->problems; code && *code != ERR_OK; code++)
            CHECK_INT(problem_rule(*code)->code, *code);
        for (size_t k = 0; k < i; k++) {
            CHECK(strcmp(table[k].operation, r->operation) != 0);
            CHECK(table[k].method != r->method || strcmp(table[k].pattern, r->pattern) != 0);
        }
    }
}

/* Each pattern, filled in, finds its own row: none hides behind another. */
static void every_row_is_reached(void **state) {
    size_t count;
    const struct route *table = routes_table(&count);
    struct arena *arena = arena_new(1 << 20);
    for (size_t i = 0; i < count; i++) {
        char path[200];
        size_t n = 0;
        for (const char *s = table[i].pattern; *s; s++) {
            if (*s == '{') {
                s += strcspn(s, "}");
                path[n++] = 'x';
            } else {
                path[n++] = *s;
            }
        }
        path[n] = 0;
        struct route_match found;
        struct err err = ERR_INIT;
        CHECK_OK(
            router_match(table, count, method_name(table[i].method), path, arena, &found, &err),
            &err);
        CHECK(found.route == &table[i]);
    }
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_complete),
        cmocka_unit_test(every_row_is_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
