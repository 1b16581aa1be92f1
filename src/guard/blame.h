#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/*
 * Why a backend ended: out of memory (of the GPU or of the host), a crash, or an exit that
 * nobody had asked for. Its exit status is never trusted: vLLM exits with 0 when its engine has
 * died. Pure.
 */

enum cause {
    CAUSE_NONE,
    CAUSE_EXIT,     /* with any status, 0 too */
    CAUSE_SIGNAL,   /* crash, or somebody's kill */
    CAUSE_OOM_HOST, /* the kernel killed for memory */
    CAUSE_OOM_GPU,  /* its own log says so */
    CAUSE_HANG,
    CAUSE_SLOW_START, /* not ready within start_timeout */
    CAUSE_NO_START    /* the command could not be run */
};

/* "oom_gpu"; static. */
const char *cause_name(enum cause c);

/* Another amount of memory may help: the next step of on_oom is due. */
bool cause_is_memory(enum cause c);

/* True for a line of a log that says that the GPU's memory did not suffice. */
bool blame_is_gpu_memory(struct str line);

struct evidence {
    int wait_status;          /* from waitpid */
    bool has_killed_for_oom;  /* the cgroup counts a kill for memory during this run */
    bool has_cgroup;          /* … and can be asked at all */
    bool has_host_oom_lately; /* the whole machine counts one in the last seconds */
    bool has_host_count;      /* … and can be asked at all */
    bool has_gpu_memory_line; /* blame_is_gpu_memory was true of a recent line */
};

/* The cause, and a sentence for people into `words`. */
enum cause blame(const struct evidence *e, char *words, size_t size);
