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
    CAUSE_PROBE_STATUS, /* answered with another status */
    CAUSE_PROBE_FAILED, /* did not answer */
    CAUSE_LOADING,      /* alive, loads its model */
    CAUSE_TRAFFIC       /* a real request failed */
};

struct cause {
    enum cause_kind kind;
    enum failure failure; /* of PROBE_FAILED and TRAFFIC */
    uint16_t status;      /* of PROBE_STATUS */
};

/* One sentence without a full stop, e.g. "probe answered 503", "request failed: reset"; into
 * out (cut to size). */
void cause_text(struct cause c, char *out, size_t size);

/* One word for machines: "starting", "ok", "slow", "probe_status", "probe_failed", "loading",
 * or the failure's name. */
const char *cause_word(struct cause c);

struct health {
    enum state state;
    struct cause cause;
    uint64_t since_ms;    /* when state was entered */
    uint64_t verdict_ms;  /* when anything was last learnt about a DOWN backend */
    uint32_t exceptions;  /* probes in a row that did not answer */
    uint32_t good;        /* good probes in a row while DOWN */
    uint32_t suspicions;  /* 500s of distinct requests since the last good answer */
    bool suspect;         /* the next probe, if bad in any way, means DOWN */
    uint32_t down_probes; /* of this outage, with the one that found it: spaces the next */
    uint64_t next_probe_ms;
    uint64_t gap_until_ms; /* no probe before this, whoever asks */
    uint64_t blamed_ms;    /* when traffic last blamed or suspected it */
};

void health_init(struct health *h, uint64_t now_ms);

struct probe_result {
    bool answered;
    uint16_t status;      /* when answered */
    bool is_loading;      /* a 503 that says so */
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
 * that only suspects) before, here or at another backend: then a suspicion does not count. Sets
 * the next probe to now where the rules want one (never more often than once in PROBE_GAP_MS).
 * True when the state changed.
 */
bool health_on_failure(struct health *h, enum failure f, bool is_first_500, uint64_t now_ms);

/* A complete answer of real traffic: clears suspicions. */
void health_on_success(struct health *h, uint64_t now_ms);

enum { PROBE_GAP_MS = 500, DOWN_PROBE_MS = 2000, SUSPICIONS_DOWN = 3 };

/*
 * Spacing of probes: `interval`; while an exception run or an outage lasts, 2 s growing by half
 * up to `interval` (never longer than interval, never shorter than PROBE_GAP_MS, which wins),
 * so that a recovery is noticed soon and there is never a storm. A good probe of a DOWN backend
 * is followed up after 2 s, however long the outage was.
 */
