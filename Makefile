# The verbs people guess. Each installs what it needs (tools/install.sh), says what it does, and works
# offline once everything is there.

.PHONY: all build run check check-vllm test asan tsan fuzz lint bench clean help

all: build

build: ## build/fallthrough, the program to install: release flags and a profile of itself under load
	@tools/install.sh build
	@tools/release.sh

run: ## two local llama.cpp backends and the gateway on 127.0.0.1:8400
	@tools/install.sh run
	@tools/release.sh --untrained
	@.venv/bin/python tools/run_local.py

check: ## every test: lint, unit, fuzz corpora, simulation, whole program; plain and under ASan+UBSan
	@tools/install.sh check
	@.venv/bin/python tools/check.py all

check-vllm: ## kill, freeze and cut a real vLLM (on the CPU; 1 GB to download, not in check)
	@tools/install.sh vllm
	@.venv/bin/python tools/check.py vllm

test: ## the quick subset to run before each commit
	@tools/install.sh check
	@.venv/bin/python tools/check.py quick

asan: ## all suites under AddressSanitizer and UBSan (clang)
	@tools/install.sh check
	@.venv/bin/python tools/check.py asan

tsan: ## all suites under ThreadSanitizer (gcc)
	@tools/install.sh check
	@.venv/bin/python tools/check.py tsan

fuzz: ## 60 s of each libFuzzer target
	@tools/install.sh check
	@.venv/bin/python tools/check.py fuzz

lint: ## format, clang-tidy, layers, sizes
	@tools/install.sh check
	@.venv/bin/python tools/check.py lint

bench: build ## side by side with nginx, HAProxy and a bare relay, one table (PEERS=all: LiteLLM and others, large downloads)
	@tools/install.sh bench $(PEERS)
	@.venv/bin/python tests/bench/bench.py $(if $(PEERS),--peers $(PEERS)) $(BENCH)

clean:
	rm -rf build build-check build-o3 build-asan build-tsan build-fuzz

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'
