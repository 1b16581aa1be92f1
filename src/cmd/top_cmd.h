#pragma once

#include "cmd/options.h"

/* `fallthrough top`: what status tells, live (docs/operating.md). */

extern const struct command TOP_COMMAND;
int cmd_top(int argc, char **argv);
