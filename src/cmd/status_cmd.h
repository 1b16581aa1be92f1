#pragma once

#include "cmd/options.h"

/*
 * `fallthrough status [--json] [--admin URL]`: models, tiers and backends of a running gateway
 * as a table, or the admin port's JSON as it came. CMD_FINE, CMD_FAILED, CMD_USAGE,
 * CMD_UNREACHABLE.
 */
extern const struct command STATUS_COMMAND;
int cmd_status(int argc, char **argv);
