#include "tiers/board.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum { CACHE_LINE = 64 };
enum { HOLD_DEFAULT_MS = 1000, HOLD_MAX_MS = 600000 };

typedef _Atomic uint64_t shared_u64;

/*
 * One backend. Each group has cache lines of its own: what every pick reads is not in the line
 * that every attempt writes. All atomics but those of `traffic` and `figures` are written under
 * the lock only.
 */
struct slot {
    struct {
        _Alignas(CACHE_LINE) shared_u64 judgement; /* state and cause in one word */
        shared_u64 since_ms;
        shared_u64 verdict_ms;
        shared_u64 next_probe_ms;
        shared_u64 hold_until_ms;
        shared_u64 recent;        /* failures: count and time in one word */
        atomic_bool is_suspected; /* a success has something to clear */
    } published;
    struct {
        _Alignas(CACHE_LINE) _Atomic uint32_t in_flight;
        shared_u64 claimed_ms; /* last trial; 0: none yet */
    } traffic;
    struct {
        _Alignas(CACHE_LINE) shared_u64 good_attempts;
        shared_u64 failures;
        shared_u64 tokens;
        shared_u64 first_token_sum_ms;
        shared_u64 first_token[FIRST_TOKEN_BUCKETS];
    } figures;
    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    struct health health; /* under lock */
};

struct board {
    const struct catalog *catalog; /* borrowed, outlives the board */
    size_t count;
    struct slot *slots;
};

static uint64_t load(const shared_u64 *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static void store(shared_u64 *to, uint64_t value)
{
    atomic_store_explicit(to, value, memory_order_relaxed);
}

static void add(shared_u64 *to, uint64_t value)
{
    (void)atomic_fetch_add_explicit(to, value, memory_order_relaxed);
}

/* --- packing, so that one load tells things that belong together --- */

_Static_assert(FAILURE_COUNT <= UINT16_MAX, "a failure must fit in 16 bits of the judgement");

static uint64_t pack_judgement(enum state state, struct cause c)
{
    return (uint64_t)state | (uint64_t)c.kind << 8 | (uint64_t)c.failure << 16 |
           (uint64_t)c.status << 32;
}

static enum state unpack_state(uint64_t word)
{
    return (enum state)(word & 0xff);
}

static struct cause unpack_cause(uint64_t word)
{
    return (struct cause){
        .kind = (enum cause_kind)(word >> 8 & 0xff),
        .failure = (enum failure)(word >> 16 & 0xffff),
        .status = (uint16_t)(word >> 32 & 0xffff),
    };
}

/* Recent failures: the count above, the time of its last halving below (40 bits: 34 years). */
enum { RECENT_AT_BITS = 40, RECENT_MAX = 0xffffff, HALF_LIFE_MS = 1000 };
static const uint64_t RECENT_AT_MASK = (UINT64_C(1) << RECENT_AT_BITS) - 1;

/* Whole half-lives since; none when another thread's clock was ahead of ours. */
static uint64_t halvings(uint64_t word, uint64_t now_ms)
{
    uint64_t passed = (now_ms - (word & RECENT_AT_MASK)) & RECENT_AT_MASK;
    return passed > RECENT_AT_MASK / 2 ? 0 : passed / HALF_LIFE_MS;
}

static uint64_t recent_count(uint64_t word, uint64_t now_ms)
{
    uint64_t times = halvings(word, now_ms);
    return times < 24 ? (word >> RECENT_AT_BITS) >> times : 0;
}

static uint64_t recent_add(uint64_t word, uint64_t now_ms)
{
    uint64_t count = recent_count(word, now_ms);
    /* The begun half-life goes on, or failures at short intervals would never decay. */
    uint64_t at = count > 0 ? word + halvings(word, now_ms) * HALF_LIFE_MS : now_ms;
    if (count < RECENT_MAX) {
        count++;
    }
    return count << RECENT_AT_BITS | (at & RECENT_AT_MASK);
}

/* --- life --- */

static struct slot *slot_of(const struct board *b, uint32_t backend)
{
    CHECK(backend < b->count);
    return &b->slots[backend];
}

static void lock_slot(struct slot *s)
{
    CHECK(pthread_mutex_lock(&s->lock) == 0);
}

static void unlock_slot(struct slot *s)
{
    CHECK(pthread_mutex_unlock(&s->lock) == 0);
}

/* Makes what the lock guards visible to all. */
static void publish(struct slot *s)
{
    const struct health *h = &s->health;
    store(&s->published.since_ms, h->since_ms);
    store(&s->published.verdict_ms, h->verdict_ms);
    store(&s->published.next_probe_ms, h->next_probe_ms);
    atomic_store_explicit(&s->published.is_suspected, h->suspicions > 0 || h->suspect,
                          memory_order_relaxed);
    /* Last: who sees the new state sees the times that came with it, too. */
    atomic_store_explicit(&s->published.judgement, pack_judgement(h->state, h->cause),
                          memory_order_release);
}

struct board *board_new(const struct catalog *c, uint64_t now_ms)
{
    struct board *b = mem_alloc(sizeof(*b));
    b->catalog = c;
    b->count = c->backend_count;
    if (b->count == 0) {
        return b;
    }
    b->slots = aligned_alloc(CACHE_LINE, b->count * sizeof(struct slot));
    CHECK(b->slots != NULL);
    memset(b->slots, 0, b->count * sizeof(struct slot));
    for (size_t i = 0; i < b->count; i++) {
        CHECK(c->backends[i].index == i);
        CHECK(pthread_mutex_init(&b->slots[i].lock, NULL) == 0);
        health_init(&b->slots[i].health, now_ms);
        publish(&b->slots[i]);
    }
    return b;
}

void board_free(struct board **b)
{
    if (!*b) {
        return;
    }
    for (size_t i = 0; i < (*b)->count; i++) {
        CHECK(pthread_mutex_destroy(&(*b)->slots[i].lock) == 0);
    }
    free((*b)->slots);
    free(*b);
    *b = NULL;
}

/* --- judgement --- */

struct backend_view board_view(const struct board *b, uint32_t backend, uint64_t now_ms)
{
    const struct slot *s = slot_of(b, backend);
    uint64_t word = atomic_load_explicit(&s->published.judgement, memory_order_acquire);
    return (struct backend_view){
        .state = unpack_state(word),
        .cause = unpack_cause(word),
        .since_ms = load(&s->published.since_ms),
        .verdict_ms = load(&s->published.verdict_ms),
        .hold_until_ms = load(&s->published.hold_until_ms),
        .in_flight = atomic_load_explicit(&s->traffic.in_flight, memory_order_relaxed),
        .recent_failures = (uint32_t)recent_count(load(&s->published.recent), now_ms),
    };
}

static struct board_change change_from(enum state from, const struct health *h)
{
    return (struct board_change){
        .state_changed = from != h->state,
        .from = from,
        .to = h->state,
        .cause = h->cause,
    };
}

struct board_change board_on_probe(struct board *b, uint32_t backend,
                                   const struct probe_result *r, uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    lock_slot(s);
    enum state from = s->health.state;
    (void)health_on_probe(&s->health, &b->catalog->backends[backend].health, r, now_ms);
    struct board_change change = change_from(from, &s->health);
    publish(s);
    unlock_slot(s);
    return change;
}

/* A backend's longest word counts, but nobody is left alone for ever. Under the lock. */
static void hold(struct slot *s, uint32_t hold_ms, uint64_t now_ms)
{
    uint64_t wait = hold_ms > 0 ? hold_ms : HOLD_DEFAULT_MS;
    uint64_t until = now_ms + (wait < HOLD_MAX_MS ? wait : HOLD_MAX_MS);
    if (until > load(&s->published.hold_until_ms)) {
        store(&s->published.hold_until_ms, until);
    }
}

static struct board_change unchanged(const struct slot *s)
{
    uint64_t word = atomic_load_explicit(&s->published.judgement, memory_order_acquire);
    enum state state = unpack_state(word);
    return (struct board_change){.from = state, .to = state, .cause = unpack_cause(word)};
}

struct board_change board_on_failure(struct board *b, uint32_t backend,
                                     const struct failed_attempt *f, uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    enum blame blame = verdict_of(f->failure)->blame;
    if (!verdict_is_fruitless(f->failure)) {
        return unchanged(s);
    }
    lock_slot(s);
    enum state from = s->health.state;
    uint64_t next_probe_ms = s->health.next_probe_ms;
    if (blame != BLAME_NONE) {
        (void)health_on_failure(&s->health, f->failure, f->is_first_500, now_ms);
    }
    store(&s->published.recent, recent_add(load(&s->published.recent), now_ms));
    if (blame == BLAME_HOLD) {
        hold(s, f->hold_ms, now_ms);
    }
    struct board_change change = change_from(from, &s->health);
    change.probe_now = s->health.next_probe_ms < next_probe_ms;
    publish(s);
    unlock_slot(s);
    return change;
}

void board_on_success(struct board *b, uint32_t backend, uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    if (!atomic_load_explicit(&s->published.is_suspected, memory_order_relaxed)) {
        return;
    }
    lock_slot(s);
    health_on_success(&s->health, now_ms);
    publish(s);
    unlock_slot(s);
}

uint64_t board_next_probe_ms(const struct board *b, uint32_t backend)
{
    return load(&slot_of(b, backend)->published.next_probe_ms);
}

/* --- attempts --- */

void board_begin(struct board *b, uint32_t backend)
{
    (void)atomic_fetch_add_explicit(&slot_of(b, backend)->traffic.in_flight, 1,
                                    memory_order_relaxed);
}

void board_end(struct board *b, uint32_t backend)
{
    uint32_t before = atomic_fetch_sub_explicit(&slot_of(b, backend)->traffic.in_flight, 1,
                                                memory_order_relaxed);
    CHECK(before > 0);
}

bool board_claim_trial(struct board *b, uint32_t backend, uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    uint64_t word = atomic_load_explicit(&s->published.judgement, memory_order_acquire);
    uint64_t claimed_ms = load(&s->traffic.claimed_ms);
    if (unpack_state(word) != STATE_DOWN ||
        now_ms < load(&s->published.verdict_ms) + TRIAL_GAP_MS ||
        (claimed_ms > 0 && now_ms < claimed_ms + TRIAL_GAP_MS)) {
        return false;
    }
    return atomic_compare_exchange_strong_explicit(&s->traffic.claimed_ms, &claimed_ms, now_ms,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* --- figures for status --- */

void board_count_attempt(struct board *b, uint32_t backend, bool ok)
{
    struct slot *s = slot_of(b, backend);
    add(ok ? &s->figures.good_attempts : &s->figures.failures, 1);
}

void board_count_tokens(struct board *b, uint32_t backend, uint64_t tokens)
{
    add(&slot_of(b, backend)->figures.tokens, tokens);
}

/* The first i with took < 2^(i/2), which is took² < 2^i: the number of bits in took². */
static uint32_t bucket_of(uint64_t took_ms)
{
    if (took_ms == 0) {
        return 0;
    }
    if (took_ms > UINT16_MAX) {
        return FIRST_TOKEN_BUCKETS - 1;
    }
    uint32_t bits = 64 - (uint32_t)__builtin_clzll(took_ms * took_ms);
    return bits < FIRST_TOKEN_BUCKETS ? bits : FIRST_TOKEN_BUCKETS - 1;
}

/* The least whole u with u >= 2^(i/2). */
static uint64_t bucket_bound(uint32_t bucket)
{
    uint64_t bound = UINT64_C(1) << (bucket / 2);
    while (bound * bound < UINT64_C(1) << bucket) {
        bound++;
    }
    return bound;
}

void board_count_first_token(struct board *b, uint32_t backend, uint64_t took_ms)
{
    struct slot *s = slot_of(b, backend);
    add(&s->figures.first_token_sum_ms, took_ms);
    add(&s->figures.first_token[bucket_of(took_ms)], 1);
}

void board_figures(const struct board *b, uint32_t backend, struct backend_figures *out)
{
    const struct slot *s = slot_of(b, backend);
    /* Two counters, so that neither this sum nor their difference can ever go back. */
    out->failures = load(&s->figures.failures);
    out->attempts = load(&s->figures.good_attempts) + out->failures;
    out->tokens = load(&s->figures.tokens);
    out->first_token_sum_ms = load(&s->figures.first_token_sum_ms);
    for (uint32_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        out->first_token[i] = load(&s->figures.first_token[i]);
    }
}

uint64_t board_first_token_most_ms(uint32_t bucket)
{
    CHECK(bucket < FIRST_TOKEN_BUCKETS);
    return bucket == FIRST_TOKEN_BUCKETS - 1 ? UINT64_MAX : bucket_bound(bucket) - 1;
}

/* How many of `total` a share of them is, rounded up, within 1 … total. */
static uint64_t rank_of(uint64_t total, double share)
{
    double wanted = share * (double)total;
    if (!(wanted > 1.0)) {
        return 1;
    }
    if (wanted >= (double)total) {
        return total;
    }
    uint64_t rank = (uint64_t)wanted;
    return (double)rank < wanted ? rank + 1 : rank;
}

uint64_t figures_first_token_ms(const struct backend_figures *f, double share)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        total += f->first_token[i];
    }
    if (total == 0) {
        return 0;
    }
    uint64_t rank = rank_of(total, share);
    uint64_t seen = 0;
    uint32_t bucket = 0;
    while (bucket < FIRST_TOKEN_BUCKETS - 1 && seen + f->first_token[bucket] < rank) {
        seen += f->first_token[bucket];
        bucket++;
    }
    return bucket_bound(bucket);
}
