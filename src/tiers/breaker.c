#include "tiers/breaker.h"

#include "base/check.h"

/* The ramp's steps, each as long as the others. */
static const uint32_t RAMP_SHARES[] = {10, 25, 50};
enum { RAMP_STEPS = sizeof(RAMP_SHARES) / sizeof(RAMP_SHARES[0]) };

void breaker_init(struct breaker *b, uint64_t now_ms)
{
    *b = (struct breaker){.since_ms = now_ms, .trial_due_ms = UINT64_MAX, .is_promoted = true};
}

/* --- where it stands --- */

static bool was_ever_open(const struct breaker *b)
{
    return b->ramp_from_ms > 0;
}

uint64_t breaker_full_from_ms(const struct breaker *b, const struct breaker_policy *p)
{
    if (b->is_open || b->is_proving) {
        return UINT64_MAX;
    }
    return was_ever_open(b) ? b->ramp_from_ms + p->slow_start_ms : 0;
}

enum breaker_phase breaker_phase(const struct breaker *b, const struct breaker_policy *p,
                                 uint64_t now_ms)
{
    if (b->is_open) {
        return PHASE_OPEN;
    }
    if (now_ms >= breaker_full_from_ms(b, p)) {
        return PHASE_FULL;
    }
    return now_ms < b->ramp_from_ms ? PHASE_DWELL : PHASE_RAMP;
}

uint32_t breaker_share(const struct breaker *b, const struct breaker_policy *p, uint64_t now_ms)
{
    switch (breaker_phase(b, p, now_ms)) {
    case PHASE_FULL:
        return 100;
    case PHASE_RAMP:
        break;
    case PHASE_DWELL:
    case PHASE_OPEN:
        return 0;
    }
    uint64_t step =
        b->is_proving ? 0 : (now_ms - b->ramp_from_ms) * RAMP_STEPS / p->slow_start_ms;
    CHECK(step < RAMP_STEPS);
    return RAMP_SHARES[step];
}

/* Its return to traffic needs no event: whoever comes next counts it. */
static void settle(struct breaker *b, uint64_t now_ms)
{
    if (!b->is_open && !b->is_promoted && now_ms >= b->ramp_from_ms) {
        b->is_promoted = true;
        if (!b->is_excused) {
            b->promoted_ms = b->ramp_from_ms;
            b->promotions++;
        }
    }
}

/* --- times --- */

static uint64_t trial_gap_ms(const struct breaker *b, const struct breaker_policy *p)
{
    uint64_t gap = p->trial_ms;
    for (uint32_t i = 0; i < b->failed_trials && gap < p->trial_max_ms; i++) {
        gap += gap / 2;
    }
    return gap < p->trial_max_ms ? gap : p->trial_max_ms;
}

static uint64_t dwell_ms(const struct breaker *b, const struct breaker_policy *p)
{
    uint64_t times = b->relapses > 0 ? DWELL_FLAP_FIRST : 1;
    for (uint32_t i = 1; i < b->relapses && times < DWELL_FLAP_MOST; i++) {
        times *= 2;
    }
    return p->dwell_ms * (times < DWELL_FLAP_MOST ? times : DWELL_FLAP_MOST);
}

/* --- the window of strikes --- */

static uint32_t count_strikes(const struct breaker *b, uint64_t now_ms)
{
    uint64_t slot = now_ms / STRIKE_SLOT_MS;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < STRIKE_SLOTS; i++) {
        bool is_recent = slot - b->strikes[i].slot < STRIKE_SLOTS;
        sum += is_recent ? b->strikes[i].count : 0;
    }
    return sum;
}

static void add_strike(struct breaker *b, uint64_t now_ms)
{
    uint64_t slot = now_ms / STRIKE_SLOT_MS;
    uint32_t i = (uint32_t)(slot % STRIKE_SLOTS);
    if (b->strikes[i].slot != slot) {
        b->strikes[i].slot = slot;
        b->strikes[i].count = 0;
    }
    b->strikes[i].count++;
}

static void forget_strikes(struct breaker *b)
{
    for (uint32_t i = 0; i < STRIKE_SLOTS; i++) {
        b->strikes[i].count = 0;
    }
}

/* --- moves --- */

static void note_relapse(struct breaker *b, uint64_t now_ms)
{
    if (b->is_promoted && b->promotions > 0) {
        bool is_soon = now_ms - b->promoted_ms < FLAP_MEMORY_MS;
        b->relapses = is_soon ? b->relapses + 1 : 0;
    }
}

/* What makes an outage begin anew. */
static void worsen(struct breaker *b, const struct breaker_policy *p, uint64_t now_ms)
{
    b->is_excused = false;
    b->opened_ms = now_ms;
    b->trial_due_ms = b->claim == 0 ? now_ms + trial_gap_ms(b, p) : UINT64_MAX;
}

static void trip(struct breaker *b, const struct breaker_policy *p, enum failure reason,
                 uint64_t now_ms)
{
    b->is_open = true;
    b->is_proving = false;
    b->is_promoted = false;
    b->reason = reason;
    b->since_ms = now_ms;
    b->dwell_ms = dwell_ms(b, p);
    forget_strikes(b);
    worsen(b, p, now_ms);
}

static void prove(struct breaker *b, uint64_t now_ms)
{
    uint64_t dwelt_ms = b->opened_ms + b->dwell_ms;
    b->is_open = false;
    b->since_ms = now_ms;
    b->ramp_from_ms = now_ms > dwelt_ms ? now_ms : dwelt_ms;
    b->failed_trials = 0;
    settle(b, now_ms);
}

static bool is_older(const struct breaker *b, const struct breaker_ending *e, uint64_t now_ms)
{
    return now_ms < b->opened_ms + e->age_ms;
}

static bool take_claim(struct breaker *b, uint32_t claim)
{
    bool is_it = claim != 0 && claim == b->claim;
    if (is_it) {
        b->claim = 0;
    }
    return is_it;
}

/* Some of the last requests were answered: where there is nobody else, it is better than
 * nothing. */
static void count_on_answers(struct breaker *b, uint64_t now_ms)
{
    b->answers_until_ms = now_ms + BREAKER_WINDOW_MS;
}

static void strike_open(struct breaker *b, const struct breaker_policy *p, enum failure f,
                        uint64_t now_ms)
{
    b->reason = f;
    b->needs_request = !verdict_is_silence(f);
    if (b->answers_until_ms == UINT64_MAX) {
        b->answers_until_ms = 0; /* what probes promised is not true */
    }
    worsen(b, p, now_ms);
}

bool breaker_on_strike(struct breaker *b, const struct breaker_policy *p, enum failure f,
                       const struct breaker_ending *e, uint64_t now_ms)
{
    settle(b, now_ms);
    bool was_trial = take_claim(b, e->claim);
    enum breaker_phase phase = breaker_phase(b, p, now_ms);
    b->failed_trials += was_trial ? 1 : 0;
    if (phase != PHASE_FULL && !was_trial && is_older(b, e, now_ms)) {
        return false;
    }
    if (phase == PHASE_OPEN) {
        strike_open(b, p, f, now_ms);
        return false;
    }
    if (phase == PHASE_FULL) {
        add_strike(b, now_ms);
        uint32_t strikes = count_strikes(b, now_ms);
        if (strikes < STRIKES_OPEN || strikes < e->answers) {
            return false;
        }
        b->failed_trials = 0;
    }
    if (e->answers > 0) {
        count_on_answers(b, now_ms);
    }
    note_relapse(b, now_ms);
    b->needs_request = !verdict_is_silence(f);
    trip(b, p, f, now_ms);
    return true;
}

bool breaker_on_answer(struct breaker *b, const struct breaker_policy *p,
                       const struct breaker_ending *e, uint64_t now_ms)
{
    settle(b, now_ms);
    bool was_open = b->is_open;
    if (is_older(b, e, now_ms)) {
        breaker_release(b, p, e->claim, now_ms);
        return false;
    }
    (void)take_claim(b, e->claim);
    if (breaker_phase(b, p, now_ms) == PHASE_FULL) {
        return false;
    }
    count_on_answers(b, now_ms);
    if (was_open) {
        prove(b, now_ms);
    } else if (b->is_proving && now_ms >= b->ramp_from_ms) {
        b->ramp_from_ms = now_ms;
    }
    b->is_proving = false;
    b->trial_due_ms = b->needs_request ? now_ms + p->trial_max_ms : UINT64_MAX;
    return was_open;
}

void breaker_on_down(struct breaker *b, const struct breaker_policy *p, enum outage why,
                     enum failure f, uint64_t now_ms)
{
    settle(b, now_ms);
    b->answers_until_ms = 0;
    if (b->is_open && why != OUTAGE_LOADING) {
        worsen(b, p, now_ms);
    }
    if (!b->is_open) {
        if (why != OUTAGE_LOADING) {
            note_relapse(b, now_ms);
        }
        b->needs_request = false;
        trip(b, p, f, now_ms);
        b->is_excused = why == OUTAGE_LOADING;
        b->dwell_ms = b->is_excused ? 0 : b->dwell_ms;
    }
    if (why == OUTAGE_REQUEST || why == OUTAGE_SILENCE) {
        b->needs_request = why == OUTAGE_REQUEST;
    }
}

bool breaker_on_up(struct breaker *b, const struct breaker_policy *p, uint64_t now_ms)
{
    settle(b, now_ms);
    if (!b->is_open) {
        return false; /* a request has proven it before its probes did */
    }
    if (b->needs_request) {
        b->answers_until_ms = UINT64_MAX; /* until a request says otherwise */
        return false;
    }
    prove(b, now_ms);
    b->is_proving = p->slow_start_ms > 0;
    b->trial_due_ms = b->is_proving && b->claim == 0 ? b->ramp_from_ms : UINT64_MAX;
    return true;
}

/* --- trials --- */

bool breaker_wants_trial(const struct breaker *b, const struct breaker_policy *p,
                         uint64_t now_ms)
{
    if (b->claim != 0) {
        return false;
    }
    switch (breaker_phase(b, p, now_ms)) {
    case PHASE_FULL:
        return false;
    case PHASE_RAMP:
        return b->is_proving && now_ms >= b->trial_due_ms;
    case PHASE_DWELL:
    case PHASE_OPEN:
        return b->needs_request && now_ms >= b->trial_due_ms;
    }
    BUG("no such phase");
}

uint32_t breaker_claim(struct breaker *b, const struct breaker_policy *p, uint64_t now_ms)
{
    settle(b, now_ms);
    if (!breaker_wants_trial(b, p, now_ms)) {
        return 0;
    }
    b->last_claim = b->last_claim < UINT32_MAX ? b->last_claim + 1 : 1;
    b->claim = b->last_claim;
    b->trial_due_ms = UINT64_MAX;
    return b->claim;
}

void breaker_release(struct breaker *b, const struct breaker_policy *p, uint32_t claim,
                     uint64_t now_ms)
{
    if (take_claim(b, claim)) {
        b->trial_due_ms = now_ms + trial_gap_ms(b, p);
    }
}
