#pragma once

#include <stddef.h>

#include "alert/alerter.h"
#include "ops/chronicle.h"
#include "ops/status.h"
#include "tiers/board.h"
#include "tiers/tally.h"

/*
 * The alerts' part of the control thread: gives every event to the rules (tiers/alert_rules),
 * shows them how the models are served, keeps their time, and hands what they tell to the
 * alerter.
 */

struct duty_conf {
    struct loop *loop;
    struct chronicle *chronicle;
    const struct catalog *catalog;
    const struct board *board;
    const struct tally *tally;
    struct journal *journal;
    const struct alert_policy *policy;
    uint32_t settle_ms;
    struct str history; /* its file; empty: none */
    enum delivery (*send)(const struct alert_channel *ch, const struct alert *a,
                          struct delivery_report *out, void *cancel);
};

struct duty;

/* With one channel at least. All in conf is borrowed and outlives it. After
 * chronicle_start, before the loop runs. */
struct duty *duty_start(const struct duty_conf *conf);

/* After the loop has ended, before chronicle_stop. */
void duty_stop(struct duty **d);

/* For struct status_source; the loop's thread. */
void duty_count(void *duty, size_t channel, struct alert_counts *out);
