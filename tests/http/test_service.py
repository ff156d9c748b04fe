"""Health, metrics, version, the pages, and the document that describes everything."""
import re

from harness import main


def health(s):
    s.equal(s.get("/healthz").json(), {"status": "alive"}, "it is alive")
    s.equal(s.get("/readyz").json(), {"status": "ready"}, "it is ready")
    text = s.get("/metrics").body.decode()
    names = re.findall(r"^# TYPE (\S+) (counter|gauge)$", text, re.M)
    s.check(len(names) > 15, "there are metrics", len(names))
    for name, _ in names:
        s.check(re.search(rf"^{name} -?\d+$", text, re.M), f"{name} has a value")
    before = int(re.search(r"^compressd_http_requests_total (\d+)$", text, re.M).group(1))
    s.get("/healthz")
    text = s.get("/metrics").body.decode()
    after = int(re.search(r"^compressd_http_requests_total (\d+)$", text, re.M).group(1))
    s.check(after >= before + 2, "requests are counted", (before, after))


def version(s):
    v = s.get("/v1/version").json()
    s.check(re.match(r"\d+\.\d+\.\d+", v["version"]), "there is a version", v)
    s.check(v["limits"]["upload_bytes"] > 0, "limits are told", v)


def pages(s):
    r = s.get("/")
    s.check("default-src 'none'" in r.headers["content-security-policy"], "a strict policy")
    links = re.findall(r'href="([^"]+)"', r.body.decode())
    s.check(len(links) >= 5, "the page links to what there is", links)
    for link in links:
        s.equal(s.get(link).status, 200, f"the link {link} leads somewhere")
    page = s.get("/problems/recipe-does-not-fit")
    s.check(b"422" in page.body, "a problem type has a page", page)
    s.refused(s.get("/problems/no-such-type"), 404, "not-found", "others have none")


def document(s):
    d = s.judge.document
    s.equal(d["openapi"], "3.1.0", "it is OpenAPI 3.1")
    ids = [o["operationId"] for p in d["paths"].values() for o in p.values()]
    s.equal(len(ids), len(set(ids)), "operation ids are unique")
    for path, item in d["paths"].items():
        for method, operation in item.items():
            s.check(operation["summary"] and operation["responses"], f"{method} {path} is described")
            declared = {p["name"] for p in operation["parameters"] if p.get("in") == "path"}
            s.equal(declared, set(re.findall(r"\{(\w+)\}", path)), f"{path} names its parameters")
    slugs = set(re.findall(r"\(([a-z-]+)\)\.", str(d)))
    for slug in sorted(slugs):
        s.equal(s.get(f"/problems/{slug}").status, 200, f"the problem type {slug} has a page")
    try:
        from openapi_spec_validator import validate
    except ImportError:
        print("# SKIPPED: openapi-spec-validator is not installed; the document was NOT linted")
        return
    validate(d)
    s.check(True, "the document passes openapi-spec-validator")


main("service", [], health, version, pages, document)
