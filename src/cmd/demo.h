#pragma once

#include "cmd/options.h"

/*
 * `fallthrough demo`: two real llama.cpp servers, a gateway in front of them, one streamed
 * question, the first server killed in mid-sentence; then what the client got, the next
 * request, the status. On a terminal the seam in the answer is in color. Everything runs on
 * loopback, on ports that the kernel chooses, and is gone afterwards. CMD_FINE when each
 * expectation held, else CMD_FAILED; CMD_USAGE.
 */
extern const struct command DEMO_COMMAND;
int cmd_demo(int argc, char **argv);
