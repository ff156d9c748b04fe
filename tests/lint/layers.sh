#!/bin/sh
# Who may include whom: the folders form a line, and every third-party header has its few homes.
#
# usage: layers.sh ROOT
#
# Prints one line per offence, "file:line: reason", and fails if there is one. tests/ may include
# everything, so it is not looked at.
set -eu
root=$1
. "$(dirname "$0")/tree.sh"

tree_files "$root" '*.c' '*.h' >"${TMPDIR:-/tmp}/layers.$$"
trap 'rm -f "${TMPDIR:-/tmp}/layers.$$"' EXIT
cd "$root"
grep -E '^(compress|storage|jobs|api|daemon|web)/' "${TMPDIR:-/tmp}/layers.$$" |
    xargs -r grep -nHE '^[[:space:]]*#[[:space:]]*include' |
    awk '
BEGIN {
    # A folder may include itself, those before it, and those that share its number.
    split("compress storage jobs api daemon", line, " ")
    for (i in line) rank[line[i]] = i
    rank["web"] = 0
    n = split("base kernels tensor codecs graph formats,text,exec passes report recipe", line, " ")
    for (i = 1; i <= n; i++) {
        m = split(line[i], same, ",")
        for (j = 1; j <= m; j++) inner[same[j]] = i
    }

    # header (a prefix of the name in <>): where it may stand, as prefixes of paths
    home["jansson.h"] = "compress/base/jspec.c compress/formats/ compress/text/ api/"
    home["sqlite3.h"] = "storage/db/ storage/tables/"
    home["uv.h"] = "jobs/ daemon/"
    home["uv/"] = "jobs/ daemon/"
    home["microhttpd.h"] = "api/http/"
    home["archive"] = "storage/blob/ compress/formats/"
    home["zlib.h"] = "storage/blob/ compress/formats/"
    home["openssl/"] = "compress/base/digest.c"
    home["cblas"] = "compress/tensor/"
    home["f77blas.h"] = "compress/tensor/"
    home["openblas"] = "compress/tensor/"
    home["lapack"] = "compress/tensor/"
    home["curl/"] = "daemon/"
    home["pcre2"] = "compress/text/"
    home["cmocka"] = "tests/"
}

function offence(text) {
    print file ":" number ": " text
    offences++
}

function folder_of(path, depth,    part, k) {
    k = split(path, part, "/")
    return k > depth ? part[depth] : ""
}

function check_own(name,    from, to) {
    from = folder_of(file, 1)
    to = folder_of(name, 1)
    if (to == "") # generated beside the build file; what stands in the tree is named from the root
        return
    if (!(name in found))
        found[name] = system("test -f \"" name "\"") == 0
    if (!(to in rank) || !found[name]) {
        offence("\"" name "\" is no header of the tree, named from its root")
        return
    }
    if (from == "web" && to != "web")
        offence("web/ includes nothing of the other folders")
    else if (rank[to] > rank[from])
        offence(from "/ may not include " to "/ (" name ")")
    else if (from == "compress" && to == "compress") {
        from = folder_of(file, 2)
        to = folder_of(name, 2)
        if (!(from in inner) || !(to in inner))
            offence("compress/" (from in inner ? to : from) "/ has no place in the order of compress/")
        else if (inner[to] > inner[from])
            offence("compress/" from "/ may not include compress/" to "/ (" name ")")
    }
}

function check_foreign(name,    header, places, k, i, ok) {
    if (name ~ /intrin\.h$/ || name ~ /^arm_/) {
        if (file !~ /^compress\/kernels\/[a-z0-9_]+_(sse2|ssse3|sse41|avx|avx2|avx512|vnni|f16c|neon)\.c$/)
            offence("intrinsics (<" name ">) belong into compress/kernels/*_<isa>.c")
        return
    }
    for (header in home)
        if (index(name, header) == 1) {
            ok = 0
            k = split(home[header], places, " ")
            for (i = 1; i <= k; i++)
                if (index(file, places[i]) == 1)
                    ok = 1
            if (!ok)
                offence("<" name "> belongs into " home[header])
            return
        }
}

{
    match($0, /:[0-9]+:/)
    file = substr($0, 1, RSTART - 1)
    number = substr($0, RSTART + 1, RLENGTH - 2)
    rest = substr($0, RSTART + RLENGTH)
    if (match(rest, /"[^"]+"/))
        check_own(substr(rest, RSTART + 1, RLENGTH - 2))
    else if (match(rest, /<[^>]+>/))
        check_foreign(substr(rest, RSTART + 1, RLENGTH - 2))
    lines++
}

END {
    printf "%d includes looked at, %d offences\n", lines, offences
    exit offences > 0 || lines == 0
}'
