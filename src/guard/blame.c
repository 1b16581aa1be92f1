#include "guard/blame.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/check.h"

enum { SHELL_KILLED = 128 + SIGKILL /* what a shell makes of a child killed by SIGKILL */ };

const char *cause_name(enum cause c)
{
    switch (c) {
    case CAUSE_NONE:
        return "none";
    case CAUSE_EXIT:
        return "exit";
    case CAUSE_SIGNAL:
        return "signal";
    case CAUSE_OOM_HOST:
        return "oom_host";
    case CAUSE_OOM_GPU:
        return "oom_gpu";
    case CAUSE_HANG:
        return "hang";
    case CAUSE_SLOW_START:
        return "slow_start";
    case CAUSE_NO_START:
        return "no_start";
    }
    BUG("no such cause");
}

bool cause_is_memory(enum cause c)
{
    return c == CAUSE_OOM_HOST || c == CAUSE_OOM_GPU;
}

/* PyTorch, vLLM (also what it says before it has tried: no room for the cache, or memory that
 * somebody else holds), llama.cpp, the driver itself. */
bool blame_is_gpu_memory(struct str line)
{
    static const struct str signs[] = {
        STR_INIT("OutOfMemoryError"),
        STR_INIT("CUDA out of memory"),
        STR_INIT("HIP out of memory"),
        STR_INIT("CUDA error: out of memory"),
        STR_INIT("CUDA_ERROR_OUT_OF_MEMORY"),
        STR_INIT("cudaErrorMemoryAllocation"),
        STR_INIT("cudaMalloc failed: out of memory"),
        STR_INIT("No available memory for the cache blocks"),
        STR_INIT("larger than the available KV cache memory"),
        STR_INIT("less than desired GPU memory utilization"),
    };
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (str_has(line, signs[i])) {
            return true;
        }
    }
    return false;
}

static bool was_killed(int status)
{
    return (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
           (WIFEXITED(status) && WEXITSTATUS(status) == SHELL_KILLED);
}

static void put_end(int status, char *words, size_t size)
{
    if (WIFSIGNALED(status)) {
        (void)snprintf(words, size, "ended by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    } else {
        (void)snprintf(words, size, "exited with status %d without having been asked to stop",
                       WEXITSTATUS(status));
    }
}

enum cause blame(const struct evidence *e, char *words, size_t size)
{
    char end[128];
    put_end(e->wait_status, end, sizeof(end));
    if (e->has_killed_for_oom) {
        (void)snprintf(words, size, "out of host memory: the kernel killed for it; %s", end);
        return CAUSE_OOM_HOST;
    }
    if (e->has_gpu_memory_line) {
        (void)snprintf(words, size, "out of GPU memory, as its log says; %s", end);
        return CAUSE_OOM_GPU;
    }
    bool is_crash = WIFSIGNALED(e->wait_status) && WTERMSIG(e->wait_status) != SIGKILL;
    if (e->has_host_oom_lately && !e->has_cgroup && !is_crash) {
        (void)snprintf(
            words, size,
            "out of host memory, as it seems: the kernel killed for it on this machine "
            "a moment before; %s",
            end);
        return CAUSE_OOM_HOST;
    }
    if (was_killed(e->wait_status) && !e->has_cgroup) {
        (void)snprintf(words, size, "%s; by whom is unknown%s", end,
                       e->has_host_count ? ", and the machine counts no kill for memory"
                                         : ", the OOM killer perhaps: there is no cgroup of "
                                           "our own to tell");
        return CAUSE_SIGNAL;
    }
    (void)snprintf(words, size, "%s", end);
    return WIFSIGNALED(e->wait_status) || was_killed(e->wait_status) ? CAUSE_SIGNAL
                                                                     : CAUSE_EXIT;
}
