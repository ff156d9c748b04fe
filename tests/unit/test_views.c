/* Domain structs as JSON: every field, nulls where there is nothing, escapes. */
#include "api/json/views.h"
#include "compress/base/err.h"
#include "compress/base/jspec.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static struct json_t *parsed(struct jbuf *b) {
    size_t len;
    char *text = jbuf_take(b, &len);
    CHECK(text);
    struct json_t *json;
    struct err err = ERR_INIT;
    CHECK_OK(jspec_parse(text, len, &json, &err), &err);
    free(text);
    return json;
}

static const char *text_of(struct json_t *json, const char *key) {
    return json_text(json_get(json, key));
}

static void times(void **state) {
    char text[32];
    view_time_text(0, text);
    CHECK_TEXT(text, "1970-01-01T00:00:00.000Z");
    view_time_text(951782399999, text);
    CHECK_TEXT(text, "2000-02-28T23:59:59.999Z");
    view_time_text(253402300799999, text);
    CHECK_TEXT(text, "9999-12-31T23:59:59.999Z");
}

static void jobs(void **state) {
    struct job_row row = {.id = "01m85whhz9a71jkhxs2b2wcc0v",
                          .state = "queued",
                          .revision = 3,
                          .priority = 5,
                          .model_name = "m",
                          .recipe_name = "int8",
                          .labels_json = "{\"a\":\"\\\"\"}",
                          .created_ms = 1};
    struct jbuf b;
    jbuf_init(&b);
    view_job(&b, &row, 4);
    struct json_t *json = parsed(&b);
    CHECK_TEXT(text_of(json, "id"), row.id);
    CHECK_TEXT(text_of(json_get(json, "labels"), "a"), "\"");
    CHECK(json_get(json, "started_at") && !text_of(json, "started_at"));
    CHECK(json_get(json, "artifact") && !json_is(json_get(json, "artifact"), JSPEC_OBJECT));
    int64_t position;
    CHECK(json_int(json_get(json, "queue_position"), &position));
    CHECK_INT(position, 4);
    CHECK(!json_get(json_get(json, "links"), "artifact"));
    jspec_free(json);

    row.artifact_sha256 = "ab";
    row.artifact_bytes = UINT64_C(1) << 40;
    row.artifact_files = 2;
    row.finished_ms = 1000;
    row.summary_json = "{\"ratio\":2}";
    jbuf_init(&b);
    view_job(&b, &row, -1);
    json = parsed(&b);
    CHECK_TEXT(text_of(json_get(json, "artifact"), "sha256"), "ab");
    CHECK_TEXT(text_of(json_get(json, "links"), "artifact"),
               "/v1/jobs/01m85whhz9a71jkhxs2b2wcc0v/artifact");
    CHECK_TEXT(text_of(json, "finished_at"), "1970-01-01T00:00:01.000Z");
    CHECK(!json_int(json_get(json, "queue_position"), &position));
    jspec_free(json);
}

static void models(void **state) {
    struct model_row row = {.version = 7,
                            .name = "m",
                            .created_ms = 1,
                            .format = "safetensors",
                            .architecture = "x",
                            .parameters = 10,
                            .bytes = 20,
                            .inspection =
                                "{\"format\":\"no\",\"files\":[],\"dtypes\":{\"f32\":40}}"};
    struct blob_entry file = {.path = "a b/\xc3\xa4%", .bytes = 5};
    struct jbuf b;
    jbuf_init(&b);
    view_model_whole(&b, &row, &file, 1, "[1]");
    struct json_t *json = parsed(&b);
    CHECK_TEXT(text_of(json, "format"), "safetensors");
    int64_t bytes;
    CHECK(json_int(json_get(json_get(json, "dtypes"), "f32"), &bytes));
    struct json_t *first = json_array_at(json_get(json, "files"), 0);
    CHECK_TEXT(text_of(first, "url"), "/v1/models/m/files/a%20b/%C3%A4%25");
    CHECK_TEXT(text_of(first, "path"), file.path);
    CHECK_UINT(strlen(text_of(first, "digest")), 7 + DIGEST_HEX_LEN);
    CHECK_UINT(json_array_len(json_get(json, "tensors")), 1);
    jspec_free(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times),
        cmocka_unit_test(jobs),
        cmocka_unit_test(models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
