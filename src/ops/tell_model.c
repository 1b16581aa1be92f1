#include "ops/tell_model.h"

#include "base/clock.h"
#include "ops/tell.h"
#include "tiers/incumbent.h"

json_t *tell_serving(const struct status_source *s, const struct model *m, uint64_t now_ms)
{
    struct incumbent now = incumbent_of(m, s->board, now_ms);
    uint64_t since_ms = model_watch_since_ms(s->watch, m, now.tier, now_ms);
    json_t *o = json_object();
    json_t *names = json_array();
    const struct tier *tier = now.tier > 0 ? &m->tiers[now.tier - 1] : NULL;
    for (size_t i = 0; tier && i < tier->member_count; i++) {
        struct pick_prospect p = pick_prospect(s->board, &tier->members[i], now_ms);
        if (incumbent_has(&now, &p)) {
            tell_push(names, tell_text(tier->members[i].backend->name));
        }
    }
    tell_put(o, "tier", tier ? tell_whole(now.tier) : json_null());
    tell_put(o, "backends", names);
    tell_put(o, "since", tell_moment(since_ms, now_ms));
    tell_put(o, "for_s", json_real(tell_seconds(now_ms - since_ms)));
    return o;
}

/* --- the hour --- */

/* In tenths. */
static double per_second(uint64_t count, uint64_t lasted_ms)
{
    uint64_t tenths = lasted_ms > 0 ? count * 10000 / lasted_ms : 0;
    return (double)tenths / 10.0;
}

/* null: there was no first token. */
static json_t *first_token(const struct trend_slot *slot, double share)
{
    uint64_t ms = trend_first_token_ms(slot, share);
    return ms > 0 ? tell_whole(ms) : json_null();
}

static json_t *total_object(const struct trend *t)
{
    struct trend_slot all = trend_total(t);
    json_t *o = json_object();
    tell_put(o, "requests", tell_whole(all.requests));
    tell_put(o, "failed", tell_whole(all.failed));
    tell_put(o, "last_resort", tell_whole(all.last_resort));
    tell_put(o, "degraded", tell_whole(all.degraded));
    tell_put(o, "tokens", tell_whole(all.tokens));
    tell_put(o, "first_token_p50_ms", first_token(&all, 0.5));
    tell_put(o, "first_token_p99_ms", first_token(&all, 0.99));
    return o;
}

json_t *tell_trend(const struct trend *t)
{
    enum { REQUESTS, FAILED, LAST_RESORT, DEGRADED, TOKENS, P50, P99, ROWS };
    static const char *const names[ROWS] = {"requests",          "failed",
                                            "last_resort",       "degraded",
                                            "tokens_per_s",      "first_token_p50_ms",
                                            "first_token_p99_ms"};
    json_t *rows[ROWS];
    json_t *o = json_object();
    for (size_t r = 0; r < ROWS; r++) {
        rows[r] = json_array();
    }
    for (size_t i = 0; i < trend_count(t); i++) {
        const struct trend_slot *slot = trend_at(t, i);
        tell_push(rows[REQUESTS], tell_whole(slot->requests));
        tell_push(rows[FAILED], tell_whole(slot->failed));
        tell_push(rows[LAST_RESORT], tell_whole(slot->last_resort));
        tell_push(rows[DEGRADED], tell_whole(slot->degraded));
        tell_push(rows[TOKENS], json_real(per_second(slot->tokens, trend_lasted_ms(t, i))));
        tell_push(rows[P50], first_token(slot, 0.5));
        tell_push(rows[P99], first_token(slot, 0.99));
    }
    tell_put(o, "slot_s", tell_whole(TREND_SLOT_MS / 1000));
    tell_put(o, "total", total_object(t));
    for (size_t r = 0; r < ROWS; r++) {
        tell_put(o, names[r], rows[r]);
    }
    return o;
}

json_t *tell_degrade(const struct degrade_policy *p)
{
    if (!p->has_max_tokens && !p->has_temperature && p->notice.len == 0) {
        return json_null();
    }
    json_t *o = json_object();
    tell_put(o, "max_tokens", p->has_max_tokens ? tell_whole(p->max_tokens) : json_null());
    tell_put(o, "temperature", p->has_temperature ? json_real(p->temperature) : json_null());
    tell_put(o, "notice", p->notice.len > 0 ? tell_text(p->notice) : json_null());
    return o;
}
