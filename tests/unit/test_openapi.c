/* The document is JSON, and every reference in it leads somewhere. */
#include "api/routes/openapi.h"

#include "api/routes/schemas.h"
#include "compress/base/jspec.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void is_whole(void **state) {
    size_t len;
    char *text = openapi_document(&len);
    CHECK(text);
    CHECK_UINT(len, strlen(text));
    struct json_t *json;
    struct err err = ERR_INIT;
    CHECK_OK(jspec_parse(text, len, &json, &err), &err);
    CHECK_TEXT(json_text(json_get(json, "openapi")), "3.1.0");
    struct json_t *components = json_get(json, "components");
    unsigned references = 0;
    for (const char *s = strstr(text, "\"#/components/"); s; s = strstr(s + 1, "\"#/components/")) {
        char kind[40], name[40];
        CHECK_INT(sscanf(s, "\"#/components/%39[a-zA-Z]/%39[A-Za-z]\"", kind, name), 2);
        if (!json_get(json_get(components, kind), name))
            fail_msg("#/components/%s/%s leads nowhere", kind, name);
        references++;
    }
    CHECK(references > 100);
    jspec_free(json);
    free(text);
}

static void schemas_have_no_stray_quotes(void **state) {
    for (size_t i = 0; schema_at(i); i++) {
        CHECK(!strchr(schema_at(i)->text, '"'));
        CHECK(schema_by_name(schema_at(i)->name) == schema_at(i));
    }
    CHECK(!schema_by_name("Nothing"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_whole),
        cmocka_unit_test(schemas_have_no_stray_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
