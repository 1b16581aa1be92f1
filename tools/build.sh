#!/bin/sh
# Configures a Meson build directory once and builds it.
#   tools/build.sh DIR [meson options…]
set -eu
cd "$(dirname "$0")/.."
dir=$1
shift
if [ ! -f "$dir/build.ninja" ]; then
    echo "== configuring $dir"
    meson setup "$dir" "$@" >"$dir.log" 2>&1 || { cat "$dir.log"; exit 1; }
    mv "$dir.log" "$dir/meson-setup.log"
fi
echo "== building $dir"
ninja -C "$dir" --quiet
