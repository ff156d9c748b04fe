#!/bin/sh
# From a clean machine to a compressed model, through the whole house.
#
# usage: sh deploy/quickstart.sh [MODEL]
#
#   MODEL   a model file or a Hugging Face folder; default: the model that ships with the project
#
# Installs what building needs (as root; otherwise says what is missing), builds, starts a daemon
# on loopback unless one of an earlier run still answers, and has it compress MODEL over HTTP:
# upload, job with progress, download, verification. Prints the report and the daemon's address.
#
# Environment: RECIPE (by the model's format: int8, gguf-q4_0 ...; a file or JSON as well), PORT
# (8080, or a free one), OUT (build/quickstart/<model>-<recipe>). Safe to run again.
set -eu
start=$PWD
cd "$(dirname "$0")/.."
root=$PWD
build=$root/build/release
state=$root/build/quickstart
model=${1:-$root/deploy/model/tiny-llama}
case $model in /*) ;; *) model=$start/$model ;; esac
if [ ! -e "$model" ]; then
    echo "quickstart.sh: there is no $model" >&2
    exit 2
fi

say() {
    printf '\n== %s\n' "$*"
}

say "packages"
sh deploy/deps.sh
echo "all there"

say "build"
mkdir -p "$state"
[ -f "$build/build.ninja" ] || meson setup "$build" -Dbuildtype=release -Dtests=false >"$state/build.log" 2>&1 ||
    { tail -20 "$state/build.log" >&2; exit 1; }
ninja -C "$build" >>"$state/build.log" 2>&1 || { tail -20 "$state/build.log" >&2; exit 1; }
ctl=$build/daemon/compressctl
daemon=$build/daemon/compressd
"$daemon" version

# An answer of the daemon that an earlier run has started, or nothing: whoever else listens on its
# port now has other people's models.
running() {
    [ -s "$state/url" ] && [ -s "$state/pid" ] && kill -0 "$(cat "$state/pid")" 2>/dev/null && "$ctl" doctor --url "$(cat "$state/url")" >/dev/null 2>&1
}

# The suffix of what a lone file becomes: PyTorch's files come out as safetensors.
compressed_suffix() {
    case $model in
    *.gguf) echo gguf ;;
    *) echo safetensors ;;
    esac
}

# start_daemon PORT: waits until it says where it listens, or has given up.
start_daemon() {
    : >"$state/out"
    nohup "$daemon" serve --data "$state/data" --listen "127.0.0.1:$1" \
        >"$state/out" 2>>"$state/log" </dev/null &
    pid=$!
    for _ in $(seq 100); do
        sed -n 's/^listening on //p' "$state/out" >"$state/url"
        [ ! -s "$state/url" ] || { echo "$pid" >"$state/pid"; return 0; }
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

say "daemon"
if running; then
    echo "the one started earlier still answers, at $(cat "$state/url")"
    case $(cat "$state/url") in
    *:"${PORT:-}") ;;
    *) [ -z "${PORT:-}" ] ||
        echo "PORT=$PORT is not used: stop that one first (kill $(cat "$state/pid"))" ;;
    esac
else
    if ! start_daemon "${PORT:-8080}"; then
        tail -3 "$state/log" >&2
        [ -z "${PORT:-}" ] && start_daemon 0 || { echo "the whole log: $state/log" >&2; exit 1; }
        echo "8080 is taken, using $(sed 's/.*://' "$state/url")"
    fi
fi
url=$(cat "$state/url")
"$ctl" doctor --url "$url"

say "model"
"$ctl" inspect "$model"

# What this container can hold; the recipe that is refused says which ones fit.
facts=$("$ctl" inspect "$model" --json)
if [ -z "${RECIPE:-}" ]; then
    case $(printf '%s' "$facts" | sed -n 's/.*"format": *"\([a-z]*\)".*/\1/p') in
    gguf) RECIPE=gguf-q4_0 ;;
    *) RECIPE=int8 ;;
    esac
fi
requantize=
case $facts in
*'"quantization":null'* | *'"quantization": null'*) ;;
*'"quantization"'*)
    requantize=--requantize
    echo "this model is already quantized: it is decoded and compressed again (--requantize)"
    ;;
esac
name=$(basename "$model" | tr -c 'A-Za-z0-9._\n-' '-')
case $RECIPE in
*{*) label=custom ;;
*) label=$(basename "$RECIPE") label=${label%.json} ;;
esac
stem=$name
[ ! -f "$model" ] || stem=${name%.*}
out=${OUT:-$state/$stem-$label}
[ ! -f "$model" ] || [ -n "${OUT:-}" ] || out=$out.$(compressed_suffix)

say "compress with $label"
"$ctl" run "$model" --url "$url" --recipe "$RECIPE" --name "$name" --replace -o "$out" --force \
    $requantize --label from=quickstart
job=$("$ctl" jobs --url "$url" --limit 1 --label from:quickstart --json |
    sed -n 's/.*"id": *"\([0-9a-z]*\)".*/\1/p' | head -1)

say "report"
"$ctl" report "$job" --url "$url" --json >"$state/report.json"
"$ctl" report "$job" --url "$url"

cat <<END

The compressed model   $out
The report (JSON)      $state/report.json
The daemon             $url   (stop it: kill $(cat "$state/pid"))
Its log                $state/log
The same with curl     curl $url/v1/jobs/$job

To go on with the tool:

    export COMPRESSD_URL=$url
    $ctl jobs
END
