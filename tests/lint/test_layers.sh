#!/bin/sh
# The lint of layers, linted: a small tree with every kind of offence, and one without any.
#
# usage: test_layers.sh
set -eu
lint=$(cd "$(dirname "$0")" && pwd)/layers.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
export GIT_CEILING_DIRECTORIES="${tree%/*}" # the tree is no part of a repository around it

put() { # put PATH INCLUDE...: a file that includes these
    mkdir -p "$tree/$(dirname "$1")"
    file=$tree/$1
    shift
    : >"$file"
    for name in "$@"; do
        case $name in \<*) echo "#  include $name" ;; *) echo "#include \"$name\"" ;; esac >>"$file"
    done
}

put compress/base/err.h
put compress/base/jspec.c '<jansson.h>' compress/base/err.h '<stdio.h>' version.h
put compress/codecs/codec.h compress/base/err.h
put compress/formats/gguf.c compress/codecs/codec.h '<zlib.h>' '<jansson.h>'
put compress/kernels/dot_avx2.c '<immintrin.h>'
put storage/db/db.c '<sqlite3.h>' compress/formats/format.h
put compress/formats/format.h
put jobs/loop.c '<uv.h>' storage/db/db.h compress/base/err.h
put storage/db/db.h
put api/http/server.c '<microhttpd.h>' jobs/loop.h
put jobs/loop.h
put tests/unit/test_all.c '<sqlite3.h>' api/http/server.c '<cmocka.h>'
sh "$lint" "$tree" >"$tree/out" || { cat "$tree/out"; echo "a clean tree was refused"; exit 1; }

failed=0
refuses() { # refuses WORDS PATH INCLUDE...
    words=$1
    shift
    put "$@"
    if sh "$lint" "$tree" >"$tree/out" || ! grep -qF "$1:1: " "$tree/out" || ! grep -qF "$words" "$tree/out"; then
        echo "not refused as it should be: $*"
        cat "$tree/out"
        failed=1
    fi
    rm "$tree/$1"
}

refuses 'compress/ may not include storage/' compress/passes/x.c storage/db/db.h
refuses 'storage/ may not include jobs/' storage/blob/x.c jobs/loop.h
refuses 'jobs/ may not include api/' jobs/x.c api/http/server.c
refuses 'compress/base/ may not include compress/codecs/' compress/base/x.h compress/codecs/codec.h
refuses 'compress/codecs/ may not include compress/formats/' compress/codecs/x.c compress/formats/format.h
refuses 'has no place in the order' compress/misc/x.c compress/base/err.h
refuses 'web/ includes nothing' web/embed.c compress/base/err.h
refuses 'is no header of the tree' compress/base/x.c base/err.h
refuses 'is no header of the tree' compress/base/x.c compress/base/absent.h
refuses '<jansson.h> belongs into' storage/tables/x.c '<jansson.h>'
refuses '<jansson.h> belongs into' compress/base/json.c '<jansson.h>'
refuses '<sqlite3.h> belongs into' jobs/x.c '<sqlite3.h>'
refuses '<uv.h> belongs into' api/x.c '<uv.h>'
refuses '<microhttpd.h> belongs into' api/routes/x.c '<microhttpd.h>'
refuses '<archive_entry.h> belongs into' api/http/x.c '<archive_entry.h>'
refuses '<zlib.h> belongs into' compress/codecs/x.c '<zlib.h>'
refuses '<openssl/evp.h> belongs into' storage/blob/x.c '<openssl/evp.h>'
refuses '<cblas.h> belongs into' compress/passes/x.c '<cblas.h>'
refuses '<curl/curl.h> belongs into' api/http/x.c '<curl/curl.h>'
refuses '<cmocka.h> belongs into' compress/base/x.c '<cmocka.h>'
refuses 'intrinsics (<immintrin.h>)' compress/kernels/dot_ref.c '<immintrin.h>'
refuses 'intrinsics (<arm_neon.h>)' compress/codecs/x_neon.c '<arm_neon.h>'
exit $failed
