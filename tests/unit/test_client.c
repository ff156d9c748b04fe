/* The tool's side of HTTP, as far as it needs no server: settings, problems, escapes. */
#include "daemon/client.h"
#include "tests/support/check.h"

#include "compress/base/arena.h"
#include "tests/support/tempdir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_with(struct tempdir *dir, const char *conf, struct client **ret, struct err *err) {
    tempdir_write(dir, "compressd/client.conf", conf, strlen(conf));
    *err = ERR_INIT;
    return client_new(NULL, NULL, ret, err);
}

static void settings_of_a_file(void **state) {
    static const struct {
        const char *conf, *part, *nearest;
    } wrong[] = {
        {"url = http://a\nurl http://b\n", "client.conf:2: expected key = value", ""},
        {"# words\n\ntokn = x\n", "client.conf:3: there is no setting 'tokn'", "token"},
        {"server = x\n", "client.conf:1: there is no setting 'server'", ""},
    };
    struct tempdir dir;
    struct client *client;
    struct err err = ERR_INIT;
    tempdir_make(&dir);
    unsetenv("COMPRESSD_URL");
    unsetenv("COMPRESSD_TOKEN");
    setenv("XDG_CONFIG_HOME", tempdir_path(&dir, "."), 1);
    CHECK_OK(client_new(NULL, NULL, &client, &err), &err); /* there is none */
    CHECK_TEXT(client_url(client), "http://127.0.0.1:8080");
    client_free(client);
    CHECK_OK(open_with(&dir, "# mine\n\n  url =  http://far:1/ \ntoken=a=b\n", &client, &err),
             &err);
    CHECK_TEXT(client_url(client), "http://far:1");
    client_free(client);
    setenv("COMPRESSD_URL", "http://nearer", 1);
    CHECK_OK(client_new(NULL, NULL, &client, &err), &err);
    CHECK_TEXT(client_url(client), "http://nearer");
    client_free(client);
    CHECK_OK(client_new("http://given", NULL, &client, &err), &err);
    CHECK_TEXT(client_url(client), "http://given");
    client_free(client);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CHECK_INT(open_with(&dir, wrong[i].conf, &client, &err), -1);
        CHECK_INT(err.code, ERR_BAD_FIELD);
        CHECK_HOLDS(err.text, wrong[i].part);
        CHECK_TEXT(err.nearest, wrong[i].nearest);
    }
    tempdir_free(&dir);
}

static void problems(void **state) {
    struct arena *arena = arena_new(1 << 16);
    struct violations list;
    struct err err = ERR_INIT;
    char text[] = "{\"type\":\"/problems/recipe-does-not-fit\",\"detail\":\"no\",\"errors\":"
                  "[{\"pointer\":\"/recipe\",\"detail\":\"bad\",\"tensor\":\"t\",\"offset\":5}]}";
    struct client_answer answer = {.status = 422, .body = text, .len = strlen(text)};
    violations_init(&list, arena);
    CHECK_FAILS(client_problem(&answer, &list, &err), &err, ERR_MISFIT);
    CHECK_UINT(list.count, 1);
    CHECK_TEXT(list.items[0].tensor, "t");
    CHECK_UINT(list.items[0].offset, 5);
    arena_free(arena);
}

static void somebody_elses_answer(void **state) {
    static const char *const bodies[] = {"<html>404</html>", "{\"error\":\"no such page\"}", ""};
    for (size_t i = 0; i < 3; i++) {
        char text[64];
        struct err err = ERR_INIT;
        snprintf(text, sizeof text, "%s", bodies[i]);
        struct client_answer answer = {
            .status = 404, .body = text, .len = strlen(text), .from = "http://x:1"};
        CHECK_INT(client_problem(&answer, NULL, &err), -1);
        CHECK_INT(err.code, ERR_NETWORK);
        CHECK_HOLDS(err.text, "http://x:1 is no compressd");
    }
}

static void escapes(void **state) {
    char *text = client_escape("a b/ü%", false);
    CHECK_TEXT(text, "a%20b%2F%C3%BC%25");
    free(text);
    text = client_escape("a/b", true);
    CHECK_TEXT(text, "a/b");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_of_a_file),
        cmocka_unit_test(problems),
        cmocka_unit_test(somebody_elses_answer),
        cmocka_unit_test(escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
