#!/bin/sh
# Installs what compressd is built with on Debian 12 and 13, and nothing else.
#
# usage: sh deploy/deps.sh
#
# Without root it says what is missing. A second run does nothing, quickly.
set -eu
. "$(dirname "$0")/packages.sh"

packages_need "building compressd" \
    gcc libc6-dev meson ninja-build 'pkgconf|pkg-config' \
    libmicrohttpd-dev libjansson-dev libsqlite3-dev libuv1-dev libopenblas-dev libarchive-dev \
    'libcurl4-openssl-dev|libcurl4-gnutls-dev|libcurl4-nss-dev' libssl-dev zlib1g-dev
