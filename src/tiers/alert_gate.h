#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/alert.h"
#include "tiers/alert_policy.h"

/*
 * What of all that is to be told goes to one channel singly, and what waits for a digest: the
 * channel's rate is a bucket of tokens, one a message; that nobody is left to serve has one
 * more in reserve. In its quiet hours only what is severe enough passes. A digest costs no
 * token but comes at most every digest_ms, the first DIGEST_FIRST_MS after what it begins with.
 * Pure; time is an argument.
 */

enum { DIGEST_FIRST_MS = 30000, GATE_FELT = 32 };

/* One moment, as the clocks tell it. */
struct alert_clock {
    uint64_t now_ms; /* monotonic */
    uint64_t wall_ms;
    uint32_t minute;         /* of the local day, 0 … 1439 */
    uint64_t incident_shift; /* what the events' incidents have been renumbered by */
};

struct alert_gate {
    const struct alert_channel *channel; /* borrowed */
    uint32_t digest_ms;

    /* private: */
    uint32_t tokens;
    uint64_t filled_ms;          /* when tokens was last right */
    uint64_t reserve_ms;         /* from when on there is the one in reserve */
    uint64_t held_ms;            /* when the first of the held ones came; 0: none is held */
    uint64_t digest_told_ms;     /* 0: never */
    bool held_for_quiet;         /* some of it waits for the end of the quiet hours */
    struct alert digest;         /* of what is held */
    uint64_t felt_of[GATE_FELT]; /* incidents in it, each counted once */
    struct alert_felt felt[GATE_FELT];
    uint32_t felt_count;
};

void alert_gate_init(struct alert_gate *g, const struct alert_channel *c, uint32_t digest_ms,
                     uint64_t now_ms);

/* True: it may be told now. False: it is held for the digest. The end of an incident always
 * passes where the channel keeps incidents open until they are told over. */
bool alert_gate_pass(struct alert_gate *g, const struct alert *a, const struct alert_clock *at);

/* Gives the digest where one is due, or where `is_end`, any that is held. */
bool alert_gate_digest(struct alert_gate *g, const struct alert_clock *at, bool is_end,
                       struct alert *out);

/* When a digest may be due; UINT64_MAX: nothing is held. */
uint64_t alert_gate_due_ms(const struct alert_gate *g, const struct alert_clock *at);

bool quiet_hours_cover(const struct quiet_hours *q, uint32_t minute);
