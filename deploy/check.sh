#!/bin/sh
# Everything that is checked, from a clean tree to one line.
#
# usage: sh deploy/check.sh [--interop]
#
#   packages    what building and testing need (installed as root, named otherwise)
#   sanitizers  gcc, AddressSanitizer + UndefinedBehaviorSanitizer, warnings are errors:
#               suites lint, unit, kernels, numeric, http, fuzz (the committed corpora), fault
#   threads     gcc, ThreadSanitizer: suite tsan
#   release     gcc -O3: suites unit, kernels, numeric and model
#   fuzz        clang, libFuzzer: every fuzz target, FUZZ_SECONDS each
#   tidy        clang-tidy over the tree
#   interop     with --interop: PyTorch, transformers, llama.cpp ... on what we write. Downloads a
#               few hundred MB (several GB where pip picks a GPU build of PyTorch)
#
# Environment: FUZZ_SECONDS (5; with --interop 60), CHECK_JOBS (cores, at most 4), CHECK_DIR
# (build): where build folders and logs go, CHECK_ONLY: sections to run, in words.
#
# Safe to run again: finished builds and downloads are kept. The last line is "N passed, N failed";
# the exit code is 0 when nothing failed.
set -u

interop=
for arg in "$@"; do
    case $arg in
    --interop) interop=1 ;;
    -h | --help)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "check.sh: unknown argument $arg (see --help)" >&2
        exit 2
        ;;
    esac
done

cd "$(dirname "$0")/.." || exit 2
root=$PWD
. deploy/packages.sh

cores=$(nproc)
jobs=${CHECK_JOBS:-$((cores < 4 ? cores : 4))}
fuzz_seconds=${FUZZ_SECONDS:-${interop:+60}}
fuzz_seconds=${fuzz_seconds:-5}
dir=${CHECK_DIR:-$root/build}
mkdir -p "$dir"
logs=$dir/check-logs
mkdir -p "$logs"
passed=0
failed=0
table=

# Instrumented code looks uninitialized to gcc where it is not, as its manual says; the release build
# keeps that warning.
sanitized=-Dc_args=-Wno-maybe-uninitialized

# A sanitizer that only prints is not a check. Allocations of absurd size must return NULL, as they
# do without sanitizer: that path is what the tests of hostile lengths are about.
export ASAN_OPTIONS="allocator_may_return_null=1:detect_stack_use_after_return=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="halt_on_error=1:suppressions=$root/tests/support/tsan.supp:${TSAN_OPTIONS:-}"
export LSAN_OPTIONS="suppressions=$root/tests/support/lsan.supp:print_suppressions=0:${LSAN_OPTIONS:-}"

# ---- bookkeeping ----

# section NAME: begins one; false when CHECK_ONLY leaves it out.
section() {
    case " ${CHECK_ONLY:-$1} " in *" $1 "*) ;; *) return 1 ;; esac
    name=$1
    began=$(date +%s)
    passed_before=$passed
    failed_before=$failed
    printf '== %s\n' "$name"
}

section_end() {
    row=$(printf '%-12s %4d passed %4d failed %5d s' "$name" $((passed - passed_before)) \
        $((failed - failed_before)) $(($(date +%s) - began)))
    printf '%s\n' "   $row"
    table="$table$row
"
}

# step LOG WORDS COMMAND...: one thing that passes or fails as a whole, quietly when it passes.
step() {
    log=$logs/$1.log
    words=$2
    shift 2
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
        return 0
    fi
    failed=$((failed + 1))
    printf 'FAILED: %s\n' "$words"
    grep -E 'error:|warning:|FAILED|ERROR' "$log" | sort -u | head -40 | grep . || tail -20 "$log"
    printf '(all of it: %s)\n' "$log"
    return 1
}

# build NAME OPTION...: configures and builds $dir/NAME. Not all options take on a second
# configuration, so other options than last time mean a fresh folder.
build() {
    built=$dir/$1
    shift
    if [ ! -f "$built/build.ninja" ] || [ "$(cat "$built/options" 2>/dev/null)" != "$*" ]; then
        rm -rf "$built"
        meson setup "$built" . "$@" || return 1
        printf '%s\n' "$*" >"$built/options"
    fi
    ninja -C "$built" -j "$jobs"
}

# The same with another compiler; in a shell of its own, so that CC is forgotten.
build_with() (
    CC=$1
    export CC
    shift
    build "$@"
)

count_of() { # count_of WORD LOG: meson's total for it
    awk -v word="$1:" 'index($0, word) == 1 { n = $NF } END { print n + 0 }' "$2"
}

# suites BUILD SUITE...: meson's tests, each counted.
suites() {
    built=$1
    shift
    log=$logs/$built.tests.log
    arguments=
    for suite in "$@"; do
        arguments="$arguments --suite $suite"
    done
    # shellcheck disable=SC2086 # words
    ${unrandomized:-} meson test -C "$dir/$built" --no-rebuild --num-processes "$jobs" \
        --timeout-multiplier 4 --print-errorlogs $arguments >"$log" 2>&1
    status=$?
    ok=$(($(count_of Ok "$log") + $(count_of 'Expected Fail' "$log")))
    bad=$(($(count_of Fail "$log") + $(count_of 'Unexpected Pass' "$log") + $(count_of Timeout "$log")))
    skipped=$(count_of Skipped "$log")
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1 # it did not come to a total
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    [ "$skipped" -eq 0 ] || grep -E ' SKIP ' "$log"
    if [ "$bad" -gt 0 ]; then
        sed -n '/^Summary of Failures/,$!p' "$log" | grep -vE ' (OK|SKIP) ' | tail -100
        grep -E ' (FAIL|TIMEOUT|ERROR) ' "$log" | sort -u
        printf '(all of it: %s)\n' "$log"
    fi
}

finish() {
    printf '\n%s\n' "$table"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
    exit
}

# ---- the sections ----

# Debian's default clang; its run-time library has the version in its name.
clang_version() {
    if command -v clang >/dev/null; then
        clang --version | sed -n 's/.*version \([0-9]*\)\..*/\1/p' | head -1
        return
    fi
    case $(. /etc/os-release && echo "$VERSION_ID") in
    12) echo 14 ;;
    *) echo 19 ;;
    esac
}

if section packages; then
    sh deploy/deps.sh || exit 1
    packages_need "the checks" libcmocka-dev clang clang-format clang-tidy \
        "libclang-rt-$(clang_version)-dev" python3 python3-venv curl openssl sqlite3 strace \
        util-linux procps || exit 1
    if [ -n "$interop" ]; then
        # Node.js comes from elsewhere on many machines, and Debian's npm does not go with it.
        command -v npm >/dev/null ||
            packages_need "the checks with other people's programs" nodejs npm || exit 1
    fi
    section_end
fi

# What judges the HTTP tests (tests/http/requirements.txt), in a folder of its own.
http_judge() {
    python3 -m venv "$dir/http-venv" &&
        "$dir/http-venv/bin/pip" install -q --disable-pip-version-check \
            -r tests/http/requirements.txt
}

if section sanitizers; then
    if step http-judge 'installing the judge of the HTTP tests' http_judge; then
        export HTTP_PYTHON="$dir/http-venv/bin/python"
    fi
    if step check-san 'the sanitizer build' build check-san -Dbuildtype=debug -Doptimization=1 \
        -Db_sanitize=address,undefined -Dtest_hooks=true -Dwerror=true "$sanitized"; then
        suites check-san lint unit kernels numeric http fuzz fault
    fi
    section_end
fi

if section threads; then
    # ThreadSanitizer's shadow memory is at a fixed place, where a well randomized kernel may have
    # put something else.
    unrandomized='setarch -R'
    $unrandomized true 2>/dev/null || unrandomized=
    if step check-tsan 'the ThreadSanitizer build' build check-tsan -Dbuildtype=debug \
        -Doptimization=1 -Db_sanitize=thread -Dtest_hooks=true -Dwerror=true "$sanitized"; then
        suites check-tsan tsan
    fi
    unrandomized=
    section_end
fi

if section release; then
    if step check-rel 'the release build' build check-rel -Dbuildtype=release -Dwerror=true; then
        suites check-rel unit kernels numeric model
    fi
    section_end
fi

# fuzz_one TARGET: a while of libFuzzer from the committed corpus; new finds stay out of the tree.
fuzz_one() {
    target=$1
    corpus=$root/tests/fuzz/corpus/${target##*/fuzz_}
    found=$dir/check-fuzz/found/${target##*/}
    mkdir -p "$found" "$corpus"
    "$target" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="$found.crash-" "$found" "$corpus" \
        >"$logs/${target##*/}.log" 2>&1
}

fuzz_all() {
    running=
    for target in "$dir"/check-fuzz/tests/fuzz/fuzz_*; do
        { [ -x "$target" ] && [ -f "$target" ]; } || continue
        fuzz_one "$target" &
        running="$running $!:$target"
        # shellcheck disable=SC2086
        set -- $running
        if [ $# -ge "$jobs" ]; then
            fuzz_wait "$1"
            shift
            running=$*
        fi
    done
    for one in $running; do
        fuzz_wait "$one"
    done
}

fuzz_wait() { # fuzz_wait PID:TARGET
    target=${1#*:}
    log=$logs/${target##*/}.log
    if wait "${1%%:*}"; then
        passed=$((passed + 1))
        printf '   %-24s %10s runs\n' "${target##*/}" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    else
        failed=$((failed + 1))
        printf 'FAILED: %s (%s)\n' "${target##*/}" "$log"
        grep -E 'ERROR|SUMMARY|crash-|timeout-|oom-|runtime error' "$log" | head
    fi
}

if section fuzz; then
    if step check-fuzz 'the clang build' build_with clang check-fuzz -Dbuildtype=debug \
        -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true \
        -Dtest_hooks=true -Dwerror=true; then
        fuzz_all
    fi
    section_end
fi

tidy() {
    . tests/lint/tree.sh
    database=$dir/check-fuzz
    tree_files . '*.c' | while IFS= read -r file; do
        grep -qF "/$file\"" "$database/compile_commands.json" && printf '%s\n' "$file"
    done | xargs -P "$jobs" -n 4 clang-tidy --quiet -p "$database"
}

if section tidy; then
    step tidy 'clang-tidy' tidy
    section_end
fi

if [ -n "$interop" ] && section interop; then
    COMPRESSCTL=$(find "$dir/check-rel" -name compressctl -type f -perm -u+x | head -1)
    COMPRESSD=$(find "$dir/check-rel" -name compressd -type f -perm -u+x | head -1)
    export COMPRESSCTL COMPRESSD
    log=$logs/interop.log
    sh tests/interop/run.sh "${COMPRESSD_INTEROP_DIR:-$dir/interop}" >"$log" 2>&1
    case $(tail -1 "$log") in
    *" passed, "*" failed")
        read -r ok _ bad _ <<END
$(tail -1 "$log")
END
        passed=$((passed + ok))
        failed=$((failed + bad))
        [ "$bad" -eq 0 ] || grep -vE '^ok ' "$log" | tail -40
        ;;
    *)
        failed=$((failed + 1))
        echo 'FAILED: the tests with other programs ended without a total'
        tail -20 "$log"
        ;;
    esac
    section_end
fi

finish
