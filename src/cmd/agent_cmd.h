#pragma once

#include "cmd/options.h"

/*
 * `fallthrough agent [-c FILE] [--once]`: reads the GPUs' health and serves it over HTTP. With
 * --once it prints one reading as JSON. CMD_FINE; CMD_FAILED when it cannot listen, or with
 * --once when a GPU is DOWN or nothing came in time; CMD_USAGE; CMD_BAD_CONFIG.
 */
extern const struct command AGENT_COMMAND;
int cmd_agent(int argc, char **argv);
