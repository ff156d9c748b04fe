#!/bin/sh
# Every header compiles alone, twice, and without a warning, behind a guard named after its path.
#
# usage: headers.sh ROOT BUILD [CC]
#
# BUILD holds generated headers. Headers of libraries are found as the build finds them.
set -eu
root=$(cd "$1" && pwd)
build=$2
cc=${3:-cc}
. "$(dirname "$0")/tree.sh"

cflags=$(pkg-config --cflags jansson libcrypto zlib openblas sqlite3 libuv libarchive libmicrohttpd \
    libcurl cmocka 2>/dev/null) || cflags=
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree_files "$root" '*.h' | grep -v '^tests/golden/' >"$work/list"
count=$(wc -l <"$work/list")
[ "$count" -gt 0 ] || { echo "no headers found"; exit 1; }

# One small file per header, compiled on all cores: a failure speaks for itself.
cat >"$work/one" <<END
header=\$1
name=\$(printf '%s' "\$header" | tr -c 'a-zA-Z0-9' _)
guard=\$(printf '%s' "\$name" | tr a-z A-Z)
printf '#include "%s"\n#include "%s"\n#ifndef %s\n#error "the include guard is not %s"\n#endif\n' \
    "\$header" "\$header" "\$guard" "\$guard" >"$work/\$name.c"
$cc -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -fsyntax-only -Wall -Wextra -Werror \
    -Wstrict-prototypes -Wno-unused-parameter -Wno-unused-function \
    -I"$root" -I"$build" $cflags "$work/\$name.c" || { echo "^ \$header"; exit 1; }
END
xargs -P "$(nproc)" -n 1 sh "$work/one" <"$work/list" || exit 1
echo "$count headers compile alone"
