#!/bin/sh
# Nothing of the machine it was made on stands in the tree: no absolute path of somebody's checkout
# or home, no package mirror. Locks name packages by version and digest; where they come from is
# the reader's own setting.
#
# usage: hygiene.sh ROOT
set -eu
root=$(cd "$1" && pwd)
. "$(dirname "$0")/tree.sh"
cd "$root"

# Letters in brackets keep this file from finding itself.
patterns='(^|[^A-Za-z0-9_.~-])/(wor[k]|roo[t]|hom[e]/[a-z]|User[s]|mn[t])/'
patterns="$patterns|/tm[p]/build-|fil[e]:///"
patterns="$patterns|extra-inde[x]-url|index-ur[l]|find-link[s]|\"resolve[d]\":"
patterns="$patterns|[a-z0-9]\.(interna[l]|cor[p]|intrane[t])([:/\" ]|\$)"
found=0
tree_files . '*' | grep -vE '\.(f32|bytes|safetensors|gguf|png|ico|woff2)$' >"${TMPDIR:-/tmp}/hygiene.$$"
trap 'rm -f "${TMPDIR:-/tmp}/hygiene.$$"' EXIT
tr '\n' '\0' <"${TMPDIR:-/tmp}/hygiene.$$" | xargs -0 -r grep -nHIE -e "$patterns" && found=1
checkout=$(dirname "$root")
# A checkout right below /tmp or the like has a parent that anybody may name.
case $checkout in
/*/*) tr '\n' '\0' <"${TMPDIR:-/tmp}/hygiene.$$" | xargs -0 -r grep -nHIF -e "$checkout/" && found=1 ;;
esac
[ -s "${TMPDIR:-/tmp}/hygiene.$$" ] || found=1
exit $found
