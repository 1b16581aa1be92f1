#include "ops/trend.h"

#include <string.h>

#include "base/check.h"

void trend_init(struct trend *t, const struct trend_counts *counts, uint64_t now_ms)
{
    memset(t, 0, sizeof(*t));
    t->begun_ms = now_ms;
    t->taken_ms = now_ms;
    t->last = *counts;
}

/* The counters are read one after the other while others count: one may seem to fall behind. */
static void add(uint32_t *to, uint64_t now, uint64_t before)
{
    uint64_t more = now > before ? now - before : 0;
    *to = more > UINT32_MAX - *to ? UINT32_MAX : *to + (uint32_t)more;
}

static void turn_to(struct trend *t, uint64_t slot)
{
    uint64_t steps = slot - t->slot;
    for (uint64_t i = 1; i <= steps && i <= TREND_SLOTS; i++) {
        memset(&t->ring[(t->slot + i) % TREND_SLOTS], 0, sizeof(t->ring[0]));
    }
    if (steps > TREND_SLOTS) { /* nobody sampled for an hour */
        memset(t->ring, 0, sizeof(t->ring));
    }
    t->slot = slot;
}

void trend_take(struct trend *t, const struct trend_counts *counts, uint64_t now_ms)
{
    CHECK(now_ms >= t->taken_ms);
    turn_to(t, (now_ms - t->begun_ms) / TREND_SLOT_MS);
    struct trend_slot *s = &t->ring[t->slot % TREND_SLOTS];
    add(&s->requests, counts->requests, t->last.requests);
    add(&s->failed, counts->failed, t->last.failed);
    add(&s->last_resort, counts->last_resort, t->last.last_resort);
    add(&s->degraded, counts->degraded, t->last.degraded);
    add(&s->tokens, counts->tokens, t->last.tokens);
    for (size_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        add(&s->first_token[i], counts->first_token[i], t->last.first_token[i]);
    }
    t->last = *counts;
    t->taken_ms = now_ms;
}

size_t trend_count(const struct trend *t)
{
    return t->slot + 1 < TREND_SLOTS ? (size_t)(t->slot + 1) : TREND_SLOTS;
}

const struct trend_slot *trend_at(const struct trend *t, size_t i)
{
    size_t count = trend_count(t);
    CHECK(i < count);
    return &t->ring[(t->slot + 1 - count + i) % TREND_SLOTS];
}

uint64_t trend_lasted_ms(const struct trend *t, size_t i)
{
    bool is_running = i + 1 == trend_count(t);
    return is_running ? t->taken_ms - t->begun_ms - t->slot * TREND_SLOT_MS : TREND_SLOT_MS;
}

struct trend_slot trend_total(const struct trend *t)
{
    struct trend_slot all = {.requests = 0};
    for (size_t i = 0; i < trend_count(t); i++) {
        const struct trend_slot *s = trend_at(t, i);
        add(&all.requests, s->requests, 0);
        add(&all.failed, s->failed, 0);
        add(&all.last_resort, s->last_resort, 0);
        add(&all.degraded, s->degraded, 0);
        add(&all.tokens, s->tokens, 0);
        for (size_t k = 0; k < FIRST_TOKEN_BUCKETS; k++) {
            add(&all.first_token[k], s->first_token[k], 0);
        }
    }
    return all;
}

uint64_t trend_first_token_ms(const struct trend_slot *s, double share)
{
    struct backend_figures f = {.attempts = 0};
    for (size_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        f.first_token[i] = s->first_token[i];
    }
    return figures_first_token_ms(&f, share);
}
