#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/catalog.h"
#include "tiers/verdict.h"

/*
 * May a backend have the requests of one of its models? Health says what probes find, and what
 * takes a backend DOWN at once; the breaker is what real requests say, and how the backend
 * comes back from either. Pure; the owner (tiers/breakers) serializes calls.
 *
 *              too many strikes, or the backend DOWN
 *        ┌──────────────────────────────────────────────┐
 *        │                                              ▼
 *    ┌───┴──┐  slow_start  ┌──────┐  any strike     ┌──────┐  trial, its strike
 *    │ FULL │◀─────────────┤ RAMP ├────────────────▶│ OPEN │◀─────┐
 *    └──────┘   is over    └──▲───┘                 └─▲──┬─┴──────┘
 *                             │ dwell       strike    │  │
 *                             │ is over  ┌───────┐    │  │ proof
 *                             └──────────┤ DWELL ├────┘  │
 *                                        └───────┘◀──────┘
 *
 * A strike is a failure for which verdict_is_strike is true.
 *
 * FULL opens with STRIKES_OPEN strikes within BREAKER_WINDOW_MS that are at least half of the
 * attempts that ended in it, and whenever the backend goes DOWN.
 *
 * OPEN is left on proof. After failed requests (`needs_request`) that is a real request that is
 * answered: a trial, one at a time, each `trial` growing by half to at most `trial_max`;
 * however good the probes are. After silence, where a trial would cost a client its patience,
 * and after bad probes, it is the probes that take the backend out of DOWN.
 *
 * DWELL: proven, but the outage began less than `dwell` ago. Trials go on, and a strike begins
 * it anew. A backend that flaps waits longer: a relapse (it opens within FLAP_MEMORY_MS of its
 * return to traffic) makes it 3 times `dwell`, each further one doubles that, up to 60 times
 * `dwell` (30 s … 10 min at the default of 10 s). Relapses are forgotten when it opens after
 * more than FLAP_MEMORY_MS of traffic.
 *
 * RAMP: it gets 10 %, 25 % and 50 % of the requests that would go there, a third of
 * `slow_start` each, before all of them. Where only probes speak for it, one request at a time
 * (also a trial) until one is answered; the ramp begins then.
 *
 * A model that is being loaded is no outage: it opens without a relapse and without a dwell.
 */

enum {
    BREAKER_WINDOW_MS = 20000,
    STRIKES_OPEN = 5,
    FLAP_MEMORY_MS = 600000,
    DWELL_FLAP_FIRST = 3, /* times `dwell`, after the first relapse */
    DWELL_FLAP_MOST = 60
};

enum breaker_phase { PHASE_FULL, PHASE_RAMP, PHASE_DWELL, PHASE_OPEN };

enum { STRIKE_SLOTS = 5, STRIKE_SLOT_MS = BREAKER_WINDOW_MS / STRIKE_SLOTS };

struct breaker {
    bool is_open;
    uint64_t since_ms;         /* when it last opened, or was proven well */
    enum failure reason;       /* of the last opening; FAILURE_ok: a probe's status */
    bool needs_request;        /* only a real request is proof */
    bool is_proving;           /* only probes have spoken for it so far */
    bool is_excused;           /* it was only loading so far */
    uint64_t opened_ms;        /* when the outage last got worse: the dwell counts from here */
    uint64_t dwell_ms;         /* of this outage */
    uint64_t ramp_from_ms;     /* when the dwell ends; while not open */
    uint64_t answers_until_ms; /* so long it counts as one that answers some; see board */
    uint32_t failed_trials;    /* in a row: spaces the next */
    uint64_t trial_due_ms;     /* UINT64_MAX: none */
    uint32_t claim;            /* the trial under way, 0: none */
    uint32_t last_claim;
    bool is_promoted; /* its return to traffic is counted */
    uint64_t promoted_ms;
    uint32_t promotions; /* returns to traffic, ever */
    uint32_t relapses;   /* that are remembered */
    struct {
        uint64_t slot; /* its time / STRIKE_SLOT_MS */
        uint32_t count;
    } strikes[STRIKE_SLOTS];
};

void breaker_init(struct breaker *b, uint64_t now_ms);

enum breaker_phase breaker_phase(const struct breaker *b, const struct breaker_policy *p,
                                 uint64_t now_ms);

/* Per cent of the requests that would go there which may: 0, 10, 25, 50 or 100. */
uint32_t breaker_share(const struct breaker *b, const struct breaker_policy *p,
                       uint64_t now_ms);

/* When it takes all requests; UINT64_MAX while nobody can say. */
uint64_t breaker_full_from_ms(const struct breaker *b, const struct breaker_policy *p);

/* How an attempt ended that began `age_ms` ago. One that is older than the outage says nothing
 * of its end. */
struct breaker_ending {
    uint64_t age_ms;
    uint32_t claim;   /* of the trial that it was; 0: it was none */
    uint32_t answers; /* good ones within the last BREAKER_WINDOW_MS; for strikes */
};

/* True when this opened it. */
bool breaker_on_strike(struct breaker *b, const struct breaker_policy *p, enum failure f,
                       const struct breaker_ending *e, uint64_t now_ms);

/* Answered. True when this was the proof that closed it. */
bool breaker_on_answer(struct breaker *b, const struct breaker_policy *p,
                       const struct breaker_ending *e, uint64_t now_ms);

/* The backend went DOWN, by this failure if by any. */
enum outage {
    OUTAGE_PROBES,  /* by its probes, or by a request of another model */
    OUTAGE_SILENCE, /* a request of this model found it silent */
    OUTAGE_REQUEST, /* a request of this model failed otherwise */
    OUTAGE_LOADING
};
void breaker_on_down(struct breaker *b, const struct breaker_policy *p, enum outage why,
                     enum failure f, uint64_t now_ms);

/* The backend left DOWN. True when that closed it. */
bool breaker_on_up(struct breaker *b, const struct breaker_policy *p, uint64_t now_ms);

/* Whether a request may be the trial now, for a backend that is not DOWN. */
bool breaker_wants_trial(const struct breaker *b, const struct breaker_policy *p,
                         uint64_t now_ms);

/* Takes the trial for the caller: a number that goes with the attempt; 0: there is none to
 * have. Ends by the strike or the answer of that attempt, or by breaker_release. */
uint32_t breaker_claim(struct breaker *b, const struct breaker_policy *p, uint64_t now_ms);

/* The trial has told nothing. Nothing happens when it has ended otherwise. */
void breaker_release(struct breaker *b, const struct breaker_policy *p, uint32_t claim,
                     uint64_t now_ms);
