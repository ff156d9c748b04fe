/* SHA-256 against the examples of FIPS 180-4 (NIST's example values), and its text forms. */
#include "compress/base/digest.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    const char *hex;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
     "lmnopqrsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

static void check_hex(struct digest digest, const char *want) {
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(&digest, hex);
    CHECK_TEXT(hex, want);
}

static void known_answers(void **state) {
    struct hasher *hasher = hasher_new();
    assert_non_null(hasher);
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        size_t len = strlen(vectors[i].text);
        check_hex(digest_of(vectors[i].text, len), vectors[i].hex);
        for (size_t at = 0; at < len; at++) /* byte by byte; the hasher is used again and again */
            hasher_update(hasher, vectors[i].text + at, 1);
        check_hex(hasher_final(hasher), vectors[i].hex);
    }
    check_hex(digest_of(NULL, 0), vectors[0].hex);
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    hasher_update(hasher, million, 1);
    hasher_update(hasher, million, 0);
    hasher_update(hasher, million, 999999);
    check_hex(hasher_final(hasher),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
    hasher_free(hasher);
    hasher_free(NULL);
}

static void hex_comes_back(void **state) {
    struct digest digest = digest_of("abc", 3), back;
    char hex[DIGEST_HEX_LEN + 2];
    digest_hex(&digest, hex);
    CHECK(digest_from_hex(hex, &back) && digest_equal(&digest, &back));
    hex[0] = 'B', hex[1] = 'A';
    memset(&back, 0, sizeof back);
    CHECK(digest_from_hex(hex, &back) && digest_equal(&digest, &back));
    back.bytes[31] ^= 1;
    CHECK(!digest_equal(&digest, &back));
}

static void other_texts_are_no_digest(void **state) {
    struct digest digest = digest_of("abc", 3), kept = digest;
    char hex[DIGEST_HEX_LEN + 2];
    digest_hex(&kept, hex);
    hex[DIGEST_HEX_LEN] = '0', hex[DIGEST_HEX_LEN + 1] = 0;
    CHECK(!digest_from_hex(hex, &digest));
    for (size_t len = 0; len < DIGEST_HEX_LEN;
         len++) { /* too short, on the heap for the sanitizer */
        char *cut = strndup(hex, len);
        CHECK(!digest_from_hex(cut, &digest));
        free(cut);
    }
    hex[DIGEST_HEX_LEN] = 0;
    static const char odd[] = "gG/:@` xX-+\xff";
    for (size_t i = 0; i < sizeof odd - 1; i++)
        for (size_t at = 0; at < 2; at++) {
            char saved = hex[10 + at];
            hex[10 + at] = odd[i];
            CHECK(!digest_from_hex(hex, &digest));
            hex[10 + at] = saved;
        }
    CHECK(digest_equal(&digest, &kept));
}

static void base64(void **state) {
    /* printf abc | openssl dgst -sha256 -binary | base64 */
    struct digest digest = digest_of("abc", 3);
    char text[45];
    digest_base64(&digest, text);
    CHECK_TEXT(text, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(hex_comes_back),
        cmocka_unit_test(other_texts_are_no_digest),
        cmocka_unit_test(base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
