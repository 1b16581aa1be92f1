#include "tiers/picker.h"

#include "base/check.h"

/* How many attempts in flight one recent failure weighs as much as. */
enum { FAILURE_LOAD = 4 };

/* From how many members on a tier is sampled, and how often, before all are looked at. */
enum { SAMPLED_FROM = 8, SAMPLES_MAX = 12 };

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
    case PICK_RAMP:
        return "ramp";
    case PICK_DWELL:
        return "dwell";
    case PICK_OPEN:
        return "open";
    case PICK_DOWN:
        return "down";
    case PICK_HELD:
        return "held";
    case PICK_TRIED:
        return "tried";
    case PICK_TOO_LONG:
        return "too_long";
    case PICK_INCAPABLE:
        return "incapable";
    }
    BUG("no such pick status");
}

static enum pick_status status_of_phase(enum breaker_phase phase)
{
    switch (phase) {
    case PHASE_FULL:
        return PICK_USABLE;
    case PHASE_RAMP:
        return PICK_RAMP;
    case PHASE_DWELL:
        return PICK_DWELL;
    case PHASE_OPEN:
        return PICK_OPEN;
    }
    BUG("no such phase");
}

enum pick_status pick_judge(const struct backend_view *v, const struct breaker_view *c,
                            bool was_tried, uint64_t now_ms)
{
    if (was_tried) {
        return PICK_TRIED;
    }
    if (now_ms < v->hold_until_ms) {
        return PICK_HELD;
    }
    return v->state == STATE_DOWN ? PICK_DOWN : status_of_phase(c->phase);
}

bool pick_is_reserve(enum pick_status s, const struct breaker_view *c)
{
    switch (s) {
    case PICK_RAMP:
    case PICK_DWELL:
    case PICK_OPEN: /* its probes are good: to refuse for it would be an outage of our making */
        return true;
    case PICK_DOWN: /* a request was answered although its probes say so */
        return c->answers;
    case PICK_USABLE:
    case PICK_HELD:
    case PICK_TRIED:
    case PICK_TOO_LONG:
    case PICK_INCAPABLE:
        return false;
    }
    BUG("no such pick status");
}

static enum fit fit_of(const struct board *b, const struct tier_member *m,
                       const struct needs *needs)
{
    return needs ? offers_fit(board_offers(b), m->serving, needs) : FIT_WELL;
}

static enum pick_status status_of_fit(enum fit fit, enum pick_status bare)
{
    switch (fit) {
    case FIT_WELL:
        return bare;
    case FIT_TOO_LONG:
    case FIT_REFUSED:
        return PICK_TOO_LONG;
    case FIT_INCAPABLE:
        return PICK_INCAPABLE;
    }
    BUG("no such fit");
}

struct pick_prospect pick_prospect_for(const struct board *b, const struct tier_member *m,
                                       const struct needs *needs, uint64_t now_ms)
{
    struct pick_prospect p = {.backend = board_view(b, m->backend->index, now_ms),
                              .breaker = breakers_view(board_breakers(b), m->serving, now_ms),
                              .fit = fit_of(b, m, needs)};
    p.bare = pick_judge(&p.backend, &p.breaker, false, now_ms);
    p.status = status_of_fit(p.fit, p.bare);
    return p;
}

struct pick_prospect pick_prospect(const struct board *b, const struct tier_member *m,
                                   uint64_t now_ms)
{
    return pick_prospect_for(b, m, NULL, now_ms);
}

bool pick_is_doubtful(const struct pick_prospect *p)
{
    return p->fit == FIT_TOO_LONG &&
           (p->bare == PICK_USABLE || pick_is_reserve(p->bare, &p->breaker));
}

/* --- draws --- */

/* Two of the members offered, at random (reservoir sampling), so that one pass over a tier is
 * enough. */
struct draw {
    uint32_t offered;
    struct {
        const struct tier_member *member;
        uint64_t load;
    } kept[2];
};

static void draw_put(struct draw *d, uint32_t place, const struct tier_member *member,
                     const struct backend_view *v)
{
    d->kept[place].member = member;
    d->kept[place].load = v->in_flight + (uint64_t)FAILURE_LOAD * v->recent_failures;
}

static void draw_offer(struct draw *d, const struct tier_member *member,
                       const struct backend_view *v, struct rand *rand)
{
    uint32_t place = d->offered < 2 ? d->offered : rand_below(rand, d->offered + 1);
    d->offered++;
    if (place < 2) {
        draw_put(d, place, member, v);
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

static bool take(struct pick *out, const struct tier_member *member, enum pick_kind kind)
{
    out->member = member;
    out->kind = kind;
    return true;
}

/* --- regular picks, and trials on their way --- */

/* What becomes of a member in a regular pick. */
enum appraisal { APPRAISAL_NO, APPRAISAL_YES, APPRAISAL_TRIAL };

/* Its breaker has something to say: it is a trial, it ramps up, or it is out. */
static enum appraisal appraise_breaker(const struct pick_query *q, const struct tier_member *m,
                                       struct rand *rand, struct pick *out)
{
    struct breakers *all = board_breakers(q->board);
    struct breaker_view c = breakers_view(all, m->serving, q->now_ms);
    if (c.wants_trial && q->may_try) {
        out->claim = breakers_claim(all, m->serving, q->now_ms);
        return out->claim != 0 ? APPRAISAL_TRIAL : APPRAISAL_NO;
    }
    bool may_share = c.phase == PHASE_RAMP && !c.is_proving;
    return may_share && rand_below(rand, 100) < c.share ? APPRAISAL_YES : APPRAISAL_NO;
}

static enum appraisal appraise(const struct pick_query *q, const struct tier_member *m,
                               struct backend_view *v, struct rand *rand, struct pick *out)
{
    uint32_t backend = m->backend->index;
    *v = board_view(q->board, backend, q->now_ms);
    if (v->state == STATE_DOWN || q->now_ms < v->hold_until_ms ||
        tried_has(q->tried, backend) || fit_of(q->board, m, q->needs) != FIT_WELL) {
        return APPRAISAL_NO;
    }
    if (breakers_is_full(board_breakers(q->board), m->serving, q->now_ms)) {
        return APPRAISAL_YES;
    }
    return appraise_breaker(q, m, rand, out);
}

/* Of many that are out, most are out for this: a glance before the long look. */
static inline bool is_down(const struct pick_query *q, const struct tier_member *m)
{
    return board_state(q->board, m->backend->index) == STATE_DOWN;
}

/* Looks at everybody. */
static bool scan_tier(const struct tier *tier, const struct pick_query *q, struct rand *rand,
                      struct pick *out)
{
    struct draw healthy = {0};
    struct draw degraded = {0};
    for (size_t i = 0; i < tier->member_count; i++) {
        struct backend_view v;
        if (is_down(q, &tier->members[i])) {
            continue;
        }
        enum appraisal a = appraise(q, &tier->members[i], &v, rand, out);
        if (a == APPRAISAL_TRIAL) {
            return take(out, &tier->members[i], PICK_TRIAL);
        }
        if (a == APPRAISAL_YES) {
            draw_offer(v.state == STATE_HEALTHY ? &healthy : &degraded, &tier->members[i], &v,
                       rand);
        }
    }
    if (healthy.offered > 0) {
        return take(out, draw_best(&healthy, rand), PICK_REGULAR);
    }
    return degraded.offered > 0 && take(out, draw_best(&degraded, rand), PICK_REGULAR);
}

/* Where most are well, two of many are found without looking at all of them: whoever is drawn
 * and is not well is drawn again. False: too few were found, look at everybody. */
static bool sample_tier(const struct tier *tier, const struct pick_query *q, struct rand *rand,
                        struct pick *out)
{
    struct draw healthy = {0};
    for (uint32_t i = 0; i < SAMPLES_MAX && healthy.offered < 2; i++) {
        const struct tier_member *m =
            &tier->members[rand_below(rand, (uint32_t)tier->member_count)];
        struct backend_view v;
        bool is_kept = healthy.offered == 1 && m == healthy.kept[0].member;
        if (is_kept || is_down(q, m)) {
            continue;
        }
        enum appraisal a = appraise(q, m, &v, rand, out);
        if (a == APPRAISAL_TRIAL) {
            return take(out, m, PICK_TRIAL);
        }
        if (a == APPRAISAL_YES && v.state == STATE_HEALTHY) {
            draw_put(&healthy, healthy.offered++, m, &v);
        }
    }
    return healthy.offered == 2 && take(out, draw_best(&healthy, rand), PICK_REGULAR);
}

static bool pick_regular(const struct tier *tier, const struct pick_query *q, struct rand *rand,
                         struct pick *out)
{
    bool is_large = tier->member_count >= SAMPLED_FROM;
    return (is_large && sample_tier(tier, q, rand, out)) || scan_tier(tier, q, rand, out);
}

/* --- reserve --- */

static struct pick_prospect prospect_for(const struct pick_query *q,
                                         const struct tier_member *m)
{
    struct pick_prospect p = pick_prospect_for(q->board, m, q->needs, q->now_ms);
    if (tried_has(q->tried, m->backend->index)) {
        p.status = PICK_TRIED;
        p.bare = PICK_TRIED;
    }
    return p;
}

static bool pick_reserve(const struct tier *tier, const struct pick_query *q, struct rand *rand,
                         struct pick *out)
{
    struct draw reserve = {0};
    for (size_t i = 0; i < tier->member_count; i++) {
        struct pick_prospect p = prospect_for(q, &tier->members[i]);
        if (pick_is_reserve(p.status, &p.breaker)) {
            draw_offer(&reserve, &tier->members[i], &p.backend, rand);
        }
    }
    return reserve.offered > 0 && take(out, draw_best(&reserve, rand), PICK_RESERVE);
}

/* --- roomiest --- */

static uint32_t context_of(const struct pick_query *q, const struct tier_member *m)
{
    return offers_of(board_offers(q->board), m->serving).context;
}

/* The better tier first where two have as much room. */
static bool pick_roomiest(const struct pick_query *q, struct pick *out)
{
    uint32_t most = 0;
    uint32_t tier = 0;
    for (uint32_t t = 0; q->needs && t < q->model->tier_count; t++) {
        for (size_t i = 0; i < q->model->tiers[t].member_count; i++) {
            const struct tier_member *m = &q->model->tiers[t].members[i];
            struct pick_prospect p = prospect_for(q, m);
            uint32_t context = context_of(q, m);
            if (pick_is_doubtful(&p) && context > most) {
                most = context;
                tier = t;
                out->member = m;
            }
        }
    }
    out->tier = tier;
    return most > 0 && take(out, out->member, PICK_RESERVE);
}

/* --- panic --- */

/* How bad it is; RANK_NEVER is not tried at all. */
enum rank { RANK_ERRORS, RANK_BROKEN, RANK_SILENT, RANK_UNREACHED, RANK_NEVER };

static enum rank rank_failure(enum failure f)
{
    bool is_unreached = f == FAILURE_connect_refused || f == FAILURE_unreachable ||
                        f == FAILURE_dns_failed || f == FAILURE_tls_failed;
    bool is_broken = f == FAILURE_reset || f == FAILURE_closed || f == FAILURE_truncated;
    if (is_unreached || is_broken) {
        return is_unreached ? RANK_UNREACHED : RANK_BROKEN;
    }
    return verdict_is_silence(f) ? RANK_SILENT : RANK_ERRORS;
}

static enum rank rank_of(const struct pick_prospect *p)
{
    struct cause cause = p->backend.cause;
    enum pick_status status = p->fit == FIT_TOO_LONG ? p->bare : p->status; /* an estimate */
    if (status == PICK_OPEN) {
        return rank_failure(p->breaker.reason);
    }
    if (status != PICK_DOWN || cause.kind == CAUSE_LOADING) {
        return RANK_NEVER;
    }
    return cause.kind == CAUSE_PROBE_STATUS ? RANK_ERRORS : rank_failure(cause.failure);
}

static bool is_only_one(const struct model *m)
{
    return m->tier_count == 1 && m->tiers[0].member_count == 1;
}

static bool claim_panic(const struct pick_query *q, const struct tier_member *m, enum rank rank)
{
    bool is_dear = rank == RANK_SILENT && !is_only_one(q->model);
    if (!board_claim_last_resort(q->board, m->backend->index, q->now_ms)) {
        return false;
    }
    return !is_dear ||
           breakers_claim_panic(board_breakers(q->board), q->model->index, q->now_ms);
}

static bool panic_in_tier(const struct tier *tier, const struct pick_query *q, enum rank rank,
                          struct pick *out)
{
    for (size_t i = 0; i < tier->member_count; i++) {
        struct pick_prospect p = prospect_for(q, &tier->members[i]);
        if (rank_of(&p) == rank && claim_panic(q, &tier->members[i], rank)) {
            return take(out, &tier->members[i], PICK_PANIC);
        }
    }
    return false;
}

static bool pick_in_panic(const struct pick_query *q, struct pick *out)
{
    const struct model *m = q->model;
    for (unsigned rank = 0; rank < RANK_NEVER; rank++) {
        for (out->tier = 0; out->tier < m->tier_count; out->tier++) {
            if (panic_in_tier(&m->tiers[out->tier], q, (enum rank)rank, out)) {
                return true;
            }
        }
    }
    return false;
}

bool pick_backend(const struct pick_query *q, struct rand *rand, struct pick *out)
{
    const struct model *m = q->model;
    *out = (struct pick){.member = NULL};
    for (out->tier = 0; out->tier < m->tier_count; out->tier++) {
        if (pick_regular(&m->tiers[out->tier], q, rand, out)) {
            return true;
        }
    }
    if (q->usable_only) {
        return false;
    }
    for (out->tier = 0; out->tier < m->tier_count; out->tier++) {
        if (pick_reserve(&m->tiers[out->tier], q, rand, out)) {
            return true;
        }
    }
    return pick_roomiest(q, out) || (m->may_panic && pick_in_panic(q, out));
}

void pick_release(struct board *b, const struct pick *p, uint64_t now_ms)
{
    if (p->claim != 0) {
        breakers_release(board_breakers(b), p->member->serving, p->claim, now_ms);
    }
}

/* --- for those who ask --- */

static bool has_usable(const struct tier *tier, const struct board *b, uint64_t now_ms)
{
    for (size_t i = 0; i < tier->member_count; i++) {
        struct pick_prospect p = pick_prospect(b, &tier->members[i], now_ms);
        bool is_trial = p.status == PICK_OPEN && p.breaker.wants_trial;
        if (p.status == PICK_USABLE || is_trial || pick_is_reserve(p.status, &p.breaker)) {
            return true;
        }
    }
    return false;
}

static bool has_untried(const struct tier *tier, const struct tried *tried,
                        const struct backend *but)
{
    for (size_t i = 0; i < tier->member_count; i++) {
        const struct backend *b = tier->members[i].backend;
        if (b != but && !tried_has(tried, b->index)) {
            return true;
        }
    }
    return false;
}

uint32_t pick_tiers_after(const struct model *m, const struct tried *tried,
                          const struct pick *p)
{
    uint32_t count = 0;
    for (size_t i = p->tier; i < m->tier_count; i++) {
        count += has_untried(&m->tiers[i], tried, p->member->backend) ? 1 : 0;
    }
    return count;
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
