#pragma once

#include <sys/types.h>

#include "base/err.h"

/*
 * Starts the guard of a managed backend: this program again, `guard -c FD --parent FD`, as a
 * process group of its own. The two are bound by a socket pair (wire/guard_line.h): whoever
 * ends, however he ends, the other one sees it, so that a gateway that is killed leaves nothing
 * behind. For the control thread only.
 */

struct managed_child {
    pid_t pid; /* 0: none */
    int fd;    /* our end, not blocking; -1: none */
};

/* `config_fd`: the guard's configuration; borrowed. `output`: a file for what it writes; ends
 * with NUL; NULL: our standard error. ERR_NO_FDS, ERR_IO (no process could be made). */
NODISCARD enum err managed_child_start(int config_fd, const char *output,
                                       struct managed_child *out);

/* Closes our end: a guard that still runs stops its backend and leaves. */
void managed_child_forget(struct managed_child *c);
