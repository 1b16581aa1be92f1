#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alert/delivery.h"
#include "net/loop.h"
#include "tiers/alert_policy.h"
#include "tiers/alert_rules.h"
#include "tiers/journal.h"

/*
 * Sends alerts: what is put in is written to the history's file (ops/outbox_db) before it is
 * sent the first time, tried again until it goes through, is refused or is a day old, and then
 * marked. So each alert gets to its channel once, over restarts too; a process that is killed
 * between sending and marking sends that one again, under the same number.
 *
 * Sending blocks, so each channel has a thread of its own: a server that is dead or slow keeps
 * nobody else waiting, and there are few channels. One more thread, the clerk, has the file to
 * itself; nobody but the sender of an alert ever waits for it, and he not for long: while the
 * file cannot be written, alerts are sent all the same and written later.
 */

struct alerter_conf {
    const struct alert_policy *policy; /* borrowed; at most ALERT_CHANNELS channels */
    struct str path;                   /* empty: in memory only */
    struct journal *journal;           /* borrowed; told what was sent and what failed */
    struct loop *loop;                 /* where `carry` is called; borrowed, as all above */
    uint32_t retry_ms;                 /* after the first try; 0: RETRY_FIRST_MS */

    /* What an earlier process has told as open. Called in the loop, once for each. */
    void (*carry)(void *arg, const struct alert_carried *c);
    void *carry_arg;

    /* One try; blocks, any thread. `cancel` becomes true when it is to give up. */
    enum delivery (*send)(const struct alert_channel *ch, const struct alert *a,
                          struct delivery_report *out, void *cancel);
};

enum { RETRY_FIRST_MS = 5000 };

struct alerter;

struct alerter *alerter_start(const struct alerter_conf *conf);

/* After the loop has ended. What waits is written, if that is possible, and sent by the next
 * process. Sends that are under way have a second to end, then they are cancelled. */
void alerter_stop(struct alerter **a);

/* Any thread; never waits. Gives it its number. */
void alerter_put(struct alerter *a, size_t channel, const struct alert *alert);

/* Of the local day, 0 … 1439. */
uint32_t alerter_minute(uint64_t wall_ms);

struct alerter_figures {
    uint64_t sent; /* since the start, as all of these */
    uint64_t failed;
    size_t waiting;
    char last_error[240]; /* of the last try that failed, "": none has since one went through */
};
void alerter_figures(struct alerter *a, size_t channel, struct alerter_figures *out);
