#!/bin/sh
# A newcomer finds each idea by its file's name: C stems are unique in the tree, and a unit test is
# named after the stem it tests.
#
# usage: stems.sh ROOT
set -eu
root=$1
. "$(dirname "$0")/tree.sh"

tree_files "$root" '*.c' '*.h' | awk '
{
    path = $0
    sub(/\.[ch]$/, "", path)
    stem = path
    sub(/.*\//, "", stem)
    if (path ~ /^tests\/unit\/test_/) {
        tests[substr(stem, 6)] = path
    } else if (!(stem in at)) {
        at[stem] = path
    } else if (at[stem] != path) {
        print path ".*: the stem " stem " stands at " at[stem] ".* already"
        offences++
    }
    files++
}
END {
    for (stem in tests)
        if (!(stem in at) && stem != "tables") { # test_tables.c walks all tables
            print tests[stem] ".c: there is no " stem ".c or " stem ".h to test"
            offences++
        }
    exit offences > 0 || files == 0
}'
