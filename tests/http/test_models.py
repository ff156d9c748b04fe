"""Models: taken in as a file, a tar or a list of blobs; listed, shown, fetched, deleted."""
import hashlib

import tiny
from harness import main


def one_file(s):
    data = tiny.model()
    r = s.put("/v1/models/one", data)
    m = r.json()
    s.equal((r.status, r.headers["location"]), (201, "/v1/models/one"), "created")
    s.equal((m["format"], m["lone"], m["bytes"]), ("safetensors", True, len(data)), "inspected")
    s.equal([f["path"] for f in m["files"]], ["model.safetensors"], "named by its first bytes")
    s.equal(m["files"][0]["sha256"], hashlib.sha256(data).hexdigest(), "digested")
    s.equal(s.put("/v1/models/one", data).status, 200, "the same again")
    s.equal(s.put("/v1/models/one", data, headers={"Transfer-Encoding": "chunked"}).status, 200,
            "the same again, chunked")
    s.refused(s.put("/v1/models/one", tiny.model(seed=1)), 409, "name-taken", "other bytes")
    s.refused(s.put("/v1/models/ONE", tiny.model(seed=1)), 409, "name-taken",
              "names are the same in any case")
    r = s.put("/v1/models/one?replace=true", tiny.model(seed=1))
    s.equal(r.status, 201, "the name is moved")
    s.check(r.json()["version"] > m["version"], "to a new version")
    s.refused(s.put("/v1/models/one", data, headers={"If-None-Match": "*"}), 412,
              "precondition-failed", "If-None-Match: * on a name that stands")
    r = s.put("/v1/models/two?filename=weights.safetensors", data, headers={"If-None-Match": "*"})
    s.equal((r.status, r.json()["files"][0]["path"]), (201, "weights.safetensors"), "its own name")
    for bad in ("..", "a/b", "", "a%5Cb"):
        s.equal(s.put(f"/v1/models/three?filename={bad}", data).status, 400, f"no file name: {bad!r}")
    for bad in (".hidden", "-x", "a b", "a" * 129, "käse"):
        r = s.put("/v1/models/" + bad.replace(" ", "%20").replace("ä", "%C3%A4"), data)
        s.refused(r, 422, "invalid-name", f"no name: {bad[:20]}")
    s.equal(s.put("/v1/models/" + "a" * 128, data).status, 201, "a long name")
    s.staging_empties("nothing is left in staging")


def folder(s):
    files = tiny.folder()
    tar = {"Content-Type": "application/x-tar"}
    r = s.put("/v1/models/folder", tiny.tar(files, prefix="mymodel/"), headers=tar)
    m = r.json()
    s.equal(r.status, 201, "a tar is taken in")
    s.equal([f["path"] for f in m["files"]], sorted(files), "its files, without the common folder")
    s.equal((m["architecture"], m["lone"]), ("LlamaForCausalLM", False), "inspected")
    s.equal(s.put("/v1/models/folder", tiny.tar(files), headers=tar).status, 200,
            "the same files in another tar")
    s.equal(s.put("/v1/models/folder", tiny.tar(files, prefix="./"),
                  headers={**tar, "Transfer-Encoding": "chunked"}).status, 200, "and chunked")
    for path, data in files.items():
        r = s.get(f"/v1/models/folder/files/{path}")
        s.equal((r.status, r.body), (200, data), f"{path} comes back")
        s.equal(r.headers["etag"], f'"sha256:{hashlib.sha256(data).hexdigest()}"', "with its tag")
    s.equal(s.get("/v1/models/folder/files/config.json").headers["content-type"],
            "application/json", "a media type by name")
    r = s.get("/v1/models/folder/files/model.safetensors", headers={"Range": "bytes=8-15"})
    s.equal((r.status, r.body), (206, files["model.safetensors"][8:16]), "a range of a file")
    s.refused(s.get("/v1/models/folder/files/nothing"), 404, "not-found", "no such file")
    deep = {**files, "onnx/sub dir/käse%.txt": b"deep"}
    r = s.put("/v1/models/deep", tiny.tar(deep), headers=tar)
    s.equal(r.status, 201, "folders in folders, odd names")
    url = next(f["url"] for f in r.json()["files"] if f["path"].startswith("onnx"))
    s.equal(s.get(url).body, b"deep", "the url of an odd name works")
    big = {**files, "big.bin": bytes(30_000_000)}
    s.equal(s.put("/v1/models/big", tiny.tar(big), headers=tar).status, 201,
            "a tar much larger than the ring")
    s.staging_empties("nothing is left in staging")


def small_chunks(s):
    """Many small chunks arrive in one read: the library hands over the second although the first has
    put the connection to sleep."""
    # Each file is synced when it is whole: the ring fills while the disk works.
    extra = {f"part-{i:02}.bin": bytes(range(256)) * 2048 for i in range(20)}
    body = tiny.tar({**tiny.folder(), **extra})
    for size in (100, 700, 5000, 60000):
        pieces = [body[i:i + size] for i in range(0, len(body), size)]
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
        head = (f"PUT /v1/models/chunks-{size} HTTP/1.1\r\nHost: localhost\r\n"
                "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n"
                "Connection: close\r\n\r\n").encode()
        answer = s.raw(head + chunked, timeout=60)
        s.equal(answer.split(b" ")[1:2], [b"201"], f"a tar in chunks of {size} bytes")
        files = s.get(f"/v1/models/chunks-{size}").json()["files"]
        s.equal(sum(f["bytes"] == 256 * 2048 for f in files), len(extra), "all of its files whole")


def of_blobs(s):
    files = tiny.folder()
    entries = []
    for path, data in files.items():
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        s.put(f"/v1/blobs/{digest}", data)
        entries.append({"path": path, "digest": digest})
    r = s.post("/v1/models", {"name": "listed", "files": entries})
    s.equal((r.status, r.json()["lone"]), (201, False), "made of blobs")
    s.equal(s.post("/v1/models", {"name": "listed", "files": entries[::-1]}).status, 200,
            "the same in another order")
    s.equal(s.put("/v1/models/listed", tiny.tar(files),
                  headers={"Content-Type": "application/x-tar"}).status, 200,
            "the same as a tar")
    lone = [e for e in entries if e["path"] == "model.safetensors"]
    r = s.post("/v1/models", {"name": "lone", "files": lone})
    s.equal((r.status, r.json()["lone"]), (201, True), "one file is a lone file")
    s.refused(s.post("/v1/models", {"name": "listed", "files": lone}), 409, "name-taken",
              "other files")
    s.equal(s.post("/v1/models?replace=true", {"name": "listed", "files": lone}).status, 201,
            "the name is moved")
    missing = {"path": "x", "digest": "sha256:" + "0" * 64}
    p = s.refused(s.post("/v1/models", {"name": "n", "files": [lone[0], missing]}), 422,
                  "invalid-field", "a blob that is not here")
    s.equal(p["errors"][0]["pointer"], "/files/1/digest", "is pointed at")
    for body, pointer in [
        ({"files": lone}, "/name"),
        ({"name": "n"}, "/files"),
        ({"name": "n", "files": []}, "/files"),
        ({"name": "n", "files": lone, "colour": 1}, "/colour"),
        ({"name": "n", "files": [{"path": "a"}]}, "/files/0/digest"),
        ({"name": "n", "files": [{**lone[0], "path": "../a"}]}, "/files/0/path"),
        ({"name": "n", "files": [{**lone[0], "digest": "md5:0"}]}, "/files/0/digest"),
        ({"name": "n", "files": lone * 2}, "/files"),
        ({"name": 5, "files": lone}, "/name"),
    ]:
        p = s.refused(s.post("/v1/models", body), 422, "invalid-field", f"refused: {str(body)[:50]}")
        s.check(pointer in [e["pointer"] for e in p["errors"]], f"pointing at {pointer}", p)
    s.refused(s.post("/v1/models", {"name": "-n", "files": lone}), 422, "invalid-name", "a bad name")


def shown(s):
    m = s.get("/v1/models/folder?tensors=true").json()
    names = {t["name"]: t for t in m["tensors"]}
    s.equal(names["model.layers.0.self_attn.q_proj.weight"]["shape"], [64, 128], "tensors listed")
    s.check("tensors" not in s.get("/v1/models/folder").json(), "only when asked for")
    s.check("tensors" not in s.get("/v1/models/folder?tensors=false").json(), "or not")
    s.refused(s.get("/v1/models/nobody"), 404, "not-found", "no such model")
    s.refused(s.get("/v1/models/nobody/files/x"), 404, "not-found", "nor its files")
    everything = [i["name"] for i in s.get("/v1/models?limit=500").json()["items"]]
    pages, path = [], "/v1/models?limit=3"
    while path:
        r = s.get(path)
        page = r.json()
        pages += [i["name"] for i in page["items"]]
        link = r.headers.get("link")
        s.equal(bool(link), page["next"] is not None, "a link says whether there is more")
        path = link and link.split(">")[0][1:]
    s.equal(pages, everything, "pages put together are the whole list")
    s.check(len(everything) >= 6, "there is a list", everything)


def deleted(s):
    s.upload("gone", tiny.model(seed=77))
    s.equal(s.curl("DELETE", "/v1/models/gone").status, 204, "deleted")
    s.refused(s.get("/v1/models/gone"), 404, "not-found", "it is gone")
    s.refused(s.curl("DELETE", "/v1/models/gone"), 404, "not-found", "and cannot go twice")
    s.upload("gone", tiny.model(seed=78))


main("models", [], one_file, folder, small_chunks, of_blobs, shown, deleted)
