#pragma once

#include "guard/guard_settings.h"

/*
 * The guard at work: carries out what guard/plan orders, with one thread and one loop. It
 * starts the backend, passes its output on, watches it, ends it and all that it has started,
 * tells the service manager, runs the hooks and serves GET /guard.
 */

enum keeper_end {
    KEEPER_STOPPED,    /* asked to stop, and nothing is left */
    KEEPER_FAILED,     /* gave up, or something of ours cannot be killed */
    KEEPER_NO_COMMAND, /* the command cannot be run at all */
    KEEPER_NO_START    /* it could not begin (the address, the cgroup); `why` tells */
};

/* Runs until it is asked to stop by SIGTERM, SIGINT or SIGHUP. *why: static. */
enum keeper_end keeper_run(const struct guard_settings *s, const char **why);
