#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "tiers/board.h"
#include "tiers/board_words.h"
#include "tiers/loads.h"

/*
 * The board from inside: board.c judges, board_known.c holds what is known of a backend's
 * models, board_traffic.c counts. For these three only.
 */

enum { CACHE_LINE = 64 };

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
        shared_u64 advice;        /* by advice_pack */
        shared_u64 operator;      /* by operator_pack */
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
    struct telemetry *telemetry;
};

static inline uint64_t board_load(const shared_u64 *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static inline void board_store(shared_u64 *to, uint64_t value)
{
    atomic_store_explicit(to, value, memory_order_relaxed);
}

static inline void board_add(shared_u64 *to, uint64_t value)
{
    (void)atomic_fetch_add_explicit(to, value, memory_order_relaxed);
}

static inline struct slot *board_slot(const struct board *b, uint32_t backend)
{
    CHECK(backend < b->count);
    return &b->slots[backend];
}

static inline void board_lock(struct slot *s)
{
    CHECK(pthread_mutex_lock(&s->lock) == 0);
}

static inline void board_unlock(struct slot *s)
{
    CHECK(pthread_mutex_unlock(&s->lock) == 0);
}

/* It may come back as another: what is known of its models is doubted. Under the lock. */
void board_note_outage(struct board *b, uint32_t backend);

/* For the catalog's servings; freed with free. */
struct known *board_known_new(const struct catalog *c);
