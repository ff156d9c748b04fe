/* Labels: what is a label, and that all offences are told. */
#include "api/routes/labels.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_labels(const char *json, struct violations *list, struct arena *arena) {
    struct json_t *value;
    struct err err = ERR_INIT;
    CHECK_OK(jspec_parse(json, strlen(json), &value, &err), &err);
    violations_init(list, arena);
    char *text = labels_read(value, "/labels", arena, list);
    jspec_free(value);
    return text;
}

static void reads(void **state) {
    struct arena *arena = arena_new(1 << 20);
    struct violations list;
    char *text = read_labels("{\"b\": \"2\", \"a/x-1\": \"\"}", &list, arena);
    CHECK_TEXT(text, "{\"a/x-1\":\"\",\"b\":\"2\"}");
    free(text);
    CHECK(!read_labels("{\"a b\":\"1\",\"\":\"2\",\"ok\":3}", &list, arena));
    CHECK_UINT(list.count, 3);
    CHECK_TEXT(list.items[0].pointer, "/labels/a b");
    char many[1024] = "{", long_value[400];
    for (int i = 0; i <= LABELS_MAX; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s\"k%d\":\"\"", i ? "," : "",
                 i);
    strcat(many, "}");
    CHECK(!read_labels(many, &list, arena));
    CHECK_TEXT(list.items[0].pointer, "/labels");
    memset(long_value, 'x', sizeof long_value);
    memcpy(long_value, "{\"k\":\"", 6);
    strcpy(long_value + 6 + LABEL_VALUE_MAX, "\"}");
    text = read_labels(long_value, &list, arena);
    CHECK(text);
    free(text);
    memset(long_value + 6, 'x', LABEL_VALUE_MAX + 1);
    strcpy(long_value + 7 + LABEL_VALUE_MAX, "\"}");
    CHECK(!read_labels(long_value, &list, arena));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
