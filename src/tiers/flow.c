#include "tiers/flow.h"

#include "base/check.h"

enum { SLOT_MS = 1000 };

void flow_begin(struct flow *f, double min_per_second, uint64_t now_ms)
{
    double needed = min_per_second * FLOW_WINDOW;
    CHECK(needed >= 0 && needed < UINT32_MAX);
    f->needed = (uint32_t)needed;
    if ((double)f->needed < needed) {
        f->needed++;
    }
    flow_restart(f, now_ms);
}

void flow_restart(struct flow *f, uint64_t now_ms)
{
    f->from_ms = now_ms;
    f->slot = 0;
    f->pieces[0] = 0;
}

void flow_add(struct flow *f, uint64_t now_ms)
{
    uint32_t slot = (uint32_t)((now_ms - f->from_ms) / SLOT_MS);
    if (f->needed == 0) {
        return;
    }
    if (slot - f->slot >= FLOW_SLOTS) {
        f->slot = slot - FLOW_SLOTS; /* all of them are stale: one round empties them */
    }
    while (f->slot < slot) {
        f->slot++;
        f->pieces[f->slot % FLOW_SLOTS] = 0;
    }
    f->pieces[slot % FLOW_SLOTS]++;
}

static uint32_t pieces_in(const struct flow *f, uint32_t slot)
{
    return slot <= f->slot ? f->pieces[slot % FLOW_SLOTS] : 0;
}

uint64_t flow_due_ms(const struct flow *f)
{
    if (f->needed == 0) {
        return UINT64_MAX;
    }
    /* The window that the last piece came too late for is the first that may be open still. */
    uint32_t end = f->slot > FLOW_WINDOW ? f->slot : FLOW_WINDOW;
    uint64_t sum = 0;
    for (uint32_t i = end - FLOW_WINDOW; i < end; i++) {
        sum += pieces_in(f, i);
    }
    while (sum >= f->needed) {
        sum += pieces_in(f, end);
        sum -= pieces_in(f, end - FLOW_WINDOW);
        end++;
    }
    return f->from_ms + (uint64_t)end * SLOT_MS;
}
