#include "gate/managed_child.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/newborn.h"
#include "base/str.h"

/* Where the child finds what it is given. */
enum { PARENT_FD = 3, CONFIG_FD = 4, LOW_FDS = 10, NO_EXEC = 127, OUTPUT_MODE = 0640 };

/* --- in the child, between fork and exec: nothing that allocates --- */

static void set_output(const char *output)
{
    int fd =
        output ? open(output, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, OUTPUT_MODE)
               : -1;
    if (fd >= 0) {
        (void)dup2(fd, STDERR_FILENO);
    }
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
}

/* What the child needs. */
struct birth {
    int parent_fd;
    int config_fd;
    const char *output;
    char **env;
};

static void become(void *arg)
{
    const struct birth *b = arg;
    char *const argv[] = {(char[]){"fallthrough"},
                          (char[]){"guard"},
                          (char[]){"-c"},
                          (char[]){"/proc/self/fd/4"},
                          (char[]){"--parent"},
                          (char[]){"3"},
                          NULL};
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    /* Out of the way first: the numbers wanted may be those of the other. */
    int parent = fcntl(b->parent_fd, F_DUPFD, LOW_FDS);
    int config = fcntl(b->config_fd, F_DUPFD, LOW_FDS);
    (void)setpgid(0, 0); /* a ^C at our terminal is ours to pass on */
    (void)dup2(null_fd, STDIN_FILENO);
    set_output(b->output);
    if (dup2(parent, PARENT_FD) < 0 || dup2(config, CONFIG_FD) < 0) {
        _exit(NO_EXEC);
    }
    (void)close_range(CONFIG_FD + 1, ~0U, 0);
    newborn_reset_signals();
    (void)execve("/proc/self/exe", argv, b->env);
    _exit(NO_EXEC);
}

/* --- in the gateway --- */

enum err managed_child_start(int config_fd, const char *output, struct managed_child *out)
{
    int ends[2];
    *out = (struct managed_child){.fd = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return ERR_NO_FDS;
    }
    struct birth b = {.parent_fd = ends[1],
                      .config_fd = config_fd,
                      .output = output,
                      .env = newborn_environment(NULL)};
    pid_t pid = newborn_fork(become, &b);
    free(b.env);
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return ERR_IO;
    }
    *out = (struct managed_child){.pid = pid, .fd = ends[0]};
    return ERR_OK;
}

void managed_child_forget(struct managed_child *c)
{
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    *c = (struct managed_child){.fd = -1};
}
