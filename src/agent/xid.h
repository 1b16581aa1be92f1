#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Xids: what NVIDIA's catalogue asks for (docs.nvidia.com/deploy/xid-errors), and what the
 * agent makes of each, which is configuration. Pure.
 */

enum { XID_MAX = 1024 }; /* numbers below it are known one by one */

/* The catalogue's bucket. */
enum xid_action {
    XID_NOT_LISTED,
    XID_RESTART_APP,
    XID_RESET_GPU,
    XID_RESTART_BM,
    XID_RESTART_VM,
    XID_DO_NOTHING,
    XID_WORKFLOW,
    XID_CHECK_MECHANICALS,
    XID_UPDATE_SOFTWARE,
    XID_CONTACT_SUPPORT,
    XID_ACTIONS
};
enum xid_action xid_action_of(uint32_t xid);
const char *xid_action_name(enum xid_action a); /* "restart_app", … */

/* What it does to the verdict. In the order of weight: of two, the later one counts. */
enum xid_class {
    XID_IGNORE,      /* counted only */
    XID_ACTION,      /* announces another recovery action, which its text names */
    XID_APP,         /* the process' work is lost; three of them are the GPU's fault */
    XID_MAINTENANCE, /* a row or page is to be replaced at the next reset */
    XID_DEGRADE,     /* DEGRADED for a while; all those in no list too */
    XID_IF_FATAL,    /* as XID_DOWN when its text says "Fatal", else as XID_DEGRADE */
    XID_DOWN,        /* DOWN until a reset is seen */
    XID_REBOOT,      /* DOWN until the machine has started anew */
    XID_LOST,        /* left the bus */
    XID_CLASSES
};
const char *xid_class_name(enum xid_class c); /* its name in the configuration */

struct xid_policy {
    uint8_t class_of[XID_MAX]; /* enum xid_class */
};
void xid_policy_set_defaults(struct xid_policy *p);
enum xid_class xid_class_of(const struct xid_policy *p, uint32_t xid);
