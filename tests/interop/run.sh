#!/bin/sh
# Install what the tests need into DIR (see setup.sh) and run all of them.
#
# usage: COMPRESSCTL=build/compressctl run.sh DIR [TEST...]
#
# TEST is the middle of a file's name: llama_cpp, smollm2, compressed_tensors,
# safetensors, onnx, onnx_suite, onnx_models,
# onnx_quant, onnx_roles, train. The last line is "N passed, N failed" over all of them.
set -eu

[ $# -ge 1 ] || { echo "usage: run.sh DIR [TEST...]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
shift
[ $# -gt 0 ] || set -- llama_cpp smollm2 compressed_tensors safetensors onnx onnx_suite onnx_models onnx_quant onnx_roles train

passed=0
failed=0
if ! sh "$here/setup.sh" "$dir"; then
    echo "not ok - interop: setup"
    failed=1
    set --
fi
INTEROP_DIR=$(cd "$dir" && pwd)
export INTEROP_DIR
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for test in "$@"; do
    # Libraries chat on stderr; it is shown only when the test has no total of its own.
    "$INTEROP_DIR/venv/bin/python" -W ignore "$here/test_$test.py" 2>"$log" | {
        last=
        while IFS= read -r line; do
            last=$line
            case $line in *" passed, "*" failed") ;; *) printf '%s\n' "$line" ;; esac
        done
        printf '%s\n' "$last" >"$log.total"
    }
    case $(cat "$log.total") in
    *" passed, "*" failed")
        read -r p _ f _ <"$log.total"
        passed=$((passed + p))
        failed=$((failed + f))
        ;;
    *)
        tail -5 "$log" >&2
        echo "not ok - $test: ended without a total"
        failed=$((failed + 1))
        ;;
    esac
    rm -f "$log.total"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
