/*
 * SHA-256 by libcrypto's EVP interface. The algorithm is fetched once: an implicit fetch per digest
 * costs more than hashing a small file. libcrypto can fail only for lack of memory when a context
 * is made; once made, updating and finishing cannot, which is asserted.
 */
#include "compress/base/digest.h"

#include <openssl/evp.h>

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct hasher {
    EVP_MD_CTX *ctx;
};

static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

struct hasher *hasher_new(void) {
    pthread_once(&sha256_once, fetch);
    struct hasher *hasher = calloc(1, sizeof *hasher);
    if (!hasher)
        return NULL;
    hasher->ctx = EVP_MD_CTX_new();
    if (!sha256 || !hasher->ctx || EVP_DigestInit_ex2(hasher->ctx, sha256, NULL) != 1) {
        hasher_free(hasher);
        return NULL;
    }
    return hasher;
}

/* A promise of libcrypto, checked in every build: a wrong digest must never leave this file. */
static void check(int ok) {
    assert(ok == 1);
    if (ok != 1)
        abort();
}

void hasher_update(struct hasher *hasher, const void *data, size_t len) {
    if (len)
        check(EVP_DigestUpdate(hasher->ctx, data, len));
}

struct digest hasher_final(struct hasher *hasher) {
    struct digest digest;
    check(EVP_DigestFinal_ex(hasher->ctx, digest.bytes, NULL));
    check(EVP_DigestInit_ex2(hasher->ctx, NULL, NULL));
    return digest;
}

void hasher_free(struct hasher *hasher) {
    if (!hasher)
        return;
    EVP_MD_CTX_free(hasher->ctx);
    free(hasher);
}

struct digest digest_of(const void *data, size_t len) {
    pthread_once(&sha256_once, fetch);
    struct digest digest;
    check(EVP_Digest(len ? data : "", len, digest.bytes, NULL, sha256, NULL));
    return digest;
}

void digest_hex(const struct digest *digest, char ret_hex[DIGEST_HEX_LEN + 1]) {
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < DIGEST_BYTES; i++) {
        ret_hex[2 * i] = digits[digest->bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    ret_hex[DIGEST_HEX_LEN] = 0;
}

static int nibble(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool digest_from_hex(const char *hex, struct digest *ret) {
    struct digest digest;
    for (unsigned i = 0; i < DIGEST_BYTES; i++) {
        int high = nibble(hex[2 * i]);
        int low = high < 0 ? -1 : nibble(hex[2 * i + 1]);
        if (low < 0)
            return false;
        digest.bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (hex[DIGEST_HEX_LEN])
        return false;
    *ret = digest;
    return true;
}

void digest_base64(const struct digest *digest, char ret_text[45]) {
    int len = EVP_EncodeBlock((unsigned char *)ret_text, digest->bytes, DIGEST_BYTES);
    assert(len == 44);
    (void)len;
}

bool digest_equal(const struct digest *a, const struct digest *b) {
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}
