#include "base/newborn.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

enum { NO_EXEC = 127 };

pid_t newborn_fork(void (*live)(void *arg), void *arg)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        live(arg);
        _exit(NO_EXEC);
    }
    int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

void newborn_reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++) {
        (void)signal(i, SIG_DFL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* --- the environment --- */

static bool is_scrubbed(const char *entry)
{
    static const struct str names[] = {
        STR_INIT("NOTIFY_SOCKET="), STR_INIT("WATCHDOG_USEC="),
        STR_INIT("WATCHDOG_PID="),  STR_INIT("LISTEN_FDS="),
        STR_INIT("LISTEN_PID="),    STR_INIT("LISTEN_FDNAMES="),
        STR_INIT("MAINPID="),       STR_INIT("FALLTHROUGH_DELEGATED="),
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_starts(str_from(entry), names[i])) {
            return true;
        }
    }
    return false;
}

static size_t count_of(char *const *list)
{
    size_t n = 0;
    while (list && list[n]) {
        n++;
    }
    return n;
}

char **newborn_environment(char *const *extra)
{
    char **env = mem_alloc((count_of(environ) + count_of(extra) + 1) * sizeof(char *));
    size_t at = 0;
    for (size_t i = 0; i < count_of(environ); i++) {
        if (!is_scrubbed(environ[i])) {
            env[at++] = environ[i];
        }
    }
    for (size_t i = 0; i < count_of(extra); i++) {
        env[at++] = extra[i];
    }
    return env;
}
