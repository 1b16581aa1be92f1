#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/reading.h"
#include "agent/xid.h"

/*
 * The Xids that one GPU has shown. Each usually comes twice, by NVML and by the kernel's log:
 * one of each source within the window is one. A burst from one source is counted in full.
 * Pure; times are an argument.
 */

enum { XID_LOG_MAX = 16 }; /* different numbers; the one that was last seen longest ago goes */

enum xid_source { XID_FROM_NVML, XID_FROM_KERNEL, XID_SOURCES };

struct xid_event {
    uint32_t xid;
    enum xid_source source;
    int64_t pid;      /* -1: not said */
    int64_t instance; /* MIG; -1 */
    int64_t compute;  /* -1 */
    int64_t action;   /* Xid 154's new recovery action; -1: not said */
    bool is_fatal;
    bool is_history;  /* from before the agent's first look */
    const char *text; /* printable; "" */
    uint64_t wall_ms; /* when it happened */
};

struct xid_entry {
    uint32_t xid;
    uint64_t first_wall_ms;
    uint64_t last_wall_ms;
    uint64_t count;
    int64_t pid; /* of the last one */
    int64_t instance;
    int64_t compute;
    bool is_foreign; /* the last one's process had no memory on this GPU */
    char text[160];

    /* private: */
    uint32_t unmatched[XID_SOURCES]; /* not yet seen from the other source */
    uint64_t seen_at_ms[XID_SOURCES];
};

struct xid_log {
    struct xid_entry entry[XID_LOG_MAX];
    uint32_t count;
};

/* Takes note of it. True: it is new; false: the other source told of it before. *entry lives
 * until the next event. */
bool xid_log_add(struct xid_log *l, const struct xid_event *e, uint64_t window_ms,
                 uint64_t now_ms, struct xid_entry **entry);
