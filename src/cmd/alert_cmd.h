#pragma once

#include "cmd/options.h"

extern const struct command ALERT_COMMAND;

/*
 * `fallthrough alert test [CHANNEL] [-c FILE] [--json]`: reads the configuration, sends a test
 * to that channel, or to each, and prints a line each with the server's own words. It needs no
 * running gateway, and no rate, severity or quiet hours hold it back. argv[0] is "alert".
 * CMD_FINE when all went through; CMD_UNREACHABLE when no server that failed had an answer,
 * else CMD_FAILED; CMD_BAD_CONFIG; CMD_USAGE, also for a channel that there is none of.
 */
int cmd_alert(int argc, char **argv);
