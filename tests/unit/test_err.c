/* The error object: first one wins, context grows in front, names from files become printable. */
#include "tests/support/check.h"

#include <errno.h>
#include <string.h>

static void first_error_wins(void **state) {
    struct err err = ERR_INIT;
    CHECK_INT(err_set(&err, ERR_BAD_MODEL, "first %d", 1), -1);
    CHECK_INT(err_set(&err, ERR_IO, "second"), -1);
    CHECK_INT(err_set_errno(&err, ERR_IO, ENOSPC, "third"), -1);
    CHECK_INT(err.code, ERR_BAD_MODEL);
    CHECK_TEXT(err.text, "first 1");
    CHECK_INT(err_context(&err, "reading %s", "x"), -1);
    CHECK_TEXT(err.text, "reading x: first 1");
    err_clear(&err);
    CHECK_INT(err.code, ERR_OK);
    CHECK(err.offset == ERR_NO_OFFSET);
    CHECK_INT(err_context(&err, "nothing to add to"), -1);
    CHECK_TEXT(err.text, "");
}

static void errno_chooses_the_code(void **state) {
    static const struct {
        int errno_value;
        enum err_code code;
    } rows[] = {
        {ENOSPC, ERR_NO_SPACE}, {EDQUOT, ERR_NO_SPACE}, {ENOMEM, ERR_NO_MEMORY}, {EACCES, ERR_IO}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        err_set_errno(&err, ERR_IO, rows[i].errno_value, "writing %s", "f");
        CHECK_INT(err.code, rows[i].code);
        CHECK_HOLDS(err.text, "writing f: ");
        CHECK_HOLDS(err.text, strerror(rows[i].errno_value));
    }
}

static void innermost_subject_wins(void **state) {
    struct err err = ERR_INIT;
    err_at_tensor(&err, "inner");
    err_at_tensor(&err, "outer");
    err_at_file(&err, "a.gguf", 7);
    err_at_file(&err, "b.gguf", 8);
    err_at_pointer(&err, "/stages/%d", 1);
    err_at_pointer(&err, "/stages");
    err_nearest(&err, "%d", 64);
    err_nearest(&err, "%d", 32);
    CHECK_TEXT(err.tensor, "inner");
    CHECK_TEXT(err.file, "a.gguf");
    CHECK_UINT(err.offset, 7);
    CHECK_TEXT(err.pointer, "/stages/1");
    CHECK_TEXT(err.nearest, "64");
}

static void odd_bytes_become_printable(void **state) {
    struct err err = ERR_INIT;
    err_at_tensor(&err, "a\x1b[31m\n\xff\xc3\xa4\xed\xa0\x80z");
    CHECK_TEXT(err.tensor, "a?[31m??\xc3\xa4???z");
    err_set(&err, ERR_BAD_MODEL, "%s", "tab\tand \xf4\x90\x80\x80 too high");
    CHECK_TEXT(err.text, "tab?and ???? too high");
}

/* A name cut in the middle of a character must not end in half of it. */
static void long_names_are_cut_between_characters(void **state) {
    char name[400];
    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "\xc3\xa4", 3);
    struct err err = ERR_INIT;
    err_at_tensor(&err, name);
    size_t len = strlen(err.tensor);
    CHECK(len >= sizeof err.tensor - 3 && len < sizeof err.tensor);
    CHECK_UINT(len % 2, 0);
    CHECK_BYTES(err.tensor, name, len);
    char longer[2000];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    err_set(&err, ERR_BUG, "%s", longer);
    err_context(&err, "%s", longer);
    CHECK_UINT(strlen(err.text), sizeof err.text - 1);
}

static void nobody_listening_is_fine(void **state) {
    CHECK_INT(err_set(NULL, ERR_IO, "x"), -1);
    CHECK_INT(err_set_errno(NULL, ERR_IO, EIO, "x"), -1);
    CHECK_INT(err_context(NULL, "x"), -1);
    CHECK_INT(err_at_tensor(NULL, "x"), -1);
    CHECK_INT(err_at_file(NULL, "x", 0), -1);
    CHECK_INT(err_at_pointer(NULL, "x"), -1);
    CHECK_INT(err_nearest(NULL, "x"), -1);
    err_clear(NULL);
}

/* Codes stand in the database and slugs in clients: each exactly once. */
static void table_has_no_twins(void **state) {
    int code;
    unsigned rows = 0;
    for (unsigned i = 0; (code = err_code_at(i)) >= 0; i++, rows++) {
        CHECK(strlen(err_title((enum err_code)code)) > 3);
        CHECK(strspn(err_slug((enum err_code)code), "abcdefghijklmnopqrstuvwxyz-") ==
              strlen(err_slug((enum err_code)code)));
        int other;
        for (unsigned j = 0; j < i && (other = err_code_at(j)) >= 0; j++) {
            CHECK(code != other);
            CHECK(strcmp(err_slug((enum err_code)code), err_slug((enum err_code)other)) != 0);
        }
        if (code != ERR_OK)
            CHECK(err_kind((enum err_code)code) != ERR_KIND_NONE);
    }
    CHECK(rows > 30);
    CHECK_TEXT(err_name(ERR_BAD_MODEL), "BAD_MODEL");
    CHECK_TEXT(err_name((enum err_code)12345), "BUG"); /* a code of a newer version */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_error_wins),
        cmocka_unit_test(errno_chooses_the_code),
        cmocka_unit_test(innermost_subject_wins),
        cmocka_unit_test(odd_bytes_become_printable),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(nobody_listening_is_fine),
        cmocka_unit_test(table_has_no_twins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
