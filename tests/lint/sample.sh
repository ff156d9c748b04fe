#!/bin/sh
# deploy/compressd.conf is what `compressd config` prints: sample.sh ROOT COMPRESSD
set -eu
"$2" config | diff -u "$1/deploy/compressd.conf" - && echo "the sample configuration is current"
