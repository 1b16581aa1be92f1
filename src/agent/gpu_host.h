#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gpu_judge.h"
#include "agent/kernel_record.h"
#include "agent/reading.h"
#include "agent/xid_log.h"

/*
 * All that the agent knows: the machine's GPUs with their last readings, Xids and judges, and
 * whether it can see at all. A GPU is known by its UUID, and by its PCI address where no UUID
 * is. Whatever was said of one stays when nothing can be read any more: blind is no verdict.
 * Pure: what happens and when is told; not thread-safe.
 */

/* One point in time by both clocks. */
struct moment {
    uint64_t mono_ms;
    uint64_t wall_ms;
};

enum gpu_presence {
    PRESENCE_BLIND, /* there may be GPUs, but nothing can be read */
    PRESENCE_NONE,  /* no NVIDIA GPU, or nothing of NVIDIA's at all */
    PRESENCE_NVIDIA
};
const char *gpu_presence_name(enum gpu_presence p); /* "blind", "none", "nvidia" */

struct gpu {
    uint32_t index; /* NVML's; UINT32_MAX: it has not listed it */
    char uuid[UUID_MAX];
    char bdf[BDF_MAX];
    char name[96];
    bool has_reading;
    bool was_read; /* in the poll under way */
    uint32_t missing_polls;
    struct gpu_reading reading; /* the last one */
    struct gpu_judge judge;
    struct xid_log xids;
};

struct gpu_host {
    const struct gpu_policy *policy; /* borrowed */
    enum gpu_presence presence;
    char presence_why[128];
    char driver[80];
    bool has_events;
    struct gpu *gpus[GPUS_MAX]; /* owned */
    size_t count;
    uint64_t read_at_ms; /* the last whole poll; 0: none */
    bool is_late;
    uint32_t on_time; /* answers in a row */
    uint64_t records; /* of the kernel's log, about GPUs */
    uint64_t kernel_seq;
    bool is_dirty; /* something that the state file keeps has changed */

    /* What the whole says; gpu_host_publish sets it. */
    enum gpu_state state;
    const char *word;
    char why[128];
    uint64_t since_ms;
    uint64_t seq; /* of the changes */

    /* private: */
    uint64_t print;
};

void gpu_host_init(struct gpu_host *h, const struct gpu_policy *policy, struct moment m);
void gpu_host_fini(struct gpu_host *h);

/* Finds it, or makes it where there is room; NULL: neither UUID nor address, or no room. Empty
 * texts are unknown. */
struct gpu *gpu_host_gpu(struct gpu_host *h, const char *uuid, const char *bdf,
                         struct moment m);

void gpu_host_hello(struct gpu_host *h, const struct gpu_hello *hello, struct moment m);
void gpu_host_reading(struct gpu_host *h, const struct gpu_reading *r, struct moment m);
void gpu_host_event(struct gpu_host *h, const struct gpu_event *e, struct moment m);
/* The poll's end; the answer came after that long. */
void gpu_host_done(struct gpu_host *h, uint64_t took_ms, struct moment m);
/* The answer has been awaited for that long. */
void gpu_host_late(struct gpu_host *h, uint64_t waited_ms, struct moment m);
/* Nobody looks any more. */
void gpu_host_blind(struct gpu_host *h, const char *why, struct moment m);

/* `wall_ms`: when the record was written; `is_history`: long before now. */
void gpu_host_record(struct gpu_host *h, const struct kernel_record *r, uint64_t wall_ms,
                     bool is_history, struct moment m);

void gpu_host_tick(struct gpu_host *h, struct moment m);

/* An operator's word on one GPU (UUID or PCI address), or "all". False: there is none such. */
bool gpu_host_clear(struct gpu_host *h, struct str which, struct moment m);

/* Sums up after a piece of work. True: something that others act on has changed, and seq with
 * it. */
bool gpu_host_publish(struct gpu_host *h, struct moment m);

/* The GPU's state as the wall clock has it. */
uint64_t gpu_wall_of(struct moment m, uint64_t mono_ms);
