#include "cmd/demo_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "cmd/escape.h"

enum { LOG_MAX = 16 * 1024 * 1024, SHOWN_MAX = 3000, LOOK_AGAIN_MS = 10, CANNOT_RUN = 127 };

struct str demo_process_log(const struct demo_process *p, struct arena *a)
{
    return arena_printf(a, "%.*s/%s.log", STR_FMT(p->folder), p->name);
}

/* --- start --- */

/* In the child; calls only what may be called after a fork. */
static _Noreturn void become(const char *const argv[], int log_fd, pid_t parent)
{
    sigset_t none;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)sigemptyset(&none);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(CANNOT_RUN);
    }
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(null_fd, STDIN_FILENO) >= 0 && dup2(log_fd, STDOUT_FILENO) >= 0 &&
        dup2(log_fd, STDERR_FILENO) >= 0) {
        /* execvp leaves the words as they are. */
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    }
    _exit(CANNOT_RUN);
}

bool demo_process_start(struct demo_process *p, const char *const argv[])
{
    struct arena a;
    pid_t self = getpid();
    arena_init(&a);
    int log_fd =
        open(demo_process_log(p, &a).ptr, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    arena_fini(&a);
    if (log_fd < 0) {
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        become(argv, log_fd, self);
    }
    int why = errno;
    (void)close(log_fd);
    errno = why;
    p->pid = pid > 0 ? pid : 0;
    return pid > 0;
}

/* --- end --- */

/* True when it has ended and is reaped; *status as waitpid gives it. */
static bool reap(struct demo_process *p, int *status)
{
    *status = -1;
    pid_t got;
    do {
        got = waitpid(p->pid, status, WNOHANG);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        return false;
    }
    p->pid = 0;
    return true;
}

static bool reap_within(struct demo_process *p, uint32_t limit_ms, int *status)
{
    uint64_t due_ms = clock_mono_ms() + limit_ms;
    while (!reap(p, status)) {
        if (clock_mono_ms() >= due_ms) {
            return false;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_MS * 1000000L}, NULL);
    }
    return true;
}

bool demo_process_is_running(struct demo_process *p)
{
    int status;
    return p->pid > 0 && !reap(p, &status);
}

void demo_process_kill(struct demo_process *p)
{
    enum { DIES_WITHIN_MS = 10000 };
    int status;
    if (p->pid <= 0) {
        return;
    }
    (void)kill(p->pid, SIGKILL);
    (void)reap_within(p, DIES_WITHIN_MS, &status);
    p->pid = 0;
}

void demo_process_stop(struct demo_process *p, uint32_t limit_ms)
{
    int status;
    if (p->pid <= 0) {
        return;
    }
    (void)kill(p->pid, SIGTERM);
    if (!reap_within(p, limit_ms, &status)) {
        demo_process_kill(p);
    }
}

int demo_process_result(struct demo_process *p, uint32_t limit_ms)
{
    int status;
    if (p->pid <= 0) {
        return -1;
    }
    if (!reap_within(p, limit_ms, &status)) {
        demo_process_kill(p);
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- the log --- */

/* malloc'ed; NULL when it cannot be read. */
static char *read_log(const struct demo_process *p, size_t *len)
{
    struct arena a;
    char *content = NULL;
    arena_init(&a);
    if (conf_read_file(demo_process_log(p, &a).ptr, LOG_MAX, &content, len) != ERR_OK) {
        content = NULL;
    }
    arena_fini(&a);
    return content;
}

struct str demo_process_said(const struct demo_process *p, struct str needle, struct arena *a)
{
    size_t len = 0;
    char *content = read_log(p, &len);
    struct str found = STR_NONE;
    const char *at = content ? memmem(content, len, needle.ptr, needle.len) : NULL;
    if (at) {
        size_t left = (size_t)(content + len - at);
        const char *end = memchr(at, '\n', left);
        found = end ? arena_dup(a, str_of(at, (size_t)(end - at))) : STR_NONE;
    }
    free(content);
    return found;
}

void demo_process_show_log(const struct demo_process *p)
{
    size_t len = 0;
    char *content = read_log(p, &len);
    if (!content) {
        return;
    }
    struct arena a;
    arena_init(&a);
    struct str tail = str_from_at(str_of(content, len), len > SHOWN_MAX ? len - SHOWN_MAX : 0);
    (void)fprintf(stderr, "--- the end of the log of %s ---\n%.*s\n---\n", p->name,
                  STR_FMT(escape_text(&a, tail, "\n\t")));
    arena_fini(&a);
    free(content);
}
