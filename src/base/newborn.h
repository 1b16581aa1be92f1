#pragma once

#include <sys/types.h>

/*
 * The birth of a child process. Between fork and exec it must not allocate, and no handler of
 * ours may run in it: that would speak to our loop, through a pipe that both share, of a signal
 * that was not meant for us. Any thread.
 */

/* fork with every signal blocked. In the child `live` is called, which ends by exec or _exit
 * and calls newborn_reset_signals before. Returns the child's pid to the parent, or -1 with
 * errno; the parent's signals are as before. */
pid_t newborn_fork(void (*live)(void *arg), void *arg);

/* In the child: every signal has its default action, none is blocked. */
void newborn_reset_signals(void);

/* The caller's environment without what a service manager told the caller alone
 * (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3), systemd.exec(5)), then the entries
 * of `extra` (NULL: none). The array is the caller's to free(), the texts are not. Before the
 * fork: it allocates. */
char **newborn_environment(char *const *extra);
