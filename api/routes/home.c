/* GET / and /problems/{slug}: small pages for people who followed a link. */
#include "api/routes/routes.h"

#include "api/http/problem.h"
#include "api/http/request.h"

static const char page[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>compressd</title>\n"
    "<h1>compressd</h1>\n"
    "<p>This server compresses neural models. It is driven over HTTP:</p>\n"
    "<ul>\n"
    "<li><a href=\"/openapi.json\">/openapi.json</a> describes every call</li>\n"
    "<li><a href=\"/v1/recipes\">/v1/recipes</a> lists what can be done to a model</li>\n"
    "<li><a href=\"/v1/models\">/v1/models</a> and <a href=\"/v1/jobs\">/v1/jobs</a> list what is "
    "here</li>\n"
    "<li><a href=\"/v1/version\">/v1/version</a>, <a href=\"/healthz\">/healthz</a>, <a "
    "href=\"/readyz\">/readyz</a>, <a href=\"/metrics\">/metrics</a> tell how it fares</li>\n"
    "</ul>\n"
    "<p>The command-line tool is called <code>compressctl</code>; try <code>compressctl run MODEL "
    "--recipe int8 -o OUT</code>.</p>\n</html>\n";

static void guard(struct request *r) {
    reply_header(r, "Content-Security-Policy",
                 "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
    reply_header(r, "X-Content-Type-Options", "nosniff");
    reply_header(r, "Referrer-Policy", "no-referrer");
}

int home_page(struct request *r, struct err *err) {
    (void)err;
    guard(r);
    return reply_static(r, 200, "text/html; charset=utf-8", page, sizeof page - 1);
}

int home_problem(struct request *r, struct err *err) {
    size_t len = 0;
    char *text = problem_page(r->args[0], &len);
    if (!text)
        return err_set(err, ERR_NOT_FOUND, "there is no problem type %.100s", r->args[0]);
    guard(r);
    return reply_text_take(r, 200, "text/html; charset=utf-8", text, len, err);
}
