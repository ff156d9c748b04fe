#!/usr/bin/env python3
"""Write tests/golden/gradients: networks of nets.py with their losses, as ONNX, and what
PyTorch says of them.

    NAME.onnx         inputs and the truth in, one scalar out: the loss
    NAME.safetensors  input.*, loss, and gradient.* of every weight and float input

gpt_attention.onnx is gpt.onnx by the other exporter, with an operator for attention.

PyTorch computes in f64 from the f32 weights, and rounds at the end. BatchNorm is there
twice: with the batch's statistics, as in training, and with the running ones.

usage: export_gradients.py [FOLDER]   (torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, safetensors)
"""

import sys
import warnings
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import nets


class Classified(torch.nn.Module):
    """Cross-entropy over the last axis."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, label):
        scores = self.net(x)
        return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), label.reshape(-1))


class Denoised(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, time, noise):
        return F.mse_loss(self.net(x, time), noise)


def export(folder, name, net, inputs, training=False, dynamo=False):
    net.train(training)
    names = {"Classified": ["x", "label"], "Denoised": ["x", "time", "noise"]}[type(net).__name__]
    path = folder / f"{name}.onnx"
    # Folding would rename the weights that it transposes.
    options = ({"dynamo": True, "opset_version": 23, "optimize": False, "external_data": False}
               if dynamo else
               {"dynamo": False, "opset_version": 17, "do_constant_folding": False,
                "training": torch.onnx.TrainingMode.PRESERVE})
    state = {k: v.clone() for k, v in net.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, tuple(inputs), str(path), input_names=names, output_names=["loss"],
                          verbose=False, **options)
    model = onnx.load(str(path))
    for node in model.graph.node:  # where in the script's files it came from
        del node.metadata_props[:]
        node.doc_string = ""
    model.graph.doc_string = ""
    onnx.save(model, str(path))
    weights = {i.name for i in model.graph.initializer}
    assert weights >= {n for n, _ in net.named_parameters()}
    if dynamo:
        return
    net.load_state_dict(state)  # exporting runs it, and that moves running statistics
    net.double()
    given = [i.double().requires_grad_() if i.is_floating_point() else i for i in inputs]
    loss = net(*given)
    loss.backward()
    out = {f"input.{n}": i.contiguous() for n, i in zip(names, inputs)}
    out["loss"] = loss.detach().float()
    for n, p in net.named_parameters():
        out[f"gradient.{n}"] = p.grad.float().contiguous()
    for n, i in zip(names, given):
        if i.is_floating_point():
            out[f"gradient.{n}"] = i.grad.float().contiguous()
    save_file(out, str(folder / f"{name}.safetensors"))
    print(f"{name}: loss {float(loss):.6f}, {sum(p.numel() for p in net.parameters())} parameters")


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "gradients")
    folder.mkdir(exist_ok=True)
    torch.manual_seed(3)
    images, classes = torch.randn(3, 3, 16, 20), torch.tensor([4, 0, 2])
    for name, training in (("resnet", False), ("resnet_training", True)):
        net = nets.initialised(nets.ResNet(4, (1, 1, 1), 5), 1)
        export(folder, name, Classified(net), [images, classes], training=training)
    x, noise, time = torch.randn(2, 4, 8, 12), torch.randn(2, 4, 8, 12), torch.tensor([3.0, 411.0])
    export(folder, "unet", Denoised(nets.initialised(nets.UNet(8, 2, 2), 2)), [x, time, noise])
    text = torch.randint(0, 40, (3, 13))
    for name, dynamo in (("gpt_attention", True), ("gpt", False)):
        net = Classified(nets.initialised(nets.Gpt(24, 3, 2, 40, 16), 3))
        export(folder, name, net, [text[:, :-1].clone(), text[:, 1:].clone()], dynamo=dynamo)


if __name__ == "__main__":
    main()
