#pragma once

#include "agent/agent_settings.h"
#include "agent/gpu_child.h"
#include "agent/gpu_host.h"
#include "agent/gpu_memo.h"
#include "agent/kernel_log.h"
#include "base/mem.h"
#include "net/loop.h"

/*
 * What serving and a single look have in common: the child, the kernel's log, the state file
 * and the host that they speak of. One thread.
 */

struct agent_core {
    const struct agent_settings *settings; /* borrowed */
    struct loop *loop;
    struct gpu_host host;
    struct gpu_child *child;
    struct kernel_log *log; /* NULL: not read */
    char boot_id[BOOT_ID_MAX];
    bool keeps_state; /* the state file is written */
    bool is_once; /* a single look: the process that waits for it must not wait for the child */
    uint64_t polls; /* answered */

    void *owner;
    void (*on_change)(void *owner); /* seq has moved on */
    void (*on_poll)(void *owner);   /* a poll is complete, or there is nothing to be polled */

    /* private: */
    struct timer tick;
    struct arena texts;
    const char *state_path; /* NULL: none */
    bool is_state_bad;      /* said once */
};

/* `loop`, `settings`, `keeps_state`, `owner` and the callbacks are set by the caller. */
void agent_core_start(struct agent_core *a);
void agent_core_stop(struct agent_core *a);

struct moment agent_core_now(const struct agent_core *a);

/* After something was done to the host from outside. */
void agent_core_publish(struct agent_core *a);
