#pragma once

#include "base/mem.h"
#include "base/str.h"
#include "tiers/alert.h"
#include "tiers/alert_policy.h"

/*
 * An alert as one mail (RFC 5322): plain text and HTML in multipart/alternative, all of it
 * ASCII. The same alert gives the same bytes at every try, its Message-ID too, so that a server
 * that got it twice can tell.
 *
 * One incident is one thread: the first message of it has an identity that follows from the
 * gateway, the incident's number and when it opened, and all later ones refer to that, whether
 * it was sent or not. Pure.
 */

/* Lines end with CRLF; lives as long as the arena. */
struct str mail_render(const struct alert_channel *ch, const struct alert *alert,
                       struct arena *a);

/* "<…@gateway>": of this message, and of the first of its incident. Lives as long as the
 * arena. */
struct str mail_id(const struct alert *alert, struct arena *a);
struct str mail_thread_id(const struct alert *alert, struct arena *a);
