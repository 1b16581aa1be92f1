#include "tiers/breakers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum { CACHE_LINE = 64 };

typedef _Atomic uint64_t shared_u64;

/* One serving. What every pick reads is not in the line that every answer writes. All atomics
 * but `answers` are written under the lock only. */
struct site {
    struct {
        _Alignas(CACHE_LINE) shared_u64 full_from_ms;
        shared_u64 ramp_from_ms;
        shared_u64 trial_due_ms;
        shared_u64 answers_until_ms;
        shared_u64 since_ms;
        shared_u64 flags; /* see pack_flags */
        _Atomic uint32_t relapses;
        _Atomic uint32_t promotions;
    } published;
    _Alignas(CACHE_LINE) shared_u64 answers[STRIKE_SLOTS]; /* time slot and count in a word */
    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    struct breaker breaker; /* under lock */
};

struct breakers {
    const struct catalog *catalog; /* borrowed, outlives this */
    struct site *sites;            /* one a serving */
    shared_u64 *panic_ms;          /* one a model: the last one; 0: none yet */
};

static uint64_t load(const shared_u64 *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static void store(shared_u64 *to, uint64_t value)
{
    atomic_store_explicit(to, value, memory_order_relaxed);
}

/* --- publishing --- */

enum { FLAG_OPEN = 1, FLAG_PROVING = 2, FLAG_CLAIMED = 4, FLAG_NEEDS_REQUEST = 8 };
enum { REASON_SHIFT = 8 };

static uint64_t pack_flags(const struct breaker *b)
{
    uint64_t flags = (b->is_open ? FLAG_OPEN : 0U) | (b->is_proving ? FLAG_PROVING : 0U) |
                     (b->claim != 0 ? FLAG_CLAIMED : 0U) |
                     (b->needs_request ? FLAG_NEEDS_REQUEST : 0U);
    return flags | (uint64_t)b->reason << REASON_SHIFT;
}

static void publish(struct site *s, const struct breaker_policy *p)
{
    const struct breaker *b = &s->breaker;
    store(&s->published.ramp_from_ms, b->ramp_from_ms);
    store(&s->published.trial_due_ms, b->trial_due_ms);
    store(&s->published.answers_until_ms, b->answers_until_ms);
    store(&s->published.since_ms, b->since_ms);
    store(&s->published.flags, pack_flags(b));
    atomic_store_explicit(&s->published.relapses, b->relapses, memory_order_relaxed);
    atomic_store_explicit(&s->published.promotions, b->promotions, memory_order_relaxed);
    /* Last: who sees that it is full, or is not, sees why. */
    atomic_store_explicit(&s->published.full_from_ms, breaker_full_from_ms(b, p),
                          memory_order_release);
}

/* --- life --- */

struct breakers *breakers_new(const struct catalog *c, uint64_t now_ms)
{
    struct breakers *b = mem_alloc(sizeof(*b));
    b->catalog = c;
    b->panic_ms = mem_alloc(sizeof(b->panic_ms[0]) * (c->model_count + 1));
    if (c->serving_count == 0) {
        return b;
    }
    b->sites = aligned_alloc(CACHE_LINE, c->serving_count * sizeof(struct site));
    CHECK(b->sites != NULL);
    memset(b->sites, 0, c->serving_count * sizeof(struct site));
    for (size_t i = 0; i < c->serving_count; i++) {
        CHECK(pthread_mutex_init(&b->sites[i].lock, NULL) == 0);
        breaker_init(&b->sites[i].breaker, now_ms);
        publish(&b->sites[i], &c->servings[i].backend->breaker);
    }
    return b;
}

void breakers_free(struct breakers **b)
{
    if (!*b) {
        return;
    }
    for (size_t i = 0; (*b)->sites && i < (*b)->catalog->serving_count; i++) {
        CHECK(pthread_mutex_destroy(&(*b)->sites[i].lock) == 0);
    }
    free((*b)->sites);
    free((*b)->panic_ms);
    free(*b);
    *b = NULL;
}

static struct site *site_of(const struct breakers *b, uint32_t serving)
{
    CHECK(serving < b->catalog->serving_count);
    return &b->sites[serving];
}

static const struct breaker_policy *policy_of(const struct breakers *b, uint32_t serving)
{
    return &b->catalog->servings[serving].backend->breaker;
}

static struct breaker *lock_site(struct site *s)
{
    CHECK(pthread_mutex_lock(&s->lock) == 0);
    return &s->breaker;
}

static void unlock_site(struct site *s, const struct breaker_policy *p)
{
    publish(s, p);
    CHECK(pthread_mutex_unlock(&s->lock) == 0);
}

/* --- reading --- */

bool breakers_is_full(const struct breakers *b, uint32_t serving, uint64_t now_ms)
{
    return now_ms >= atomic_load_explicit(&site_of(b, serving)->published.full_from_ms,
                                          memory_order_acquire);
}

/* As much of it as is published. */
static struct breaker copy_of(const struct site *s)
{
    uint64_t flags = load(&s->published.flags);
    return (struct breaker){
        .is_open = (flags & FLAG_OPEN) != 0,
        .is_proving = (flags & FLAG_PROVING) != 0,
        .needs_request = (flags & FLAG_NEEDS_REQUEST) != 0,
        .claim = (flags & FLAG_CLAIMED) != 0 ? 1 : 0,
        .reason = (enum failure)(flags >> REASON_SHIFT),
        .since_ms = load(&s->published.since_ms),
        .ramp_from_ms = load(&s->published.ramp_from_ms),
        .trial_due_ms = load(&s->published.trial_due_ms),
        .answers_until_ms = load(&s->published.answers_until_ms),
        .relapses = atomic_load_explicit(&s->published.relapses, memory_order_relaxed),
        .promotions = atomic_load_explicit(&s->published.promotions, memory_order_relaxed),
    };
}

static uint64_t until_ms(const struct breaker *b, const struct breaker_policy *p,
                         enum breaker_phase phase)
{
    uint64_t until = 0;
    switch (phase) {
    case PHASE_FULL:
        break;
    case PHASE_RAMP:
        until = breaker_full_from_ms(b, p);
        break;
    case PHASE_DWELL:
        until = b->ramp_from_ms;
        break;
    case PHASE_OPEN:
        until = b->needs_request ? b->trial_due_ms : 0;
        break;
    }
    return until == UINT64_MAX ? 0 : until;
}

struct breaker_view breakers_view(const struct breakers *b, uint32_t serving, uint64_t now_ms)
{
    const struct site *s = site_of(b, serving);
    const struct breaker_policy *p = policy_of(b, serving);
    struct breaker copy = copy_of(s);
    enum breaker_phase phase = breaker_phase(&copy, p, now_ms);
    return (struct breaker_view){
        .phase = phase,
        .is_half_open = copy.claim != 0 && phase != PHASE_FULL,
        .is_proving = copy.is_proving,
        .wants_trial = breaker_wants_trial(&copy, p, now_ms),
        .answers = now_ms < copy.answers_until_ms,
        .share = breaker_share(&copy, p, now_ms),
        .reason = copy.reason,
        .since_ms = copy.since_ms,
        .until_ms = until_ms(&copy, p, phase),
        .relapses = copy.relapses,
        .promotions = copy.promotions,
    };
}

const char *breaker_view_word(const struct breaker_view *v)
{
    if (v->is_half_open) {
        return "half_open";
    }
    return v->phase == PHASE_OPEN ? "open" : "closed";
}

/* --- answers, counted without the lock --- */

enum { ANSWER_COUNT_BITS = 24, ANSWER_COUNT_MAX = (1 << ANSWER_COUNT_BITS) - 1 };

static void count_answer(struct site *s, uint64_t now_ms)
{
    uint64_t slot = now_ms / STRIKE_SLOT_MS;
    shared_u64 *at = &s->answers[slot % STRIKE_SLOTS];
    uint64_t word = load(at);
    if (word >> ANSWER_COUNT_BITS != slot) {
        /* Who loses this race is not counted: some other answer is. */
        (void)atomic_compare_exchange_strong_explicit(at, &word, slot << ANSWER_COUNT_BITS | 1,
                                                      memory_order_relaxed,
                                                      memory_order_relaxed);
    } else if ((word & ANSWER_COUNT_MAX) < ANSWER_COUNT_MAX / 2) {
        (void)atomic_fetch_add_explicit(at, 1, memory_order_relaxed);
    }
}

static uint32_t count_answers(const struct site *s, uint64_t now_ms)
{
    uint64_t slot = now_ms / STRIKE_SLOT_MS;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < STRIKE_SLOTS; i++) {
        uint64_t word = load(&s->answers[i]);
        bool is_recent = slot - (word >> ANSWER_COUNT_BITS) < STRIKE_SLOTS;
        sum += is_recent ? (uint32_t)(word & ANSWER_COUNT_MAX) : 0;
    }
    return sum;
}

/* --- learning --- */

bool breakers_on_strike(struct breakers *b, uint32_t serving, enum failure f,
                        const struct ended_attempt *e, uint64_t now_ms)
{
    struct site *s = site_of(b, serving);
    const struct breaker_policy *p = policy_of(b, serving);
    struct breaker_ending ending = {e->age_ms, e->claim, count_answers(s, now_ms)};
    bool opened = breaker_on_strike(lock_site(s), p, f, &ending, now_ms);
    unlock_site(s, p);
    return opened;
}

bool breakers_on_content(struct breakers *b, uint32_t serving, const struct ended_attempt *e,
                         uint64_t now_ms)
{
    if (e->claim == 0 && breakers_is_full(b, serving, now_ms)) {
        return false;
    }
    struct site *s = site_of(b, serving);
    const struct breaker_policy *p = policy_of(b, serving);
    struct breaker_ending ending = {e->age_ms, e->claim, 0};
    bool closed = breaker_on_answer(lock_site(s), p, &ending, now_ms);
    unlock_site(s, p);
    return closed;
}

bool breakers_on_answer(struct breakers *b, uint32_t serving, const struct ended_attempt *e,
                        uint64_t now_ms)
{
    count_answer(site_of(b, serving), now_ms);
    return breakers_on_content(b, serving, e, now_ms);
}

void breakers_on_down(struct breakers *b, uint32_t serving, enum outage why, enum failure f,
                      uint64_t now_ms)
{
    struct site *s = site_of(b, serving);
    const struct breaker_policy *p = policy_of(b, serving);
    breaker_on_down(lock_site(s), p, why, f, now_ms);
    unlock_site(s, p);
}

void breakers_on_up(struct breakers *b, uint32_t serving, uint64_t now_ms)
{
    struct site *s = site_of(b, serving);
    const struct breaker_policy *p = policy_of(b, serving);
    (void)breaker_on_up(lock_site(s), p, now_ms);
    unlock_site(s, p);
}

/* --- claims --- */

uint32_t breakers_claim(struct breakers *b, uint32_t serving, uint64_t now_ms)
{
    struct site *s = site_of(b, serving);
    const struct breaker_policy *p = policy_of(b, serving);
    uint32_t claim = breaker_claim(lock_site(s), p, now_ms);
    unlock_site(s, p);
    return claim;
}

void breakers_release(struct breakers *b, uint32_t serving, uint32_t claim, uint64_t now_ms)
{
    if (claim == 0) {
        return;
    }
    struct site *s = site_of(b, serving);
    const struct breaker_policy *p = policy_of(b, serving);
    breaker_release(lock_site(s), p, claim, now_ms);
    unlock_site(s, p);
}

bool breakers_claim_panic(struct breakers *b, uint32_t model, uint64_t now_ms)
{
    CHECK(model < b->catalog->model_count);
    uint64_t last_ms = load(&b->panic_ms[model]);
    if (last_ms > 0 && now_ms < last_ms + PANIC_GAP_MS) {
        return false;
    }
    return atomic_compare_exchange_strong_explicit(&b->panic_ms[model], &last_ms, now_ms,
                                                   memory_order_relaxed, memory_order_relaxed);
}
