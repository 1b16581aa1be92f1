#include "tiers/board_priv.h"

/* --- attempts --- */

/* Sequentially consistent, with board_begin_calibration: of an attempt and a calibration that
 * begin at once, at least one sees the other. */
bool board_begin(struct board *b, uint32_t backend)
{
    struct slot *s = board_slot(b, backend);
    (void)atomic_fetch_add(&s->traffic.in_flight, 1);
    return atomic_load(&s->traffic.is_calibrating);
}

void board_end(struct board *b, uint32_t backend)
{
    uint32_t before = atomic_fetch_sub_explicit(&board_slot(b, backend)->traffic.in_flight, 1,
                                                memory_order_relaxed);
    CHECK(before > 0);
}

void board_count_paused(struct board *b, uint32_t backend, bool is_paused)
{
    struct slot *s = board_slot(b, backend);
    if (is_paused) {
        (void)atomic_fetch_add_explicit(&s->traffic.paused, 1, memory_order_relaxed);
    } else {
        CHECK(atomic_fetch_sub_explicit(&s->traffic.paused, 1, memory_order_relaxed) > 0);
    }
}

uint32_t board_paused(const struct board *b, uint32_t backend)
{
    return atomic_load_explicit(&board_slot(b, backend)->traffic.paused, memory_order_relaxed);
}

bool board_begin_calibration(struct board *b, uint32_t backend)
{
    struct slot *s = board_slot(b, backend);
    atomic_store(&s->traffic.is_calibrating, true);
    bool is_free = atomic_load(&s->traffic.in_flight) == 0;
    if (!is_free) {
        atomic_store(&s->traffic.is_calibrating, false);
    }
    return is_free;
}

void board_end_calibration(struct board *b, uint32_t backend)
{
    atomic_store(&board_slot(b, backend)->traffic.is_calibrating, false);
}

bool board_claim_last_resort(struct board *b, uint32_t backend, uint64_t now_ms)
{
    struct slot *s = board_slot(b, backend);
    uint64_t word = atomic_load_explicit(&s->published.judgement, memory_order_acquire);
    uint64_t claimed_ms = board_load(&s->traffic.claimed_ms);
    bool is_fresh = unpack_state(word) == STATE_DOWN &&
                    now_ms < board_load(&s->published.since_ms) + LAST_RESORT_GAP_MS;
    if (is_fresh || (claimed_ms > 0 && now_ms < claimed_ms + LAST_RESORT_GAP_MS)) {
        return false;
    }
    return atomic_compare_exchange_strong_explicit(&s->traffic.claimed_ms, &claimed_ms, now_ms,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* --- figures for status --- */

void board_count_attempt(struct board *b, uint32_t backend, bool ok)
{
    struct slot *s = board_slot(b, backend);
    board_add(ok ? &s->figures.good_attempts : &s->figures.failures, 1);
}

void board_count_tokens(struct board *b, uint32_t backend, uint64_t tokens)
{
    board_add(&board_slot(b, backend)->figures.tokens, tokens);
}

void board_count_first_token(struct board *b, uint32_t backend, uint64_t took_ms)
{
    struct slot *s = board_slot(b, backend);
    board_add(&s->figures.first_token_sum_ms, took_ms);
    board_add(&s->figures.first_token[figures_bucket_of(took_ms)], 1);
}

void board_figures(const struct board *b, uint32_t backend, struct backend_figures *out)
{
    const struct slot *s = board_slot(b, backend);
    /* Two counters, so that neither this sum nor their difference can ever go back. */
    out->failures = board_load(&s->figures.failures);
    out->attempts = board_load(&s->figures.good_attempts) + out->failures;
    out->tokens = board_load(&s->figures.tokens);
    out->first_token_sum_ms = board_load(&s->figures.first_token_sum_ms);
    for (uint32_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        out->first_token[i] = board_load(&s->figures.first_token[i]);
    }
}
