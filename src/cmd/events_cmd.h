#pragma once

#include "cmd/options.h"

/*
 * `fallthrough events`: what happened, as GET /events of a running gateway tells it; with -f
 * what happens from then on too, across restarts of the gateway, until it is interrupted.
 */

extern const struct command EVENTS_COMMAND;

int cmd_events(int argc, char **argv);
