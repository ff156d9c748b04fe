"""ONNX through the service: taken in, shown with its graph, planned, passed through a job."""
from pathlib import Path

import tiny
from harness import main

GOLDEN = Path(__file__).resolve().parents[1] / "golden/onnx"
SAME = {"stages": [{"pass": "quantize", "scheme": "f32"}]}


def one_file(s):
    data = (GOLDEN / "plain.onnx").read_bytes()
    s.equal(s.put("/v1/models/net?filename=net.onnx", data).status, 201, "taken in")
    m = s.get("/v1/models/net?tensors=true").json()
    s.equal((m["format"], m["lone"], m["parameters"]), ("onnx", True, 162), "inspected")
    s.equal((m["facts"]["ir_version"], m["facts"]["opset"]), ("8", "ai.onnx 17"), "facts")
    s.equal(m["facts"]["inputs"], "x f32[batch,3,height,width]", "what it takes")
    s.equal(sorted(t["name"] for t in m["tensors"]), ["conv.b", "conv.w", "fc.b", "fc.w"],
            "its tensors, a Constant's too")
    s.equal(s.put("/v1/models/bare", data).json()["format"], "onnx", "known without a name")
    plan = s.post("/v1/plan", {"model": "net", "recipe": SAME}).json()
    s.equal((plan["bytes_in"], plan["bytes_out"]), (len(data), len(data)), "planned")
    job = s.wait(s.submit("net", SAME)["id"])
    s.equal(job["state"], "succeeded", "a job that changes nothing")
    s.equal(s.get(f"/v1/jobs/{job['id']}/artifact").body, data, "gives the same bytes")
    report = s.get(f"/v1/jobs/{job['id']}/report").json()
    s.equal(len(report["tensors"]), 4, "and a report of every tensor")
    s.refused(s.post("/v1/jobs", {"model": "net", "recipe": "gguf-q8_0"}), 422,
              "recipe-does-not-fit", "a preset for other containers")


def selected(s):
    """Roles of the graph, and tensors by the nodes that read them."""
    m = s.get("/v1/models/net?tensors=true").json()
    by_name = {t["name"]: t for t in m["tensors"]}
    s.equal({n: t["role"] for n, t in by_name.items()},
            {"conv.w": "conv,first", "conv.b": "bias", "fc.w": "head,last", "fc.b": "bias"}, "roles")
    node = by_name["fc.w"]["nodes"][0]
    for selector in ("role:head", f"node:{node}"):
        recipe = {"stages": [{"pass": "quantize", "scheme": "f16", "targets": selector}]}
        rows = s.post("/v1/plan", {"model": "net", "recipe": recipe}).json()["tensors"]
        s.check("fc.w" in [t["name"] for t in rows if t["scheme"] == "f16"], f"planned by {selector}", rows)
        s.equal([t["role"] for t in rows if t["name"] == "fc.w"], ["head,last"], "with its role")
    job = s.wait(s.submit("net", recipe)["id"])
    s.equal(job["state"], "succeeded", "a job by a node's name")
    rows = s.get(f"/v1/jobs/{job['id']}/report").json()["tensors"]
    s.equal([(t["scheme"], t["role"]) for t in rows if t["name"] == "fc.w"], [("f16", "head,last")], "reported")
    recipe["stages"][0]["targets"] = f"node:{node}x"
    p = s.refused(s.post("/v1/plan", {"model": "net", "recipe": recipe}), 422, "recipe-does-not-fit",
                  "no node is called so")
    s.equal((p["errors"][0]["pointer"], p["errors"][0]["nearest"]), ("/recipe/stages/0/targets", node),
            "the one that was meant is named")


def folder(s):
    files = {p.name: p.read_bytes() for p in (GOLDEN / "external").iterdir()}
    tar = {"Content-Type": "application/x-tar"}
    m = s.put("/v1/models/external", tiny.tar(files, prefix="m/"), headers=tar).json()
    s.equal((m["format"], m["lone"], m["parameters"]), ("onnx", False, 528), "a folder")
    job = s.wait(s.submit("external", SAME)["id"])
    s.equal(job["state"], "succeeded", "with external data")
    for name, data in files.items():
        s.equal(s.get(f"/v1/jobs/{job['id']}/artifacts/{name}").body, data, f"{name} comes back")
    alone = s.put("/v1/models/alone?filename=model.onnx", files["model.onnx"])
    p = s.refused(alone, 422, "malformed-model", "without its data")
    s.check("weights.bin" in p["detail"], "the missing file is named", p)


def refused(s):
    data = (GOLDEN / "plain.onnx").read_bytes()
    p = s.refused(s.put("/v1/models/cut?filename=m.onnx", data[:-9]), 422, "malformed-model", "cut")
    s.check("m.onnx" in str(p), "the file is named", p)


main("onnx", [], one_file, selected, folder, refused)
