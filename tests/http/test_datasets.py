"""Datasets: the verbs of models on sets of arrays and on token ids; what a job holds on to."""
import hashlib
import io
import struct
import warnings
import zipfile

import tiny
from harness import main
from longjob import until_running


def one_file(s):
    data = tiny.digits()
    r = s.put("/v1/datasets/digits", data)
    d = r.json()
    s.equal((r.status, r.headers["location"]), (201, "/v1/datasets/digits"), "created")
    s.equal((d["kind"], d["samples"], d["lone"], d["bytes"]), ("arrays", 6, True, len(data)),
            "inspected")
    s.equal(d["arrays"], [
        {"name": "image", "file": "data.npz", "dtype": "u8", "shape": [6, 2, 2]},
        {"name": "label", "file": "data.npz", "dtype": "i64", "shape": [6]}], "with its arrays")
    s.equal(d["files"][0]["url"], "/v1/datasets/digits/files/data.npz", "and where its file is")
    s.equal(s.get(d["files"][0]["url"]).body, data, "which comes back")
    s.equal(s.put("/v1/datasets/digits", data).status, 200, "the same again")
    s.refused(s.put("/v1/datasets/Digits", tiny.digits(7)), 409, "name-taken", "other bytes")
    s.equal(s.put("/v1/datasets/digits?replace=true", tiny.digits(7, deflate=True)).json()["samples"],
            7, "the name is moved, to a compressed one")
    s.refused(s.put("/v1/datasets/digits", data, headers={"If-None-Match": "*"}), 412,
              "precondition-failed", "If-None-Match: * on a name that stands")
    ids = tiny.npy("<u2", [9], struct.pack("<9H", *range(9)))
    d = s.put("/v1/datasets/text?filename=tokens.npy", ids).json()
    s.equal((d["kind"], d["samples"], d["arrays"][0]["name"]), ("tokens", 9, "tokens"), "token ids")
    rows = tiny.safetensors({"x": ("F32", [3, 1], b"\0" * 12), "y": ("BF16", [3], b"\0" * 6)})
    s.equal(s.put("/v1/datasets/rows", rows).json()["samples"], 3, "a safetensors file")
    s.staging_empties("nothing is left in staging")


def folder(s):
    tar = {"Content-Type": "application/x-tar"}
    files = {"a.npy": tiny.npy("<f4", [4, 2], b"\0" * 32), "README.md": b"what it is",
             "more/b.npy": tiny.npy("|u1", [4], b"abcd")}
    d = s.put("/v1/datasets/folder", tiny.tar(files, prefix="set/"), headers=tar)
    s.equal(d.status, 201, "a tar is taken in")
    s.equal([a["name"] for a in d.json()["arrays"]], ["a", "b"], "arrays by their files' names")
    entries = []
    for path, data in files.items():
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        s.put(f"/v1/blobs/{digest}", data)
        entries.append({"path": path, "digest": digest})
    s.equal(s.post("/v1/datasets", {"name": "folder", "files": entries}).status, 200,
            "the same as a list of blobs")
    r = s.post("/v1/datasets", {"name": "listed", "files": entries})
    s.equal((r.status, r.headers["location"]), (201, "/v1/datasets/listed"), "or under another name")


def bad_ones(s):
    def refused(data, slug, words, **options):
        p = s.refused(s.put("/v1/datasets/bad", data, **options), 422, slug, f"refused: {words}")
        s.check(words in str(p), f"saying so: {words}", p)
        return p

    good = ("|u1", [4], b"abcd")
    p = refused(tiny.npz({"x": good, "y": ("|u1", [3], b"abc")}), "malformed-dataset",
                "disagree in length")
    s.equal(p["errors"][0].get("tensor"), "y", "the array is named")
    refused(tiny.npz({"x": ("|u1", [0], b"")}), "malformed-dataset", "is empty")
    refused(tiny.npz({}), "unknown-format", "begins like no NPZ")
    refused(tiny.npz({"x": ("<c8", [1], b"\0" * 8)}), "unsupported", "no input of a model takes")
    refused(tiny.npz({"x": ("|O", [1], b"\0" * 8)}), "forbidden-pickle", "Python objects")
    refused(tiny.npz({"x": ("|u1", [5], b"abcd")}), "malformed-dataset", "cut short")
    refused(tiny.digits()[:-30], "malformed-dataset", "end record")
    refused(tiny.npy("<f4", [2], b"\0" * 9), "malformed-dataset", "1 bytes follow")
    refused(b"GGUF" + b"\0" * 100, "unknown-format", "begins like no NPZ")
    refused(tiny.tar({"README.md": b"x"}), "unknown-format", "no .npz",
            headers={"Content-Type": "application/x-tar"})
    refused(tiny.digits()[:4], "malformed-dataset", "cut short")
    for descr, item, slug, words in (
            (">f4", 4, "unsupported", "big-endian (>f4): save a.astype('<f4')"),
            ("<U1", 4, "unsupported", "numpy's type <U1 are no plain numbers"),
            ("|S3", 3, "unsupported", "numpy's type |S3 are no plain numbers"),
            ("<M8[D]", 8, "unsupported", "numpy's type <M8[D] are no plain numbers"),
            ("<c16", 16, "unsupported", "no input of a model takes c128")):
        p = refused(tiny.npz({"good": good, "x": (descr, [4], bytes(4 * item))}), slug, words)
        s.check(p["errors"][0]["tensor"] in ("x", "x.npy"), "the array is named", p)
    columns = tiny.npy("<f4", [2, 2], bytes(16)).replace(b"'fortran_order': False", b"'fortran_order': True ")
    refused(columns, "unsupported", "column-major: save numpy.ascontiguousarray(a)")
    scalar = tiny.npz({"good": good, "x": ("<f4", [], bytes(4))})
    p = refused(scalar, "malformed-dataset", "a scalar has no samples")
    s.equal(p["errors"][0]["tensor"], "x", "the array is named")


def archives(s):
    """Zip archives that are not what they say."""
    def refused(data, words):
        p = s.refused(s.put("/v1/datasets/bad", data), 422, "malformed-dataset", f"refused: {words}")
        s.check(words in str(p), f"saying so: {words}", p)

    array = tiny.npy("|u1", [4], b"abcd")
    twice = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(twice, "w") as z:
        warnings.simplefilter("ignore")
        z.writestr("x.npy", array)
        z.writestr("x.npy", array)
    refused(twice.getvalue(), 'two entries named "x.npy"')
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as z:
        z.writestr("x.npy", array)
        z.writestr("readme.txt", "hello")
    refused(other.getvalue(), 'entry "readme.txt" is no array NAME.npy')

    # A small file that claims more than deflate can make of it, and one that does not.
    samples = 16 << 20
    bomb = tiny.npz({"x": ("|u1", [samples], bytes(samples))}, True)
    claimed = bytearray(bomb)
    at = claimed.rfind(b"PK\1\2") + 24
    size = int.from_bytes(claimed[at:at + 4], "little")
    for where in (at, 22):  # in the directory and in the entry's own header
        claimed[where:where + 4] = (200 * size).to_bytes(4, "little")
    refused(bytes(claimed), "claims more bytes than it can hold")
    s.check(len(bomb) < samples // 500, "zeros pack well", len(bomb))
    d = s.put("/v1/datasets/zeros", bomb).json()
    s.equal((d["samples"], d["bytes"]), (samples, len(bomb)), "nothing of it is unpacked on disk")
    s.equal(s.curl("DELETE", "/v1/datasets/zeros").status, 204, "deleted")


def names_of_their_own(s):
    s.upload("digits", tiny.model(seed=3))
    names = [d["name"] for d in s.get("/v1/datasets").json()["items"]]
    s.equal(names, ["listed", "folder", "rows", "text", "digits"], "newest first, without models")
    s.equal([m["name"] for m in s.get("/v1/models").json()["items"]], ["digits"],
            "a model of the same name is another thing")
    s.check("next" in s.get("/v1/datasets?limit=2").json(), "page by page")
    for path in ("", "/files/x"):
        s.refused(s.get("/v1/datasets/nobody" + path), 404, "not-found", "no such dataset")
    s.refused(s.get("/v1/datasets/text/files/x"), 404, "not-found", "no such file")
    s.refused(s.get("/v1/datasets/text?tensors=true"), 400, "unknown-query-parameter",
              "there are no tensors to list")
    s.equal(s.curl("DELETE", "/v1/models/digits").status, 204, "the model goes")
    s.equal(s.get("/v1/datasets/digits").status, 200, "the dataset stays")


def jobs(s):
    path = s.dir / "long.safetensors"
    path.write_bytes(tiny.huge(512))
    s.upload("long", path)
    job = s.submit("long", "int4-g128", dataset="digits")
    s.equal(job["dataset"], "digits", "a job says its dataset")
    until_running(s, job["id"])
    s.refused(s.curl("DELETE", "/v1/datasets/digits"), 409, "in-use", "which cannot go meanwhile")
    s.equal(s.put("/v1/datasets/digits?replace=true", tiny.digits(8)).status, 201,
            "the name may move on")
    s.equal(s.post(f"/v1/jobs/{job['id']}/cancel").status, 202, "the job is cancelled")
    s.equal(s.wait(job["id"])["state"], "cancelled", "and ends")
    s.refused(s.post(f"/v1/jobs/{job['id']}/retry"), 409, "state-conflict",
              "the dataset it was given is gone: no retry")
    s.equal(s.curl("DELETE", "/v1/datasets/digits").status, 204, "deleted")
    s.refused(s.curl("DELETE", "/v1/datasets/digits"), 404, "not-found", "once")
    s.upload("tiny", tiny.model())
    p = s.refused(s.post("/v1/jobs", {"model": "tiny", "recipe": "f16", "dataset": "digits"}), 422,
                  "invalid-field", "a job with a dataset that is not there")
    s.equal(p["errors"][0]["pointer"], "/dataset", "is pointed at")
    done = s.wait(s.submit("tiny", "f16", dataset="text")["id"])
    s.equal((done["state"], done["dataset"]), ("succeeded", "text"), "a job with one that is")
    s.equal(s.submit("tiny", "f16")["dataset"], None, "and one without")


main("datasets", [], one_file, folder, bad_ones, archives, names_of_their_own, jobs)
