#!/bin/sh
# One HTTP test, with a Python that has what it needs (requirements.txt): the one named by
# HTTP_PYTHON, or python3. Exit code 77, with a word about it, when there is none.
#
# usage: COMPRESSD=build/daemon/compressd run.sh NAME
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${HTTP_PYTHON:-python3}
"$python" -c 'import jsonschema; jsonschema.Draft202012Validator' 2>/dev/null || {
    echo "SKIPPED: $python has no jsonschema (see $here/requirements.txt); HTTP was NOT tested"
    exit 77
}
command -v curl >/dev/null || {
    echo "SKIPPED: there is no curl; HTTP was NOT tested"
    exit 77
}
exec "$python" "$here/test_$1.py"
