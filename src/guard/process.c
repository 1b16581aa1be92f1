#include "guard/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/newborn.h"
#include "base/str.h"

enum { EXEC_WAIT_MS = 5000, NO_EXEC = 127 };

/* --- in the child, between fork and exec: nothing that allocates --- */

static void set_streams(const struct process_conf *conf)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)dup2(null_fd, STDIN_FILENO);
    (void)dup2(conf->out_fd, STDOUT_FILENO);
    (void)dup2(conf->err_fd, STDERR_FILENO);
    (void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* What the child needs. */
struct birth {
    const struct process_conf *conf;
    char **env;
    pid_t parent;
    int report_fd;
};

static void become(void *arg)
{
    const struct birth *b = arg;
    const struct process_conf *conf = b->conf;
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != b->parent) {
        _exit(NO_EXEC); /* the guard died before the line above */
    }
    int error = 0;
    if (conf->cgroup_fd >= 0 && write(conf->cgroup_fd, "0", 1) != 1) {
        error = errno;
    }
    if (error == 0) {
        newborn_reset_signals();
        set_streams(conf);
        (void)execvpe(conf->argv[0], conf->argv, b->env);
        error = errno;
    }
    (void)!write(b->report_fd, &error, sizeof(error));
    _exit(NO_EXEC);
}

/* --- in the guard --- */

/* The errno of a failed exec, 0 when it has gone well (the pipe closes by exec). */
static int read_report(int fd)
{
    int error = 0;
    int ready = -1;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    errno = EINTR;
    while (ready < 0 && errno == EINTR) {
        ready = poll(&p, 1, EXEC_WAIT_MS); /* SIGCHLD of another child interrupts it */
    }
    return ready > 0 && read(fd, &error, sizeof(error)) == sizeof(error) ? error : 0;
}

static enum err judge(int error, int *why)
{
    *why = error;
    if (error == ENOENT || error == EACCES || error == ENOEXEC || error == ENOTDIR) {
        return ERR_NOT_FOUND;
    }
    return error == 0 ? ERR_OK : ERR_IO;
}

enum err process_start(const struct process_conf *conf, pid_t *pid, int *why)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) {
        *why = errno;
        return ERR_NO_FDS;
    }
    struct birth b = {.conf = conf,
                      .env = newborn_environment(conf->env),
                      .parent = getpid(),
                      .report_fd = report[1]};
    pid_t child = newborn_fork(become, &b);
    int fork_errno = errno;
    (void)close(report[1]);
    int error = child < 0 ? fork_errno : read_report(report[0]);
    (void)close(report[0]);
    free(b.env);
    /* One that could not exec is reaped with all others. */
    *pid = child;
    return judge(error, why);
}

void process_become_subreaper(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}
