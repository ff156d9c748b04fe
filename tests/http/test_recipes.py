"""Recipes and plans: what can be done, what it would do, and every reason why not."""
import jsonschema

import tiny
from harness import main


def recipes(s):
    whole = s.get("/v1/recipes").json()
    names = [i["name"] for i in whole["items"]]
    for name in ("f16", "bf16", "fp8", "int8", "w8a8", "int4-g128", "gguf-q8_0", "gguf-q5_1",
                 "gguf-q5_0", "gguf-q4_1", "gguf-q4_0"):
        s.check(name in names, f"{name} is offered", names)
    schema = jsonschema.Draft202012Validator(whole["schema"])
    jsonschema.Draft202012Validator.check_schema(whole["schema"])
    for item in whole["items"]:
        s.equal(list(schema.iter_errors(item["recipe"])), [], f"{item['name']} fits the schema")
        one = s.get(f"/v1/recipes/{item['name']}").json()
        s.equal({**one, "schema": None}, {**item, "schema": None}, f"{item['name']} alone")
    s.refused(s.get("/v1/recipes/nothing"), 404, "not-found", "no such recipe")


def plans(s):
    s.upload("m", tiny.model())
    p = s.post("/v1/plan", {"model": "m", "recipe": "int8"}).json()
    s.check(p["bytes_out"] < p["bytes_in"] and p["ratio"] > 1, "it would be smaller", p)
    s.equal(len(p["tensors"]), 7, "every tensor has a row")
    again = s.post("/v1/plan", {"model": "m", "recipe": "int8"}).json()
    s.equal(again, p, "the same plan from the cache")
    inline = {"stages": [{"pass": "quantize", "scheme": "int8",
                          "keep": [{"match": "role:attn", "scheme": "f16"}]}]}
    q = s.post("/v1/plan", {"model": "m", "recipe": inline}).json()
    s.check(q["bytes_out"] > p["bytes_out"], "keeping attention costs bytes", (p, q))


def long_ones(s):
    """Bodies that are read on another thread: the same answers."""
    keep = [{"match": f"no.such.tensor.{i}", "scheme": "f16"} for i in range(1000)]
    recipe = {"stages": [{"pass": "quantize", "scheme": "int8", "keep": keep}]}
    for path in ("/v1/plan", "/v1/jobs"):
        p = s.refused(s.post(path, {"model": "m", "recipe": recipe}), 422, "recipe-does-not-fit",
                      f"{path}: a thousand rules that match nothing")
        s.equal(len(p["errors"]), 256, "as many as anybody reads are told")
        text = b'{"model":"m","recipe":' + b" " * 100_000
        s.refused(s.post(path, text), 400, "malformed-json", f"{path}: a long body cut off")
        body = text + b'"int8"}'
        s.check(s.post(path, body).status in (200, 201), f"{path}: a long body of blanks")
    recipe["stages"][0]["keep"] = [{"match": "*", "scheme": "f16"}] * 4097
    r = s.post("/v1/plan", {"model": "m", "recipe": recipe})
    s.refused(r, 413, "over-limit", "more rules than allowed")


def refusals(s):
    def bad(recipe, slugs, pointer, text, model="m"):
        for path in ("/v1/plan", "/v1/jobs"):
            r = s.post(path, {"model": model, "recipe": recipe})
            ok = r.status == 422 and r.slug() in slugs
            if s.check(ok, f"{text}: {path} refuses", r):
                s.check(any(e["pointer"].startswith(pointer) for e in r.json()["errors"]),
                        f"{text}: points at {pointer}", r)

    stage = {"pass": "quantize", "scheme": "int8"}
    bad("int9", ["invalid-recipe"], "/recipe", "an unknown preset")
    bad({"stages": [stage], "colour": 1}, ["invalid-recipe"], "/recipe/colour", "an unknown key")
    bad({"stages": [{**stage, "colour": 1}]}, ["invalid-recipe"], "/recipe/stages/0/colour",
        "an unknown parameter")
    bad({"stages": [{**stage, "scheme": "int9"}]}, ["invalid-recipe"], "/recipe/stages/0/scheme",
        "an unknown scheme")
    bad({"stages": [{"pass": "polish"}]}, ["invalid-recipe"], "/recipe/stages/0/pass",
        "an unknown pass")
    bad({"stages": []}, ["invalid-recipe"], "/recipe/stages", "no stages")
    bad({}, ["invalid-recipe"], "/recipe", "an empty recipe")
    bad(7, ["invalid-recipe", "invalid-field"], "/recipe", "a number")
    bad({"stages": [{**stage, "targets": ["no.such.tensor*"]}]}, ["recipe-does-not-fit"],
        "/recipe/stages/0/targets", "a glob that matches nothing")
    bad({"stages": [{**stage, "scheme": "int4", "granularity": "group", "group_size": 96}]},
        ["recipe-does-not-fit", "invalid-recipe"], "/recipe/stages/0",
        "a group size that does not divide")
    bad("gguf-q8_0", ["recipe-does-not-fit", "invalid-recipe", "unsupported"], "",
        "a GGUF recipe on safetensors")
    bad("int8", ["invalid-field"], "/model", "an unknown model", model="nobody")
    both = s.post("/v1/plan", {"model": "nobody", "recipe": {"stages": [stage], "x": 1, "y": 2}})
    s.equal(both.status, 422, "several reasons at once")
    s.equal({e["pointer"] for e in both.json()["errors"]}, {"/model", "/recipe/x", "/recipe/y"},
            "each of them is told")
    p = s.post("/v1/plan", {"model": "m", "recipe": "int"}).json()
    s.check("nearest" in p["errors"][0], "a slip is told what was meant", p)
    for path in ("/v1/plan", "/v1/jobs"):
        for body, pointer in [({"recipe": "int8"}, "/model"), ({"model": "m"}, "/recipe"),
                              ({"model": "m", "recipe": "int8", "colour": 1}, "/colour"),
                              ({"model": 5, "recipe": "int8"}, "/model")]:
            p = s.refused(s.post(path, body), 422, "invalid-field", f"{path} refuses {body}")
            s.check(pointer in [e["pointer"] for e in p["errors"]], f"pointing at {pointer}", p)


main("recipes", [], recipes, plans, long_ones, refusals)
