#pragma once

#include "cmd/options.h"

/*
 * `fallthrough wait-healthy URL [--timeout 10m] [--generate]`: for scripts and units. Asks the
 * URL, or where it has no path /health, /v1/models and /api/version, until it answers 200; with
 * --generate then for one token, by the OpenAI API that vLLM, llama.cpp and Ollama all have.
 * Standard error tells what it waits for whenever that changes. CMD_FINE; at the end of the
 * time CMD_UNREACHABLE when nothing ever answered by HTTP, else CMD_FAILED; CMD_USAGE.
 */
extern const struct command WAIT_HEALTHY_COMMAND;
int cmd_wait_healthy(int argc, char **argv);
