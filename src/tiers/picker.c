#include "tiers/picker.h"

#include "base/check.h"
#include "tiers/draw.h"
#include "tiers/lines.h"
#include "tiers/loads.h"

/* Other threads may take the slot that was seen free, but not for ever. */
enum { CLAIMS_MAX = 64 };

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

/* --- regular picks, and trials on their way --- */

static struct lines *lines_of(const struct board *b)
{
    return loads_lines(board_loads(b));
}

static bool take(struct pick *out, const struct tier_member *member, enum pick_kind kind)
{
    out->member = member;
    out->kind = kind;
    return true;
}

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
    if (v->state == STATE_DOWN ||
        v->operator.word != OPERATOR_NONE || q->now_ms<v->hold_until_ms ||
        advice_drains(v->advice) ||
        tried_has(q->tried, backend) || pick_fit(q->board, m, q->needs) != FIT_WELL) {
        return APPRAISAL_NO;
    }
    bool is_open_to_all = breakers_is_full(board_breakers(q->board), m->serving, q->now_ms);
    if (v->is_full) {
        out->is_full = out->is_full || is_open_to_all;
        return APPRAISAL_NO;
    }
    if (is_open_to_all) {
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
    struct entrants healthy;
    struct entrants degraded;
    entrants_init(&healthy, q);
    entrants_init(&degraded, q);
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
            entrants_offer(v.state == STATE_HEALTHY ? &healthy : &degraded, q,
                           &tier->members[i], &v, rand);
        }
    }
    const struct entrants *best = entrants_is_empty(&healthy) ? &degraded : &healthy;
    return !entrants_is_empty(best) &&
           take(out, entrants_best(best, q, out->tier, rand), PICK_REGULAR);
}

/* Where most are well, two of many are found without looking at all of them: whoever is drawn
 * and is not well is drawn again. False: too few were found, look at everybody. */
static bool sample_tier(const struct tier *tier, const struct pick_query *q, struct rand *rand,
                        struct pick *out)
{
    struct draw healthy;
    draw_init(&healthy);
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
            draw_put(&healthy, healthy.offered++, q, m, &v);
        }
    }
    return healthy.offered == 2 && take(out, draw_best(&healthy, rand), PICK_REGULAR);
}

static bool pick_regular(const struct tier *tier, const struct pick_query *q, struct rand *rand,
                         struct pick *out)
{
    bool is_large = tier->member_count >= SAMPLED_FROM && q->model->load.kind == LOAD_LEAST;
    return (is_large && sample_tier(tier, q, rand, out)) || scan_tier(tier, q, rand, out);
}

/* With a slot, where it has any. */
static bool claim_slot(const struct pick_query *q, struct pick *out)
{
    struct loads *loads = board_loads(q->board);
    uint32_t backend = out->member->backend->index;
    out->has_slot = false;
    if (!loads_is_limited(loads, backend)) {
        return true;
    }
    out->has_slot = loads_claim(loads, backend);
    return out->has_slot;
}

/* One of this tier and its slot; the next one where another thread was faster. */
static bool pick_in_tier(const struct tier *tier, const struct pick_query *q, struct rand *rand,
                         struct pick *out)
{
    for (unsigned i = 0; i < CLAIMS_MAX && pick_regular(tier, q, rand, out); i++) {
        if (claim_slot(q, out)) {
            return true;
        }
        pick_release(q->board, out, q->now_ms);
        out->claim = 0;
    }
    return false;
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

/* Of this rank, in this tier. */
static bool pick_reserve(const struct tier *tier, const struct pick_query *q,
                         enum pick_rank rank, struct rand *rand, struct pick *out)
{
    struct entrants reserve;
    entrants_init(&reserve, q);
    for (size_t i = 0; i < tier->member_count; i++) {
        struct pick_prospect p = prospect_for(q, &tier->members[i]);
        if (pick_rank_of(&p) != rank) {
            continue;
        }
        if (p.backend.is_full) {
            out->is_full = true;
        } else {
            entrants_offer(&reserve, q, &tier->members[i], &p.backend, rand);
        }
    }
    return !entrants_is_empty(&reserve) &&
           take(out, entrants_best(&reserve, q, out->tier, rand), PICK_RESERVE) &&
           claim_slot(q, out);
}

bool pick_may_use(const struct pick_query *q, const struct tier_member *m)
{
    enum pick_status s = prospect_for(q, m).status;
    return s == PICK_USABLE || s == PICK_FULL;
}

bool pick_may_reserve(const struct pick_query *q, const struct tier_member *m)
{
    struct pick_prospect p = prospect_for(q, m);
    return pick_is_reserve(p.status, &p.breaker);
}

/* --- roomiest --- */

static uint32_t context_of(const struct pick_query *q, const struct tier_member *m)
{
    return offers_of(board_offers(q->board), m->serving).context;
}

/* The better tier first where two have as much room. It is waited for when all its slots are
 * taken. */
static bool pick_roomiest(const struct pick_query *q, struct pick *out)
{
    uint32_t most = 0;
    uint32_t tier = 0;
    const struct tier_member *roomiest = NULL;
    for (uint32_t t = 0; q->needs && t < q->model->tier_count; t++) {
        for (size_t i = 0; i < q->model->tiers[t].member_count; i++) {
            const struct tier_member *m = &q->model->tiers[t].members[i];
            struct pick_prospect p = prospect_for(q, m);
            uint32_t context = context_of(q, m);
            if (pick_is_doubtful(&p) && context > most) {
                most = context;
                tier = t;
                roomiest = m;
            }
        }
    }
    out->tier = tier;
    out->is_full = roomiest && !(take(out, roomiest, PICK_RESERVE) && claim_slot(q, out));
    return roomiest && !out->is_full;
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
    if (status != PICK_DOWN || cause_is_loading(cause)) {
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
    if (loads_is_full(board_loads(q->board), m->backend->index)) {
        return false;
    }
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
            return take(out, &tier->members[i], PICK_PANIC) && claim_slot(q, out);
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

/* All who are usable in tier `full` are so; others serve only where that is faster. */
static bool pick_usable(const struct pick_query *q, struct rand *rand, struct pick *out)
{
    const struct model *m = q->model;
    uint32_t full = 0;
    for (out->tier = 0; out->tier < m->tier_count; out->tier++) {
        bool is_overflow = out->is_full;
        enum overflow o = is_overflow ? lines_overflow(lines_of(q->board), q, full, out->tier)
                                      : OVERFLOW_GOES;
        if (o == OVERFLOW_WAITS) {
            break;
        }
        if (o == OVERFLOW_GOES && pick_in_tier(&m->tiers[out->tier], q, rand, out)) {
            out->is_full = false;
            out->is_overflow = is_overflow;
            return true;
        }
        full = out->is_full && !is_overflow ? out->tier : full;
    }
    out->tier = full;
    out->kind = PICK_REGULAR;
    return false;
}

static bool pick_of_rank(const struct pick_query *q, enum pick_rank rank, struct rand *rand,
                         struct pick *out)
{
    const struct model *m = q->model;
    uint32_t full = 0;
    for (out->tier = 0; out->tier < m->tier_count; out->tier++) {
        bool was_full = out->is_full;
        if (pick_reserve(&m->tiers[out->tier], q, rank, rand, out)) {
            out->is_full = false;
            return true;
        }
        full = out->is_full && !was_full ? out->tier : full;
    }
    out->tier = full;
    out->kind = PICK_RESERVE;
    return false;
}

/* Those that only others' word has taken away come last. */
static bool pick_reserves(const struct pick_query *q, struct rand *rand, struct pick *out)
{
    return pick_of_rank(q, PICK_RANK_RESERVE, rand, out) ||
           (!out->is_full && pick_of_rank(q, PICK_RANK_DRAINED, rand, out)) ||
           (!out->is_full && pick_of_rank(q, PICK_RANK_CUT, rand, out));
}

static bool pick_somebody(const struct pick_query *q, struct rand *rand, struct pick *out)
{
    *out = (struct pick){.member = NULL};
    if (pick_usable(q, rand, out)) {
        return true;
    }
    if (q->usable_only || out->is_full) {
        return false;
    }
    if (pick_reserves(q, rand, out)) {
        return true;
    }
    if (!out->is_full && pick_roomiest(q, out)) {
        return true;
    }
    return !out->is_full && q->model->may_panic && pick_in_panic(q, out);
}

bool pick_backend(const struct pick_query *q, struct rand *rand, struct pick *out)
{
    while (pick_somebody(q, rand, out)) {
        bool is_for_all = out->kind == PICK_REGULAR || out->kind == PICK_RESERVE;
        if (!is_for_all || !out->has_slot || !lines_yield(lines_of(q->board), q, out)) {
            return true;
        }
    }
    return false;
}

void pick_release(struct board *b, const struct pick *p, uint64_t now_ms)
{
    if (p->claim != 0) {
        breakers_release(board_breakers(b), p->member->serving, p->claim, now_ms);
    }
    if (p->has_slot) {
        lines_give(lines_of(b), b, p->member->backend->index, now_ms);
    }
}

bool pick_again(struct board *b, struct pick *p)
{
    uint32_t backend = p->member->backend->index;
    if (board_operator(b, backend) != OPERATOR_NONE) {
        p->has_slot = false;
        return false;
    }
    p->has_slot = loads_is_limited(board_loads(b), backend);
    if (p->has_slot && !loads_claim(board_loads(b), backend)) {
        p->has_slot = false;
        return false;
    }
    return true;
}

/* --- for those who ask --- */

static bool has_usable(const struct tier *tier, const struct board *b, uint64_t now_ms)
{
    for (size_t i = 0; i < tier->member_count; i++) {
        struct pick_prospect p = pick_prospect(b, &tier->members[i], now_ms);
        bool is_trial = p.status == PICK_OPEN && p.breaker.wants_trial;
        bool is_usable = p.status == PICK_USABLE || p.status == PICK_FULL;
        if (is_usable || is_trial || pick_is_reserve(p.status, &p.breaker)) {
            return true;
        }
    }
    return false;
}

bool pick_is_ordered_out(const struct model *m, const struct board *b)
{
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t i = 0; i < m->tiers[t].member_count; i++) {
            if (board_operator(b, m->tiers[t].members[i].backend->index) == OPERATOR_NONE) {
                return false;
            }
        }
    }
    return true;
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

bool pick_has_other(const struct model *m, const struct board *b, const struct backend *but,
                    uint64_t now_ms)
{
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t i = 0; i < m->tiers[t].member_count; i++) {
            const struct tier_member *at = &m->tiers[t].members[i];
            struct pick_prospect p = pick_prospect(b, at, now_ms);
            if (at->backend != but && pick_rank_of(&p) <= PICK_RANK_RESERVE) {
                return true;
            }
        }
    }
    return false;
}

uint32_t pick_tiers_after(const struct model *m, const struct tried *tried,
                          const struct pick *p)
{
    uint32_t count = 0;
    for (size_t i = p->is_overflow ? 0 : p->tier; i < m->tier_count; i++) {
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
