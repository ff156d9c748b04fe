"""Evaluation as a job: what is measured, on which version of which set, and what cannot be."""
import hashlib
import json
import os
import struct
import subprocess
import time

import tiny
from harness import main

EYE = [[float(r == c) for c in range(4)] for r in range(4)]
ROWS = [EYE[i % 4] for i in range(8)]


def labels(wrong):
    """Classes of ROWS, the last `wrong` of them off by one."""
    return [i % 4 if i < 8 - wrong else (i + 1) % 4 for i in range(8)]


MEASURE = {"stages": [], "evaluation": {"batch": 3, "latency_runs": 5}}
LONG_SAMPLES = 3_000_000


def on(dataset, **more):
    return {"stages": [], "evaluation": {"dataset": dataset, **more}}


def upload(s):
    data = tiny.linear_onnx(EYE)
    s.equal(s.put("/v1/models/net?filename=net.onnx", data).status, 201, "a model is taken in")
    for wrong in (2, 4):
        s.equal(s.put(f"/v1/datasets/wrong-{wrong}", tiny.labelled(ROWS, labels(wrong))).status, 201,
                f"a set with {wrong} wrong labels")
    n = LONG_SAMPLES
    s.equal(s.put("/v1/datasets/long", tiny.npz({"x": ("|u1", [n, 4], bytes(4 * n)),
                                                 "label": ("|u1", [n], bytes(n))}, True)).status,
            201, "and a long one")


def measured(s):
    """No stages: original and copy are measured."""
    body = {"model": "net", "recipe": MEASURE, "dataset": "wrong-2"}
    plan = s.post("/v1/plan", body).json()
    bare = s.post("/v1/plan", {"model": "net", "recipe": {"stages": [
        {"pass": "quantize", "scheme": "f32"}]}}).json()
    s.check(plan["peak_bytes"] >= bare["peak_bytes"], "the plan counts it", (plan, bare))
    done = s.wait(s.submit(**body)["id"])
    s.equal((done["state"], done["dataset"]), ("succeeded", "wrong-2"), "measured")
    s.equal(done["summary"]["quality"], {"metric": "accuracy", "value": 0.75, "before": 0.75},
            "the one number of the summary")
    s.equal(s.get(f"/v1/jobs/{done['id']}/artifact").body, tiny.linear_onnx(EYE),
            "the artifact is a copy")
    r = s.get(f"/v1/jobs/{done['id']}/report").json()
    m = r["metrics"]
    s.equal((m["accuracy"]["value"], m["accuracy"]["before"], m["accuracy"]["count"]),
            (0.75, 0.75, 8), "accuracy, before and after")
    s.check(abs(m["cross_entropy"]["value"] - 0.9936684) < 1e-6, "cross-entropy", m)
    s.equal((m["kl"]["value"], m["top1_agreement"]["value"]), (0, 1), "against the original")
    s.check(all(v["protocol"] for v in m.values()), "each with its protocol", m)
    s.equal(r["macs"], {"before": 16, "after": 16}, "multiply-adds of a sample")
    e = r["evaluation"]
    data = tiny.labelled(ROWS, labels(2))
    s.equal((e["dataset"], e["files"]),
            ("wrong-2", [{"path": "data.npz", "bytes": len(data),
                          "sha256": hashlib.sha256(data).hexdigest()}]), "the set is named")
    s.equal((e["before"]["protocol"]["against_original"], e["after"]["protocol"]),
            (False, {"dataset_kind": "arrays", "samples": 8, "left_out": 0, "batch": 3,
                     "labels": "scored", "against_original": True}), "and how it was used")
    s.equal([(layer["name"], layer["exact"]) for layer in e["after"]["layers"]], [("y", True)],
            "layer by layer")
    s.equal(e["after"]["latency"]["runs"], 5, "timed")
    s.equal([stage["name"] for stage in r["stages"]], 
            ["check", "baseline", "copy", "verify", "evaluate"], "stages")
    for stage in r["stages"]:
        s.check(stage["peak_bytes"] <= stage["predicted_bytes"],
                f"{stage['name']} keeps to its prediction", stage)
    said = s.get(f"/v1/jobs/{done['id']}/log").body.decode()
    s.check("on 8 samples" in said, "the log says so", said)


def compared(s):
    """What only a comparison gives may be asked for: the original is measured without it."""
    recipe = {"stages": [{"pass": "quantize", "scheme": "f16"}],
              "evaluation": {"metrics": ["kl", "psnr", "accuracy"]}}
    done = s.wait(s.submit("net", recipe, dataset="wrong-2")["id"])
    s.equal(done["state"], "succeeded", "a job that quantizes and compares")
    e = s.get(f"/v1/jobs/{done['id']}/report").json()["evaluation"]
    s.equal((sorted(e["before"]["metrics"]), sorted(e["after"]["metrics"])),
            (["accuracy"], ["accuracy", "kl", "psnr"]), "has what was asked for")
    s.equal(e["after"]["metrics"]["psnr"]["exact"], True, "ones and noughts are exact in f16")


def any_recipe(s):
    """A job with data measures even if its recipe does not ask, where it can."""
    same = {"stages": [{"pass": "quantize", "scheme": "f32"}]}
    done = s.wait(s.submit("net", same, dataset="wrong-4")["id"])
    s.equal(done["summary"]["quality"]["value"], 0.5, "a model with a graph")
    s.upload("plain", tiny.model())
    done = s.wait(s.submit("plain", "int8", dataset="wrong-4")["id"])
    s.equal((done["state"], done["summary"]["quality"]), ("succeeded", None), "one without")
    r = s.get(f"/v1/jobs/{done['id']}/report").json()
    s.check("not used" in str(r["warnings"]), "is told", r["warnings"])
    s.equal((r["evaluation"], r["macs"], r["metrics"]), (None, None, {}), "and has none")


def by_name(s):
    """The set that a recipe names goes before the job's."""
    done = s.wait(s.submit("net", on("Wrong-4", metrics=["accuracy"]), dataset="wrong-2")["id"])
    s.equal(done["summary"]["quality"]["value"], 0.5, "the recipe's set")
    r = s.get(f"/v1/jobs/{done['id']}/report").json()
    s.equal((r["evaluation"]["dataset"], list(r["metrics"])), ("wrong-4", ["accuracy"]),
            "and what it asked for")
    for path in ("/v1/plan", "/v1/jobs"):
        def refused(slug, pointer, text, recipe, words="", **more):
            p = s.refused(s.post(path, {"model": "net", "recipe": recipe, **more}), 422, slug,
                          f"{path}: {text}")
            s.equal([e["pointer"] for e in p["errors"]], [pointer], f"is pointed at: {text}")
            s.check(words in str(p), f"saying so: {text}", p)
            return p["errors"][0].get("nearest") if p["errors"] else None

        where = "/recipe/evaluation/dataset"
        s.equal(refused("invalid-recipe", where, "an unknown set", on("wrong-44")), "wrong-4",
                "the nearest is named")
        s.equal(refused("invalid-recipe", where, "nothing like it", on("faces")), None, "or none")
        s.equal(refused("invalid-field", "/dataset", "the job's own", MEASURE, dataset="wrong2"),
                "wrong-2", "the nearest again")
        refused("recipe-does-not-fit", "/recipe/evaluation", "none at all", MEASURE, "names no dataset")
        refused("recipe-does-not-fit", "/recipe/evaluation", "a set that does not feed the model",
                on("narrow"), "x")
        refused("recipe-does-not-fit", "/dataset", "the same beside the recipe",
                {"stages": [{"pass": "quantize", "scheme": "f32"}]}, "x", dataset="narrow")
        refused("recipe-does-not-fit", "/recipe/evaluation", "nothing that feeds it",
                on("other"), "x")


def bad_data(s):
    narrow = [row[:3] for row in ROWS]
    s.equal(s.put("/v1/datasets/narrow", tiny.labelled(narrow, labels(0))).status, 201, "too narrow")
    s.equal(s.put("/v1/datasets/other", tiny.labelled(ROWS, labels(0), name="z")).status, 201,
            "of another name")
    s.equal(s.put("/v1/datasets/bad", tiny.labelled(ROWS, [0, 1, 2, 3, 0, 4, 2, 3])).status, 201,
            "labels are not looked at before there is a model")
    p = s.refused(s.put("/v1/datasets/empty", tiny.npz({"x": ("<f4", [0, 4], b"")})), 422,
                  "malformed-dataset", "an empty set")
    s.check("empty" in p["detail"], "is told", p)
    for path in ("/v1/plan", "/v1/jobs"):
        p = s.refused(s.post(path, {"model": "net", "recipe": on("bad", batch=4)}), 422,
                      "malformed-dataset", f"{path}: labels out of range")
        s.equal([(e["pointer"], e["tensor"]) for e in p["errors"]],
                [("/recipe/evaluation", "label")], "are pointed at")
        s.check('sample 5 of "label" holds 4, outside of 0 to 3: the classes of \'y\'' in p["detail"]
                , "saying which", p)
    unlabelled = tiny.npz({"x": ("<f4", [1, 4], bytes(16))})
    s.equal(s.put("/v1/datasets/unlabelled", unlabelled).status, 201, "a set without labels")
    for path in ("/v1/plan", "/v1/jobs"):
        recipe = on("unlabelled", metrics=["mse", "accuracy", "perplexity"])
        p = s.refused(s.post(path, {"model": "net", "recipe": recipe}), 422, "recipe-does-not-fit",
                      f"{path}: metrics that need labels")
        s.equal([(e["pointer"], e["nearest"]) for e in p["errors"]],
                [("/recipe/evaluation/metrics/2", "kl"),
                 ("/recipe/evaluation/metrics/1", "top1_agreement")], "each is pointed at")
        s.check("accuracy needs labels" in str(p) and
                "measured here: kl, top1_agreement, mse, psnr, cosine, sqnr" in str(p),
                "saying what there is", p)
    misshapen = tiny.npz({"x": ("<f4", [1, 4], bytes(16)), "label": ("|u1", [1, 3], bytes(3))})
    s.equal(s.put("/v1/datasets/misshapen", misshapen).status, 201, "labels of another shape")
    warnings = s.post("/v1/plan", {"model": "net", "recipe": on("misshapen")}).json()["warnings"]
    s.check("the labels of the set score nothing" in str(warnings), "are warned of", warnings)
    s.staging_empties("nothing is left in staging")


def found_before_work(s):
    """What only reading all of it shows is found by the job before it measures or writes."""
    nan = [list(row) for row in ROWS]
    nan[6][1] = float("nan")
    s.equal(s.put("/v1/datasets/nan", tiny.labelled(nan, labels(0))).status, 201, "a NaN in the set")
    flipped = bytearray(tiny.labelled(ROWS, labels(0)))
    flipped[flipped.find(struct.pack("<4f", *ROWS[0])) + 2] ^= 1
    s.equal(s.put("/v1/datasets/flipped", bytes(flipped)).status, 201, "a flipped bit")
    for name, words in (("nan", 'sample 6 of "x" holds a NaN'),
                        ("flipped", 'entry "x.npy" is corrupt: its CRC-32 is')):
        s.equal(s.post("/v1/plan", {"model": "net", "recipe": on(name)}).status, 200,
                f"{name}: no plan reads that far")
        done = s.wait(s.submit("net", on(name))["id"])
        s.equal((done["state"], done["artifact"], done["summary"]), ("failed", None, None),
                f"{name}: the job fails")
        p = done["problem"]
        s.check(words in p["detail"] and "check" in p["detail"], "saying what and where", p)
        s.equal(p["type"], "/problems/malformed-dataset", "as a problem of the data")
        log = s.get(f"/v1/jobs/{done['id']}/log").body.decode()
        s.check("check: reading" in log and "copy" not in log and "baseline" not in log,
                "before anything else was done", log)
    endless = [list(row) for row in ROWS]
    endless[6][1] = float("inf")
    s.equal(s.put("/v1/datasets/inf", tiny.labelled(endless, labels(0))).status, 201,
            "an infinity may be a mask")
    done = s.wait(s.submit("net", on("inf"))["id"])
    s.check("baseline: the model gives a NaN in output 'y' for sample 6 of the set" in
            str(done["problem"]), "unless the model makes a NaN of it", done["problem"])
    s.check("copy" not in s.get(f"/v1/jobs/{done['id']}/log").body.decode(), "nothing was written")
    s.staging_empties("nothing is left in staging")


def token_ids(s):
    s.equal(s.put("/v1/models/lm?filename=lm.onnx", tiny.embedding_onnx(8, 3)).status, 201,
            "a model of 8 tokens")
    ids = [i % 8 for i in range(41)]
    text = tiny.npy("<u2", [41], struct.pack("<41H", *ids))
    s.equal(s.put("/v1/datasets/ids?filename=ids.npy", text).status, 201, "a text of 41")
    done = s.wait(s.submit("lm", on("ids", window=8))["id"])
    e = s.get(f"/v1/jobs/{done['id']}/report").json()["evaluation"]["after"]
    s.equal((e["protocol"]["dataset_kind"], e["protocol"]["window"], e["protocol"]["stride"],
             e["protocol"]["samples"], e["metrics"]["perplexity"]["count"]),
            ("tokens", 8, 8, 5, 40), "windows one after the other, every token scored")
    s.check("windows of 8, stride 8" in e["metrics"]["perplexity"]["protocol"] and
            "windows" not in e["metrics"]["kl"]["protocol"], "perplexity says so", e["metrics"])
    ids[17] = 8
    text = tiny.npy("<u2", [41], struct.pack("<41H", *ids))
    s.equal(s.put("/v1/datasets/oov?filename=oov.npy", text).status, 201, "one id too high")
    for name, window, words in (
            ("oov", 8, 'token 17 of "oov" is 8, outside of 0 to 7: the rows of \'wte\''),
            ("ids", 64, "holds no window of 64 and the token after it")):
        for path in ("/v1/plan", "/v1/jobs"):
            r = s.post(path, {"model": "lm", "recipe": on(name, window=window)})
            s.equal(r.status, 422, f"{path}: {words}")
            s.check(words in r.json()["detail"], "is told", r.json())
            s.equal([e["pointer"] for e in r.json()["errors"]], ["/recipe/evaluation"], "where")
    s.staging_empties("nothing is left in staging")


def by_the_tool(s):
    """The same without a server: refused before work, or found by the check."""
    def tool(*words):
        p = subprocess.run([os.environ["COMPRESSCTL"], *map(str, words)], capture_output=True,
                           text=True, timeout=60)
        return p.returncode, p.stdout, p.stderr

    def put(name, data):
        (s.dir / name).write_bytes(data)
        return s.dir / name

    x = struct.pack("<32f", *[v for row in ROWS for v in row])
    good = ("<f4", [8, 4], x)
    classes = ("|u1", [8], bytes(labels(0)))
    high = ("|u1", [8], bytes([0, 1, 2, 3, 0, 4, 2, 3]))
    nan = ("<f4", [8, 4], x[:100] + struct.pack("<f", float("nan")) + x[104:])
    net, lm = put("net.onnx", tiny.linear_onnx(EYE)), put("lm.onnx", tiny.embedding_onnx(8, 3))
    flipped = bytearray(tiny.npz({"x": good, "label": classes}))
    flipped[flipped.find(x) + 2] ^= 1
    ids = tiny.npy("<u2", [41], struct.pack("<41H", *[i % 9 for i in range(41)]))
    cases = [
        (net, "high.npz", tiny.npz({"x": good, "label": high}),
         'sample 5 of "label" holds 4, outside of 0 to 3: the classes of \'y\''),
        (net, "nan.npz", tiny.npz({"x": nan, "label": classes}), 'sample 6 of "x" holds a NaN'),
        (net, "flipped.npz", bytes(flipped), 'entry "x.npy" is corrupt'),
        (net, "lengths.npz", tiny.npz({"x": good, "label": ("|u1", [7], bytes(7))}),
         '"x" holds 8 samples, "label" 7'),
        (net, "wide.npz", tiny.npz({"x": ("<f4", [4, 8], x)}),
         'the input "x" is f32[batch,4], a batch of the dataset is f32[4,8]'),
        (net, "ints.npz", tiny.npz({"x": ("<i4", [8, 4], x)}), '"x" wants f32, which'),
        (net, "float.npz", tiny.npz({"x": good, "label": ("<f4", [8], x[:32])}),
         "labels are class ids, integers; the dataset gives f32"),
        (net, "target.npz", tiny.npz({"x": good, "y": ("<f4", [8, 3], x[:96])}),
         'the output "y" is f32[batch,4], a batch of the dataset is f32[8,3]'),
        (net, "empty.npz", tiny.npz({"x": ("<f4", [0, 4], b"")}), '"x" holds no samples'),
        (net, "big.npz", tiny.npz({"x": (">f4", [8, 4], x)}), "big-endian"),
        (lm, "ids.npy", ids, 'token 8 of "ids" is 8, outside of 0 to 7: the rows of \'wte\''),
        (lm, "short.npy", ids[:-60], "cut short"),
        (lm, "row.npz", tiny.npz({"input_ids": ("<i8", [1, 2], struct.pack("<2q", 1, 8))}),
         'sample 0 of "input_ids" holds 8, outside of -8 to 7: the rows of \'wte\''),
    ]
    recipe = put("f16.json", b'{"stages": [{"pass": "quantize", "scheme": "f16"}], '
                             b'"evaluation": {"window": 8}}')
    out = s.dir / "out.onnx"
    for model, name, data, words in cases:
        path = put(name, data)
        code, _, said = tool("evaluate", model, "-d", path, "--window", 8, "--latency", 0)
        s.check(code != 0 and words in said, f"evaluate: {name}: {words}", (code, said))
        code, _, said = tool("compress", model, "-r", recipe, "-d", path, "-o", out)
        s.check(code != 0 and words in said and not out.exists(), f"compress: {name}", (code, said))
    path = put("good.npz", tiny.npz({"x": good, "label": classes}))
    code, _, said = tool("evaluate", net, "-d", path, "-m", "accuracy,kl")
    s.check(code != 0 and "kl needs an original" in said and "top5" in said and
            "(nearest: cross_entropy)" in said, "a metric that needs another model", said)
    code, text, _ = tool("evaluate", net, "-d", path, "--json", "--against", net, "--latency", 3)
    e = json.loads(text)
    s.equal((code, e["dataset"][0]["sha256"]),
            (0, hashlib.sha256(path.read_bytes()).hexdigest()), "the set's digest is in the result")
    s.check(all(m["protocol"] for o in [e, *e["outputs"]] for m in o["metrics"].values()),
            "every metric with its protocol", e)
    h = e["metrics"]["kl"]["histogram"]
    s.equal((len(h["counts"]), sum(h["counts"]), e["layers"][0]["compared"], e["latency"]["runs"]),
            (64, 8, True, 3), "and what charts are drawn from")
    code, text, _ = tool("evaluate", lm, "-d", put("text.npy", tiny.npy(
        "<u2", [41], struct.pack("<41H", *[i % 8 for i in range(41)]))), "--window", 8)
    s.check(code == 0 and "windows of 8, stride 8" in text and "perplexity" in text,
            "perplexity with window and stride", text)
    code, text, _ = tool("evaluate", net, "-d", put("shape.npz", tiny.npz(
        {"x": good, "label": ("|u1", [8, 2], bytes(16))})), "--latency", 0)
    s.check(code == 0 and "not scored, they fit no output" in text, "labels that score nothing", text)


def until_evaluating(s, job):
    until = time.time() + 30
    while time.time() < until:
        progress = s.get(f"/v1/jobs/{job}", judged=False).json()["progress"]
        if progress and progress["stage"] == "baseline" and progress["metrics"]:
            return progress
        time.sleep(0.1)
    raise RuntimeError("it did not evaluate")


def met_in_the_middle(s):
    """The only slot is taken by a long evaluation; what waits behind it keeps its data."""
    long = s.submit("net", on("long", batch=1, latency_runs=0))["id"]
    progress = until_evaluating(s, long)
    s.equal((progress["unit"], progress["total"], progress["stages"]),
            ("samples", LONG_SAMPLES, 5), "progress counts samples")
    s.equal(progress["metrics"].get("accuracy"), 1, "with the metrics so far")
    s.check(0 < progress["done"] < LONG_SAMPLES, "on the way", progress)
    page = s.get(f"/v1/jobs/{long}/events", headers={"Accept": "application/json"}).json()["items"]
    s.check(any(e["type"] == "progress" and "accuracy" in e["data"]["metrics"] for e in page),
            "events carry them too", page)
    waiting = s.submit("net", on("wrong-2"))["id"]
    beside = s.submit("net", MEASURE, dataset="wrong-4")["id"]
    for name in ("wrong-2", "wrong-4", "long"):
        s.refused(s.curl("DELETE", f"/v1/datasets/{name}"), 409, "in-use", f"{name} cannot go")
    s.equal(s.put("/v1/datasets/wrong-2?replace=true", tiny.labelled(ROWS, labels(0))).status, 201,
            "its name may move on")
    s.daemon.process.kill()
    s.daemon.process.wait()
    s.start()
    s.check(s.get(f"/v1/jobs/{waiting}").json()["state"] == "queued", "the server was killed")
    until_evaluating(s, long)
    asked = time.time()
    s.equal(s.post(f"/v1/jobs/{long}/cancel").status, 202, "the long one is cancelled")
    done = s.wait(long)
    s.equal((done["state"], done["artifact"]), ("cancelled", None), "and leaves nothing")
    s.check(time.time() - asked < 5, "at once", time.time() - asked)
    s.equal(s.wait(waiting)["summary"]["quality"]["value"], 0.75, "measured on what it was given")
    s.equal(s.wait(beside)["summary"]["quality"]["value"], 0.5, "and so the other")
    s.equal(s.wait(s.submit("net", on("wrong-2"))["id"])["summary"]["quality"]["value"], 1,
            "a new job takes the new version")
    for name in ("wrong-2", "wrong-4", "long"):
        s.equal(s.curl("DELETE", f"/v1/datasets/{name}").status, 204, f"{name} may go now")
    p = s.refused(s.post(f"/v1/jobs/{long}/retry"), 409, "state-conflict", "no retry without data")
    s.check("dataset" in p["detail"], "saying why", p)
    s.staging_empties("nothing is left in staging")


main("evaluation", ["--jobs", "1"], upload, measured, compared, any_recipe, bad_data,
     found_before_work, token_ids, by_the_tool, by_name, met_in_the_middle)
