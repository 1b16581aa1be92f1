#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Starts a program as a child of the guard: a process group of its own, standard input from
 * /dev/null, no descriptor and no ignored signal of ours inherited, killed when the guard dies
 * (PR_SET_PDEATHSIG; that reaches the child itself only, what it starts is found by
 * guard/offspring and guard/cgroup). The environment is ours without what the service manager
 * said to us alone (NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*). To be called from the main thread.
 */

struct process_conf {
    char *const *argv; /* argv[0] is looked for in PATH; ends with NULL */
    char *const *env;  /* "NAME=value" added to the environment; ends with NULL; NULL: none */
    int cgroup_fd;     /* an open cgroup.procs that the child enters before exec; -1: none */
    int out_fd;        /* its standard output … */
    int err_fd;        /* … and error; borrowed */
};

/* ERR_OK: it runs as *pid. Else *why is the errno of what failed (ERR_NOT_FOUND: no such
 * program, or not one that can be run). */
NODISCARD enum err process_start(const struct process_conf *conf, pid_t *pid, int *why);

/* Orphans of the backend become our children, so that they are seen and reaped. */
void process_become_subreaper(void);
