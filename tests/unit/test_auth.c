/* Tokens, the Host list, and foreign origins. */
#include "api/http/auth.h"
#include "compress/base/digest.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *token_file(const char *text) {
    static char path[64];
    strcpy(path, "/tmp/compressd-tokens-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, text, strlen(text)), (int64_t)strlen(text));
    close(fd);
    return path;
}

static void tokens(void **state) {
    char text[512], one[DIGEST_HEX_LEN + 1], two[DIGEST_HEX_LEN + 1];
    struct digest digest = digest_of("secret-one", 10);
    digest_hex(&digest, one);
    digest = digest_of("secret-two", 10);
    digest_hex(&digest, two);
    snprintf(text, sizeof text, "# comment\n\nann %s blue\n  bob\t%s   red  \n", one, two);
    char *path = token_file(text);
    struct auth *auth;
    struct principal who;
    struct err err = ERR_INIT;
    CHECK_OK(auth_new(path, "127.0.0.1", NULL, &auth, &err), &err);
    unlink(path);
    CHECK(auth_has_tokens(auth));
    CHECK_OK(auth_principal(auth, "Bearer secret-one", &who, &err), &err);
    CHECK_TEXT(who.name, "ann");
    CHECK_TEXT(who.team, "blue");
    CHECK_OK(auth_principal(auth, "bearer  secret-two", &who, &err), &err);
    CHECK_TEXT(who.team, "red");
    const char *const bad[] = {NULL,
                               "",
                               "Bearer",
                               "Bearer ",
                               "Bearer secret",
                               "secret-one",
                               "Basic x",
                               "Bearer secret-one "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_FAILS(auth_principal(auth, bad[i], &who, &err), &err, ERR_NO_TOKEN);
    auth_free(auth);
}

static void bad_files(void **state) {
    static const char *const bad[] = {"ann\n", "ann abc blue\n",
                                      "ann 0000000000000000000000000000000000000000000000000000000"
                                      "000000000\n",
                                      "a/b 0000000000000000000000000000000000000000000000000000000"
                                      "000000000 blue\n",
                                      "ann 0000000000000000000000000000000000000000000000000000000"
                                      "000000000 blue more\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *path = token_file(bad[i]);
        struct auth *auth = NULL;
        struct err err = ERR_INIT;
        CHECK(auth_new(path, NULL, NULL, &auth, &err) == -1);
        CHECK_INT(err.code, ERR_BAD_FIELD);
        CHECK_HOLDS(err.text, "line 1");
        unlink(path);
    }
    struct auth *auth;
    struct err err = ERR_INIT;
    CHECK_FAILS(auth_new("/nowhere/tokens", NULL, NULL, &auth, &err), &err, ERR_IO);
}

static void without_tokens(void **state) {
    struct auth *auth;
    struct principal who;
    struct err err = ERR_INIT;
    CHECK_OK(auth_new(NULL, NULL, NULL, &auth, &err), &err);
    CHECK(!auth_has_tokens(auth));
    CHECK_OK(auth_principal(auth, NULL, &who, &err), &err);
    CHECK_TEXT(who.team, "default");
    auth_free(auth);
}

static void hosts(void **state) {
    struct auth *auth;
    struct err err = ERR_INIT;
    const char *const allowed[] = {"models.example", NULL};
    CHECK_OK(auth_new(NULL, "10.1.2.3", allowed, &auth, &err), &err);
    const char *const good[] = {"localhost",      "LocalHost:80", "127.0.0.1",
                                "[::1]",          "[::1]:8080",   "10.1.2.3:1",
                                "models.example", "localhost.",   "MODELS.example:"};
    const char *const bad[] = {NULL,        "",          "evil", "localhost.evil",
                               "127.0.0.2", "[::1",      "::1",  "localhost:x",
                               "[::2]",     "10.1.2.30", ":80",  "localhost:80:80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(auth_host_ok(auth, good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!auth_host_ok(auth, bad[i]));
    auth_free(auth);
    CHECK_OK(auth_new(NULL, "0.0.0.0", NULL, &auth, &err), &err);
    CHECK(!auth_host_ok(auth, "0.0.0.0"));
    auth_free(auth);
}

static void origins(void **state) {
    const char *host = "localhost:8080";
    CHECK(auth_origin_ok(NULL, host, NULL));
    CHECK(auth_origin_ok("http://localhost:8080", host, "same-origin"));
    CHECK(auth_origin_ok("https://LOCALHOST:8080", host, NULL));
    CHECK(auth_origin_ok(NULL, host, "none"));
    CHECK(!auth_origin_ok("http://localhost:80", host, NULL));
    CHECK(!auth_origin_ok("http://localhost", host, NULL));
    CHECK(!auth_origin_ok("http://evil.example", host, NULL));
    CHECK(!auth_origin_ok("null", host, NULL));
    CHECK(!auth_origin_ok("", host, NULL));
    CHECK(!auth_origin_ok("http://localhost:8080", NULL, NULL));
    CHECK(!auth_origin_ok(NULL, host, "Cross-Site"));
    CHECK(auth_is_loopback("127.1.2.3") && auth_is_loopback("::1") &&
          auth_is_loopback("localhost"));
    CHECK(!auth_is_loopback("0.0.0.0") && !auth_is_loopback("::") && !auth_is_loopback("10.0.0.1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens), cmocka_unit_test(bad_files), cmocka_unit_test(without_tokens),
        cmocka_unit_test(hosts),  cmocka_unit_test(origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
