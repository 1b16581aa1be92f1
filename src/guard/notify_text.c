#include "guard/notify_text.h"

#include <inttypes.h>
#include <stdio.h>

enum { USEC_PER_MS = 1000, STATUS_MAX = 512, PINGS_PER_WATCHDOG = 2 };

/* A line of its own text: nothing in it can pass for another line. */
static void put_status(struct str status, char out[STATUS_MAX])
{
    size_t len = status.len < STATUS_MAX - 1 ? status.len : STATUS_MAX - 1;
    for (size_t i = 0; i < len; i++) {
        unsigned char ch = (unsigned char)status.ptr[i];
        out[i] = ch < ' ' || ch == 0x7f ? ' ' : status.ptr[i];
    }
    out[len] = '\0';
}

static size_t put(char *out, size_t at, const char *line)
{
    int n = snprintf(out + at, NOTIFY_MAX - at, "%s%s", at > 0 ? "\n" : "", line);
    return n > 0 && (size_t)n < NOTIFY_MAX - at ? at + (size_t)n : at;
}

size_t notify_text(const struct notify *n, char out[NOTIFY_MAX])
{
    char line[STATUS_MAX + 16];
    char status[STATUS_MAX];
    size_t at = 0;
    if (n->is_ready) {
        at = put(out, at, "READY=1");
        (void)snprintf(line, sizeof(line), "MAINPID=%" PRId64, n->main_pid);
        at = put(out, at, line);
    }
    if (n->is_stopping) {
        at = put(out, at, "STOPPING=1");
    }
    if (n->status.len > 0) {
        put_status(n->status, status);
        (void)snprintf(line, sizeof(line), "STATUS=%s", status);
        at = put(out, at, line);
    }
    if (n->is_alive) {
        at = put(out, at, "WATCHDOG=1");
    }
    if (n->extend_ms > 0) {
        (void)snprintf(line, sizeof(line), "EXTEND_TIMEOUT_USEC=%" PRIu64,
                       n->extend_ms * USEC_PER_MS);
        at = put(out, at, line);
    }
    return at;
}

uint32_t notify_watchdog_ms(struct str usec, struct str pid, int64_t own)
{
    uint64_t us = 0;
    uint64_t whose = 0;
    if (str_to_u64(usec, UINT64_MAX, &us) != ERR_OK || us == 0) {
        return 0;
    }
    if (pid.len > 0 &&
        (str_to_u64(pid, INT64_MAX, &whose) != ERR_OK || (int64_t)whose != own)) {
        return 0;
    }
    uint64_t ms = us / USEC_PER_MS / PINGS_PER_WATCHDOG;
    ms = ms > 0 ? ms : 1;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}
