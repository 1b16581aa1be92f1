#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "tiers/event.h"

/*
 * Who is told what and how, as configured under `alerts` (docs/configuration.md): plain values,
 * made by gate/settings_alerts and read by the rules and the channels. Texts live as long as
 * the settings. Pure.
 */

enum alert_format {
    ALERT_MAIL, /* e-mail; the others are bodies of a POST */
    ALERT_JSON,
    ALERT_SLACK,
    ALERT_PAGERDUTY,
    ALERT_ALERTMANAGER
};

const char *alert_format_name(enum alert_format f); /* "mail", "json", … */

/* What becomes of smtp://, which begins in the clear. */
enum starttls {
    STARTTLS_REQUIRED, /* or no mail */
    STARTTLS_AUTO,     /* where the server offers it */
    STARTTLS_OFF
};

/* Part of each day, by the local time of the gateway. */
struct quiet_hours {
    uint16_t from_min;      /* minutes since midnight, 0 … 1439 */
    uint16_t to_min;        /* equal: never; less than from_min: over midnight */
    enum severity at_least; /* this and worse is told all the same */
};

/* Single messages; what is more goes into a digest. */
struct alert_rate {
    uint32_t burst;     /* at once, from 1 */
    uint64_t refill_ms; /* until one more may go */
};

struct alert_header {
    struct str name;
    struct str value; /* secret */
};

struct alert_channel {
    struct str name; /* unique among them: what `alert test` and events call it */
    enum alert_format format;
    enum severity at_least; /* less severe incidents are not told here */
    struct alert_rate rate;
    struct quiet_hours quiet;
    uint32_t timeout_ms; /* for one delivery, from resolving to the last answer */
    struct str url;      /* smtp://, smtps://, http:// or https://; of the latter two secret: it
                            may hold a token */
    struct str ca;       /* PEM file; empty: the system's */

    /* Of a mail. */
    struct str user;     /* empty: no AUTH */
    struct str password; /* secret */
    struct str from;     /* an address */
    const struct str *to;
    size_t to_count; /* >= 1 */
    enum starttls starttls;

    /* Of the others. */
    struct str secret;      /* of the HMAC-SHA256 signature; empty: none */
    struct str routing_key; /* secret; of PagerDuty */
    const struct alert_header *headers;
    size_t header_count;
};

struct alert_policy {
    const struct alert_channel *channels;
    size_t channel_count; /* 0: nobody is told */
    uint32_t for_ms;      /* how long an incident must last before anybody is told */
    uint32_t digest_ms;   /* between two digests of a channel */
};
