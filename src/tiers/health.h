#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/catalog.h"
#include "tiers/verdict.h"

/*
 * Is one backend well? Design section 5 as arithmetic: probe results, failed attempts and a
 * time go in, a state comes out. Pure; the owner (tiers/board) serializes calls.
 *
 *              slow 200, 1st/2nd exception            other status, 3rd exception,
 *            ┌──────────────────────────────▶┌────────┐  failed attempt that blames
 *      ┌─────┴───┐                           │DEGRADED├──────────┐
 *      │ HEALTHY │◀──────────────────────────┴────▲───┘          ▼
 *      └──┬───▲──┘        fast 200                │          ┌────────┐
 *         │   └───────── up_after good probes ────┼──────────┤  DOWN  │
 *         └───────── other status, blame ─────────┼─────────▶└────────┘
 *                                                 └─ up_after, the last slow
 */

enum state { STATE_HEALTHY, STATE_DEGRADED, STATE_DOWN };
const char *state_name(enum state s); /* "HEALTHY", … */

enum cause_kind {
    CAUSE_STARTING, /* not probed yet; taken for well */
    CAUSE_PROBE_OK,
    CAUSE_PROBE_SLOW,
    CAUSE_PROBE_STATUS,   /* answered with another status */
    CAUSE_PROBE_FAILED,   /* did not answer */
    CAUSE_LOADING,        /* alive, loads its model */
    CAUSE_LOADING_FAILED, /* still loads when it should long be done */
    CAUSE_GUARD_STARTING, /* does not answer yet: its guard starts it */
    CAUSE_TRAFFIC,        /* a real request failed */
    CAUSE_HUNG,           /* answers, but no token comes (tiers/vitals.h) */
    CAUSE_STOPPED,        /* of those that the gateway starts itself: not started now */
    CAUSE_RISING,         /* likewise: started, loads for the first time */
    CAUSE_RESTARTING,     /* likewise: its process has failed, and is started again */
    CAUSE_GAVE_UP         /* likewise, and is not */
};

/* Whether that is how it shall be, and no outage. */
static inline bool cause_is_wanted(enum cause_kind k)
{
    return k == CAUSE_STOPPED || k == CAUSE_RISING;
}

/* Whether there is no process of it that could be asked. */
static inline bool cause_is_off(enum cause_kind k)
{
    return cause_is_wanted(k) || k == CAUSE_RESTARTING || k == CAUSE_GAVE_UP;
}

struct cause {
    enum cause_kind kind;
    enum failure failure; /* of PROBE_FAILED and TRAFFIC; of HUNG stall: silence */
    uint16_t status;      /* of PROBE_STATUS */
};

/* One sentence without a full stop, e.g. "probe answered 503", "request failed: reset"; into
 * out (cut to size). */
void cause_text(struct cause c, char *out, size_t size);

/* One word for machines: "starting", "ok", "slow", "probe_status", "probe_failed", "loading",
 * "loading_failed", "guard_starting", "hung", "stopped", "rising", "restarting", "gave_up", or
 * the failure's name. */
const char *cause_word(struct cause c);

/* It is alive and will answer by itself: no failure of it, and nothing for a panic. */
bool cause_is_loading(struct cause c);

/* As people and metrics are told: "STOPPED" or "LOADING" in the place of "DOWN" where that is
 * wanted. */
const char *state_word(enum state s, struct cause c);

struct health {
    bool is_off; /* no process that could be judged: put off, and not on again */
    enum state state;
    struct cause cause;
    uint64_t since_ms;    /* when state was entered */
    uint32_t exceptions;  /* probes in a row that did not answer */
    uint32_t good;        /* good probes in a row while DOWN */
    uint32_t suspicions;  /* 500s of distinct requests since the last good answer */
    bool suspect;         /* the next probe, if bad in any way, means DOWN */
    uint32_t down_probes; /* of this outage, with the one that found it: spaces the next */
    uint64_t next_probe_ms;
    uint64_t gap_until_ms; /* no probe before this, whoever asks */
    uint64_t blamed_ms;    /* when traffic last blamed or suspected it */
    uint64_t loading_ms;   /* since when it loads; of CAUSE_LOADING */
    bool needs_token;      /* good probes alone do not end this outage: it was silent */
    uint64_t doubted_ms;   /* since when; a token must be younger */
};

void health_init(struct health *h, uint64_t now_ms);

struct probe_result {
    bool answered;
    uint16_t status;      /* when answered */
    bool is_loading;      /* a 503 that says so */
    bool is_starting;     /* its guard says that it starts it: no answer is loading, too */
    enum failure failure; /* when not answered */
    uint32_t took_ms;
};

/*
 * Takes in a probe that was started for this backend; sets when the next is due. True when
 * state or cause kind changed. A good probe that was already under way when traffic blamed the
 * backend proves nothing: it changes no judgement and is repeated after PROBE_GAP_MS. Nor does
 * a probe that we could not send ourselves (no_fds, cancelled).
 */
bool health_on_probe(struct health *h, const struct health_policy *p,
                     const struct probe_result *r, uint64_t now_ms);

/*
 * Takes in a failed attempt. `is_first_500` is false when this request drew a 500 (any failure
 * that only suspects) before, here or at another backend: then a suspicion does not count, but
 * a probe shall tell whether it lives. Sets the next probe to now where the rules want one
 * (never more often than once in PROBE_GAP_MS).
 * True when the state changed.
 */
bool health_on_failure(struct health *h, enum failure f, bool is_first_500, uint64_t now_ms);

/* The next probe is due now (PROBE_GAP_MS after the last): others say that something changed.
 */
void health_ask_probe(struct health *h, uint64_t now_ms);

/* A complete answer of real traffic: clears suspicions. */
void health_on_success(struct health *h, uint64_t now_ms);

/*
 * An engine that hangs behind a server that answers (tiers/vitals.h): DOWN, and until a token
 * is seen its server's good probes do not raise it. True when state or cause changed.
 */
bool health_on_hang(struct health *h, uint64_t now_ms);

/* DOWN by silence of real traffic, where somebody will ask it for a token: the same for its
 * return. */
void health_need_token(struct health *h, uint64_t now_ms);

/* A token was seen at `token_ms`, anywhere. With enough good probes it is well at once; else
 * the next one is due now. True when the state changed. */
bool health_on_token(struct health *h, const struct health_policy *p, uint64_t token_ms,
                     uint64_t now_ms);

/* It cannot be asked for a token any more: as if one had come. */
bool health_waive_token(struct health *h, const struct health_policy *p, uint64_t now_ms);

/*
 * A backend that the gateway starts and stops: put off, it is DOWN by `why` and neither probed
 * nor judged by what comes from it still, until it is put on, which makes it well. True when
 * state or cause changed.
 */
bool health_put_off(struct health *h, enum cause_kind why, uint64_t now_ms);
bool health_put_on(struct health *h, uint64_t now_ms);

enum { PROBE_GAP_MS = 500, SUSPICIONS_DOWN = 3 };

/*
 * Spacing of probes: `interval`; while an exception run or an outage lasts, `down_gap` growing
 * by half up to `down_gap_max` (never longer than interval, never shorter than PROBE_GAP_MS,
 * which wins), so that a recovery is noticed soon and there is never a storm. A good probe of a
 * DOWN backend is followed up after `down_gap`, however long the outage was.
 */
