#include "agent/xid_log.h"

#include <string.h>

static struct xid_entry *find_oldest(struct xid_log *l)
{
    struct xid_entry *oldest = &l->entry[0];
    for (uint32_t i = 1; i < l->count; i++) {
        if (l->entry[i].last_wall_ms < oldest->last_wall_ms) {
            oldest = &l->entry[i];
        }
    }
    return oldest;
}

static struct xid_entry *find_or_make(struct xid_log *l, const struct xid_event *e)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->entry[i].xid == e->xid) {
            return &l->entry[i];
        }
    }
    struct xid_entry *n = l->count < XID_LOG_MAX ? &l->entry[l->count++] : find_oldest(l);
    memset(n, 0, sizeof(*n));
    n->xid = e->xid;
    n->first_wall_ms = e->wall_ms;
    n->pid = n->instance = n->compute = -1;
    return n;
}

/* What the one source does not say, the other may have said. */
static void keep_details(struct xid_entry *n, const struct xid_event *e)
{
    n->pid = e->pid >= 0 ? e->pid : n->pid;
    n->instance = e->instance >= 0 ? e->instance : n->instance;
    n->compute = e->compute >= 0 ? e->compute : n->compute;
    if (e->text[0] != '\0') {
        text_tame(str_from(e->text), n->text, sizeof(n->text));
    }
}

bool xid_log_add(struct xid_log *l, const struct xid_event *e, uint64_t window_ms,
                 uint64_t now_ms, struct xid_entry **entry)
{
    struct xid_entry *n = find_or_make(l, e);
    enum xid_source other = e->source == XID_FROM_NVML ? XID_FROM_KERNEL : XID_FROM_NVML;
    *entry = n;
    keep_details(n, e);
    if (n->unmatched[other] > 0 && now_ms - n->seen_at_ms[other] <= window_ms) {
        n->unmatched[other]--;
        return false;
    }
    bool is_burst = now_ms - n->seen_at_ms[e->source] <= window_ms;
    n->unmatched[e->source] = is_burst ? n->unmatched[e->source] + 1 : 1;
    n->unmatched[other] = 0;
    n->seen_at_ms[e->source] = now_ms;
    n->last_wall_ms = e->wall_ms > n->last_wall_ms ? e->wall_ms : n->last_wall_ms;
    n->count++;
    return true;
}
