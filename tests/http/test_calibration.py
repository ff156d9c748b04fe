"""Calibration as a job: whose ranges, from which version of which set, and what cannot be."""
import hashlib
import json
import os
import struct
import subprocess
import time

import tiny
from harness import main

EYE = [[float(r == c) for c in range(4)] for r in range(4)]
MIXED = [[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1], [-1, 0, 0, 1]]
SMALL = [[0.5 if r == c else 0.0 for c in range(4)] for r in range(4)]  # largest of x, h and r: 0.5
LARGE = [[2.0 * x for x in row] for row in EYE]
LABELS = [0, 1, 2, 3]
LONG_SAMPLES = 3_000_000
SHORTER_SAMPLES = 800_000  # a few seconds, one by one


def static(dataset=None, **more):
    """A recipe with static activations; evaluation leaves no time to be measured."""
    recipe = {"stages": [{"pass": "quantize", "scheme": "int8", "activations": "static"}]}
    calibration = {**({"dataset": dataset} if dataset else {}), **more}
    return {**recipe, "calibration": calibration} if calibration else recipe


def scales(report):
    return {r["value"]: r["scale"] for r in report["calibration"]["ranges"]}


def close(a, b):
    return abs(a - b) <= 1e-6 * abs(b)


def upload(s):
    net = tiny.mlp_onnx(EYE, MIXED)
    s.equal(s.put("/v1/models/net?filename=net.onnx", net).status, 201, "a model is taken in")
    for name, rows in (("small", SMALL), ("large", LARGE)):
        s.equal(s.put(f"/v1/datasets/{name}", tiny.labelled(rows, LABELS)).status, 201,
                f"a set of {name} values")
    n = LONG_SAMPLES
    s.equal(s.put("/v1/datasets/long", tiny.npz({"x": ("|u1", [n, 4], bytes(4 * n - 1) + b"\x01")},
                                                True)).status, 201, "and a long one")


def calibrated(s):
    """The job's own set, by the preset; the report is complete."""
    plan = s.post("/v1/plan", {"model": "net", "recipe": "w8a8-static", "dataset": "small"}).json()
    s.equal([t["scheme"] for t in plan["tensors"] if t["name"] in ("w1", "w2")],
            ["int8 column symmetric"] * 2, "the plan says what comes out")
    done = s.wait(s.submit("net", "w8a8-static", dataset="small")["id"])
    s.equal(done["state"], "succeeded", "a job with static ranges", )
    r = s.get(f"/v1/jobs/{done['id']}/report").json()
    c = r["calibration"]
    data = tiny.labelled(SMALL, LABELS)
    s.equal((c["dataset"], c["dataset_kind"], c["samples"], c["batch"], c["method"]),
            ("small", "arrays", 4, 4, "minmax"), "what it was calibrated with")
    s.equal([(f["bytes"], f["sha256"]) for f in c["files"]],
            [(len(data), hashlib.sha256(data).hexdigest())], "to the byte")
    s.check("largest" in c["protocol"], "and how", c["protocol"])
    rows = {v["value"]: v for v in c["ranges"]}
    s.equal(sorted(rows), ["r", "x"], "the values that have ranges")
    x, relu = rows["x"], rows["r"]
    s.equal([(v["min"], v["max"], v["limit"], v["count"], v["zeros"], v["clamped"])
             for v in (x, relu)], [(0, 0.5, 0.5, 16, 12, 0)] * 2, "what was seen of them")
    s.check(close(x["scale"], 0.5 / 127) and x["zero_point"] == 0, "an input is symmetric", x)
    s.check(close(relu["scale"], 0.5 / 255) and relu["zero_point"] == -128,
            "what is never negative has all codes", relu)
    for v in (x, relu):
        h = v["histogram"]
        s.equal((h["to"], len(h["counts"]), h["counts"][-1], sum(h["counts"]) + v["zeros"]),
                (0.5, 64, 4, v["count"]), f"the histogram of {v['value']}")
    s.equal([stage["name"] for stage in r["stages"]],
            ["check", "baseline", "calibrate", "quantize", "verify", "evaluate"], "stages")
    for stage in r["stages"]:
        s.check(0 < stage["peak_bytes"] <= stage["predicted_bytes"],
                f"{stage['name']} keeps to its prediction", stage)
    s.check(plan["peak_bytes"] >= r["stages"][0]["predicted_bytes"], "which the plan counts", plan)
    s.equal(r["metrics"]["accuracy"]["count"], 4, "the same set measures")
    digests = [f["sha256"] for f in r["inputs"]["files"]]
    net = s.get("/v1/models/net/files/net.onnx").body
    s.equal(digests, [hashlib.sha256(net).hexdigest()], "the source is named to the byte too")
    artifact = s.get(f"/v1/jobs/{done['id']}/artifact").body
    s.check(struct.pack("<f", relu["scale"]) in artifact and b"QuantizeLinear" in artifact,
            "the artifact holds the scales")
    said = s.get(f"/v1/jobs/{done['id']}/log").body.decode()
    s.check("ranges of 2 values by minmax" in said, "the log says so", said)
    other = s.wait(s.submit("net", "int8", dataset="small")["id"])
    s.equal(s.get(f"/v1/jobs/{other['id']}/report").json()["calibration"], None,
            "who needs no ranges has none")


def by_name(s):
    """The set that a recipe names goes before the job's, for calibration alone."""
    done = s.wait(s.submit("net", static("Large", samples=4, batch=2, method="percentile"),
                           dataset="small")["id"])
    r = s.get(f"/v1/jobs/{done['id']}/report").json()
    c = r["calibration"]
    s.equal((c["dataset"], c["batch"], c["method"], r["evaluation"]["dataset"]),
            ("large", 2, "percentile", "small"), "each set for its purpose")
    s.check(close(scales(r)["x"], 2 / 127), "the ranges are of the larger values", scales(r))
    done = s.wait(s.submit("net", {**static(samples=1), "seed": 3}, dataset="large")["id"])
    r = s.get(f"/v1/jobs/{done['id']}/report").json()
    s.equal((r["calibration"]["samples"], r["calibration"]["ranges"][0]["count"]), (1, 4),
            "no more samples than asked for")
    s.equal(r["evaluation"]["after"]["protocol"]["samples"], 4, "whatever is measured")
    done = s.wait(s.submit("net", static("large"))["id"])
    s.equal((done["state"], done["summary"]["quality"]), ("succeeded", None),
            "a set for calibration measures nothing")
    recipe = {**static(), "evaluation": {"dataset": "large"}}
    done = s.wait(s.submit("net", recipe, dataset="small")["id"])
    r = s.get(f"/v1/jobs/{done['id']}/report").json()
    s.equal((r["calibration"]["dataset"], r["evaluation"]["dataset"]), ("small", "large"),
            "and the other way round")


def without_a_server(s):
    """compressctl compress: the same rules, and paths for names."""
    def compress(recipe, *more):
        report = s.dir / "report.json"
        report.unlink(missing_ok=True)
        done = subprocess.run(
            [os.environ["COMPRESSCTL"], "compress", str(s.dir / "net.onnx"), "--force", "-o",
             str(s.dir / "out.onnx"), "-r", json.dumps(recipe), "--report", str(report), *more],
            capture_output=True, text=True)
        return done, json.loads(report.read_text()) if report.exists() else None

    paths = {}
    (s.dir / "net.onnx").write_bytes(tiny.mlp_onnx(EYE, MIXED))
    for name, rows in (("small", SMALL), ("large", LARGE)):
        paths[name] = str(s.dir / f"{name}.npz")
        (s.dir / f"{name}.npz").write_bytes(tiny.labelled(rows, LABELS))
    done, r = compress(static(paths["large"]), "-d", paths["small"])
    s.equal((done.returncode, r["calibration"]["dataset"], r["evaluation"]["dataset"]),
            (0, paths["large"], paths["small"]), "each set for its purpose")
    s.equal(r["calibration"]["files"][0]["sha256"],
            hashlib.sha256(tiny.labelled(LARGE, LABELS)).hexdigest(), "named to the byte")
    s.check("2 values on 4 samples" in done.stdout, "and told", done.stdout)
    here = (s.dir / "out.onnx").read_bytes()
    job = s.wait(s.submit("net", static("large"))["id"])
    s.equal(s.get(f"/v1/jobs/{job['id']}/artifact").body.count(b"DequantizeLinear"),
            here.count(b"DequantizeLinear"), "the server writes as many pairs")
    done, r = compress(static(), "-d", paths["small"])
    s.equal((done.returncode, r["calibration"]["dataset"]), (0, paths["small"]), "one for all")
    done, _ = compress(static())
    s.check(done.returncode == 3 and "/calibration" in done.stderr, "none is refused", done)
    done, _ = compress(static(str(s.dir / "nowhere.npz")))
    s.check(done.returncode == 3 and "/calibration/dataset" in done.stderr and "nowhere" in
            done.stderr, "and what is not there", done)


def refused(s):
    narrow = tiny.labelled([row[:3] for row in SMALL], LABELS)
    s.equal(s.put("/v1/datasets/narrow", narrow).status, 201, "too narrow")
    s.equal(s.put("/v1/datasets/other", tiny.labelled(SMALL, LABELS, name="z")).status, 201,
            "of another name")
    where = "/recipe/calibration"
    for path in ("/v1/plan", "/v1/jobs"):
        def wrong(slug, pointer, text, recipe, *words, **more):
            p = s.refused(s.post(path, {"model": "net", "recipe": recipe, **more}), 422, slug,
                          f"{path}: {text}")
            s.equal([e["pointer"] for e in p["errors"]], [pointer], f"is pointed at: {text}")
            s.check(all(w in str(p) for w in words), f"saying so: {text}", p)
            return p["errors"][0].get("nearest")

        misfit = "recipe-does-not-fit"
        wrong(misfit, where, "no set at all", static(), "a dataset", "dynamic")
        wrong(misfit, where, "nor with the preset", "w8a8-static", "a dataset")
        wrong(misfit, where, "a set that measures does not calibrate",
              {**static(), "evaluation": {"dataset": "small"}}, "a dataset")
        s.equal(wrong("invalid-recipe", where + "/dataset", "an unknown set", static("smal")), "small",
                "the nearest is named")
        wrong("invalid-recipe", where + "/dataset", "nothing like it", static("faces"))
        wrong(misfit, where, "a shape that does not fit", static("narrow"), "'x'", "[4,3]", "4")
        wrong(misfit, where, "nothing that feeds it", static("other"), "\"x\"", "holds z")
        wrong("invalid-recipe", where + "/method", "an unknown method", static("small", method="best"),
              "one of")
        wrong("invalid-recipe", where + "/samples", "no samples", static("small", samples=0))


def not_finite(s):
    """Two finite weights that overflow between them."""
    big = [[2e38 if c == 1 else float(r == c) for c in range(4)] for r in range(4)]
    s.equal(s.put("/v1/models/big?filename=big.onnx", tiny.mlp_onnx(big, MIXED)).status, 201, "a model")
    rows = [[1.0, 1.0, 1.0, 1.0]] * 4
    s.equal(s.put("/v1/datasets/ones", tiny.labelled(rows, LABELS)).status, 201, "a set of ones")
    done = s.wait(s.submit("big", static("ones"))["id"])
    s.equal((done["state"], done["artifact"]), ("failed", None), "whose activations overflow")
    p = done["problem"]
    s.check(p["type"].endswith("/non-finite-weights") and "'r'" in p["detail"] and "calibrate" in p["detail"],
            "fails, naming the value", p)
    s.staging_empties("nothing is left in staging")


def until_calibrating(s, job):
    until = time.time() + 30
    while time.time() < until:
        progress = s.get(f"/v1/jobs/{job}", judged=False).json()["progress"]
        if progress and progress["stage"] == "calibrate" and progress["done"]:
            return progress
        time.sleep(0.1)
    raise RuntimeError("it did not calibrate")


def killed_and_resumed(s):
    """kill -9 while a set is looked at: the next attempt ends with the bytes of an unbroken one."""
    recipe = static("long", samples=SHORTER_SAMPLES, batch=1, method="mse")
    whole = s.wait(s.submit("net", recipe)["id"])
    s.equal(whole["state"], "succeeded", "an unbroken job")
    broken = s.submit("net", recipe)["id"]
    progress = until_calibrating(s, broken)
    s.daemon.process.kill()
    s.daemon.process.wait()
    s.start()
    again = s.wait(broken)
    s.equal((again["state"], again["attempt"]), ("succeeded", 2), f"killed at {progress['done']}")
    s.equal(again["artifact"], whole["artifact"], "ends with the same bytes")
    first, second = (s.get(f"/v1/jobs/{job['id']}/report").json()["calibration"]
                     for job in (whole, again))
    s.equal(second, first, "and has seen the same")
    s.equal(second["samples"], SHORTER_SAMPLES, "which is all of it")


def met_in_the_middle(s):
    """The only slot is taken by a long calibration; what waits behind it keeps its set."""
    long = s.submit("net", static("long", samples=LONG_SAMPLES, batch=1))["id"]
    progress = until_calibrating(s, long)
    s.equal((progress["unit"], progress["total"], progress["stages"], progress["stage_index"]),
            ("samples", LONG_SAMPLES, 4, 1), "progress counts samples")
    s.check(0 < progress["done"] < LONG_SAMPLES, "on the way", progress)
    page = s.get(f"/v1/jobs/{long}/events", headers={"Accept": "application/json"}).json()["items"]
    s.check(any(e["type"] == "progress" and e["data"]["stage"] == "calibrate" for e in page),
            "events say so", page)
    waiting = s.submit("net", static("small"))["id"]
    beside = s.submit("net", "w8a8-static", dataset="large")["id"]
    for name in ("small", "large", "long"):
        s.refused(s.curl("DELETE", f"/v1/datasets/{name}"), 409, "in-use", f"{name} cannot go")
    moved = tiny.labelled(LARGE, LABELS)
    s.equal(s.put("/v1/datasets/small?replace=true", moved).status, 201, "its name may move on")
    s.daemon.process.kill()
    s.daemon.process.wait()
    s.start()
    s.check(s.get(f"/v1/jobs/{waiting}").json()["state"] == "queued", "the server was killed")
    until_calibrating(s, long)
    asked = time.time()
    s.equal(s.post(f"/v1/jobs/{long}/cancel").status, 202, "the long one is cancelled")
    done = s.wait(long)
    s.equal((done["state"], done["artifact"]), ("cancelled", None), "and leaves nothing")
    s.check(time.time() - asked < 5, "at once", time.time() - asked)
    first = s.get(f"/v1/jobs/{s.wait(waiting)['id']}/report").json()
    s.check(close(scales(first)["x"], 0.5 / 127), "ranges of what it was given", scales(first))
    second = s.get(f"/v1/jobs/{s.wait(beside)['id']}/report").json()
    s.check(close(scales(second)["x"], 2 / 127), "and so the other", scales(second))
    done = s.wait(s.submit("net", static("small"))["id"])
    third = s.get(f"/v1/jobs/{done['id']}/report").json()
    s.check(close(scales(third)["x"], 2 / 127), "a new job takes the new version", scales(third))
    for name in ("small", "large", "long"):
        s.equal(s.curl("DELETE", f"/v1/datasets/{name}").status, 204, f"{name} may go now")
    p = s.refused(s.post(f"/v1/jobs/{long}/retry"), 409, "state-conflict", "no retry without its set")
    s.check("dataset" in p["detail"], "saying why", p)
    s.staging_empties("nothing is left in staging")


main("calibration", ["--jobs", "1"], upload, calibrated, by_name, without_a_server,
     refused, not_finite, killed_and_resumed, met_in_the_middle)
