/*
 * SHA-256 (FIPS 180-4), streaming, and its text forms. The only user of the hash library
 * (libcrypto, which picks SHA-NI or AVX2 by itself).
 *
 * Owns: a hasher owns its library context. Threads: one at a time per hasher.
 */
#ifndef COMPRESS_BASE_DIGEST_H
#define COMPRESS_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32
#define DIGEST_HEX_LEN 64 /* without the NUL */

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

struct hasher;

struct hasher *hasher_new(void); /* NULL when out of memory */
void hasher_update(struct hasher *hasher, const void *data, size_t len);
/* The digest of what came so far; the hasher is reset and may be used again. */
struct digest hasher_final(struct hasher *hasher);
void hasher_free(struct hasher *hasher);

struct digest digest_of(const void *data, size_t len);

/* Lower-case hex with NUL. */
void digest_hex(const struct digest *digest, char ret_hex[DIGEST_HEX_LEN + 1]);
/* Exactly 64 lower- or upper-case hex digits, nothing behind. */
bool digest_from_hex(const char *hex, struct digest *ret);
/* RFC 9530 / RFC 4648 base64 with padding, 44 characters and NUL. */
void digest_base64(const struct digest *digest, char ret_text[45]);
bool digest_equal(const struct digest *a, const struct digest *b);

#endif
