#!/usr/bin/env python3
"""Roles of exported weights: what the graph says is what the modules are.

Networks of transformers, of PyTorch and of tests/golden/nets.py go through both
exporters, which rename most weights (onnx::MatMul_273, val_37), turn them over or
fold them. Each parameter is found again by its values, and has the role that its
module's name stands for. Then selectors by role and by node: attention in f16 and
the rest in integers, which ONNX Runtime opens and computes the same by.
"""

import fnmatch
import json
import subprocess
import sys
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import torch
import transformers
from onnx import numpy_helper

from suite import ROOT, Suite

sys.path.insert(0, str(ROOT / "tests/golden"))
import nets  # noqa: E402

QKV, OUT, MLP, EMBED, HEAD, CONV, OTHER = "attn_qkv", "attn_out", "mlp", "embed", "head", "conv", "other"

IDS = torch.randint(0, 50, (2, 7), generator=torch.Generator().manual_seed(1))
IMAGE = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)


class Pick(torch.nn.Module):
    """A module whose result is an object, and the tensor of it that is wanted."""

    def __init__(self, net, field, **fixed):
        super().__init__()
        self.net, self.field, self.fixed = net.eval(), field, fixed

    def forward(self, x):
        return getattr(self.net(x, **self.fixed), self.field)


def bert(how):
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, num_labels=3,
                                     attn_implementation=how, **SMALL)
    return Pick(transformers.BertForSequenceClassification(config), "logits")


def gpt2(how):
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4,
                                     attn_implementation=how)
    return Pick(transformers.GPT2LMHeadModel(config), "logits", use_cache=False)


def llama(how):
    config = transformers.LlamaConfig(vocab_size=50, num_key_value_heads=2, attn_implementation=how, **SMALL)
    return Pick(transformers.LlamaForCausalLM(config), "logits", use_cache=False)


def neox(how):
    config = transformers.GPTNeoXConfig(vocab_size=50, attn_implementation=how, **SMALL)
    return Pick(transformers.GPTNeoXForCausalLM(config), "logits", use_cache=False)


def vit(how):
    config = transformers.ViTConfig(image_size=32, patch_size=8, num_labels=5, attn_implementation=how, **SMALL)
    return Pick(transformers.ViTForImageClassification(config), "logits")


def t5(_):
    config = transformers.T5Config(vocab_size=50, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return Pick(transformers.T5EncoderModel(config), "last_hidden_state")


class Layers(torch.nn.Module):
    """PyTorch's own layers: norms in front in the encoder, behind in the decoder, cross attention."""

    def __init__(self):
        super().__init__()
        self.inp = torch.nn.Linear(5, 32)
        layer = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
        self.enc = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        layer = torch.nn.TransformerDecoderLayer(32, 4, 64, batch_first=True)
        self.dec = torch.nn.TransformerDecoder(layer, 1)
        self.fc = torch.nn.Linear(32, 3)

    def forward(self, x):
        y = self.inp(x)
        return self.fc(self.dec(y, self.enc(y)))


# name, how to make it, input, does the older exporter take it, roles by name of the parameter
NETWORKS = [
    ("bert", bert, IDS, True, {
        "*embeddings.weight": EMBED, "*self.query.weight": QKV, "*self.key.weight": QKV,
        "*self.value.weight": QKV, "*attention.output.dense.weight": OUT, "*intermediate.dense.weight": MLP,
        "*layer.?.output.dense.weight": MLP, "*pooler.dense.weight": OTHER, "*classifier.weight": HEAD}),
    ("gpt2", gpt2, IDS, False, {
        "*wte.weight": {EMBED, HEAD}, "*wpe.weight": EMBED, "*c_attn.weight": QKV, "*attn.c_proj.weight": OUT,
        "*mlp.c_fc.weight": MLP, "*mlp.c_proj.weight": MLP}),
    ("llama", llama, IDS, False, {
        "*embed_tokens.weight": EMBED, "*[qkv]_proj.weight": QKV, "*o_proj.weight": OUT,
        "*mlp.*_proj.weight": MLP, "*lm_head.weight": HEAD}),
    ("neox", neox, IDS, False, {
        "*embed_in.weight": EMBED, "*query_key_value.weight": QKV, "*attention.dense.weight": OUT,
        "*mlp.dense_*.weight": MLP, "*embed_out.weight": HEAD, "*lm_head.weight": HEAD}),
    ("vit", vit, IMAGE, True, {
        "*patch_embeddings.projection.weight": CONV, "*attention.[qkv]_proj.weight": QKV,
        "*attention.o_proj.weight": OUT, "*attention.query.weight": QKV, "*attention.key.weight": QKV,
        "*attention.value.weight": QKV, "*attention.output.dense.weight": OUT, "*fc1.weight": MLP,
        "*fc2.weight": MLP, "*intermediate.dense.weight": MLP, "*output.dense.weight": MLP,
        "*classifier.weight": HEAD}),
    ("t5", t5, IDS, None, {
        "*shared.weight": EMBED, "*relative_attention_bias.weight": EMBED, "*SelfAttention.[qkv].weight": QKV,
        "*SelfAttention.o.weight": OUT, "*DenseReluDense.w?.weight": MLP}),
    ("layers", lambda _: Layers().eval(), torch.randn(2, 6, 5), True, {
        "inp.weight": OTHER, "*in_proj_weight": QKV, "*out_proj.weight": OUT, "*linear?.weight": MLP,
        "fc.weight": HEAD}),
    ("gpt", lambda _: nets.initialised(nets.Gpt(32, 4, 2, 50, 16), 3), IDS, True, {
        "tokens.weight": {EMBED, HEAD}, "places.weight": EMBED, "*attn.qkv.weight": QKV,
        "*attn.out.weight": OUT, "*up.weight": MLP, "*down.weight": MLP}),
    ("unet", lambda _: nets.initialised(nets.UNet(), 4), (torch.randn(1, 4, 16, 16), torch.ones(1)), True, {
        "*conv*.weight": CONV, "*shrink*.weight": CONV, "*around.weight": CONV, "*qkv.weight": QKV,
        "*look*.out.weight": OUT, "*out.weight": OUT, "time?.weight": OTHER, "*embed.weight": OTHER}),
    ("vae", lambda _: nets.initialised(nets.Decoder(), 5), torch.randn(1, 4, 8, 8), True, {
        "*conv*.weight": CONV, "*grow?.weight": CONV, "*around.weight": CONV, "*unscale.weight": CONV,
        "*qkv.weight": QKV, "*look.out.weight": OUT}),
]


def wanted(roles, name):
    for pattern, role in roles.items():
        if fnmatch.fnmatchcase(name, pattern):
            return role if isinstance(role, set) else {role}
    return None


def export(net, inputs, path, dynamo):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(net, inputs, str(path), dynamo=True, external_data=False, verbose=False)
        else:
            torch.onnx.export(net, inputs, str(path), dynamo=False, opset_version=17)


def tensors_of(suite, path):
    r = subprocess.run([suite.compressctl, "inspect", "--tensors", "--json", str(path)],
                       capture_output=True, text=True, check=True)
    return {t["name"]: t for t in json.loads(r.stdout)["tensors"]}


def shows(array, values):
    """Is it these values, as they are, turned over, or a part of them (fused projections are cut)?"""
    if array.size > values.size or array.ndim != values.ndim or values.size % array.size:
        return False
    for side in (array, array.T) if array.ndim == 2 else (array,):
        if side.shape[1:] == values.shape[1:]:
            rows = side.shape[0]
            if any(np.array_equal(side, values[k:k + rows]) for k in range(0, values.shape[0], rows)):
                return True
    return False


def check_roles(suite, name, net, path, roles):
    listed = tensors_of(suite, path)
    arrays = {i.name: numpy_helper.to_array(i) for i in onnx.load(str(path)).graph.initializer}
    seen = 0
    wrong = []
    for parameter, p in net.named_parameters():
        values = p.detach().numpy()
        if values.ndim < 2 or min(values.shape[:2]) < 2 and values.ndim == 2:
            continue
        role = wanted(roles, parameter.removeprefix("net."))
        found = set()
        for n, array in arrays.items():
            if array.dtype == np.float32 and array.ndim > 1 and shows(array, values):
                found |= set(listed[n]["role"].split(",")) - {"first", "last"}
        if role is None or not found:  # a table of positions, folded into what is added
            continue
        seen += 1
        if found != role:
            wrong.append(f"{parameter} is {','.join(sorted(found))}")
    norms = sum("norm" in t["role"] for t in listed.values())
    ends = [sum(end in t["role"].split(",") for t in listed.values()) for end in ("first", "last")]
    suite.check(not wrong and seen > 8 and norms and all(ends),
                f"{name}: {seen} weights have the roles of their modules, {norms} norms, {ends[0]} first, "
                f"{ends[1]} last{': ' + '; '.join(wrong[:5]) if wrong else ''}")


def session_of(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


SCHEMES = {
    "int8": {"scheme": "int8"},
    "int4": {"scheme": "int4", "granularity": "group", "group_size": 32},
    "w8a8": {"scheme": "int8", "activations": "dynamic"},
    "w8a8-static": {"scheme": "int8", "activations": "static"},
}


def check_mixed(suite, name, path, inputs):
    """Attention in f16, the rest in integers."""
    source = session_of(path)
    feed = {i.name: x.numpy() for i, x in zip(source.get_inputs(), inputs)}
    calibration = suite.dir / "calibration.npz"
    np.savez(calibration, **{k: np.concatenate([v] * (8 // len(v))) for k, v in feed.items()})
    attention = {n for n, t in tensors_of(suite, path).items() if "attn" in t["role"]}
    for scheme, fields in SCHEMES.items():
        recipe = {"stages": [{"pass": "quantize", **fields, "keep": [{"match": "role:attn", "scheme": "f16"}]}]}
        out = suite.dir / f"{name}-{scheme}.onnx"
        if scheme == "w8a8-static":
            out.unlink(missing_ok=True)
            file = suite.dir / "mixed.json"
            file.write_text(json.dumps(recipe))
            subprocess.run([suite.compressctl, "compress", path, "-r", file, "-d", calibration, "-o", out,
                            "-q"], check=True, capture_output=True)
        else:
            suite.compress(path, recipe, out)
        onnx.checker.check_model(str(out))
        model = onnx.load(str(out))
        halves = {i.name for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT16}
        integers = [i.name for i in model.graph.initializer
                    if i.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8) and len(i.dims) > 1]
        casts = sum(n.op_type == "Cast" for n in model.graph.node)
        alike = cosine(session_of(out).run(None, feed)[0], source.run(None, feed)[0])
        # 4 bits of random weights are rough.
        suite.check(halves == attention and integers and alike > (0.9 if scheme == "int4" else 0.99),
                    f"{name}: {len(halves)} weights of attention in f16, {len(integers)} in {scheme}, {casts} "
                    f"casts, cosine {alike:.6f} in ONNX Runtime")


def check_nodes(suite, path):
    """By the names that the older exporter gives nodes."""
    out = suite.dir / "nodes.onnx"
    recipe = {"stages": [{"pass": "quantize", "scheme": "int8", "targets": ["node:*/self/query/MatMul"]}]}
    report = suite.compress(path, recipe, out)
    changed = [t for t in report["tensors"] if t["scheme"].startswith("int8")]
    suite.check(len(changed) == 2 and all(t["name"].startswith("onnx::MatMul") and "attn_qkv" in t["role"]
                                          for t in changed),
                f"node:*/self/query/MatMul: {', '.join(t['name'] for t in changed)}")
    session_of(out)
    slip = {"stages": [{"pass": "quantize", "scheme": "int8",
                        "targets": ["node:/net/bert/encoder/layer.0/attention/self/qurry/MatMul"]}]}
    suite.refused(path, slip, suite.dir / "slip.onnx", ["no node that reads a weight"],
                  "a name that no node has is refused")


def main():
    suite = Suite("onnx_roles")
    kept = {}
    for name, make, inputs, older, roles in NETWORKS:
        hows = ["eager", "sdpa"] if name in ("bert", "gpt2", "llama", "neox", "vit") else [""]
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        for how in hows:
            for dynamo in (False, True):
                if dynamo and older is None or not dynamo and older is False:
                    continue
                title = "-".join(filter(None, [name, how, "dynamo" if dynamo else "script"]))
                with suite.section(title):
                    torch.manual_seed(7)
                    net = make(how)
                    path = suite.dir / f"{title}.onnx"
                    export(net, inputs, path, dynamo)
                    check_roles(suite, title, net, path, roles)
                    kept[title] = (path, inputs)
    for title in ("bert-sdpa-script", "gpt-dynamo", "unet-script", "vit-eager-dynamo"):
        with suite.section(f"{title} in several precisions"):
            check_mixed(suite, title, *kept[title])
    with suite.section("nodes"):
        check_nodes(suite, kept["bert-sdpa-script"][0])
    return suite.done()


if __name__ == "__main__":
    sys.exit(main())
