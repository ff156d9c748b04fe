/* See auth.h. */
#include "api/http/auth.h"

#include "compress/base/digest.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TOKENS_MAX 4096
#define HOST_MAX 255

struct token {
    char *name, *team;
    struct digest digest;
};

struct auth {
    struct token *tokens;
    size_t count;
    bool has_tokens;
    char **hosts;
    size_t host_count;
};

static const char *const loopback_names[] = {"localhost", "127.0.0.1", "::1"};

static int read_tokens(struct auth *auth, const char *path, struct err *err);
static int add_host(struct auth *auth, const char *host, struct err *err);

int auth_new(const char *tokens_path, const char *listen_host, const char *const *allowed_hosts,
             struct auth **ret, struct err *err) {
    struct auth *auth = calloc(1, sizeof *auth);
    if (!auth)
        return err_set(err, ERR_NO_MEMORY, "no memory for the token list");
    if (tokens_path && read_tokens(auth, tokens_path, err))
        goto fail;
    for (size_t i = 0; i < sizeof loopback_names / sizeof *loopback_names; i++)
        if (add_host(auth, loopback_names[i], err))
            goto fail;
    if (listen_host && *listen_host && strcmp(listen_host, "0.0.0.0") != 0 &&
        strcmp(listen_host, "::") != 0 && add_host(auth, listen_host, err))
        goto fail;
    for (; allowed_hosts && *allowed_hosts; allowed_hosts++)
        if (add_host(auth, *allowed_hosts, err))
            goto fail;
    *ret = auth;
    return 0;
fail:
    auth_free(auth);
    return -1;
}

void auth_free(struct auth *auth) {
    if (!auth)
        return;
    for (size_t i = 0; i < auth->count; i++) {
        free(auth->tokens[i].name);
        free(auth->tokens[i].team);
    }
    free(auth->tokens);
    for (size_t i = 0; i < auth->host_count; i++)
        free(auth->hosts[i]);
    free(auth->hosts);
    free(auth);
}

bool auth_has_tokens(const struct auth *auth) {
    return auth->has_tokens;
}

static bool word_ok(const char *word) {
    size_t len = strlen(word);
    if (len == 0 || len > 128)
        return false;
    for (; *word; word++)
        if (!isalnum((unsigned char)*word) && !strchr("._-", *word))
            return false;
    return true;
}

static int read_tokens(struct auth *auth, const char *path, struct err *err) {
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "cannot open the token file %s", path);
    auth->has_tokens = true;
    char *line = NULL;
    size_t capacity = 0;
    int rc = 0;
    for (unsigned number = 1; rc == 0 && getline(&line, &capacity, file) >= 0; number++) {
        char *save = NULL;
        char *name = strtok_r(line, " \t\r\n", &save);
        if (!name || *name == '#')
            continue;
        char *hex = strtok_r(NULL, " \t\r\n", &save);
        char *team = strtok_r(NULL, " \t\r\n", &save);
        char *rest = strtok_r(NULL, " \t\r\n", &save);
        struct token token = {0};
        if (!hex || !team || rest || !word_ok(name) || !word_ok(team) ||
            !digest_from_hex(hex, &token.digest)) {
            rc = err_set(err, ERR_BAD_FIELD,
                         "%s, line %u: expected `name sha256-of-the-token-in-hex team`", path,
                         number);
            break;
        }
        if (auth->count == TOKENS_MAX) {
            rc = err_set(err, ERR_TOO_LARGE, "%s: more than %d tokens", path, TOKENS_MAX);
            break;
        }
        struct token *grown = realloc(auth->tokens, (auth->count + 1) * sizeof *grown);
        if (grown) {
            auth->tokens = grown;
            token.name = strdup(name);
            token.team = strdup(team);
            grown[auth->count++] = token;
        }
        if (!grown || !token.name || !token.team)
            rc = err_set(err, ERR_NO_MEMORY, "no memory for the token list");
    }
    free(line);
    fclose(file);
    return rc;
}

static int add_host(struct auth *auth, const char *host, struct err *err) {
    char **grown = realloc(auth->hosts, (auth->host_count + 1) * sizeof *grown);
    if (!grown)
        return err_set(err, ERR_NO_MEMORY, "no memory for the host list");
    auth->hosts = grown;
    size_t len = strlen(host);
    if (len > 2 && host[0] == '[' && host[len - 1] == ']')
        grown[auth->host_count] = strndup(host + 1, len - 2);
    else
        grown[auth->host_count] = strdup(host);
    if (!grown[auth->host_count])
        return err_set(err, ERR_NO_MEMORY, "no memory for the host list");
    auth->host_count++;
    return 0;
}

/* Every byte is looked at, whatever the first ones say. */
static bool equal_in_constant_time(const struct digest *a, const struct digest *b) {
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        difference |= a->bytes[i] ^ b->bytes[i];
    return difference == 0;
}

int auth_principal(const struct auth *auth, const char *authorization, struct principal *ret,
                   struct err *err) {
    if (!auth->has_tokens) {
        *ret = (struct principal){"local", "default"};
        return 0;
    }
    if (!authorization)
        return err_set(err, ERR_NO_TOKEN, "send `Authorization: Bearer <token>`");
    if (strncasecmp(authorization, "Bearer ", 7) != 0)
        return err_set(err, ERR_NO_TOKEN, "the Authorization header is not of the Bearer scheme");
    const char *text = authorization + 7;
    while (*text == ' ')
        text++;
    struct digest digest = digest_of(text, strlen(text));
    const struct token *found = NULL;
    for (size_t i = 0; i < auth->count; i++)
        if (equal_in_constant_time(&digest, &auth->tokens[i].digest))
            found = &auth->tokens[i];
    if (!found)
        return err_set(err, ERR_NO_TOKEN, "the bearer token is not known here");
    *ret = (struct principal){found->name, found->team};
    return 0;
}

/* "name:port", "[v6]:port", "name" → name. False when it is none of these. */
static bool host_name(const char *host, char ret[HOST_MAX + 1]) {
    const char *start = host, *end, *rest;
    if (*host == '[') {
        start = host + 1;
        end = strchr(start, ']');
        if (!end)
            return false;
        rest = end + 1;
    } else {
        end = host + strcspn(host, ":");
        rest = end;
    }
    size_t len = (size_t)(end - start);
    if (len == 0 || len > HOST_MAX)
        return false;
    if (*rest == ':')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (*rest)
        return false;
    memcpy(ret, start, len);
    ret[len] = 0;
    if (len > 1 && ret[len - 1] == '.') /* "localhost." is the same name */
        ret[len - 1] = 0;
    return true;
}

bool auth_host_ok(const struct auth *auth, const char *host) {
    char name[HOST_MAX + 1];
    if (!host || !host_name(host, name))
        return false;
    for (size_t i = 0; i < auth->host_count; i++)
        if (strcasecmp(name, auth->hosts[i]) == 0)
            return true;
    return false;
}

bool auth_origin_ok(const char *origin, const char *host, const char *sec_fetch_site) {
    if (sec_fetch_site && strcasecmp(sec_fetch_site, "cross-site") == 0)
        return false;
    if (!origin)
        return true;
    const char *rest = strncasecmp(origin, "http://", 7) == 0    ? origin + 7
                       : strncasecmp(origin, "https://", 8) == 0 ? origin + 8
                                                                 : NULL;
    return rest && host && strcasecmp(rest, host) == 0;
}

bool auth_is_loopback(const char *host) {
    return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0;
}
