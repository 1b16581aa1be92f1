#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/reading.h"
#include "base/str.h"

/*
 * One record of /dev/kmsg, as the kernel gives it:
 *
 *     6,1234,5678901,-;NVRM: Xid (PCI:0000:18:00): 79, pid=1234, name=python3, GPU has fallen …
 *     │ │    │         └ text; what is not printable is \xNN
 *     │ │    └ µs since boot
 *     │ └ sequence number
 *     └ facility << 3 | level
 *
 * The text is hostile: any user chooses a process' name, and may write records of his own, but
 * not with facility 0. So only facility 0 counts, only a record that begins as the driver
 * begins it, and nothing of it after "name=". Pure.
 */

enum kernel_kind {
    KERNEL_OTHER, /* not about GPUs, or not to be trusted */
    KERNEL_XID,
    KERNEL_LOST,    /* fallen off the bus */
    KERNEL_GSP,     /* the driver waits in vain for the GPU's own processor */
    KERNEL_SWITCH,  /* an NVSwitch error */
    KERNEL_IDENTITY /* bdf and uuid belong together */
};

/* The values of a recovery action (NVML field 230). */
enum {
    RECOVERY_NONE = 0,
    RECOVERY_RESET = 1,
    RECOVERY_REBOOT = 2,
    RECOVERY_DRAIN_P2P = 3,
    RECOVERY_DRAIN_RESET = 4,
    RECOVERY_IMEX = 5
};

struct kernel_record {
    enum kernel_kind kind;
    uint64_t seq;
    uint64_t usec; /* since boot */
    char bdf[BDF_MAX];
    char uuid[UUID_MAX];
    uint32_t xid;     /* or the switch's SXid */
    int64_t pid;      /* -1: not said */
    int64_t instance; /* MIG GPU instance; -1: not said */
    int64_t compute;  /* its compute instance; -1 */
    int64_t action;   /* Xid 154: the new recovery action; -1 */
    bool is_fatal;    /* the trusted text says "Fatal" */
    char text[160];   /* the trusted part, printable ASCII */
};

/* False: not a record at all. */
bool kernel_record_parse(struct str record, struct kernel_record *out);
