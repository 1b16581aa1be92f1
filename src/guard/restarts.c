#include "guard/restarts.h"

enum { PERCENT = 100, JITTER_PERCENT = 20, DOUBLINGS_MAX = 20 };

static uint64_t delay_of(const struct restarts *r, const struct restart_policy *p,
                         struct rand *rand)
{
    uint32_t doublings = r->in_row - 1 < DOUBLINGS_MAX ? r->in_row - 1 : DOUBLINGS_MAX;
    uint64_t ms = (uint64_t)p->first_ms << doublings;
    ms = ms < p->max_ms ? ms : p->max_ms;
    uint32_t percent = PERCENT - JITTER_PERCENT + rand_below(rand, 2 * JITTER_PERCENT + 1);
    return ms * percent / PERCENT;
}

uint32_t restarts_recent(const struct restarts *r, const struct restart_policy *p,
                         uint64_t now_ms)
{
    uint64_t kept = r->total < RESTARTS_MAX ? r->total : RESTARTS_MAX;
    uint32_t recent = 0;
    for (uint64_t i = 0; i < kept; i++) {
        recent += now_ms - r->at_ms[i] < p->within_ms ? 1 : 0;
    }
    return recent;
}

bool restarts_next(struct restarts *r, const struct restart_policy *p, struct rand *rand,
                   uint64_t now_ms, uint64_t *delay_ms)
{
    if (p->limit > 0 && restarts_recent(r, p, now_ms) >= p->limit) {
        return false;
    }
    r->in_row++;
    r->at_ms[r->total % RESTARTS_MAX] = now_ms;
    r->total++;
    *delay_ms = delay_of(r, p, rand);
    return true;
}

void restarts_forget(struct restarts *r)
{
    r->in_row = 0;
}
