# Sourced by the lints: the files of the tree, one a line, relative to the root in $1.
#
#   tree_files ROOT PATTERN...     PATTERN as in find -name
#
# Files that git ignores are no part of the tree; without git (an unpacked archive) build folders
# and hidden ones are left out.
tree_files() {
    tree_root=$1
    shift
    if git -C "$tree_root" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git -C "$tree_root" ls-files -co --exclude-standard -- "$@" | while IFS= read -r tree_file; do
            [ ! -f "$tree_root/$tree_file" ] || printf '%s\n' "$tree_file"
        done | sort -u
    else
        for tree_pattern in "$@"; do
            (cd "$tree_root" && find . \( -name 'build*' -o -name '.?*' -o -name node_modules \) -prune \
                -o -type f -name "$tree_pattern" -print)
        done | sed 's|^\./||' | sort -u
    fi
}
