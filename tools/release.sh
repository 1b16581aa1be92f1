#!/bin/sh
# Builds build/fallthrough, the program to install: release flags, link-time optimisation, and a profile that
# tests/bench/train.py takes from the program itself under load. Where it cannot be run (or the compiler is not
# gcc) it is built without a profile, and that is said. Trains again only when a source is newer.
#   tools/release.sh [--untrained]      --untrained: whatever is quickest, for a program to try
set -eu
cd "$(dirname "$0")/.."
dir=build
trained=$dir/trained

build() {
    [ ! -f "$dir/build.ninja" ] || meson configure "$dir" "-Db_pgo=$1"
    tools/build.sh "$dir" --buildtype=release -Db_lto=true -Dtests=false "-Db_pgo=$1"
}

build_untrained() {
    rm -f "$trained"
    build off
}

build_trained() {
    rm -f "$trained"
    build generate
    find "$dir" -name '*.gcda' -delete
    if python3 tests/bench/train.py "$dir"; then
        build use
        touch "$trained"
    else
        echo "== the program could not be run under load here: built without a profile, it works the same and is some 5 % slower"
        build_untrained
    fi
}

is_fresh() {
    [ -f "$trained" ] && [ -z "$(find src web meson.build meson_options.txt -newer "$trained" -print -quit)" ]
}

if is_fresh; then
    exit 0
fi
case "${1:-}" in
--untrained) build_untrained ;;
"") if "${CC:-cc}" --version | grep -qi clang; then build_untrained; else build_trained; fi ;;
*) echo "usage: tools/release.sh [--untrained]" >&2; exit 2 ;;
esac
