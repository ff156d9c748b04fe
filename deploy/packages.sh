# Sourced by the scripts of this folder: Debian packages that must be there.
#
#   packages_missing NAME...   prints those that are not installed. A NAME may be a choice, a|b|c:
#                              any of them will do, the first is what gets installed.
#   packages_need WHY NAME...  installs what is missing as root; otherwise says what is missing and
#                              how to get it, and fails.

packages_missing() {
    for packages_choice in "$@"; do
        packages_found=
        for packages_name in $(printf '%s' "$packages_choice" | tr '|' ' '); do
            case $(dpkg-query -W -f '${db:Status-Status}' "$packages_name" 2>/dev/null) in
            installed*) packages_found=1 ;;
            esac
        done
        [ -n "$packages_found" ] || printf '%s\n' "${packages_choice%%|*}"
    done
}

packages_need() {
    packages_why=$1
    shift
    if ! command -v dpkg-query >/dev/null; then
        echo "This is no Debian; $packages_why needs what Debian calls:" >&2
        echo "  $*" >&2
        return 1
    fi
    packages_list=$(packages_missing "$@" | tr '\n' ' ')
    packages_list=${packages_list% }
    [ -n "$packages_list" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "Missing for $packages_why: $packages_list" >&2
        echo "As root:  apt-get install --no-install-recommends $packages_list" >&2
        return 1
    fi
    echo "Installing for $packages_why: $packages_list"
    # shellcheck disable=SC2086 # a list of words
    apt-get -q -o Acquire::Retries=3 update >/dev/null &&
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 \
            -o Dpkg::Options::=--force-confold install --no-install-recommends $packages_list >/dev/null
}
