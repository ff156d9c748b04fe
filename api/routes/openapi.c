/*
 * See openapi.h. Besides what its row says, every operation has the answers that the front end
 * gives for it: 400, 421, 500 and 503 for all; 401 behind a token; 403 when it changes something;
 * 411, 413 and 415 when it takes a body.
 */
#include "api/routes/openapi.h"

#include "api/http/problem.h"
#include "api/http/router.h"
#include "api/routes/routes.h"
#include "api/routes/schemas.h"
#include "compress/base/jbuf.h"
#include "compress/base/jspec.h"
#include "compress/recipe/recipe.h"
#include "compressd_version.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUSES_MAX 32

static void single_quoted(struct jbuf *b, const char *text) {
    char *copy = strdup(text);
    for (char *s = copy; s && *s; s++)
        if (*s == '\'')
            *s = '"';
    jbuf_raw(b, copy ? copy : "null", copy ? strlen(copy) : 4);
    free(copy);
}

static int recipe_member(void *ctx, const char *key, struct json_t *value) {
    if (strcmp(key, "$schema") == 0) /* only a document's root has one */
        return 0;
    char *text = json_canonical(value);
    jbuf_kv_raw(ctx, key, text);
    free(text);
    return 0;
}

static void recipe_language(struct jbuf *b) {
    char *text = recipe_schema();
    struct json_t *json = NULL;
    jbuf_key(b, "Recipe");
    jbuf_object(b);
    if (text && jspec_parse(text, strlen(text), &json, NULL) == 0)
        json_each(json, recipe_member, b);
    jbuf_object_end(b);
    jspec_free(json);
    free(text);
}

static void components(struct jbuf *b) {
    jbuf_key(b, "components");
    jbuf_object(b);
    jbuf_key(b, "securitySchemes");
    single_quoted(b, "{'token':{'type':'http','scheme':'bearer','description':'Needed when the "
                     "server was started with a token file.'}}");
    jbuf_key(b, "parameters");
    single_quoted(b, "{'RequestId':{'name':'X-Request-Id','in':'header','required':false,"
                     "'description':'Echoed in the answer, in problems and in the log.','schema':"
                     "{'type':'string','pattern':'^[A-Za-z0-9._-]{1,64}$'}}}");
    jbuf_key(b, "headers");
    single_quoted(b, "{'RequestId':{'description':'The id of the request.','schema':{'type':"
                     "'string'}}}");
    jbuf_key(b, "schemas");
    jbuf_object(b);
    recipe_language(b);
    for (size_t i = 0; schema_at(i); i++) {
        jbuf_key(b, schema_at(i)->name);
        single_quoted(b, schema_at(i)->text);
    }
    jbuf_object_end(b);
    jbuf_object_end(b);
}

static void ref(struct jbuf *b, const char *kind, const char *name) {
    jbuf_object(b);
    jbuf_key(b, "$ref");
    jbuf_stringf(b, "#/components/%s/%s", kind, name);
    jbuf_object_end(b);
}

static void parameter(struct jbuf *b, const char *name, const char *in, bool required,
                      const char *doc) {
    jbuf_object(b);
    jbuf_kv_string(b, "name", name);
    jbuf_kv_string(b, "in", in);
    jbuf_kv_bool(b, "required", required);
    if (doc)
        jbuf_kv_string(b, "description", doc);
}

static void query_schema(struct jbuf *b, const struct query_key *key) {
    jbuf_key(b, "schema");
    jbuf_object(b);
    bool is_int = key->kind == QUERY_INT;
    jbuf_kv_string(b, "type", is_int ? "integer" : key->kind == QUERY_BOOL ? "boolean" : "string");
    if (is_int)
        jbuf_kv_int(b, "minimum", key->min);
    if (key->max)
        jbuf_kv_int(b, is_int ? "maximum" : "maxLength", key->max);
    jbuf_object_end(b);
}

static void parameters(struct jbuf *b, const struct route *route) {
    jbuf_key(b, "parameters");
    jbuf_array(b);
    ref(b, "parameters", "RequestId");
    for (const char *s = strchr(route->pattern, '{'); s; s = strchr(s + 1, '{')) {
        char name[40];
        size_t len = strcspn(s + 1, "*}");
        snprintf(name, sizeof name, "%.*s", (int)len, s + 1);
        parameter(b, name, "path", true,
                  s[1 + len] == '*' ? "A path; its slashes are not escaped." : NULL);
        jbuf_kv_raw(b, "schema", "{\"type\":\"string\"}");
        jbuf_object_end(b);
    }
    for (const struct query_key *key = route->query; key && key->key; key++) {
        parameter(b, key->key, "query", false, key->doc);
        query_schema(b, key);
        jbuf_object_end(b);
    }
    for (const struct header_doc *header = route->headers; header && header->name; header++) {
        parameter(b, header->name, "header", header->required, header->doc);
        jbuf_kv_raw(b, "schema", "{\"type\":\"string\"}");
        jbuf_object_end(b);
    }
    jbuf_array_end(b);
}

static void media(struct jbuf *b, const char *type, const char *schema) {
    jbuf_key(b, type);
    jbuf_object(b);
    if (schema) {
        jbuf_key(b, "schema");
        ref(b, "schemas", schema);
    }
    jbuf_object_end(b);
}

static void request_body(struct jbuf *b, const struct route *route) {
    if (route->body == BODY_NONE)
        return;
    jbuf_key(b, "requestBody");
    jbuf_object(b);
    jbuf_kv_bool(b, "required", !route->body_optional);
    jbuf_key(b, "content");
    jbuf_object(b);
    if (route->body == BODY_JSON)
        media(b, "application/json", route->request_schema);
    for (const char *s = route->body == BODY_STREAM ? route->request_types : ""; *s;) {
        char type[60];
        size_t len = strcspn(s, ",");
        snprintf(type, sizeof type, "%.*s", (int)len, s);
        media(b, type, NULL);
        s += len + (s[len] == ',');
    }
    jbuf_object_end(b);
    jbuf_object_end(b);
}

/* Codes that any request of this shape may end with. */
static size_t general_problems(const struct route *route, enum err_code ret[STATUSES_MAX]) {
    size_t n = 0;
    ret[n++] = ERR_BAD_REQUEST;
    ret[n++] = ERR_BAD_QUERY;
    ret[n++] = ERR_WRONG_HOST;
    ret[n++] = ERR_OVERLOADED;
    ret[n++] = ERR_BUG;
    if (route->scope == SCOPE_TEAM)
        ret[n++] = ERR_NO_TOKEN;
    if (route->method != METHOD_GET) {
        ret[n++] = ERR_CROSS_ORIGIN;
        ret[n++] = ERR_NO_SPACE;
    }
    if (route->body != BODY_NONE)
        ret[n++] = ERR_TOO_LARGE;
    if (route->body == BODY_JSON) {
        ret[n++] = ERR_BAD_JSON;
        ret[n++] = ERR_BAD_MEDIA;
    }
    return n;
}

static void problem_responses(struct jbuf *b, const struct route *route) {
    enum err_code codes[STATUSES_MAX];
    size_t n = general_problems(route, codes);
    for (const enum err_code *code = route->problems; code && *code != ERR_OK; code++)
        if (n < STATUSES_MAX)
            codes[n++] = *code;
    for (unsigned status = 400; status < 600; status++) {
        char doc[800] = "";
        for (size_t i = 0; i < n; i++) {
            if (problem_rule(codes[i])->status != status || strstr(doc, err_slug(codes[i])))
                continue;
            snprintf(doc + strlen(doc), sizeof doc - strlen(doc), "%s%s (%s).", *doc ? " " : "",
                     err_title(codes[i]), err_slug(codes[i]));
        }
        if (!*doc)
            continue;
        char key[12];
        snprintf(key, sizeof key, "%u", status);
        jbuf_key(b, key);
        jbuf_object(b);
        jbuf_kv_string(b, "description", doc);
        jbuf_key(b, "content");
        jbuf_object(b);
        media(b, "application/problem+json", "Problem");
        jbuf_object_end(b);
        jbuf_object_end(b);
    }
}

/* Rows of one status stand together and become one response with several media types. */
static void responses(struct jbuf *b, const struct route *route) {
    jbuf_key(b, "responses");
    jbuf_object(b);
    for (const struct route_response *row = route->responses; row->status;) {
        char key[12];
        snprintf(key, sizeof key, "%u", row->status);
        jbuf_key(b, key);
        jbuf_object(b);
        jbuf_kv_string(b, "description", row->doc);
        jbuf_key(b, "headers");
        jbuf_object(b);
        jbuf_key(b, "X-Request-Id");
        ref(b, "headers", "RequestId");
        jbuf_object_end(b);
        unsigned status = row->status;
        if (row->type) {
            jbuf_key(b, "content");
            jbuf_object(b);
            for (; row->status == status; row++)
                media(b, row->type, row->schema);
            jbuf_object_end(b);
        } else {
            row++;
        }
        jbuf_object_end(b);
    }
    problem_responses(b, route);
    jbuf_object_end(b);
}

static void operation(struct jbuf *b, const struct route *route) {
    char method[8];
    const char *name = method_name(route->method);
    size_t i = 0;
    for (; name[i] && i + 1 < sizeof method; i++)
        method[i] = (char)tolower((unsigned char)name[i]);
    method[i] = 0;
    jbuf_key(b, method);
    jbuf_object(b);
    jbuf_kv_string(b, "operationId", route->operation);
    jbuf_key(b, "tags");
    jbuf_array(b);
    jbuf_string(b, route->tag);
    jbuf_array_end(b);
    jbuf_kv_string(b, "summary", route->summary);
    if (route->doc)
        jbuf_kv_string(b, "description", route->doc);
    jbuf_kv_raw(b, "security", route->scope == SCOPE_TEAM ? "[{\"token\":[]},{}]" : "[]");
    parameters(b, route);
    request_body(b, route);
    responses(b, route);
    jbuf_object_end(b);
}

/* "{path*}" is ours; OpenAPI knows only "{path}". */
static void path_key(struct jbuf *b, const char *pattern) {
    char path[120];
    size_t n = 0;
    for (const char *s = pattern; *s && n + 1 < sizeof path; s++)
        if (*s != '*')
            path[n++] = *s;
    path[n] = 0;
    jbuf_key(b, path);
}

static void paths(struct jbuf *b) {
    size_t count;
    const struct route *table = routes_table(&count);
    jbuf_key(b, "paths");
    jbuf_object(b);
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        for (size_t k = 0; k < i && !seen; k++)
            seen = strcmp(table[k].pattern, table[i].pattern) == 0;
        if (seen)
            continue;
        path_key(b, table[i].pattern);
        jbuf_object(b);
        for (size_t k = i; k < count; k++)
            if (strcmp(table[k].pattern, table[i].pattern) == 0)
                operation(b, &table[k]);
        jbuf_object_end(b);
    }
    jbuf_object_end(b);
}

char *openapi_document(size_t *ret_len) {
    struct jbuf b;
    jbuf_init(&b);
    jbuf_object(&b);
    jbuf_kv_string(&b, "openapi", "3.1.0");
    jbuf_key(&b, "info");
    jbuf_object(&b);
    jbuf_kv_string(&b, "title", "compressd");
    jbuf_kv_string(&b, "version", COMPRESSD_VERSION);
    jbuf_kv_string(&b, "summary", "Compression of neural models as a service.");
    jbuf_kv_raw(&b, "license", "{\"name\":\"Apache-2.0\",\"identifier\":\"Apache-2.0\"}");
    jbuf_object_end(&b);
    jbuf_kv_raw(&b, "servers", "[{\"url\":\"/\"}]");
    jbuf_key(&b, "tags");
    single_quoted(&b, "[{'name':'service','description':'The server itself.'},{'name':'blobs',"
                      "'description':'Bytes by digest.'},{'name':'models','description':'Named, "
                      "immutable lists of files.'},{'name':'recipes','description':'What to do.'},"
                      "{'name':'jobs','description':'The work.'}]");
    paths(&b);
    components(&b);
    jbuf_object_end(&b);
    return jbuf_take(&b, ret_len);
}
