#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/breaker.h"
#include "tiers/catalog.h"

/*
 * The breakers of all servings, as all threads share them; the board owns them and tells them
 * of outages. Reading is lock-free; what is learnt, and a trial that is claimed, is taken in
 * under one short lock a serving. An answer while all is well costs one atomic count. Any
 * thread may call anything here.
 */

struct breakers;

/* The catalog must outlive them. */
struct breakers *breakers_new(const struct catalog *c, uint64_t now_ms);
void breakers_free(struct breakers **b);

/* The quick question: it takes all requests. */
bool breakers_is_full(const struct breakers *b, uint32_t serving, uint64_t now_ms);

struct breaker_view {
    enum breaker_phase phase;
    bool is_half_open;   /* a trial is under way */
    bool is_proving;     /* only probes speak for it yet: one request at a time */
    bool wants_trial;    /* the next request may be one, unless its backend is DOWN */
    bool answers;        /* where there is nobody else, it is better than nothing */
    uint32_t share;      /* per cent of the requests that would go there which may */
    enum failure reason; /* why it opened last; FAILURE_ok: a probe's status, or never */
    uint64_t since_ms;   /* when it opened, or was proven well; else since the start */
    uint64_t until_ms;   /* when the phase ends, or OPEN's next trial is; 0: not known */
    uint32_t relapses;   /* that are remembered: its dwell is longer for them */
    uint32_t promotions; /* returns to traffic */
};
struct breaker_view breakers_view(const struct breakers *b, uint32_t serving, uint64_t now_ms);

/* "closed" (also while it dwells or ramps), "open" or "half_open". */
const char *breaker_view_word(const struct breaker_view *v);

/* How an attempt at a serving ended. */
struct ended_attempt {
    uint64_t age_ms; /* since it began */
    uint32_t claim;  /* of the trial that it was, 0: none */
};

/* See breaker.h. True when this opened it, or was the proof that closed it. */
bool breakers_on_strike(struct breakers *b, uint32_t serving, enum failure f,
                        const struct ended_attempt *e, uint64_t now_ms);
bool breakers_on_answer(struct breakers *b, uint32_t serving, const struct ended_attempt *e,
                        uint64_t now_ms);

/* It answers, though it has not ended: proof as an answer is, but none that is counted. */
bool breakers_on_content(struct breakers *b, uint32_t serving, const struct ended_attempt *e,
                         uint64_t now_ms);

void breakers_on_down(struct breakers *b, uint32_t serving, enum outage why, enum failure f,
                      uint64_t now_ms);
void breakers_on_up(struct breakers *b, uint32_t serving, uint64_t now_ms);

/* Of all threads that ask at once, one gets the trial (see breaker_claim). */
uint32_t breakers_claim(struct breakers *b, uint32_t serving, uint64_t now_ms);
void breakers_release(struct breakers *b, uint32_t serving, uint32_t claim, uint64_t now_ms);

/* True for one caller a second and model. */
bool breakers_claim_panic(struct breakers *b, uint32_t model, uint64_t now_ms);
enum { PANIC_GAP_MS = 1000 };
