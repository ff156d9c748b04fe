#!/bin/sh
# Turns schema files into one C table: embed.sh FILE... > schema.inc
set -eu
for file in "$@"; do
    name=$(basename "$file" .sql)
    number=$(printf '%s' "$name" | sed 's/-.*//; s/^0*//')
    printf '{%s, "%s",\n' "$number" "$name"
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n"/' "$file"
    printf '},\n'
done
