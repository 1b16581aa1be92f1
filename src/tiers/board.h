#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/ability.h"
#include "tiers/breakers.h"
#include "tiers/catalog.h"
#include "tiers/figures.h"
#include "tiers/health.h"
#include "tiers/offers.h"
#include "tiers/operator_word.h"
#include "tiers/telemetry.h"
#include "tiers/vitals.h"

/*
 * The board: what all threads know about all backends. Reading is lock-free (one atomic load a
 * field); what is learnt is taken in under one short lock per backend and is visible to every
 * other thread at once. Time is an argument. Any thread may call anything here. It owns the
 * breakers and tells them of outages, of failures and of answers, and the offers, which forget
 * at an outage; what else they know is asked there.
 */

struct board;
struct loads;

/* The catalog must outlive it. */
struct board *board_new(const struct catalog *c, uint64_t now_ms);
void board_free(struct board **b);

/* Live as long as the board. */
struct breakers *board_breakers(const struct board *b);
struct offers *board_offers(const struct board *b);
struct loads *board_loads(const struct board *b);
struct telemetry *board_telemetry(const struct board *b);

struct backend_view {
    enum state state;
    struct cause cause;
    uint64_t since_ms;        /* since when in this state */
    uint64_t hold_until_ms;   /* asked to be left alone until then */
    uint32_t in_flight;       /* attempts now */
    uint32_t recent_failures; /* decays by half each second: keeps a fast failer unattractive */
    bool is_full;             /* its slots are all taken */
    bool needs_token;         /* DOWN until a token is seen, whatever its probes say */
    struct vital_view vitals; /* its signs of life, and how much its engine has to do */
    struct advice advice;     /* what its GPUs and its guard advise */
    struct operator_view operator; /* what the operator has said */
};

struct backend_view board_view(const struct board *b, uint32_t backend, uint64_t now_ms);

/* Of all that only the operator's word; cheaper. */
enum operator_word board_operator(const struct board *b, uint32_t backend);

/* The worst of what probes and traffic found and of what others tell of it; for people. */
enum state board_told_state(const struct backend_view *v);

/* Of all that only the state; cheaper. */
enum state board_state(const struct board *b, uint32_t backend);

/* What changed by a report; the caller logs it and, if asked, wakes the prober. */
struct board_change {
    bool state_changed;
    enum state from;
    enum state to;
    struct cause cause;
    bool opened;    /* the breaker of the request's model, by this request */
    bool probe_now; /* the next probe was moved forward: ask board_next_probe_ms again */
};

struct board_change board_on_probe(struct board *b, uint32_t backend,
                                   const struct probe_result *r, uint64_t now_ms);

/* A failed attempt. `hold_ms`: for BLAME_HOLD, how long to leave it alone; 0: it did not say, 1
 * s; never more than 10 min; of several holds the one that ends last counts. `is_first_500`:
 * see health_on_failure. */
struct failed_attempt {
    enum failure failure;
    bool is_first_500; /* false: this request drew a 500 before, so that a suspicion does not
                          count */
    uint32_t
        hold_ms; /* for BLAME_HOLD: how long it asked to be left alone; 0: it did not say */
    uint32_t of; /* which of the backend's servings, from 0 */
    struct ended_attempt ended;
};
struct board_change board_on_failure(struct board *b, uint32_t backend,
                                     const struct failed_attempt *f, uint64_t now_ms);

/* A complete answer. Cheap when there is nothing to clear. */
void board_on_success(struct board *b, uint32_t backend, uint64_t now_ms);

/* --- signs of life (tiers/vitals.h), by the one who looks after them --- */

/* Somebody will ask it for a token when it is in doubt (or no longer will): from then on an
 * outage by silence ends with a token only. No longer: as if a token had come. */
struct board_change board_watch(struct board *b, uint32_t backend, bool is_watched,
                                uint64_t now_ms);

struct board_change board_on_hang(struct board *b, uint32_t backend, uint64_t now_ms);

/* A token was last seen at `token_ms`. Cheap when nobody waits for one. */
struct board_change board_on_token(struct board *b, uint32_t backend, uint64_t token_ms,
                                   uint64_t now_ms);

/* Publishes what its page in the telemetry advises, and has it probed now where that is news.
 */
struct board_change board_take_advice(struct board *b, uint32_t backend, uint64_t now_ms);

/* --- backends that the gateway starts and stops itself --- */

/* There is no process of it that could be judged: health_put_off. One that is managed begins
 * like this, by CAUSE_STOPPED. */
struct board_change board_put_off(struct board *b, uint32_t backend, enum cause_kind why,
                                  uint64_t now_ms);

/* Its process has made a token: well, and probed from now on. */
struct board_change board_put_on(struct board *b, uint32_t backend, uint64_t now_ms);

/* The operator's word. False: it stood already, and nothing is changed. One that is enabled
 * again returns as after a load: one request first, then slowly (tiers/breaker.h), unless it
 * has to return from something worse. */
bool board_set_operator(struct board *b, uint32_t backend, enum operator_word word,
                        uint64_t now_ms);

void board_set_vitals(struct board *b, uint32_t backend, const struct vital_view *view);

/* Content has come to one of our streams. Lock-free, and written only now and then
 * (CONTENT_STEP_MS). */
void board_note_content(struct board *b, uint32_t backend, uint64_t now_ms);
uint64_t board_content_ms(const struct board *b, uint32_t backend); /* the last; 0: never */
enum { CONTENT_STEP_MS = 50 };
/* The same, told to the serving's breaker too: true when this closed it. */
bool board_on_answer(struct board *b, uint32_t serving, const struct ended_attempt *e,
                     uint64_t now_ms);

/* When the next probe is due; the prober asks after each report and at start. */
uint64_t board_next_probe_ms(const struct board *b, uint32_t backend);

/* Every begin is followed by one end. True when a calibration is under way there, which must
 * make way: tell it. */
bool board_begin(struct board *b, uint32_t backend);
void board_end(struct board *b, uint32_t backend);

/* The silence of one of them says nothing: it is not read from, because its client does not
 * keep up, or it answers in one piece only. Or it does again. */
void board_count_paused(struct board *b, uint32_t backend, bool is_paused);
uint32_t board_paused(const struct board *b, uint32_t backend);

/* For a backend that is not usable: true for the one caller a second (LAST_RESORT_GAP_MS since
 * the last claim, and since it went DOWN) that may try it all the same. */
bool board_claim_last_resort(struct board *b, uint32_t backend, uint64_t now_ms);
enum { LAST_RESORT_GAP_MS = 1000 };

/* --- what is known of a backend with one of its models, by catalog.servings --- */

/* How often it was taken DOWN: what was learnt before may not hold any more. */
uint32_t board_outages(const struct board *b, uint32_t backend);

/* Lock-free. A paid backend's is ABILITY_NO from the start; ability_doubted is applied whenever
 * the backend is taken DOWN. */
enum ability board_ability(const struct board *b, uint32_t serving);

/* The worst of all that a backend serves; without any, as of a new one. */
enum ability board_worst_ability(const struct board *b, uint32_t backend);

/* Publishes what was measured. False, and nothing is changed, when there was an outage since
 * `outages` was read. */
bool board_set_ability(struct board *b, uint32_t serving, enum ability a, uint32_t outages);

/* Its model is another one. */
void board_doubt_ability(struct board *b, uint32_t serving);

/* Whether a backend that loads models at need has this one: its first content is near.
 * Lock-free, and no older than the last look; unknown after an outage. */
enum residence { RESIDENCE_UNKNOWN, RESIDENCE_LOADED, RESIDENCE_ABSENT };
enum residence board_residence(const struct board *b, uint32_t serving);
void board_set_residence(struct board *b, uint32_t serving, enum residence r);

/* Between the two a calibration asks the backend. False when attempts are in flight there, then
 * it is not begun: an attempt that begins at the same time either is seen here or is told. */
bool board_begin_calibration(struct board *b, uint32_t backend);
void board_end_calibration(struct board *b, uint32_t backend);

/* --- figures for status --- */

void board_count_attempt(struct board *b, uint32_t backend, bool ok);
void board_count_tokens(struct board *b, uint32_t backend, uint64_t tokens);
void board_count_first_token(struct board *b, uint32_t backend, uint64_t took_ms);
void board_figures(const struct board *b, uint32_t backend, struct backend_figures *out);
