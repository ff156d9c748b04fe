#!/bin/sh
# Turns schema files into the table of storage/db/schema.h: embed.sh FILE... > schema.c
set -eu
printf '#include "storage/db/schema.h"\n\nconst struct schema_file schema_files[] = {\n'
for file in "$@"; do
    name=$(basename "$file" .sql)
    number=$(printf '%s' "$name" | sed 's/-.*//; s/^0*//')
    printf '{%s, "%s",\n' "$number" "$name"
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n"/' "$file"
    printf '},\n'
done
printf '};\nconst size_t schema_file_count = sizeof schema_files / sizeof schema_files[0];\n'
