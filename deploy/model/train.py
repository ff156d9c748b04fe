#!/usr/bin/env python3
"""Trains the default model: a small Llama on the text of corpus.py, and writes its folder.

    python3 train.py --cache DIR [--steps N]      (needs apt-get, g++, numpy, torch, transformers)

Writes beside itself: tiny-llama/ (the Hugging Face folder), heldout.npy and
heldout-bigram.npy (described in evaluate.py), and prints what evaluate.py prints. The seed is
fixed; weights repeat bit by bit only on the same processor, torch build and thread count.
DIR keeps the packages and a checkpoint to go on from after an interruption.

Held out: every 40th chapter of each source, in neither tokenizer nor training. Optimiser: Muon
for the matrices inside the layers, AdamW for embeddings, head and norms; learning rate constant
after a short warm-up, linear to zero in the last quarter. Each training window begins with <s>, wherever in the
text it was cut, so that the model never depends on a document's true beginning.
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

import corpus
import evaluate

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20
VOCABULARY = 2048
CONTEXT = 512
HELD_OUT_EVERY, HELD_OUT_ROWS = 40, 32
BATCH = 16
BOS, EOS = 0, 1

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "initializer_range": 0.02,
    "tie_word_embeddings": False,
    "use_cache": True,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
GENERATION = {"bos_token_id": BOS, "eos_token_id": EOS}
TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "model_max_length": CONTEXT,
    "clean_up_tokenization_spaces": False,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    args.cache.mkdir(parents=True, exist_ok=True)

    train, held = split(corpus.documents(args.cache))
    tokenizer = train_tokenizer([text for _, text in train])
    stream = encode(tokenizer, train)
    write_held_out(encode_rows(tokenizer, held), stream)
    print(f"{len(stream)} training tokens, {len(train)} chapters", flush=True)

    model = LlamaForCausalLM(LlamaConfig(**CONFIG))
    fit(model, torch.from_numpy(stream.astype(np.int64)), args)
    export(model, tokenizer, HERE / "tiny-llama")
    evaluate.main([])


def split(documents):
    train, held = [], []
    for source in ("bible", "austen"):
        for i, document in enumerate(d for d in documents if d[0] == source):
            (held if i % HELD_OUT_EVERY == HELD_OUT_EVERY // 2 else train).append(document)
    return train, held


def train_tokenizer(texts):
    # GPT-2's splitting rule, the byte-level one every reader of tokenizer.json knows.
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    assert tokenizer.get_vocab_size() == VOCABULARY
    assert (tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>")) == (BOS, EOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS)])
    return tokenizer


def encode(tokenizer, documents):
    """All documents as one line of tokens, each between <s> and </s>, in a fixed random order."""
    order = np.random.default_rng(SEED).permutation(len(documents))
    encodings = tokenizer.encode_batch([documents[i][1] for i in order])
    return np.array([t for e in encodings for t in (*e.ids, EOS)], np.int32)


def encode_rows(tokenizer, held):
    """Rows of CONTEXT tokens, <s> first; half from each source, spread over the chapters."""
    rows = []
    for source in ("bible", "austen"):
        line = np.concatenate([tokenizer.encode(text, add_special_tokens=False).ids + [EOS]
                               for name, text in held if name == source])
        whole = len(line) // (CONTEXT - 1)
        picked = np.linspace(0, whole - 1, HELD_OUT_ROWS // 2).astype(int)
        assert len(set(picked)) == len(picked)
        rows += [[BOS, *line[p * (CONTEXT - 1):(p + 1) * (CONTEXT - 1)]] for p in picked]
    return np.array(rows, np.int32)


def write_held_out(rows, stream):
    pairs = np.bincount(stream[:-1].astype(np.int64) * VOCABULARY + stream[1:],
                        minlength=VOCABULARY * VOCABULARY)
    singles = np.bincount(stream[:-1], minlength=VOCABULARY)
    previous, following = rows[:, :-1], rows[:, 1:]
    counts = np.stack([pairs[previous * VOCABULARY + following], singles[previous]])
    np.save(HERE / "heldout.npy", rows)
    np.save(HERE / "heldout-bigram.npy", counts.astype(np.int32))


def fit(model, stream, args):
    inner = [p for n, p in model.named_parameters() if p.ndim == 2 and ".layers." in n]
    outer = [p for n, p in model.named_parameters() if p.ndim == 2 and ".layers." not in n]
    norms = [p for n, p in model.named_parameters() if p.ndim == 1]
    optimisers = [
        torch.optim.Muon(inner, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([{"params": outer, "weight_decay": 0.1},
                           {"params": norms, "weight_decay": 0.0}], lr=0.004, betas=(0.9, 0.95))]
    peaks = [[group["lr"] for group in o.param_groups] for o in optimisers]

    @torch.compile
    def loss_of(inputs, labels):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=inputs, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten())

    checkpoint, first = args.cache / "checkpoint.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimiser, state in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(state)
        first = saved["step"]

    began, mean = time.monotonic(), 0.0
    for step in range(first, args.steps):
        # Windows depend on the step alone, so an interrupted run goes on as if it had not been.
        starts = np.random.default_rng((SEED, step)).integers(0, len(stream) - CONTEXT, BATCH)
        window = torch.stack([stream[s:s + CONTEXT + 1] for s in starts])
        inputs, labels = window[:, :-1].clone(), window[:, 1:]
        inputs[:, 0] = BOS
        loss = loss_of(inputs, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, peak in zip(optimisers, peaks):
            for group, lr in zip(optimiser.param_groups, peak):
                group["lr"] = lr * schedule(step, args.steps)
            optimiser.step()
            optimiser.zero_grad()
        mean = loss.item() if step == first else 0.95 * mean + 0.05 * loss.item()
        if (step + 1) % 25 == 0:
            print(f"step {step + 1}/{args.steps}  loss {mean:.3f}  perplexity {math.exp(mean):.1f}"
                  f"  {(time.monotonic() - began) / (step + 1 - first):.2f} s/step", flush=True)
        if (step + 1) % 100 == 0:
            torch.save({"model": model.state_dict(), "step": step + 1,
                        "optimisers": [o.state_dict() for o in optimisers]}, checkpoint)


def schedule(step, steps):
    warm, cool = 20, steps // 4
    return min((step + 1) / warm, 1.0, (steps - step) / cool)


def export(model, tokenizer, folder):
    folder.mkdir(exist_ok=True)
    tensors = {name: tensor.detach().to(torch.bfloat16).contiguous()
               for name, tensor in model.state_dict().items()}
    assert all(torch.isfinite(t).all() for t in tensors.values())
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in (("config", CONFIG), ("generation_config", GENERATION),
                          ("tokenizer_config", TOKENIZER)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
