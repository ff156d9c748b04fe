#!/bin/sh
# Sources stand as clang-format writes them. Its versions disagree in places, so only the one that
# the tree is kept with counts; without it the lint is skipped (exit code 77) and says so.
#
# usage: format.sh ROOT
set -eu
root=$1
. "$(dirname "$0")/tree.sh"
WANTED=14

tool=
for name in clang-format-$WANTED clang-format; do
    if command -v $name >/dev/null && $name --version | grep -q "version $WANTED\."; then
        tool=$name
        break
    fi
done
if [ -z "$tool" ]; then
    echo "SKIPPED: clang-format $WANTED is not installed; the format of the sources was NOT checked"
    exit 77
fi
cd "$root"
tree_files . '*.c' '*.h' | xargs -r "$tool" --dry-run -Werror 2>&1 | grep -E 'error:|warning:' | head -20 |
    { ! grep . ; } || { echo "run: clang-format -i FILE"; exit 1; }
