#include "tiers/picker.h"

#include "base/check.h"

/* How many attempts in flight one recent failure weighs as much as. */
enum { FAILURE_LOAD = 4 };

/* When nobody can say when something will be well again. */
enum { RETRY_AFTER_DEFAULT_S = 30, RETRY_AFTER_MAX_S = 3600 };

bool tried_has(const struct tried *t, uint32_t backend)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->backend[i] == backend) {
            return true;
        }
    }
    return false;
}

void tried_add(struct tried *t, uint32_t backend)
{
    if (t->count < TRIED_MAX && !tried_has(t, backend)) {
        t->backend[t->count] = backend;
        t->count++;
    }
}

const char *pick_status_name(enum pick_status s)
{
    switch (s) {
    case PICK_USABLE:
        return "usable";
    case PICK_TRIED:
        return "tried";
    case PICK_HELD:
        return "held";
    case PICK_DOWN:
        return "down";
    }
    BUG("no such pick status");
}

enum pick_status pick_judge(const struct backend_view *v, bool was_tried, uint64_t now_ms)
{
    if (was_tried) {
        return PICK_TRIED;
    }
    if (now_ms < v->hold_until_ms) {
        return PICK_HELD;
    }
    return v->state == STATE_DOWN ? PICK_DOWN : PICK_USABLE;
}

/* Two of the members offered, at random (reservoir sampling), so that one pass over a tier is
 * enough. */
struct draw {
    uint32_t offered;
    struct {
        const struct tier_member *member;
        uint64_t load;
    } kept[2];
};

static void draw_offer(struct draw *d, const struct tier_member *member,
                       const struct backend_view *v, struct rand *rand)
{
    uint32_t place = d->offered < 2 ? d->offered : rand_below(rand, d->offered + 1);
    d->offered++;
    if (place < 2) {
        d->kept[place].member = member;
        d->kept[place].load = v->in_flight + (uint64_t)FAILURE_LOAD * v->recent_failures;
    }
}

/* At least one was offered. */
static const struct tier_member *draw_best(const struct draw *d, struct rand *rand)
{
    if (d->offered == 1) {
        return d->kept[0].member;
    }
    if (d->kept[0].load == d->kept[1].load) {
        return d->kept[rand_below(rand, 2)].member;
    }
    return d->kept[d->kept[0].load < d->kept[1].load ? 0 : 1].member;
}

static const struct tier_member *pick_in_tier(const struct tier *tier,
                                              const struct pick_query *q, struct rand *rand)
{
    struct draw healthy = {0};
    struct draw degraded = {0};
    for (size_t i = 0; i < tier->member_count; i++) {
        const struct tier_member *member = &tier->members[i];
        uint32_t backend = member->backend->index;
        struct backend_view v = board_view(q->board, backend, q->now_ms);
        if (pick_judge(&v, tried_has(q->tried, backend), q->now_ms) == PICK_USABLE) {
            draw_offer(v.state == STATE_HEALTHY ? &healthy : &degraded, member, &v, rand);
        }
    }
    if (healthy.offered > 0) {
        return draw_best(&healthy, rand);
    }
    return degraded.offered > 0 ? draw_best(&degraded, rand) : NULL;
}

/* Somebody who answers nothing, or next to nothing, costs a trial its whole deadline, and may
 * still be at work. */
static bool is_silence(enum failure f)
{
    return f == FAILURE_first_token_timeout || f == FAILURE_stall || f == FAILURE_too_slow ||
           f == FAILURE_send_timeout || f == FAILURE_connect_timeout ||
           f == FAILURE_total_timeout;
}

static bool is_only_one(const struct model *m)
{
    return m->tier_count == 1 && m->tiers[0].member_count == 1;
}

static bool may_try(const struct backend_view *v, const struct pick_query *q, uint32_t backend)
{
    bool is_down = pick_judge(v, tried_has(q->tried, backend), q->now_ms) == PICK_DOWN;
    return is_down && v->cause.kind != CAUSE_LOADING &&
           (!is_silence(v->cause.failure) || is_only_one(q->model));
}

static const struct tier_member *claim_in_tier(const struct tier *tier,
                                               const struct pick_query *q)
{
    for (size_t i = 0; i < tier->member_count; i++) {
        const struct tier_member *member = &tier->members[i];
        uint32_t backend = member->backend->index;
        struct backend_view v = board_view(q->board, backend, q->now_ms);
        if (may_try(&v, q, backend) && board_claim_trial(q->board, backend, q->now_ms)) {
            return member;
        }
    }
    return NULL;
}

bool pick_backend(const struct pick_query *q, struct rand *rand, struct pick *out)
{
    const struct model *m = q->model;
    for (uint32_t i = 0; i < m->tier_count; i++) {
        const struct tier_member *member = pick_in_tier(&m->tiers[i], q, rand);
        if (member) {
            *out = (struct pick){.member = member, .tier = i, .is_trial = false};
            return true;
        }
    }
    for (uint32_t i = 0; i < m->tier_count && !q->usable_only; i++) {
        const struct tier_member *member = claim_in_tier(&m->tiers[i], q);
        if (member) {
            *out = (struct pick){.member = member, .tier = i, .is_trial = true};
            return true;
        }
    }
    return false;
}

static bool has_usable(const struct tier *tier, const struct board *b, uint64_t now_ms)
{
    for (size_t i = 0; i < tier->member_count; i++) {
        struct backend_view v = board_view(b, tier->members[i].backend->index, now_ms);
        if (pick_judge(&v, false, now_ms) == PICK_USABLE) {
            return true;
        }
    }
    return false;
}

bool pick_can_serve(const struct model *m, const struct board *b, uint64_t now_ms)
{
    for (size_t i = 0; i < m->tier_count; i++) {
        if (has_usable(&m->tiers[i], b, now_ms)) {
            return true;
        }
    }
    return false;
}

/* When the first of those who are only held may be asked again; UINT64_MAX for nobody. */
static uint64_t soonest_hold_ms(const struct tier *tier, const struct board *b, uint64_t now_ms)
{
    uint64_t soonest_ms = UINT64_MAX;
    for (size_t i = 0; i < tier->member_count; i++) {
        struct backend_view v = board_view(b, tier->members[i].backend->index, now_ms);
        bool is_held = v.state != STATE_DOWN && v.hold_until_ms > now_ms;
        if (is_held && v.hold_until_ms < soonest_ms) {
            soonest_ms = v.hold_until_ms;
        }
    }
    return soonest_ms;
}

uint32_t pick_retry_after_s(const struct model *m, const struct board *b, uint64_t now_ms)
{
    uint64_t soonest_ms = UINT64_MAX;
    for (size_t i = 0; i < m->tier_count; i++) {
        uint64_t at_ms = soonest_hold_ms(&m->tiers[i], b, now_ms);
        soonest_ms = at_ms < soonest_ms ? at_ms : soonest_ms;
    }
    if (soonest_ms == UINT64_MAX) {
        return RETRY_AFTER_DEFAULT_S;
    }
    uint64_t wait_s = (soonest_ms - now_ms + 999) / 1000;
    return wait_s < RETRY_AFTER_MAX_S ? (uint32_t)wait_s : RETRY_AFTER_MAX_S;
}
