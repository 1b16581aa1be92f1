#pragma once

#include "cmd/options.h"

/*
 * `fallthrough explain MODEL [--json] [--admin URL]`: which backend the next request for the
 * model would get, and why each other one would not, until when. CMD_FINE, CMD_FAILED (also
 * when no model has that name), CMD_USAGE, CMD_UNREACHABLE.
 */
extern const struct command EXPLAIN_COMMAND;
int cmd_explain(int argc, char **argv);
