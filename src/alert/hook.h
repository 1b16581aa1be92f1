#pragma once

#include "base/mem.h"
#include "base/str.h"
#include "tiers/alert.h"
#include "tiers/alert_policy.h"

/*
 * An alert as the body of a POST, in the format of the channel, and the signature that goes
 * with it. Pure.
 */

struct hook {
    struct str body;      /* JSON */
    struct str timestamp; /* seconds since 1970 of now_ms, in decimal; empty: not signed */
    struct str signature; /* "sha256=" and 64 hexadecimal digits; empty: not signed */
};

/* Everything lives as long as the arena. */
void hook_render(const struct alert_channel *ch, const struct alert *alert, uint64_t now_ms,
                 struct arena *a, struct hook *out);

/* HMAC-SHA256 under the secret of "timestamp.body", as "sha256=…": who checks it can also
 * refuse what was recorded earlier. */
struct str hook_sign(struct str secret, struct str timestamp, struct str body, struct arena *a);
