#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/catalog.h"

/*
 * How much each backend has to do, for all workers: its slots (`max_concurrent`), the work that
 * our attempts there still mean, what its engine does for others, and how long things took
 * there lately. Atomics only; any thread may call anything here. The board owns it, and it owns
 * the lines (tiers/lines.h).
 *
 * Work is in tokens of an answer: a prompt's tokens count a sixteenth, as they are made in
 * parallel, and an attempt as such counts LOAD_ATTEMPT.
 */

enum { LOAD_ATTEMPT = 64, LOAD_ANSWER = 256, LOAD_UNIT = LOAD_ATTEMPT + LOAD_ANSWER };

struct loads;
struct lines;

/* The catalog must outlive it. */
struct loads *loads_new(const struct catalog *c);
void loads_free(struct loads **l);

/* Live as long as it. */
struct lines *loads_lines(const struct loads *l);

/* --- slots --- */

/* Takes a slot; never more than max_concurrent are taken at a time. Always true where there is
 * no limit, and nothing is counted then. Every claim is followed by one unclaim. */
NODISCARD bool loads_claim(struct loads *l, uint32_t backend);
void loads_unclaim(struct loads *l, uint32_t backend);
bool loads_is_limited(const struct loads *l, uint32_t backend);
bool loads_is_full(const struct loads *l, uint32_t backend);
uint32_t loads_claimed(const struct loads *l, uint32_t backend);

/* --- work --- */

/* What an attempt there will mean: the prompt, and an answer as long as those of this serving
 * were lately, at most `max_tokens` (UINT64_MAX: no limit). */
uint32_t loads_expect(const struct loads *l, uint32_t serving, uint64_t prompt_bytes,
                      uint64_t max_tokens);

/* An answer of so many tokens has ended there. */
void loads_note_answer(struct loads *l, uint32_t serving, uint64_t tokens);

/* Every add is followed by subs of the same sum. */
void loads_add(struct loads *l, uint32_t backend, uint32_t work);
void loads_sub(struct loads *l, uint32_t backend, uint32_t work);

/* Its engine has so many requests, of which `ours` are attempts of this gateway. */
void loads_see_engine(struct loads *l, uint32_t backend, uint32_t requests, uint32_t ours);

/* All of it, with `in_flight` attempts of ours: what is to be divided by the weight. */
uint64_t loads_of(const struct loads *l, uint32_t backend, uint32_t in_flight);

/* --- how long things took there, the last LOADS_RECENT times --- */

enum { LOADS_RECENT = 16 };

void loads_note_first_token(struct loads *l, uint32_t backend, uint64_t took_ms);
uint64_t loads_first_token_ms(const struct loads *l,
                              uint32_t backend); /* median; 0: not known */

/* A slot was held for so long. */
void loads_note_hold(struct loads *l, uint32_t backend, uint64_t held_ms);
uint64_t loads_hold_ms(const struct loads *l, uint32_t backend); /* mean; 0: not known */

/* --- turns --- */

/* Counts up for each call about this tier of this model. */
uint32_t loads_turn(struct loads *l, uint32_t model, uint32_t tier);
