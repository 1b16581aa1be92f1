#include "tiers/demand.h"

#include "base/check.h"
#include "tiers/pick_status.h"

/* --- looking --- */

enum standing_of { STANDS_OUT, STANDS_SOMEHOW, STANDS_WELL };

/* What is looked at. */
struct sight {
    const struct board *board;
    const struct processes *processes;
    uint64_t now_ms;
};

static enum standing_of standing(const struct sight *at, const struct tier_member *m)
{
    switch (pick_prospect(at->board, m, at->now_ms).status) {
    case PICK_USABLE:
    case PICK_FULL:
        return STANDS_WELL;
    case PICK_DOWN:
    case PICK_OPEN:
    case PICK_DRAINED:
    case PICK_DRAINING:
    case PICK_DISABLED:
        return STANDS_OUT;
    case PICK_RISING:
        return process_is_coming(processes_of(at->processes, m->backend->index), at->now_ms)
                   ? STANDS_SOMEHOW
                   : STANDS_OUT;
    case PICK_STOPPED: /* what needs this one needs that one first */
    case PICK_RAMP:
    case PICK_DWELL:
    case PICK_HELD:
    case PICK_TRIED:
    case PICK_TOO_LONG:
    case PICK_INCAPABLE:
        return STANDS_SOMEHOW;
    }
    BUG("no such pick status");
}

static bool tier_has(const struct tier *t, uint32_t backend)
{
    for (size_t i = 0; i < t->member_count; i++) {
        if (t->members[i].backend->index == backend) {
            return true;
        }
    }
    return false;
}

/* The best of a tier. */
static enum standing_of tier_standing(const struct sight *at, const struct tier *t)
{
    enum standing_of best = STANDS_OUT;
    for (size_t i = 0; i < t->member_count && best != STANDS_WELL; i++) {
        enum standing_of s = standing(at, &t->members[i]);
        best = s > best ? s : best;
    }
    return best;
}

/* Of one model: the tier that has it, and the best above. */
struct above {
    bool has_it;
    uint32_t rank;
    enum standing_of best;
};

static struct above look_above(const struct sight *at, const struct model *m, uint32_t backend)
{
    struct above a = {.best = STANDS_OUT};
    for (; a.rank < m->tier_count; a.rank++) {
        a.has_it = tier_has(&m->tiers[a.rank], backend);
        if (a.has_it) {
            break;
        }
        enum standing_of s = tier_standing(at, &m->tiers[a.rank]);
        a.best = s > a.best ? s : a.best;
    }
    return a;
}

struct demand_look demand_look(const struct catalog *c, const struct board *b,
                               const struct processes *p, uint32_t backend, uint64_t now_ms)
{
    struct sight at = {.board = b, .processes = p, .now_ms = now_ms};
    struct demand_look l = {.rank = UINT32_MAX, .has_better = true};
    for (size_t i = 0; i < c->model_count; i++) {
        struct above a = look_above(&at, &c->models[i], backend);
        if (a.has_it) {
            l.is_needed = l.is_needed || a.best == STANDS_OUT;
            l.has_better = l.has_better && a.best == STANDS_WELL;
            l.rank = a.rank < l.rank ? a.rank : l.rank;
        }
    }
    struct backend_view v = board_view(b, backend, now_ms);
    l.in_flight = v.in_flight;
    l.is_frozen = v.operator.word != OPERATOR_NONE;
    l.is_unbegun = processes_of(p, backend)->state == PROCESS_waiting;
    return l;
}

/* --- deciding --- */

static void note_since(uint64_t *since_ms, bool is_so, uint64_t now_ms)
{
    if (!is_so) {
        *since_ms = 0;
    } else if (*since_ms == 0) {
        *since_ms = now_ms > 0 ? now_ms : 1;
    }
}

static bool is_to_begin(const struct demand *d, const struct managed_policy *p, uint64_t now_ms)
{
    return p->start == MANAGED_ALWAYS ||
           (d->needed_since_ms > 0 && now_ms >= d->needed_since_ms + DEMAND_GRACE_MS);
}

static bool is_to_end(const struct demand *d, const struct managed_policy *p,
                      const struct demand_look *l, uint64_t now_ms)
{
    uint64_t end_ms = demand_end_ms(d, p);
    bool is_spare = p->start == MANAGED_ON_DEMAND && d->better_since_ms > 0;
    return is_spare && (l->is_unbegun || (end_ms > 0 && now_ms >= end_ms && l->in_flight == 0));
}

bool demand_next(struct demand *d, const struct managed_policy *p, const struct demand_look *l,
                 uint64_t now_ms)
{
    bool was_wanted = d->is_wanted;
    note_since(&d->needed_since_ms, l->is_needed, now_ms);
    note_since(&d->better_since_ms, l->has_better, now_ms);
    if (l->is_frozen) {
        return false;
    }
    d->is_wanted = was_wanted ? !is_to_end(d, p, l, now_ms) : is_to_begin(d, p, now_ms);
    return d->is_wanted != was_wanted;
}

uint64_t demand_end_ms(const struct demand *d, const struct managed_policy *p)
{
    bool may_end = d->is_wanted && p->start == MANAGED_ON_DEMAND && p->stop_after_ms > 0;
    return may_end && d->better_since_ms > 0 ? d->better_since_ms + p->stop_after_ms : 0;
}

/* --- turns --- */

static bool is_taken(const struct demand_turn *t, size_t count, struct str gpu)
{
    for (size_t i = 0; i < count; i++) {
        if (t[i].has && str_eq(t[i].gpu, gpu)) {
            return true;
        }
    }
    return false;
}

size_t demand_grant(const struct demand_turn *t, size_t count)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        bool is_better = best == SIZE_MAX || t[i].rank < t[best].rank;
        if (t[i].wants && is_better && !is_taken(t, count, t[i].gpu)) {
            best = i;
        }
    }
    return best;
}
