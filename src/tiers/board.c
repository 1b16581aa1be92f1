#include "tiers/board.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "tiers/board_words.h"
#include "tiers/loads.h"

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
        shared_u64 next_probe_ms;
        shared_u64 hold_until_ms;
        shared_u64 recent;        /* failures: count and time in one word */
        shared_u64 vitals;        /* by vital_pack */
        atomic_bool is_suspected; /* a success has something to clear */
        _Atomic uint32_t outages;
    } published;
    struct {
        _Alignas(CACHE_LINE) _Atomic uint32_t in_flight;
        _Atomic uint32_t paused; /* of in_flight */
        atomic_bool is_calibrating;
        shared_u64 claimed_ms; /* as a last resort; 0: never yet */
    } traffic;
    struct {
        _Alignas(CACHE_LINE) shared_u64 good_attempts;
        shared_u64 content_ms;
        shared_u64 failures;
        shared_u64 tokens;
        shared_u64 first_token_sum_ms;
        shared_u64 first_token[FIRST_TOKEN_BUCKETS];
    } figures;
    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    struct health health; /* under lock */
    bool is_watched;      /* under lock: asked for a token when in doubt */
};

/* A backend with one of its models. The ability is written under the backend's lock only. */
struct known {
    _Atomic uint8_t ability;   /* enum ability */
    _Atomic uint8_t residence; /* enum residence */
};

struct board {
    const struct catalog *catalog; /* borrowed, outlives the board */
    size_t count;
    struct slot *slots;
    struct known *known;       /* one a serving */
    struct breakers *breakers; /* likewise */
    struct offers *offers;     /* likewise */
    struct loads *loads;
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
    store(&s->published.next_probe_ms, h->next_probe_ms);
    atomic_store_explicit(&s->published.is_suspected, h->suspicions > 0 || h->suspect,
                          memory_order_relaxed);
    /* Last: who sees the new state sees the times that came with it, too. */
    atomic_store_explicit(&s->published.judgement, pack_judgement(h), memory_order_release);
}

/* Anthropic's depends on the model, which nobody asks. */
static enum ability first_ability(const struct backend *b)
{
    return b->type == BACKEND_OPENAI ? ABILITY_NO : ABILITY_UNKNOWN;
}

static struct known *make_known(const struct catalog *c)
{
    struct known *known = mem_alloc(sizeof(*known) * (c->serving_count + 1));
    for (size_t i = 0; i < c->serving_count; i++) {
        CHECK(c->servings[i].index == i);
        known[i].ability = (uint8_t)first_ability(c->servings[i].backend);
    }
    return known;
}

struct board *board_new(const struct catalog *c, uint64_t now_ms)
{
    struct board *b = mem_alloc(sizeof(*b));
    b->catalog = c;
    b->count = c->backend_count;
    b->known = make_known(c);
    b->breakers = breakers_new(c, now_ms);
    b->offers = offers_new(c);
    b->loads = loads_new(c);
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
    free((*b)->known);
    breakers_free(&(*b)->breakers);
    offers_free(&(*b)->offers);
    loads_free(&(*b)->loads);
    free(*b);
    *b = NULL;
}

struct breakers *board_breakers(const struct board *b)
{
    return b->breakers;
}

struct offers *board_offers(const struct board *b)
{
    return b->offers;
}

struct loads *board_loads(const struct board *b)
{
    return b->loads;
}

/* --- what is known of its models --- */

static struct known *known_of(const struct board *b, uint32_t serving)
{
    CHECK(serving < b->catalog->serving_count);
    return &b->known[serving];
}

static void doubt(struct known *k)
{
    enum ability a = (enum ability)atomic_load_explicit(&k->ability, memory_order_relaxed);
    atomic_store_explicit(&k->ability, (uint8_t)ability_doubted(a), memory_order_relaxed);
}

/* It may come back as another. Under the lock. */
static void note_outage(struct board *b, uint32_t backend)
{
    const struct backend *of = &b->catalog->backends[backend];
    (void)atomic_fetch_add_explicit(&slot_of(b, backend)->published.outages, 1,
                                    memory_order_relaxed);
    for (uint32_t i = 0; i < of->serving_count; i++) {
        struct known *k = known_of(b, of->first_serving + i);
        doubt(k);
        offers_forget(b->offers, of->first_serving + i);
        atomic_store_explicit(&k->residence, RESIDENCE_UNKNOWN, memory_order_relaxed);
    }
}

uint32_t board_outages(const struct board *b, uint32_t backend)
{
    return atomic_load_explicit(&slot_of(b, backend)->published.outages, memory_order_relaxed);
}

enum ability board_ability(const struct board *b, uint32_t serving)
{
    return (enum ability)atomic_load_explicit(&known_of(b, serving)->ability,
                                              memory_order_relaxed);
}

enum ability board_worst_ability(const struct board *b, uint32_t backend)
{
    CHECK(backend < b->count);
    const struct backend *of = &b->catalog->backends[backend];
    if (of->serving_count == 0) {
        return first_ability(of);
    }
    enum ability worst = ABILITY_EXACT;
    for (uint32_t i = 0; i < of->serving_count; i++) {
        worst = ability_worse(worst, board_ability(b, of->first_serving + i));
    }
    return worst;
}

bool board_set_ability(struct board *b, uint32_t serving, enum ability a, uint32_t outages)
{
    struct known *k = known_of(b, serving);
    uint32_t backend = b->catalog->servings[serving].backend->index;
    struct slot *s = slot_of(b, backend);
    lock_slot(s);
    bool holds = board_outages(b, backend) == outages;
    if (holds) {
        atomic_store_explicit(&k->ability, (uint8_t)a, memory_order_relaxed);
    }
    unlock_slot(s);
    return holds;
}

void board_doubt_ability(struct board *b, uint32_t serving)
{
    struct known *k = known_of(b, serving);
    struct slot *s = slot_of(b, b->catalog->servings[serving].backend->index);
    lock_slot(s);
    doubt(k);
    unlock_slot(s);
}

enum residence board_residence(const struct board *b, uint32_t serving)
{
    return (enum residence)atomic_load_explicit(&known_of(b, serving)->residence,
                                                memory_order_relaxed);
}

void board_set_residence(struct board *b, uint32_t serving, enum residence r)
{
    atomic_store_explicit(&known_of(b, serving)->residence, (uint8_t)r, memory_order_relaxed);
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
        .hold_until_ms = load(&s->published.hold_until_ms),
        .in_flight = atomic_load_explicit(&s->traffic.in_flight, memory_order_relaxed),
        .recent_failures = (uint32_t)recent_count(load(&s->published.recent), now_ms),
        .is_full = loads_is_full(b->loads, backend),
        .needs_token = (word >> NEEDS_TOKEN_BIT & 1) != 0,
        .vitals = vital_unpack(load(&s->published.vitals)),
    };
}

enum state board_state(const struct board *b, uint32_t backend)
{
    const struct slot *s = slot_of(b, backend);
    return unpack_state(atomic_load_explicit(&s->published.judgement, memory_order_acquire));
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

static enum outage outage_of(struct cause c, bool is_own)
{
    if (c.kind == CAUSE_LOADING) {
        return OUTAGE_LOADING;
    }
    if (!is_own) {
        return OUTAGE_PROBES;
    }
    return verdict_is_silence(c.failure) ? OUTAGE_SILENCE : OUTAGE_REQUEST;
}

static const uint32_t NO_SERVING = UINT32_MAX;

/* Into or out of DOWN: all its models' breakers are told. `of`: whose request it was. Under the
 * lock. */
static void note_change(struct board *b, uint32_t backend, const struct board_change *c,
                        uint32_t of, uint64_t now_ms)
{
    const struct backend *at = &b->catalog->backends[backend];
    bool is_end = c->from == STATE_DOWN && c->to != STATE_DOWN;
    bool is_outage = c->from != STATE_DOWN && c->to == STATE_DOWN;
    if (is_outage) {
        note_outage(b, backend);
    }
    for (uint32_t i = 0; i < at->serving_count; i++) {
        if (is_outage) {
            breakers_on_down(b->breakers, at->first_serving + i, outage_of(c->cause, i == of),
                             c->cause.failure, now_ms);
        } else if (is_end) {
            breakers_on_up(b->breakers, at->first_serving + i, now_ms);
        }
    }
}

struct board_change board_on_probe(struct board *b, uint32_t backend,
                                   const struct probe_result *r, uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    lock_slot(s);
    enum state from = s->health.state;
    (void)health_on_probe(&s->health, &b->catalog->backends[backend].health, r, now_ms);
    struct board_change change = change_from(from, &s->health);
    note_change(b, backend, &change, NO_SERVING, now_ms);
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

/* Under the lock, so that an outage by the same failure comes after it. */
static bool strike(struct board *b, uint32_t backend, const struct failed_attempt *f,
                   uint64_t now_ms)
{
    const struct backend *at = &b->catalog->backends[backend];
    bool is_suspicion = verdict_of(f->failure)->blame == BLAME_SUSPECT;
    if (f->of >= at->serving_count || !verdict_is_strike(f->failure) ||
        (is_suspicion && !f->is_first_500)) {
        return false;
    }
    return breakers_on_strike(b->breakers, at->first_serving + f->of, f->failure, &f->ended,
                              now_ms);
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
    if (s->is_watched && verdict_is_mute(f->failure)) {
        health_need_token(&s->health, now_ms);
    }
    store(&s->published.recent, recent_add(load(&s->published.recent), now_ms));
    if (blame == BLAME_HOLD) {
        hold(s, f->hold_ms, now_ms);
    }
    struct board_change change = change_from(from, &s->health);
    change.probe_now = s->health.next_probe_ms < next_probe_ms;
    change.opened = strike(b, backend, f, now_ms);
    note_change(b, backend, &change, f->of, now_ms);
    publish(s);
    unlock_slot(s);
    return change;
}

/* --- signs of life --- */

/* Publishes what one of the rules below changed. Under the lock, which it opens. */
static struct board_change conclude(struct board *b, uint32_t backend, enum state from,
                                    uint64_t next_probe_ms, uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    struct board_change change = change_from(from, &s->health);
    change.probe_now = s->health.next_probe_ms < next_probe_ms;
    note_change(b, backend, &change, NO_SERVING, now_ms);
    publish(s);
    unlock_slot(s);
    return change;
}

struct board_change board_watch(struct board *b, uint32_t backend, bool is_watched,
                                uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    lock_slot(s);
    enum state from = s->health.state;
    uint64_t next_probe_ms = s->health.next_probe_ms;
    s->is_watched = is_watched;
    if (!is_watched) {
        (void)health_waive_token(&s->health, &b->catalog->backends[backend].health, now_ms);
    }
    return conclude(b, backend, from, next_probe_ms, now_ms);
}

struct board_change board_on_hang(struct board *b, uint32_t backend, uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    lock_slot(s);
    enum state from = s->health.state;
    uint64_t next_probe_ms = s->health.next_probe_ms;
    (void)health_on_hang(&s->health, now_ms);
    return conclude(b, backend, from, next_probe_ms, now_ms);
}

struct board_change board_on_token(struct board *b, uint32_t backend, uint64_t token_ms,
                                   uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    if (!board_view(b, backend, now_ms).needs_token) {
        return unchanged(s);
    }
    lock_slot(s);
    enum state from = s->health.state;
    uint64_t next_probe_ms = s->health.next_probe_ms;
    (void)health_on_token(&s->health, &b->catalog->backends[backend].health, token_ms, now_ms);
    return conclude(b, backend, from, next_probe_ms, now_ms);
}

void board_set_vitals(struct board *b, uint32_t backend, const struct vital_view *view)
{
    store(&slot_of(b, backend)->published.vitals, vital_pack(view));
}

void board_note_content(struct board *b, uint32_t backend, uint64_t now_ms)
{
    shared_u64 *content_ms = &slot_of(b, backend)->figures.content_ms;
    if (now_ms >= load(content_ms) + CONTENT_STEP_MS) {
        store(content_ms, now_ms);
    }
}

uint64_t board_content_ms(const struct board *b, uint32_t backend)
{
    return load(&slot_of(b, backend)->figures.content_ms);
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

bool board_on_answer(struct board *b, uint32_t serving, const struct ended_attempt *e,
                     uint64_t now_ms)
{
    CHECK(serving < b->catalog->serving_count);
    board_on_success(b, b->catalog->servings[serving].backend->index, now_ms);
    return breakers_on_answer(b->breakers, serving, e, now_ms);
}

uint64_t board_next_probe_ms(const struct board *b, uint32_t backend)
{
    return load(&slot_of(b, backend)->published.next_probe_ms);
}

/* --- attempts --- */

/* Sequentially consistent, with board_begin_calibration: of an attempt and a calibration that
 * begin at once, at least one sees the other. */
bool board_begin(struct board *b, uint32_t backend)
{
    struct slot *s = slot_of(b, backend);
    (void)atomic_fetch_add(&s->traffic.in_flight, 1);
    return atomic_load(&s->traffic.is_calibrating);
}

void board_end(struct board *b, uint32_t backend)
{
    uint32_t before = atomic_fetch_sub_explicit(&slot_of(b, backend)->traffic.in_flight, 1,
                                                memory_order_relaxed);
    CHECK(before > 0);
}

void board_count_paused(struct board *b, uint32_t backend, bool is_paused)
{
    struct slot *s = slot_of(b, backend);
    if (is_paused) {
        (void)atomic_fetch_add_explicit(&s->traffic.paused, 1, memory_order_relaxed);
    } else {
        CHECK(atomic_fetch_sub_explicit(&s->traffic.paused, 1, memory_order_relaxed) > 0);
    }
}

uint32_t board_paused(const struct board *b, uint32_t backend)
{
    return atomic_load_explicit(&slot_of(b, backend)->traffic.paused, memory_order_relaxed);
}

bool board_begin_calibration(struct board *b, uint32_t backend)
{
    struct slot *s = slot_of(b, backend);
    atomic_store(&s->traffic.is_calibrating, true);
    bool is_free = atomic_load(&s->traffic.in_flight) == 0;
    if (!is_free) {
        atomic_store(&s->traffic.is_calibrating, false);
    }
    return is_free;
}

void board_end_calibration(struct board *b, uint32_t backend)
{
    atomic_store(&slot_of(b, backend)->traffic.is_calibrating, false);
}

bool board_claim_last_resort(struct board *b, uint32_t backend, uint64_t now_ms)
{
    struct slot *s = slot_of(b, backend);
    uint64_t word = atomic_load_explicit(&s->published.judgement, memory_order_acquire);
    uint64_t claimed_ms = load(&s->traffic.claimed_ms);
    bool is_fresh = unpack_state(word) == STATE_DOWN &&
                    now_ms < load(&s->published.since_ms) + LAST_RESORT_GAP_MS;
    if (is_fresh || (claimed_ms > 0 && now_ms < claimed_ms + LAST_RESORT_GAP_MS)) {
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

void board_count_first_token(struct board *b, uint32_t backend, uint64_t took_ms)
{
    struct slot *s = slot_of(b, backend);
    add(&s->figures.first_token_sum_ms, took_ms);
    add(&s->figures.first_token[figures_bucket_of(took_ms)], 1);
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
