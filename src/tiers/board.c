#include "tiers/board.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tiers/board_priv.h"

enum { HOLD_DEFAULT_MS = 1000, HOLD_MAX_MS = 600000 };

/* --- life --- */

/* Makes what the lock guards visible to all. */
static void publish(struct slot *s)
{
    const struct health *h = &s->health;
    board_store(&s->published.since_ms, h->since_ms);
    board_store(&s->published.next_probe_ms, h->next_probe_ms);
    atomic_store_explicit(&s->published.is_suspected, h->suspicions > 0 || h->suspect,
                          memory_order_relaxed);
    /* Last: who sees the new state sees the times that came with it, too. */
    atomic_store_explicit(&s->published.judgement, pack_judgement(h), memory_order_release);
}

struct board *board_new(const struct catalog *c, uint64_t now_ms)
{
    struct board *b = mem_alloc(sizeof(*b));
    b->catalog = c;
    b->count = c->backend_count;
    b->known = board_known_new(c);
    b->breakers = breakers_new(c, now_ms);
    b->offers = offers_new(c);
    b->loads = loads_new(c);
    b->telemetry = telemetry_new(c);
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
        if (c->backends[i].managed.command) {
            (void)board_put_off(b, (uint32_t)i, CAUSE_STOPPED, now_ms);
        }
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
    telemetry_free(&(*b)->telemetry);
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

struct telemetry *board_telemetry(const struct board *b)
{
    return b->telemetry;
}

/* --- judgement --- */

struct backend_view board_view(const struct board *b, uint32_t backend, uint64_t now_ms)
{
    const struct slot *s = board_slot(b, backend);
    uint64_t word = atomic_load_explicit(&s->published.judgement, memory_order_acquire);
    return (struct backend_view){
        .state = unpack_state(word),
        .cause = unpack_cause(word),
        .since_ms = board_load(&s->published.since_ms),
        .hold_until_ms = board_load(&s->published.hold_until_ms),
        .in_flight = atomic_load_explicit(&s->traffic.in_flight, memory_order_relaxed),
        .recent_failures = (uint32_t)recent_count(board_load(&s->published.recent), now_ms),
        .is_full = loads_is_full(b->loads, backend),
        .needs_token = (word >> NEEDS_TOKEN_BIT & 1) != 0,
        .vitals = vital_unpack(board_load(&s->published.vitals)),
        .advice = advice_unpack(board_load(&s->published.advice)),
        .operator= operator_unpack(board_load(&s->published.operator)),
    };
}

enum state board_told_state(const struct backend_view *v)
{
    if (v->state == STATE_DOWN || advice_drains(v->advice)) {
        return STATE_DOWN;
    }
    return advice_spares(v->advice) ? STATE_DEGRADED : v->state;
}

enum state board_state(const struct board *b, uint32_t backend)
{
    const struct slot *s = board_slot(b, backend);
    return unpack_state(atomic_load_explicit(&s->published.judgement, memory_order_acquire));
}

enum operator_word board_operator(const struct board *b, uint32_t backend)
{
    return operator_unpack(board_load(&board_slot(b, backend)->published.operator)).word;
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
    if (cause_is_loading(c) || cause_is_wanted(c.kind)) {
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
        board_note_outage(b, backend);
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
    struct slot *s = board_slot(b, backend);
    board_lock(s);
    enum state from = s->health.state;
    (void)health_on_probe(&s->health, &b->catalog->backends[backend].health, r, now_ms);
    struct board_change change = change_from(from, &s->health);
    note_change(b, backend, &change, NO_SERVING, now_ms);
    publish(s);
    board_unlock(s);
    return change;
}

/* A backend's longest word counts, but nobody is left alone for ever. Under the lock. */
static void hold(struct slot *s, uint32_t hold_ms, uint64_t now_ms)
{
    uint64_t wait = hold_ms > 0 ? hold_ms : HOLD_DEFAULT_MS;
    uint64_t until = now_ms + (wait < HOLD_MAX_MS ? wait : HOLD_MAX_MS);
    if (until > board_load(&s->published.hold_until_ms)) {
        board_store(&s->published.hold_until_ms, until);
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
    struct slot *s = board_slot(b, backend);
    enum blame blame = verdict_of(f->failure)->blame;
    if (!verdict_is_fruitless(f->failure)) {
        return unchanged(s);
    }
    board_lock(s);
    enum state from = s->health.state;
    uint64_t next_probe_ms = s->health.next_probe_ms;
    if (blame != BLAME_NONE) {
        (void)health_on_failure(&s->health, f->failure, f->is_first_500, now_ms);
    }
    if (s->is_watched && verdict_is_mute(f->failure)) {
        health_need_token(&s->health, now_ms);
    }
    board_store(&s->published.recent, recent_add(board_load(&s->published.recent), now_ms));
    if (blame == BLAME_HOLD) {
        hold(s, f->hold_ms, now_ms);
    }
    struct board_change change = change_from(from, &s->health);
    change.probe_now = s->health.next_probe_ms < next_probe_ms;
    change.opened = strike(b, backend, f, now_ms);
    note_change(b, backend, &change, f->of, now_ms);
    publish(s);
    board_unlock(s);
    return change;
}

/* --- signs of life --- */

/* Publishes what one of the rules below changed. Under the lock, which it opens. */
static struct board_change conclude(struct board *b, uint32_t backend, enum state from,
                                    uint64_t next_probe_ms, uint64_t now_ms)
{
    struct slot *s = board_slot(b, backend);
    struct board_change change = change_from(from, &s->health);
    change.probe_now = s->health.next_probe_ms < next_probe_ms;
    note_change(b, backend, &change, NO_SERVING, now_ms);
    publish(s);
    board_unlock(s);
    return change;
}

struct board_change board_watch(struct board *b, uint32_t backend, bool is_watched,
                                uint64_t now_ms)
{
    struct slot *s = board_slot(b, backend);
    board_lock(s);
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
    struct slot *s = board_slot(b, backend);
    board_lock(s);
    enum state from = s->health.state;
    uint64_t next_probe_ms = s->health.next_probe_ms;
    (void)health_on_hang(&s->health, now_ms);
    return conclude(b, backend, from, next_probe_ms, now_ms);
}

struct board_change board_on_token(struct board *b, uint32_t backend, uint64_t token_ms,
                                   uint64_t now_ms)
{
    struct slot *s = board_slot(b, backend);
    if (!board_view(b, backend, now_ms).needs_token) {
        return unchanged(s);
    }
    board_lock(s);
    enum state from = s->health.state;
    uint64_t next_probe_ms = s->health.next_probe_ms;
    (void)health_on_token(&s->health, &b->catalog->backends[backend].health, token_ms, now_ms);
    return conclude(b, backend, from, next_probe_ms, now_ms);
}

struct board_change board_take_advice(struct board *b, uint32_t backend, uint64_t now_ms)
{
    struct slot *s = board_slot(b, backend);
    struct telemetry_view told;
    telemetry_read(b->telemetry, backend, &told);
    uint64_t word = advice_pack(telemetry_advice(&told.gpu, &told.guard));
    board_lock(s);
    enum state from = s->health.state;
    uint64_t next_probe_ms = s->health.next_probe_ms;
    if (word != board_load(&s->published.advice)) {
        board_store(&s->published.advice, word);
        health_ask_probe(&s->health, now_ms);
    }
    return conclude(b, backend, from, next_probe_ms, now_ms);
}

struct board_change board_put_off(struct board *b, uint32_t backend, enum cause_kind why,
                                  uint64_t now_ms)
{
    struct slot *s = board_slot(b, backend);
    board_lock(s);
    enum state from = s->health.state;
    (void)health_put_off(&s->health, why, now_ms);
    return conclude(b, backend, from, 0, now_ms);
}

struct board_change board_put_on(struct board *b, uint32_t backend, uint64_t now_ms)
{
    struct slot *s = board_slot(b, backend);
    board_lock(s);
    enum state from = s->health.state;
    uint64_t next_probe_ms = s->health.next_probe_ms;
    (void)health_put_on(&s->health, now_ms);
    return conclude(b, backend, from, next_probe_ms, now_ms);
}

/* Whatever was done to it meanwhile, nobody has asked it since. Under the lock. */
static void return_slowly(struct board *b, uint32_t backend, uint64_t now_ms)
{
    const struct backend *at = &b->catalog->backends[backend];
    for (uint32_t i = 0; i < at->serving_count; i++) {
        uint32_t serving = at->first_serving + i;
        if (breakers_is_full(b->breakers, serving, now_ms)) {
            breakers_on_down(b->breakers, serving, OUTAGE_LOADING, FAILURE_ok, now_ms);
            breakers_on_up(b->breakers, serving, now_ms);
        }
    }
}

bool board_set_operator(struct board *b, uint32_t backend, enum operator_word word,
                        uint64_t now_ms)
{
    struct slot *s = board_slot(b, backend);
    struct operator_view next = {.word = word, .since_ms = word == OPERATOR_NONE ? 0 : now_ms};
    board_lock(s);
    bool is_news = operator_unpack(board_load(&s->published.operator)).word != word;
    if (is_news && word == OPERATOR_NONE && s->health.state != STATE_DOWN) {
        return_slowly(b, backend, now_ms);
    }
    if (is_news) {
        board_store(&s->published.operator, operator_pack(next));
    }
    board_unlock(s);
    return is_news;
}

void board_set_vitals(struct board *b, uint32_t backend, const struct vital_view *view)
{
    board_store(&board_slot(b, backend)->published.vitals, vital_pack(view));
}

void board_note_content(struct board *b, uint32_t backend, uint64_t now_ms)
{
    shared_u64 *content_ms = &board_slot(b, backend)->figures.content_ms;
    if (now_ms >= board_load(content_ms) + CONTENT_STEP_MS) {
        board_store(content_ms, now_ms);
    }
}

uint64_t board_content_ms(const struct board *b, uint32_t backend)
{
    return board_load(&board_slot(b, backend)->figures.content_ms);
}

void board_on_success(struct board *b, uint32_t backend, uint64_t now_ms)
{
    struct slot *s = board_slot(b, backend);
    if (!atomic_load_explicit(&s->published.is_suspected, memory_order_relaxed)) {
        return;
    }
    board_lock(s);
    health_on_success(&s->health, now_ms);
    publish(s);
    board_unlock(s);
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
    return board_load(&board_slot(b, backend)->published.next_probe_ms);
}
