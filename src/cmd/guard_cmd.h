#pragma once

#include "cmd/options.h"

/*
 * `fallthrough guard [-c FILE] [OPTIONS] -- COMMAND…`: supervises one backend process
 * (docs/guard.md). CMD_FINE when it was asked to stop and nothing is left; CMD_FAILED when it
 * gave up, something cannot be killed, or its address is taken; CMD_USAGE; CMD_BAD_CONFIG, also
 * for a command that cannot be run.
 */
extern const struct command GUARD_COMMAND;
int cmd_guard(int argc, char **argv);
