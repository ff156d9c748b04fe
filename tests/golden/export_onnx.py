#!/usr/bin/env python3
"""Write small ONNX models with the onnx package into tests/golden/onnx/.

usage: export_onnx.py OUT

Needs onnx (written with 1.23.2) and numpy. Every model passes onnx.checker.
expected.txt holds a line for every tensor that a reader must find: file, name,
type, dimensions, SHA-256 of its bytes as they would be in raw_data.
"""

import hashlib
import shutil
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

out = Path(sys.argv[1])
rng = np.random.default_rng(3)
lines = []


def value(name, elem, shape):
    return h.make_tensor_value_info(name, elem, shape)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def expect(file, name, kind, array, raw=None):
    array = np.asarray(array)
    raw = array.tobytes() if raw is None else raw
    dims = ",".join(str(d) for d in array.shape)
    lines.append(f"{file} {name} {kind} [{dims}] {hashlib.sha256(raw).hexdigest()}")


def save(file, model, **kwargs):
    path = out / file
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.checker.check_model(model)
    onnx.save(model, path, **kwargs)


def model(graph, opset=17, ir=8, **kwargs):
    imports = [h.make_opsetid("", opset)] + kwargs.pop("imports", [])
    m = h.make_model(graph, opset_imports=imports, ir_version=ir, producer_name="export_onnx",
                     producer_version="1", **kwargs)
    return m


def plain():
    w, b, k = floats(4, 3, 3, 3), floats(4), floats(4, 10)
    c = floats(10)
    nodes = [
        h.make_node("Conv", ["x", "conv.w", "conv.b"], ["t0"], name="conv", pads=[1, 1, 1, 1]),
        h.make_node("Relu", ["t0"], ["t1"], name="act", doc_string="a note"),
        h.make_node("GlobalAveragePool", ["t1"], ["t2"]),
        h.make_node("Flatten", ["t2"], ["t3"], axis=1),
        h.make_node("Constant", [], ["fc.b"], value=nh.from_array(c, "value")),
        h.make_node("Constant", [], ["beta"], value_float=0.5),
        h.make_node("Gemm", ["t3", "fc.w", "fc.b"], ["t4"], name="fc", alpha=1.0),
        h.make_node("Mul", ["t4", "beta"], ["y"]),
    ]
    graph = h.make_graph(
        nodes, "plain", [value("x", T.FLOAT, ["batch", 3, "height", "width"])],
        [value("y", T.FLOAT, ["batch", 10])],
        [nh.from_array(w, "conv.w"), nh.from_array(b, "conv.b"), nh.from_array(k, "fc.w")],
        doc_string="a graph", value_info=[value("t3", T.FLOAT, ["batch", 4])])
    m = model(graph, doc_string="a model")
    h.set_model_props(m, {"author": "somebody", "licence": "none"})
    save("plain.onnx", m)
    for name, array in (("conv.w", w), ("conv.b", b), ("fc.w", k), ("fc.b", c)):
        expect("plain.onnx", name, "f32", array)


def lists():
    """Every element type that make_tensor stores as a list of numbers."""
    rows = [
        ("f32", T.FLOAT, np.float32, [1.5, -2, 3]), ("f64", T.DOUBLE, np.float64, [1.5, -2, 3]),
        ("f16", T.FLOAT16, np.float16, [1.5, -2, 65504]),
        ("bf16", T.BFLOAT16, ml_dtypes.bfloat16, [1.5, -2, 3e38]),
        ("i8", T.INT8, np.int8, [-128, 0, 127]), ("i16", T.INT16, np.int16, [-32768, 0, 7]),
        ("i32", T.INT32, np.int32, [-2**31, 0, 7]), ("i64", T.INT64, np.int64, [-2**63, 0, 7]),
        ("u8", T.UINT8, np.uint8, [255, 0, 7]), ("u16", T.UINT16, np.uint16, [65535, 0, 7]),
        ("u32", T.UINT32, np.uint32, [2**32 - 1, 0, 7]),
        ("u64", T.UINT64, np.uint64, [2**64 - 1, 0, 7]), ("bool", T.BOOL, np.bool_, [1, 0, 1]),
        ("f8_e4m3", T.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn, [1.5, -2, 448]),
        ("f8_e5m2", T.FLOAT8E5M2, ml_dtypes.float8_e5m2, [1.5, -2, 3]),
        ("c64", T.COMPLEX64, np.complex64, [1 + 2j, 3, -1j]),
    ]
    initializers, names = [], []
    for kind, elem, dtype, numbers in rows:
        array = np.array(numbers, dtype=dtype)
        initializers.append(h.make_tensor(f"list.{kind}", elem, [3], array.tolist()
                                          if kind not in ("bf16", "f8_e4m3", "f8_e5m2")
                                          else [float(v) for v in array]))
        names.append(f"list.{kind}")
        expect("lists.onnx", f"list.{kind}", kind, array)
    for kind, elem, numbers in (("i4", T.INT4, [-8, 7, -1]), ("u4", T.UINT4, [15, 0, 9])):
        initializers.append(h.make_tensor(f"list.{kind}", elem, [3], numbers))
        names.append(f"list.{kind}")
        n = [v & 15 for v in numbers]
        expect("lists.onnx", f"list.{kind}", kind, np.zeros(3), bytes([n[0] | n[1] << 4, n[2]]))
    initializers.append(h.make_tensor("text", T.STRING, [2], [b"some", b"words"]))
    sparse = h.make_sparse_tensor(h.make_tensor("sparse", T.FLOAT, [2], [1.0, 2.0]),
                                  h.make_tensor("", T.INT64, [2], [3, 5]), [10])
    nodes = [h.make_node("Carry", names + ["text", "sparse"], ["y"], domain="com.example",
                         mode="fast", table=[1.0, 2.0], words=["a", "b"],
                         shape=h.make_tensor_type_proto(T.FLOAT, [2]))]
    graph = h.make_graph(nodes, "lists", [], [value("y", T.FLOAT, ["n"])], initializers,
                         sparse_initializer=[sparse])
    save("lists.onnx", model(graph, opset=21, ir=10, imports=[h.make_opsetid("com.example", 1)]))


def bodies():
    k = floats(3)
    then = h.make_graph([h.make_node("Add", ["t", "k"], ["a"])], "then", [],
                        [value("a", T.FLOAT, [3])], [nh.from_array(k, "k")])
    other = h.make_graph(
        [h.make_node("Constant", [], ["k"], value=nh.from_array(k * 2, "value")),
         h.make_node("Mul", ["t", "k"], ["b"])], "else", [], [value("b", T.FLOAT, [3])])
    loop = h.make_graph(
        [h.make_node("Identity", ["go"], ["go_on"]), h.make_node("Add", ["sum", "t"], ["next"]),
         h.make_node("Identity", ["next"], ["seen"])], "loop",
        [value("i", T.INT64, []), value("go", T.BOOL, []), value("sum", T.FLOAT, [3])],
        [value("go_on", T.BOOL, []), value("next", T.FLOAT, [3]), value("seen", T.FLOAT, [3])])
    nodes = [
        h.make_node("Relu", ["x"], ["t"]),
        h.make_node("If", ["c"], ["u"], name="choice", then_branch=then, else_branch=other),
        h.make_node("Loop", ["n", "c", "u"], ["y", "all"], body=loop),
    ]
    graph = h.make_graph(nodes, "bodies",
                         [value("x", T.FLOAT, [3]), value("c", T.BOOL, []),
                          value("n", T.INT64, [])],
                         [value("y", T.FLOAT, [3]), value("all", T.FLOAT, ["n", 3])])
    save("bodies.onnx", model(graph))
    expect("bodies.onnx", "choice.then_branch.k", "f32", k)
    expect("bodies.onnx", "choice.else_branch.k", "f32", k * 2)


def functions():
    w = floats(3)
    leaky = h.make_node("LeakyRelu", ["t"], ["out"])
    leaky.attribute.append(onnx.AttributeProto(
        name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope"))
    inner = h.make_function(
        "local", "Inner", ["a"], ["out"],
        [h.make_node("Constant", [], ["k"], value=nh.from_array(w, "value")),
         h.make_node("Add", ["a", "k"], ["t"]), leaky],
        [h.make_opsetid("", 17)], attributes=["slope"])
    call = h.make_node("Inner", ["a"], ["t"], domain="local", slope=0.25)
    outer = h.make_function(
        "local", "Outer", ["a", "b"], ["out"],
        [call, h.make_node("Mul", ["t", "b"], ["u"]), h.make_node("Neg", ["u"], ["out"])],
        [h.make_opsetid("", 17), h.make_opsetid("local", 1)])
    nodes = [
        h.make_node("Outer", ["x", "w"], ["m"], domain="local", name="first"),
        h.make_node("Inner", ["m"], ["s"], domain="local", slope=0.5),
        h.make_node("Outer", ["s", "w"], ["y"], domain="local"),
    ]
    graph = h.make_graph(nodes, "functions", [value("x", T.FLOAT, ["n", 3])],
                         [value("y", T.FLOAT, ["n", 3])], [nh.from_array(w + 1, "w")])
    save("functions.onnx", model(graph, functions=[inner, outer],
                                 imports=[h.make_opsetid("local", 1)]))
    expect("functions.onnx", "w", "f32", w + 1)
    expect("functions.onnx", "Inner/k", "f32", w)


def external():
    w, v, b = floats(16, 16), floats(16, 16), floats(16)
    nodes = [h.make_node("MatMul", ["x", "w"], ["t"]), h.make_node("MatMul", ["t", "v"], ["u"]),
             h.make_node("Add", ["u", "b"], ["y"])]
    graph = h.make_graph(nodes, "external", [value("x", T.FLOAT, ["n", 16])],
                         [value("y", T.FLOAT, ["n", 16])],
                         [nh.from_array(w, "w"), nh.from_array(v, "v"), nh.from_array(b, "b")])
    save("external/model.onnx", model(graph), save_as_external_data=True,
         location="weights.bin", size_threshold=128)
    for name, array in (("w", w), ("v", v), ("b", b)):
        expect("external/model.onnx", name, "f32", array)


def quantized():
    q = rng.integers(-128, 128, (8, 4)).astype(np.int8)
    scale = np.abs(floats(4)) + 0.1
    packed = rng.integers(0, 256, (4, 1, 8)).astype(np.uint8)
    scales = np.abs(floats(4)) + 0.1
    i4 = rng.integers(-8, 8, (4, 4))
    half = (i4.reshape(-1) & 15).astype(np.uint8)
    packed_i4 = (half[::2] | half[1::2] << 4).tobytes()
    nodes = [
        h.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=1),
        h.make_node("MatMul", ["x", "w"], ["t"]),
        h.make_node("Concat", ["t", "t", "t", "t"], ["t4"], axis=1),
        h.make_node("MatMulNBits", ["t4", "packed", "scales"], ["n"], domain="com.microsoft", K=16,
                    N=4, bits=4, block_size=16),
        h.make_node("DequantizeLinear", ["i4", "one"], ["f"]),
        h.make_node("MatMul", ["n", "f"], ["y"]),
    ]
    graph = h.make_graph(
        nodes, "quantized", [value("x", T.FLOAT, [2, 8])], [value("y", T.FLOAT, [2, 4])],
        [nh.from_array(q, "q"), nh.from_array(scale, "scale"),
         nh.from_array(np.zeros(4, np.int8), "zero"), nh.from_array(packed, "packed"),
         nh.from_array(scales, "scales"),
         h.make_tensor("i4", T.INT4, [4, 4], packed_i4, raw=True),
         nh.from_array(np.float32(1), "one")])
    save("quantized.onnx", model(graph, opset=21, ir=10,
                                 imports=[h.make_opsetid("com.microsoft", 1)]))
    for name, kind, array in (("q", "i8", q), ("scale", "f32", scale), ("packed", "u8", packed),
                              ("scales", "f32", scales), ("zero", "i8", np.zeros(4, np.int8)),
                              ("one", "f32", np.float32(1))):
        expect("quantized.onnx", name, kind, array)
    expect("quantized.onnx", "i4", "i4", i4, packed_i4)


def old():
    """IR version 3: initializers are inputs."""
    w = floats(4, 3)
    graph = h.make_graph([h.make_node("MatMul", ["x", "w"], ["y"])], "old",
                         [value("x", T.FLOAT, [1, 4]), value("w", T.FLOAT, [4, 3])],
                         [value("y", T.FLOAT, [1, 3])], [nh.from_array(w, "w")])
    save("old.onnx", model(graph, opset=8, ir=3))
    expect("old.onnx", "w", "f32", w)


def sequences():
    """Types that are no tensors."""
    nodes = [h.make_node("SequenceConstruct", ["x", "x"], ["s"]),
             h.make_node("SequenceLength", ["s"], ["n"]),
             h.make_node("Optional", ["x"], ["o"])]
    graph = h.make_graph(
        nodes, "sequences", [value("x", T.FLOAT, ["n"])],
        [h.make_tensor_sequence_value_info("s", T.FLOAT, ["n"]), value("n", T.INT64, []),
         h.make_value_info("o", h.make_optional_type_proto(
             h.make_tensor_type_proto(T.FLOAT, ["n"])))])
    save("sequences.onnx", model(graph))


shutil.rmtree(out, ignore_errors=True)
for make in (plain, lists, bodies, functions, external, quantized, old, sequences):
    make()
(out / "expected.txt").write_text("\n".join(lines) + "\n")
