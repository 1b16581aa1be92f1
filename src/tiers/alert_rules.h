#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/alert.h"
#include "tiers/alert_gate.h"
#include "tiers/alert_policy.h"
#include "tiers/catalog.h"

/*
 * Who is told what, and when. Of each incident people are told that it has opened, that it has
 * become worse, and that it is over; whatever else happens in it changes only what those
 * messages say.
 *
 *    opens ──▶ bad for `for`, or bad again for the third time ──▶ OPENED ──▶ over ──▶ OVER
 *                                                                  │  ▲
 *            a tier further down, nobody left, or severer, for `for`  └──┘ WORSENED, each once
 *
 * An incident is bad while its backend's signs are (tiers/signs), else while bad things go on
 * happening. One that began before a message and explains with it why traffic is where it is
 * joins that message's incident: two backends of one model that fail together are one story,
 * which is over when both are.
 *
 * Pure; one thread; time is an argument.
 */

enum { ALERT_CHANNELS = 64 }; /* at most */

/* How a model is served now. */
struct alert_look {
    const struct backend *by;     /* NULL: nobody can */
    uint32_t tier;                /* from 1; 0: nobody */
    const struct backend *rising; /* being started by ourselves; NULL: none is */
    uint64_t requests;            /* that ended since the start, and of these … */
    uint64_t degraded;
    uint64_t failed;
};

struct alert_rules_conf {
    const struct catalog *catalog;     /* borrowed, as the policy */
    const struct alert_policy *policy; /* at most ALERT_CHANNELS channels */
    uint32_t settle_ms;
    const char *gateway; /* this gateway's name; borrowed */
    void (*look)(void *arg, size_t model, struct alert_look *out);
    void (*tell)(void *arg, size_t channel, const struct alert *a);
    void *arg;
};

struct alert_rules;

struct alert_rules *alert_rules_new(const struct alert_rules_conf *conf,
                                    const struct alert_clock *at);
void alert_rules_free(struct alert_rules **r);

/* Takes in an event that has its incident (as numbered by tiers/incidents). */
void alert_rules_take(struct alert_rules *r, const struct event *e,
                      const struct alert_clock *at);

/* Tells what is due: after events, and when alert_rules_due_ms says so. */
void alert_rules_turn(struct alert_rules *r, const struct alert_clock *at);
uint64_t alert_rules_due_ms(const struct alert_rules *r, const struct alert_clock *at);

/* The process ends: what is held back for a digest is told now. */
void alert_rules_end(struct alert_rules *r, const struct alert_clock *at);

/*
 * An incident that an earlier process has told as open, and not as over. Where its subject is
 * bad again within `for` and `settle`, what follows is told as part of it; else that it is
 * over.
 */
struct alert_carried {
    struct alert last; /* what was told last of it */
    uint64_t channels; /* a bit for each that was told */
};
void alert_rules_carry(struct alert_rules *r, const struct alert_carried *c,
                       const struct alert_clock *at);
