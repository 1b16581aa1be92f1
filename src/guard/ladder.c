#include "guard/ladder.h"

static uint32_t time_on(const struct ladder *l, enum ladder_rung rung)
{
    switch (rung) {
    case LADDER_ASK:
        return l->times.term_ms;
    case LADDER_REST:
        return l->times.rest_ms;
    case LADDER_KILL:
        return l->times.kill_ms;
    case LADDER_TOP:
        break;
    }
    return 0;
}

void ladder_start(struct ladder *l, const struct ladder_times *times, uint64_t now_ms)
{
    *l = (struct ladder){.rung = LADDER_ASK, .since_ms = now_ms, .times = *times};
}

void ladder_hasten(struct ladder *l)
{
    if (l->times.rest_ms < l->times.term_ms) {
        l->times.term_ms = l->times.rest_ms;
    }
}

static void reach(struct ladder *l, enum ladder_rung rung, uint64_t now_ms)
{
    l->rung = rung;
    l->since_ms = now_ms;
}

bool ladder_climb(struct ladder *l, bool is_main_gone, uint64_t now_ms)
{
    bool nobody_to_ask = l->rung == LADDER_ASK && is_main_gone;
    if (l->rung == LADDER_TOP ||
        (!nobody_to_ask && now_ms < l->since_ms + time_on(l, l->rung))) {
        return false;
    }
    reach(l, l->rung + 1, now_ms);
    return true;
}

bool ladder_jump(struct ladder *l, uint64_t now_ms)
{
    if (l->rung >= LADDER_KILL) {
        return false;
    }
    reach(l, LADDER_KILL, now_ms);
    return true;
}

uint64_t ladder_left_ms(const struct ladder *l, uint64_t now_ms)
{
    uint64_t end_ms = l->since_ms;
    for (enum ladder_rung r = l->rung; r < LADDER_TOP; r++) {
        end_ms += time_on(l, r);
    }
    return end_ms > now_ms ? end_ms - now_ms : 0;
}
