#include "ops/status.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "tiers/picker.h"

static json_t *text(struct str s)
{
    json_t *v = json_stringn(s.ptr ? s.ptr : "", s.len);
    return v ? v : json_string("?"); /* not UTF-8: cannot come from a checked configuration */
}

static void put(json_t *object, const char *key, json_t *value)
{
    CHECK(json_object_set_new(object, key, value) == 0);
}

static void push(json_t *array, json_t *value)
{
    CHECK(json_array_append_new(array, value) == 0);
}

static struct str dump(json_t *value, struct arena *a)
{
    char *out = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(4));
    CHECK(out != NULL);
    struct str kept = arena_dup(a, str_from(out));
    free(out);
    json_decref(value);
    return kept;
}

static json_t *whole(uint64_t number)
{
    return json_integer((json_int_t)number);
}

static double seconds(uint64_t ms)
{
    uint64_t tenths = ms / 100;
    return (double)tenths / 10.0;
}

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
    put(o, "running", whole(v->running));
    put(o, "waiting", whole(v->waiting));
    put(o, "kv", v->has_kv ? json_real((double)v->kv_permille / 1000.0) : json_null());
    return o;
}

static json_t *backend_object(const struct status_source *s, const struct backend *b,
                              uint64_t now_ms)
{
    struct backend_view v = board_view(s->board, b->index, now_ms);
    struct backend_figures f;
    char why[96];
    char since[25];
    board_figures(s->board, b->index, &f);
    cause_text(v.cause, why, sizeof(why));
    clock_format(clock_wall_ms() - (now_ms - v.since_ms), since);
    json_t *o = json_object();
    put(o, "name", text(b->name));
    put(o, "type", json_string(backend_type_name(b->type)));
    put(o, "url", text(b->url));
    put(o, "state", json_string(state_name(v.state)));
    put(o, "reason", json_string(cause_word(v.cause)));
    put(o, "why", json_string(why));
    put(o, "since", json_string(since));
    put(o, "for_s", json_real(seconds(now_ms - v.since_ms)));
    put(o, "resume", ability_word(board_worst_ability(s->board, b->index)));
    put(o, "in_flight", whole(v.in_flight));
    put(o, "vitals", vitals_word(&v.vitals));
    put(o, "engine", engine_object(&v.vitals));
    put(o, "tokens_per_s", json_real(rates_tokens_per_s(s->rates, b->index)));
    put(o, "first_token_p50_ms", whole(figures_first_token_ms(&f, 0.5)));
    put(o, "first_token_p99_ms", whole(figures_first_token_ms(&f, 0.99)));
    put(o, "attempts", whole(f.attempts));
    put(o, "failures", whole(f.failures));
    put(o, "held_for_s",
        json_real(v.hold_until_ms > now_ms ? seconds(v.hold_until_ms - now_ms) : 0));
    return o;
}

static json_t *tier_object(const struct status_source *s, const struct tier *t, size_t number)
{
    json_t *o = json_object();
    json_t *members = json_array();
    for (size_t i = 0; i < t->member_count; i++) {
        json_t *member = json_object();
        put(member, "name", text(t->members[i].backend->name));
        put(member, "model", text(t->members[i].model));
        put(member, "resume", ability_word(board_ability(s->board, t->members[i].serving)));
        push(members, member);
    }
    put(o, "tier", whole(number));
    put(o, "backends", members);
    return o;
}

static json_t *model_object(const struct status_source *s, const struct model *m,
                            uint64_t now_ms)
{
    json_t *o = json_object();
    json_t *aliases = json_array();
    json_t *tiers = json_array();
    for (size_t i = 0; i < m->alias_count; i++) {
        push(aliases, text(m->aliases[i]));
    }
    if (m->is_wildcard) {
        push(aliases, json_string("*"));
    }
    for (size_t i = 0; i < m->tier_count; i++) {
        push(tiers, tier_object(s, &m->tiers[i], i + 1));
    }
    put(o, "name", text(m->name));
    put(o, "aliases", aliases);
    put(o, "can_serve", json_boolean(pick_can_serve(m, s->board, now_ms)));
    put(o, "tiers", tiers);
    return o;
}

struct str status_json(const struct status_source *s, uint64_t now_ms, struct arena *a)
{
    json_t *o = json_object();
    json_t *models = json_array();
    json_t *backends = json_array();
    for (size_t i = 0; i < s->catalog->model_count; i++) {
        push(models, model_object(s, &s->catalog->models[i], now_ms));
    }
    for (size_t i = 0; i < s->catalog->backend_count; i++) {
        push(backends, backend_object(s, &s->catalog->backends[i], now_ms));
    }
    put(o, "version", json_string(FALLTHROUGH_VERSION));
    put(o, "uptime_s", json_real(seconds(clock_wall_ms() - s->started_wall_ms)));
    put(o, "draining", json_boolean(*s->draining));
    put(o, "connections", whole(*s->connections));
    put(o, "models", models);
    put(o, "backends", backends);
    return dump(o, a);
}

/* --- explain --- */

/* What one tier member would meet. */
struct prospect {
    const struct tier_member *member;
    size_t tier;
    struct backend_view view;
    enum pick_status status;
};

static json_t *prospect_object(const struct prospect *p, const char *verdict, const char *why,
                               uint64_t until_ms)
{
    json_t *o = json_object();
    put(o, "tier", whole(p->tier + 1));
    put(o, "name", text(p->member->backend->name));
    put(o, "model", text(p->member->model));
    put(o, "verdict", json_string(verdict));
    put(o, "why", json_string(why));
    put(o, "until_s", until_ms > 0 ? json_real(seconds(until_ms)) : json_null());
    return o;
}

/* `is_first`: no better tier is usable; `only_healthy`: its tier has a HEALTHY backend. */
static json_t *explain_one(const struct prospect *p, bool is_first, bool only_healthy,
                           uint64_t now_ms)
{
    char why[160];
    char cause[96];
    cause_text(p->view.cause, cause, sizeof(cause));
    if (p->status == PICK_DOWN) {
        snprintf(why, sizeof(why), "DOWN: %s; until %s", cause,
                 p->view.needs_token ? "it makes a token" : "probes prove it well");
        return prospect_object(p, "down", why, 0);
    }
    if (p->status == PICK_HELD) {
        return prospect_object(p, "held", "asked to be left alone (Retry-After)",
                               p->view.hold_until_ms - now_ms);
    }
    if (!is_first) {
        return prospect_object(p, "standby", "a better tier can serve", 0);
    }
    if (only_healthy && p->view.state == STATE_DEGRADED) {
        snprintf(why, sizeof(why), "DEGRADED (%s); a HEALTHY backend of its tier is preferred",
                 cause);
        return prospect_object(p, "degraded", why, 0);
    }
    snprintf(why, sizeof(why), "%s: %s", state_name(p->view.state), cause);
    return prospect_object(p, "next", why, 0);
}

static size_t judge_tier(const struct status_source *s, const struct model *m, size_t tier,
                         uint64_t now_ms, struct prospect out[])
{
    const struct tier *t = &m->tiers[tier];
    for (size_t i = 0; i < t->member_count; i++) {
        out[i].member = &t->members[i];
        out[i].tier = tier;
        out[i].view = board_view(s->board, t->members[i].backend->index, now_ms);
        out[i].status = pick_judge(&out[i].view, false, now_ms);
    }
    return t->member_count;
}

static bool tier_has(const struct prospect *p, size_t count, bool healthy_only)
{
    for (size_t i = 0; i < count; i++) {
        if (p[i].status == PICK_USABLE && (!healthy_only || p[i].view.state == STATE_HEALTHY)) {
            return true;
        }
    }
    return false;
}

/* Adds a tier's rows to the object's arrays `next` and `backends`. */
static void explain_tier(const struct prospect *p, size_t count, bool is_first, uint64_t now_ms,
                         json_t *object)
{
    json_t *next = json_object_get(object, "next");
    json_t *backends = json_object_get(object, "backends");
    bool only_healthy = tier_has(p, count, true);
    for (size_t i = 0; i < count; i++) {
        json_t *one = explain_one(&p[i], is_first, only_healthy, now_ms);
        bool is_next = strcmp(json_string_value(json_object_get(one, "verdict")), "next") == 0;
        if (is_next) {
            push(next, text(p[i].member->backend->name));
        }
        push(backends, one);
    }
}

struct str explain_json(const struct status_source *s, struct str asked, uint64_t now_ms,
                        struct arena *a)
{
    const struct model *m = catalog_find_model(s->catalog, asked);
    if (!m) {
        return STR_NONE;
    }
    json_t *o = json_object();
    bool is_first = true;
    put(o, "asked", text(asked));
    put(o, "model", text(m->name));
    put(o, "next", json_array());
    put(o, "backends", json_array());
    for (size_t t = 0; t < m->tier_count; t++) {
        struct prospect *p =
            arena_alloc(a, sizeof(struct prospect) * (m->tiers[t].member_count + 1));
        size_t count = judge_tier(s, m, t, now_ms, p);
        explain_tier(p, count, is_first, now_ms, o);
        is_first = is_first && !tier_has(p, count, false);
    }
    return dump(o, a);
}
