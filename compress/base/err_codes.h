/*
 * Every way in which compressd can fail, one row each.
 *
 *   X(NAME, number, KIND, slug, title)
 *
 * NAME becomes ERR_<NAME>; the number is stable for ever (it stands in the database); KIND says
 * whose fault it is; the slug is the last part of a problem's `type` (/problems/<slug>); the title
 * is its human sentence. How a code becomes an HTTP status is known only to api/http/problem.c.
 */
#ifndef COMPRESS_BASE_ERR_CODES_H
#define COMPRESS_BASE_ERR_CODES_H

#define ERR_CODES(X)                                                                               \
    X(OK, 0, NONE, "none", "No error")                                                             \
    /* What the client sent. */                                                                    \
    X(BAD_REQUEST, 100, INPUT, "malformed-request", "The request is malformed")                    \
    X(BAD_JSON, 101, INPUT, "malformed-json", "The JSON document is malformed")                    \
    X(BAD_QUERY, 102, INPUT, "unknown-query-parameter", "A query parameter is unknown or invalid") \
    X(BAD_NAME, 103, INPUT, "invalid-name", "The name is not allowed")                             \
    X(BAD_MEDIA, 104, INPUT, "unsupported-media-type", "The content type is not accepted here")    \
    X(BAD_FIELD, 105, INPUT, "invalid-field", "A field is unknown or out of range")                \
    X(BAD_RECIPE, 106, INPUT, "invalid-recipe", "The recipe is invalid")                           \
    X(MISFIT, 107, INPUT, "recipe-does-not-fit", "The recipe does not fit the model")              \
    X(BAD_MODEL, 108, INPUT, "malformed-model", "The model file is malformed")                     \
    X(UNKNOWN_FORMAT, 109, INPUT, "unknown-format", "No supported model format was recognised")    \
    X(UNSUPPORTED, 110, INPUT, "unsupported", "The model uses something that is not supported")    \
    X(ALREADY_QUANTIZED, 111, INPUT, "already-quantized", "The model is already quantized")        \
    X(NON_FINITE, 112, INPUT, "non-finite-weights", "The model holds or computes NaN or infinity") \
    X(BAD_ARCHIVE, 113, INPUT, "malformed-archive", "The archive is malformed or not allowed")     \
    X(BAD_DIGEST, 114, INPUT, "digest-mismatch", "The bytes do not have the stated digest")        \
    X(BAD_RANGE, 115, INPUT, "range-not-satisfiable", "The requested range cannot be satisfied")   \
    X(FORBIDDEN_PICKLE, 116, INPUT, "forbidden-pickle", "The pickle asks for more than tensors")   \
    X(BAD_DATASET, 117, INPUT, "malformed-dataset", "The dataset is malformed")                    \
    X(DIVERGED, 118, INPUT, "diverged", "The training diverged")                                   \
    /* What is larger than we allow. */                                                            \
    X(TOO_LARGE, 200, LIMIT, "over-limit", "A documented limit is exceeded")                       \
    X(NO_LENGTH, 201, LIMIT, "length-required", "The request needs a Content-Length")              \
    X(OVER_BUDGET, 202, LIMIT, "exceeds-memory-budget",                                            \
      "The job needs more memory than the budget")                                                 \
    X(NO_QUOTA, 203, LIMIT, "quota-exceeded", "The team's quota is exhausted")                     \
    X(RATE, 204, BUSY, "rate-limited", "Too many requests")                                        \
    /* What is not there. */                                                                       \
    X(NOT_FOUND, 300, MISSING, "not-found", "There is no such thing")                              \
    X(NO_METHOD, 301, MISSING, "method-not-allowed", "The resource does not have this method")     \
    /* What contradicts the present state. */                                                      \
    X(STATE, 400, CONFLICT, "state-conflict", "The present state forbids this")                    \
    X(NAME_TAKEN, 401, CONFLICT, "name-taken", "The name already stands for something else")       \
    X(IN_USE, 402, CONFLICT, "in-use", "A queued or running job still needs this")                 \
    X(PRECONDITION, 403, CONFLICT, "precondition-failed", "A precondition of the request failed")  \
    X(NO_PRECONDITION, 404, CONFLICT, "precondition-required", "The request needs a precondition") \
    X(EXISTS, 405, CONFLICT, "already-exists", "The output already exists")                        \
    /* What the caller may not do. */                                                              \
    X(NO_TOKEN, 500, DENIED, "unauthenticated", "A valid bearer token is needed")                  \
    X(FORBIDDEN, 501, DENIED, "forbidden", "The caller may not do this")                           \
    X(CROSS_ORIGIN, 502, DENIED, "cross-origin", "Cross-origin requests may not change anything")  \
    X(WRONG_HOST, 503, DENIED, "wrong-host", "The Host header is not on the allow list")           \
    /* What may work later. */                                                                     \
    X(OVERLOADED, 600, BUSY, "overloaded", "The server is at its limit")                           \
    X(DRAINING, 601, BUSY, "shutting-down", "The server is shutting down")                         \
    X(TIMED_OUT, 602, BUSY, "timed-out", "The request took too long")                              \
    /* The machine below us. */                                                                    \
    X(IO, 700, ENV, "io-error", "Reading or writing failed")                                       \
    X(NO_SPACE, 701, ENV, "out-of-disk", "The disk is full")                                       \
    X(NO_MEMORY, 702, ENV, "out-of-memory", "Memory is exhausted")                                 \
    X(DB, 703, ENV, "database-error", "The database failed")                                       \
    X(NEWER_SCHEMA, 704, ENV, "newer-schema", "The data directory was written by a newer version") \
    X(LOCKED, 705, ENV, "data-directory-locked", "Another process owns the data directory")        \
    X(NETWORK, 706, ENV, "network-error", "The network failed")                                    \
    /* Ends that nobody is to blame for, and those that we are. */                                 \
    X(CANCELLED, 800, CANCELLED, "cancelled", "The work was cancelled")                            \
    X(BUG, 900, BUG, "internal-error", "An internal promise was broken")                           \
    X(VERIFY, 901, BUG, "verification-failed", "The written artifact failed verification")         \
    X(CRASHED, 902, BUG, "crashed", "The job brought the server down repeatedly")

#endif
