#pragma once

#include "cmd/options.h"

/* `fallthrough drain|enable|disable BACKEND…`: the operator's word (docs/operating.md). */

extern const struct command DRAIN_COMMAND;
extern const struct command ENABLE_COMMAND;
extern const struct command DISABLE_COMMAND;
int cmd_drain(int argc, char **argv);
int cmd_enable(int argc, char **argv);
int cmd_disable(int argc, char **argv);
