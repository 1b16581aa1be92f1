#pragma once

#include "alert/delivery.h"
#include "tiers/alert.h"
#include "tiers/alert_policy.h"

/*
 * The way of an alert to people: one mail or one POST, by libcurl. It blocks, for the channel's
 * timeout at most, so only a thread of its own may call it; any number of threads may, each
 * call stands for itself. Every connection is new: there are few, and each tells the truth
 * about the server of now.
 *
 * Nothing but the configured server is spoken to: no redirect is followed, no proxy taken from
 * the environment, no other protocol known. Certificates are verified. SIGPIPE must be ignored
 * by the process.
 */

/* Once in the process, before the first send and after the last, while no other thread uses
 * libcurl. */
void channel_start(void);
void channel_stop(void);

/*
 * One try. `cancel`: an atomic_bool that makes it give up within a second or so once it is true
 * (the answer is then DELIVERY_LATER), or NULL. *out is always filled in.
 */
enum delivery channel_send(const struct alert_channel *ch, const struct alert *alert,
                           struct delivery_report *out, void *cancel);
