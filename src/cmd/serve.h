#pragma once

#include "cmd/options.h"

/* `fallthrough serve`: runs the gateway until SIGTERM or SIGINT. */
extern const struct command SERVE_COMMAND;
int cmd_serve(int argc, char **argv);
