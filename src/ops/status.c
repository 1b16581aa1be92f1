#include "ops/status.h"

#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "ops/tell.h"
#include "ops/tell_model.h"
#include "tiers/picker.h"

/* null while it is not measured. */
static json_t *ability_word(enum ability a)
{
    const char *name = ability_name(a);
    return name ? json_string(name) : json_null();
}

/* null while nobody looks, or nothing can be known. */
static json_t *vitals_word(const struct vital_view *v)
{
    const char *name = vital_name(v->vital);
    return name ? json_string(name) : json_null();
}

static json_t *engine_object(const struct vital_view *v)
{
    if (!v->has_engine) {
        return json_null();
    }
    json_t *o = json_object();
    tell_put(o, "running", tell_whole(v->running));
    tell_put(o, "waiting", tell_whole(v->waiting));
    tell_put(o, "kv", v->has_kv ? json_real((double)v->kv_permille / 1000.0) : json_null());
    return o;
}

/* null where there is none. */
static json_t *limit_of(const struct backend *b)
{
    return b->max_concurrent > 0 ? tell_whole(b->max_concurrent) : json_null();
}

static json_t *backend_object(const struct status_source *s, const struct backend *b,
                              uint64_t now_ms)
{
    struct backend_view v = board_view(s->board, b->index, now_ms);
    struct backend_figures f;
    char why[WHY_BYTES];
    board_figures(s->board, b->index, &f);
    tell_cause(s, b, &v, now_ms, why);
    json_t *o = json_object();
    tell_put(o, "name", tell_text(b->name));
    tell_put(o, "type", json_string(backend_type_name(b->type)));
    tell_put(o, "url", tell_text(b->url));
    tell_judgement(o, s, b, &v, now_ms);
    tell_put(o, "why", json_string(why));
    tell_telemetry(o, s, b, now_ms);
    tell_put(o, "managed", tell_process(s, b, now_ms));
    tell_put(o, "resume", ability_word(board_worst_ability(s->board, b->index)));
    tell_put(o, "in_flight", tell_whole(v.in_flight));
    tell_put(o, "max_concurrent", limit_of(b));
    tell_put(o, "weight", tell_whole(b->weight));
    tell_put(o, "vitals", vitals_word(&v.vitals));
    tell_put(o, "engine", engine_object(&v.vitals));
    tell_put(o, "tokens_per_s", json_real(rates_tokens_per_s(s->rates, b->index)));
    tell_put(o, "first_token_p50_ms", tell_whole(figures_first_token_ms(&f, 0.5)));
    tell_put(o, "first_token_p99_ms", tell_whole(figures_first_token_ms(&f, 0.99)));
    tell_put(o, "degrade", tell_degrade(&b->degrade));
    tell_put(o, "attempts", tell_whole(f.attempts));
    tell_put(o, "failures", tell_whole(f.failures));
    return o;
}

static json_t *member_object(const struct status_source *s, const struct tier_member *m,
                             uint64_t now_ms)
{
    char why[WHY_BYTES];
    struct pick_prospect p = pick_prospect(s->board, m, now_ms);
    json_t *o = json_object();
    tell_why(s, m->backend, &p, now_ms, why);
    tell_put(o, "name", tell_text(m->backend->name));
    tell_put(o, "model", tell_text(m->model));
    tell_put(o, "resume", ability_word(board_ability(s->board, m->serving)));
    tell_put(o, "status", json_string(pick_status_name(p.status)));
    tell_put(o, "why", json_string(why));
    tell_prospect(o, &p, now_ms);
    struct offer offer = offers_of(board_offers(s->board), m->serving);
    tell_offer(o, &offer);
    return o;
}

static json_t *tier_object(const struct status_source *s, const struct tier *t, size_t number,
                           uint64_t now_ms)
{
    json_t *o = json_object();
    json_t *members = json_array();
    for (size_t i = 0; i < t->member_count; i++) {
        tell_push(members, member_object(s, &t->members[i], now_ms));
    }
    tell_put(o, "tier", tell_whole(number));
    tell_put(o, "backends", members);
    return o;
}

static json_t *model_object(const struct status_source *s, const struct model *m,
                            bool with_trend, uint64_t now_ms)
{
    json_t *o = json_object();
    json_t *aliases = json_array();
    json_t *tiers = json_array();
    for (size_t i = 0; i < m->alias_count; i++) {
        tell_push(aliases, tell_text(m->aliases[i]));
    }
    if (m->is_wildcard) {
        tell_push(aliases, json_string("*"));
    }
    for (size_t i = 0; i < m->tier_count; i++) {
        tell_push(tiers, tier_object(s, &m->tiers[i], i + 1, now_ms));
    }
    tell_put(o, "name", tell_text(m->name));
    tell_put(o, "aliases", aliases);
    tell_put(o, "can_serve", json_boolean(pick_can_serve(m, s->board, now_ms)));
    tell_put(o, "serving", tell_serving(s, m, now_ms));
    if (with_trend) {
        tell_put(o, "trend", tell_trend(model_watch_trend(s->watch, m)));
    }
    tell_load(o, s, m);
    tell_put(o, "tiers", tiers);
    return o;
}

static json_t *channel_object(const struct status_source *s, size_t channel)
{
    struct alert_counts counts = {.format = ""};
    json_t *o = json_object();
    s->alerts(s->alerts_arg, channel, &counts);
    struct str error = str_from(counts.last_error);
    tell_put(o, "name", tell_text(counts.name));
    tell_put(o, "format", json_string(counts.format));
    tell_put(o, "sent", tell_whole(counts.sent));
    tell_put(o, "failed", tell_whole(counts.failed));
    tell_put(o, "waiting", tell_whole(counts.waiting));
    tell_put(o, "last_error", error.len > 0 ? tell_text(error) : json_null());
    return o;
}

static json_t *alerts_object(const struct status_source *s)
{
    json_t *o = json_object();
    json_t *channels = json_array();
    for (size_t i = 0; i < s->alert_channels; i++) {
        tell_push(channels, channel_object(s, i));
    }
    tell_put(o, "channels", channels);
    return o;
}

struct str status_json(const struct status_source *s, bool with_trend, uint64_t now_ms,
                       struct arena *a)
{
    json_t *o = json_object();
    json_t *models = json_array();
    json_t *backends = json_array();
    for (size_t i = 0; i < s->catalog->model_count; i++) {
        tell_push(models, model_object(s, &s->catalog->models[i], with_trend, now_ms));
    }
    for (size_t i = 0; i < s->catalog->backend_count; i++) {
        tell_push(backends, backend_object(s, &s->catalog->backends[i], now_ms));
    }
    tell_put(o, "version", json_string(FALLTHROUGH_VERSION));
    tell_put(o, "at", tell_moment(now_ms, now_ms));
    tell_put(o, "uptime_s", json_real(tell_seconds(clock_wall_ms() - s->started_wall_ms)));
    tell_put(o, "draining", json_boolean(*s->draining));
    tell_put(o, "connections", tell_whole(*s->connections));
    tell_put(o, "alerts", alerts_object(s));
    tell_put(o, "models", models);
    tell_put(o, "backends", backends);
    return tell_dump(o, a);
}
