#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/reading.h"
#include "net/loop.h"

/*
 * The agent's side of its one child (agent/probe_child): starts it, asks it, takes its frames,
 * and never waits for it. What does not answer is late; what is later than `abandon_ms` is
 * abandoned: its sockets are closed, so that it ends should it ever come back, and nothing is
 * sent to kill it. A process that is stuck in the driver cannot be killed, and killing an NVML
 * client has broken GPUs. No other is started while an abandoned one is there.
 *
 *     none ──start──▶ starting ──HELLO──▶ idle ◀──DONE── asked
 *      ▲                 │                 └────ask──────▲ │
 *      └── back-off ── ended ◀── abandoned ◀──── too late ─┘
 */

struct gpu_child_conf {
    struct loop *loop;
    const char *library;
    const char *sysfs_root;
    const char *proc_root;
    uint32_t interval_ms;
    uint32_t start_ms; /* loading the library and attaching the GPUs may take that long */
    uint32_t late_ms;
    uint32_t abandon_ms;
    uint32_t retry_ms; /* when it saw nothing */
    bool is_mute;      /* it has no standard error: a stuck one would keep the caller's open */
    void *owner;
    void (*on_frame)(void *owner, const struct frame *f, uint64_t took_ms);
    /* It is gone. `saw`: it had been of use. */
    void (*on_end)(void *owner, bool saw);
};

struct gpu_child;

struct gpu_child *gpu_child_new(const struct gpu_child_conf *conf);
void gpu_child_free(struct gpu_child **c);

/* Starts one when it is time, asks the one that waits, abandons one that is stuck. Call often:
 * it asks once an interval. */
void gpu_child_tick(struct gpu_child *c, uint64_t now_ms);

/* Asks at once, not at the next tick, if it can be asked. */
void gpu_child_ask(struct gpu_child *c, uint64_t now_ms);

/* How long its answer has been waited for, a start counted by its own patience; 0: not at all.
 */
uint64_t gpu_child_waited_ms(const struct gpu_child *c, uint64_t now_ms);

struct gpu_child_counts {
    uint64_t starts;
    uint64_t abandoned;
    bool is_running;
    bool is_stuck; /* an abandoned one is still there */
    int pid;       /* 0: none */
};
struct gpu_child_counts gpu_child_counts(const struct gpu_child *c);
