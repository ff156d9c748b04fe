/* THE table covers every error code, with sensible statuses; documents and pages. */
#include "api/http/problem.h"
#include "compress/base/jspec.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static void covers_every_code(void **state) {
    unsigned seen = 0;
    for (unsigned i = 0; err_code_at(i) >= 0; i++, seen++) {
        enum err_code code = (enum err_code)err_code_at(i);
        const struct problem_rule *rule = problem_rule(code);
        CHECK_INT(rule->code, code);
        CHECK(rule->status >= 400 && rule->status < 600);
        CHECK(*rule->advice);
        /* Who is to blame decides the class; a wait helps only with what is busy or outside. */
        enum err_kind kind = err_kind(code);
        if (kind == ERR_KIND_INPUT || kind == ERR_KIND_MISSING || kind == ERR_KIND_CONFLICT ||
            kind == ERR_KIND_DENIED)
            CHECK(rule->status < 500 && !rule->retry_after_seconds);
        if (kind == ERR_KIND_BUSY)
            CHECK((rule->status == 429 || rule->status == 503) && rule->retry_after_seconds);
        if (kind == ERR_KIND_BUG)
            CHECK_INT(rule->status, 500);
    }
    CHECK(seen > 40);
    CHECK_INT(problem_rule((enum err_code)12345)->status, 500);
}

static void documents(void **state) {
    struct err err = ERR_INIT;
    err_set(&err, ERR_BAD_MODEL, "the end \"lies\"");
    err_at_tensor(&err, "a.weight");
    err_at_file(&err, "m.safetensors", 77);
    struct jbuf b;
    jbuf_init(&b);
    problem_json(&b, &err, NULL, "/v1/models/x", "id-1");
    char *text = jbuf_take(&b, NULL);
    CHECK(text);
    struct json_t *json;
    struct err why = ERR_INIT;
    CHECK_OK(jspec_parse(text, strlen(text), &json, &why), &why);
    CHECK_TEXT(json_text(json_get(json, "type")), "/problems/malformed-model");
    CHECK_TEXT(json_text(json_get(json, "detail")), "the end \"lies\"");
    CHECK_TEXT(json_text(json_get(json, "instance")), "/v1/models/x");
    CHECK_TEXT(json_text(json_get(json, "request_id")), "id-1");
    int64_t status;
    CHECK(json_int(json_get(json, "status"), &status));
    CHECK_INT(status, 422);
    struct json_t *first = json_array_at(json_get(json, "errors"), 0);
    int64_t offset;
    CHECK(json_int(json_get(first, "offset"), &offset));
    CHECK_INT(offset, 77);
    CHECK_TEXT(json_text(json_get(first, "tensor")), "a.weight");
    jspec_free(json);
    free(text);
}

static void pages(void **state) {
    for (unsigned i = 0; err_code_at(i) >= 0; i++) {
        enum err_code code = (enum err_code)err_code_at(i);
        size_t len;
        char *page = problem_page(err_slug(code), &len);
        if (code == ERR_OK) {
            CHECK(!page);
            continue;
        }
        CHECK(page);
        CHECK_UINT(len, strlen(page));
        CHECK_HOLDS(page, err_slug(code));
        free(page);
    }
    size_t len;
    CHECK(!problem_page("<script>", &len));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_every_code),
        cmocka_unit_test(documents),
        cmocka_unit_test(pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
