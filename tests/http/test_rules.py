"""Rules that hold everywhere: paths, methods, queries, framing, bodies, request ids."""
import json

import tiny
from harness import main, parse_head


def problem_of(answer):
    """Status and slug out of raw bytes; libmicrohttpd's own refusals have no slug."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        return None, None
    status, headers = parse_head(head + b"\r\n\r\n")
    if headers.get("content-type") == "application/problem+json":
        return status, json.loads(body)["type"].rsplit("/", 1)[1]
    return status, None


def paths(s):
    s.refused(s.get("/v2/jobs"), 404, "not-found", "an unknown path is not found")
    s.refused(s.get("/v1/jobs/"), 404, "not-found", "a trailing slash is another path")
    s.refused(s.get("//"), 404, "not-found", "empty segments are not found")
    for bad, why in [
        ("/v1/models/good%00evil", "a NUL"),
        ("/v1/models/a%2Fb", "an escaped slash"),
        ("/v1/models/a%2fb", "an escaped slash in lower case"),
        ("/v1/models/a%zz", "a malformed escape"),
        ("/v1/models/a%4", "a short escape"),
        ("/v1/models/%ff%fe", "bytes that are not UTF-8"),
        ("/v1/models/a%0Ab", "a control byte"),
    ]:
        s.refused(s.get(bad), 400, "malformed-request", f"{why} in a path is refused")
    s.refused(s.get("/v1/models/%2e%2e"), 404, "not-found", "dots are a name like any other")
    s.refused(s.get("/v1/models/x/files/%2e%2e/%2e%2e/etc/passwd"), 404, "not-found",
              "dots lead nowhere")


def methods(s):
    for path, allow in [
        ("/v1/jobs", {"GET", "HEAD", "POST"}),
        ("/v1/plan", {"POST"}),
        ("/v1/models/x", {"GET", "HEAD", "PUT", "DELETE"}),
        ("/v1/jobs/x", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("/healthz", {"GET", "HEAD"}),
    ]:
        for method in ("OPTIONS", "TRACE", "PUT" if "PUT" not in allow else "POST"):
            r = s.curl(method, path)
            s.refused(r, 405, "method-not-allowed", f"{method} {path} is not allowed")
            got = {m.strip() for m in r.headers.get("allow", "").split(",")}
            s.equal(got, allow, f"Allow of {path} says what is")
    for path in ("/healthz", "/v1/jobs", "/openapi.json", "/"):
        head, get = s.curl("HEAD", path), s.get(path)
        s.equal(head.status, 200, f"HEAD {path} works as GET")
        s.equal(head.headers["content-length"], get.headers["content-length"],
                f"HEAD {path} tells the length")
    r = s.raw(b"BREW /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    s.equal(problem_of(r), (405, "method-not-allowed"), "an unknown method is not allowed")


def queries(s):
    for path, why in [
        ("/v1/jobs?colour=red", "an unknown key"),
        ("/healthz?x", "an unknown key without a value"),
        ("/v1/jobs?limit=0", "a number too small"),
        ("/v1/jobs?limit=501", "a number too large"),
        ("/v1/jobs?limit=-1", "a negative number"),
        ("/v1/jobs?limit=ten", "a word for a number"),
        ("/v1/jobs?limit=99999999999999999999", "a number beyond numbers"),
        ("/v1/jobs?limit=1&limit=2", "a key twice"),
        ("/v1/jobs?state=sleeping", "an unknown state"),
        ("/v1/jobs?label=nocolon", "a label without a value"),
        ("/v1/jobs?created_after=yesterday", "a time that is none"),
        ("/v1/jobs?cursor=abc", "a cursor that is none"),
        ("/v1/models/x?tensors=perhaps", "a boolean that is none"),
        ("/v1/jobs/x?wait=61", "a wait that is too long"),
    ]:
        s.refused(s.get(path), 400, "unknown-query-parameter", f"{why} is refused")
    s.refused(s.get("/v1/jobs?state=%00"), 400, "malformed-request", "a NUL in a query is refused")


def request_ids(s):
    r = s.get("/healthz", headers={"X-Request-Id": "Aa0._-9"})
    s.equal(r.headers["x-request-id"], "Aa0._-9", "a request id is echoed")
    r = s.get("/nowhere", headers={"X-Request-Id": "trace.7"})
    s.equal(r.json()["request_id"], "trace.7", "and stands in problems")
    for bad in ("has space", "x" * 65, "semi;colon"):
        r = s.get("/healthz", headers={"X-Request-Id": bad})
        s.check(r.headers["x-request-id"] != bad, f"{bad[:20]} is no request id")
    ids = {s.get("/healthz").headers["x-request-id"] for _ in range(3)}
    s.equal(len(ids), 3, "made ids differ")


def framing(s):
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    smuggled = b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    put = b"PUT /v1/blobs/sha256:" + b"0" * 64 + b" HTTP/1.1\r\nHost: localhost\r\n"
    for data, why in [
        (one + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + smuggled, "two lengths"),
        (put + b"Content-Length: 4\r\nContent-Length: 40\r\n\r\nabcd" + smuggled,
         "two lengths with a body"),
        (put + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd" + smuggled,
         "the same length twice"),
        (put + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
         "length and chunks"),
        (put + b"Transfer-Encoding: gzip\r\n\r\n" + smuggled, "an unknown coding"),
        (put + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled, "two codings"),
        (put + b"Content-Length: -1\r\n\r\n" + smuggled, "a negative length"),
        (put + b"Content-Length: 99999999999999999999999\r\n\r\n" + smuggled, "an endless length"),
        (one + b"Host: elsewhere\r\n\r\n" + smuggled, "two hosts"),
        (b"GET /healthz HTTP/1.1\r\n\r\n" + smuggled, "no host"),
        (b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled,
         "an absolute target"),
    ]:
        answer = s.raw(data)
        status, slug = problem_of(answer.split(b"HTTP/1.1 ")[1] and answer) if answer else (0, 0)
        s.check(status in (400, 413, 421) and slug in (None, "malformed-request", "wrong-host"),
                f"{why}: refused", answer[:300])
        s.check(b"HTTP/1.1 2" not in answer, f"{why}: what follows is not read as a request",
                answer[:600])


def bodies(s):
    s.refused(s.curl("POST", "/v1/plan"), 400, "malformed-json", "a body is needed")
    s.refused(s.post("/v1/plan", b"{"), 400, "malformed-json", "broken JSON is refused")
    p = s.refused(s.post("/v1/plan", b'{"model": "a",\n "recipe" 1}'), 400, "malformed-json",
                  "broken JSON in the second line")
    s.check("line 2" in p["detail"] and p["errors"][0]["offset"] > 14, "it is told where", p)
    s.refused(s.post("/v1/plan", b'{"model":"a","model":"b","recipe":"int8"}'), 400,
              "malformed-json", "a key twice is refused")
    s.refused(s.post("/v1/plan", b"[" * 5000 + b"]" * 5000), 400, "malformed-json",
              "deep nesting is refused")
    s.refused(s.post("/v1/plan", b'{"model":"\xff"}'), 400, "malformed-json",
              "what is not UTF-8 is refused")
    s.refused(s.post("/v1/plan", b"[]"), 422, "invalid-field", "an array is no request")
    for kind in ("text/plain", "application/x-www-form-urlencoded", None, "application/jsonx"):
        s.refused(s.post("/v1/plan", b"{}", headers={"Content-Type": kind}), 415,
                  "unsupported-media-type", f"{kind} is not JSON")
    r = s.post("/v1/plan", b"{}", headers={"Content-Type": "application/json; charset=utf-8"})
    s.equal(r.status, 422, "parameters of the media type do not matter")
    s.refused(s.post("/v1/jobs/x/cancel", {}), 400, "malformed-request", "a body nobody asked for")
    s.refused(s.get("/healthz", data=b"x"), 400, "malformed-request", "a body with GET")
    big = b'{"model":"' + b"x" * (3 << 20) + b'"}'
    s.refused(s.post("/v1/plan", big), 413, "over-limit", "a large body is refused by its length")
    chunked = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    late = b'{"model":"' + b"x" * (2 << 20) + b'"}'
    s.refused(s.post("/v1/plan", late, headers=chunked), 413, "over-limit",
              "a chunked one is answered after a little more was dropped")
    r = s.post("/v1/plan", b"x" * (8 << 20), headers=chunked, judged=False)
    s.check(r.status in (0, 100, 413), "with much more the connection is closed", r)


def early(s):
    """What the headers tell is answered before the body is sent."""
    head = (b"PUT /v1/blobs/sha256:" + b"0" * 64 + b" HTTP/1.1\r\nHost: %s\r\n"
            b"Content-Length: %d\r\n\r\n")
    for data, wanted, why in [
        (head % (b"evil.example", 10 << 30), (421, "wrong-host"), "a wrong host"),
        (head % (b"localhost", 1 << 50), (413, "over-limit"), "too many bytes"),
        (head.replace(b"/v1/blobs", b"/v1/globs") % (b"localhost", 10 << 30),
         (404, "not-found"), "no such path"),
    ]:
        s.equal(problem_of(s.raw(data)), wanted, f"{why}: refused with not one byte of body sent")
    s.upload("here", tiny.model())
    request = (b"PUT /v1/models/here HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n"
               b"Content-Length: 1000000\r\n\r\n")
    s.equal(problem_of(s.raw(request)), (412, "precondition-failed"),
            "a name that stands: refused with not one byte of body sent")


main("rules", [], paths, methods, queries, request_ids, framing, bodies, early)
