#pragma once

#include "cmd/options.h"

extern const struct command CHECK_COMMAND;

/*
 * `fallthrough check [-c FILE]`: reads the configuration as `serve` would, prints every mistake
 * to standard error, and says so when there is none. argv[0] is "check". CMD_FINE,
 * CMD_BAD_CONFIG or CMD_USAGE.
 */
int cmd_check(int argc, char **argv);
