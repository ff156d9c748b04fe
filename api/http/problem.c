/* See problem.h. */
#include "api/http/problem.h"

#include "compress/base/problemdoc.h"

#include <stdio.h>
#include <string.h>

/* One row per row of compress/base/err_codes.h (a test walks both). */
static const struct problem_rule rules[] = {
    {ERR_OK, 500, 0, "Never sent."},
    {ERR_BAD_REQUEST, 400, 0, "Correct the request line, headers or path as the detail says."},
    {ERR_BAD_JSON, 400, 0, "Send one JSON document in UTF-8; line, column and byte are named."},
    {ERR_BAD_QUERY, 400, 0, "See /openapi.json for the query keys of this resource."},
    {ERR_BAD_NAME, 422, 0,
     "Names have 1 to 128 characters of A-Z a-z 0-9 . _ - and begin with a letter or digit."},
    {ERR_BAD_MEDIA, 415, 0, "Send the Content-Type that the resource takes."},
    {ERR_BAD_FIELD, 422, 0, "Every field is named by its JSON pointer in `errors`."},
    {ERR_BAD_RECIPE, 422, 0, "See GET /v1/recipes for the recipe language and its presets."},
    {ERR_MISFIT, 422, 0, "Each violation names its tensor and the rule that asked for it."},
    {ERR_BAD_MODEL, 422, 0,
     "The file is damaged or lies about itself; offset and tensor are named."},
    {ERR_UNKNOWN_FORMAT, 422, 0, "Supported: safetensors, GGUF v2/v3, PyTorch state dicts, ONNX."},
    {ERR_UNSUPPORTED, 422, 0, "The detail says what is not supported and what is."},
    {ERR_ALREADY_QUANTIZED, 422, 0, "Start from a float model, or say \"requantize\": true."},
    {ERR_NON_FINITE, 422, 0, "Repair the named weight; NaN and infinities cannot be quantized."},
    {ERR_BAD_ARCHIVE, 422, 0,
     "Send a plain tar of regular files with relative paths: no links, no devices, no \"..\"."},
    {ERR_BAD_DIGEST, 422, 0, "The bytes changed on the way, or the digest is of another file."},
    {ERR_BAD_RANGE, 416, 0, "Content-Range tells the size."},
    {ERR_FORBIDDEN_PICKLE, 422, 0,
     "Only pickles of tensors are read; nothing in a file is ever executed."},
    {ERR_DIVERGED, 422, 0,
     "The loss or a gradient became NaN or infinite at the step that is named. Lower the learning "
     "rate, clip gradients, or warm up longer."},
    {ERR_BAD_DATASET, 422, 0,
     "A dataset does not follow the specification of its container, its arrays disagree in length, "
     "or a value in it is out of range. File, array and position are given where they are known."},
    {ERR_TOO_LARGE, 413, 0, "The limit is a setting of the server; see GET /v1/version."},
    {ERR_NO_LENGTH, 411, 0, "Send a Content-Length."},
    {ERR_OVER_BUDGET, 422, 0, "The plan needs more memory than all jobs together may use."},
    {ERR_NO_QUOTA, 507, 0, "Delete models or artifacts that are no longer needed."},
    {ERR_RATE, 429, 5, "Slow down."},
    {ERR_NOT_FOUND, 404, 0, "Check the name; what belongs to another team is not found either."},
    {ERR_NO_METHOD, 405, 0, "The Allow header lists the methods of this resource."},
    {ERR_STATE, 409, 0, "Look at the present state and try what it allows."},
    {ERR_NAME_TAKEN, 409, 0, "Choose another name, or add ?replace=true."},
    {ERR_IN_USE, 409, 0, "Wait for the job to end, or cancel it."},
    {ERR_PRECONDITION, 412, 0, "Read the resource again and decide anew."},
    {ERR_NO_PRECONDITION, 428, 0, "Send If-Match with the revision you have seen."},
    {ERR_EXISTS, 409, 0, "Choose another name."},
    {ERR_NO_TOKEN, 401, 0, "Send `Authorization: Bearer <token>`."},
    {ERR_FORBIDDEN, 403, 0, "Ask the operator."},
    {ERR_CROSS_ORIGIN, 403, 0,
     "Requests that change something must come from the server's own page."},
    {ERR_WRONG_HOST, 421, 0, "Use an address that the server was told to answer for."},
    {ERR_OVERLOADED, 503, 2, "Try again in a moment."},
    {ERR_DRAINING, 503, 5, "The server is going down; try again when it is back."},
    {ERR_TIMED_OUT, 503, 2, "Try again."},
    {ERR_IO, 500, 0, "See the server's log."},
    {ERR_NO_SPACE, 507, 60, "Free space on the server's disk."},
    {ERR_NO_MEMORY, 503, 5, "Try again; if it lasts, give the server more memory."},
    {ERR_DB, 500, 0, "See the server's log."},
    {ERR_NEWER_SCHEMA, 500, 0, "Run the version of compressd that wrote the data directory."},
    {ERR_LOCKED, 500, 0, "Stop the process that is named."},
    {ERR_NETWORK, 502, 5, "Try again."},
    {ERR_CANCELLED, 409, 0, "Somebody asked for it."},
    {ERR_BUG, 500, 0, "Please report it, with the request id."},
    {ERR_VERIFY, 500, 0, "Please report it: the artifact was not kept."},
    {ERR_CRASHED, 500, 0, "Please report it, with the model."},
};

const struct problem_rule *problem_rule(enum err_code code) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].code == code)
            return &rules[i];
    return &rules[0];
}

void problem_json(struct jbuf *b, const struct err *err, const struct violations *list,
                  const char *instance, const char *request_id) {
    jbuf_object(b);
    jbuf_kv_uint(b, "status", problem_rule(err->code)->status);
    if (instance)
        jbuf_kv_string(b, "instance", instance);
    if (request_id)
        jbuf_kv_string(b, "request_id", request_id);
    problemdoc_members(b, err, list);
    jbuf_object_end(b);
}

char *problem_page(const char *slug, size_t *ret_len) {
    for (size_t i = 1; i < sizeof rules / sizeof *rules; i++) {
        const struct problem_rule *rule = &rules[i];
        if (strcmp(slug, err_slug(rule->code)) != 0)
            continue;
        char *page = NULL;
        int len = asprintf(&page,
                           "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                           "<title>%s</title>\n<h1>%s</h1>\n"
                           "<p>Problem type <code>/problems/%s</code>, HTTP status %u%s.</p>\n"
                           "<p>%s</p>\n</html>\n",
                           err_title(rule->code), err_title(rule->code), slug, rule->status,
                           rule->retry_after_seconds ? ", worth another try" : "", rule->advice);
        if (len < 0)
            return NULL;
        *ret_len = (size_t)len;
        return page;
    }
    return NULL;
}
