#include "ops/status.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "tiers/lines.h"
#include "tiers/loads.h"
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

/* A moment of the monotonic clock as a wall time, for people. */
static json_t *moment(uint64_t at_ms, uint64_t now_ms)
{
    char out[25];
    uint64_t ago_ms = now_ms > at_ms ? now_ms - at_ms : 0;
    clock_format(clock_wall_ms() - ago_ms, out);
    return json_string(out);
}

static json_t *verdict_object(const struct status_source *s, const struct verdict_entry *e,
                              uint64_t now_ms)
{
    json_t *o = json_object();
    put(o, "at", moment(e->last_ms, now_ms));
    put(o, "ago_s", json_real(seconds(now_ms > e->last_ms ? now_ms - e->last_ms : 0)));
    put(o, "first", moment(e->first_ms, now_ms));
    put(o, "times", whole(e->times));
    put(o, "model", text(s->catalog->servings[e->serving].model));
    put(o, "verdict", json_string(verdict_of(e->failure)->name));
    put(o, "status", e->status > 0 ? whole(e->status) : json_null());
    put(o, "then", json_string(e->then));
    put(o, "trial", json_boolean(e->is_trial));
    return o;
}

static json_t *verdicts_array(const struct status_source *s, const struct backend *b,
                              uint64_t now_ms)
{
    struct verdict_entry last[VERDICTS_KEPT];
    uint32_t count = verdict_log_read(s->verdicts, b->index, last);
    json_t *all = json_array();
    for (uint32_t i = 0; i < count; i++) {
        push(all, verdict_object(s, &last[i], now_ms));
    }
    return all;
}

/* The same keys for status and explain: how the backend is judged, since when, and what led to
 * it. */
static void put_judgement(json_t *o, const struct status_source *s, const struct backend *b,
                          const struct backend_view *v, uint64_t now_ms)
{
    put(o, "state", json_string(state_name(v->state)));
    put(o, "reason", json_string(cause_word(v->cause)));
    put(o, "since", moment(v->since_ms, now_ms));
    put(o, "for_s", json_real(seconds(now_ms > v->since_ms ? now_ms - v->since_ms : 0)));
    put(o, "held_for_s",
        json_real(v->hold_until_ms > now_ms ? seconds(v->hold_until_ms - now_ms) : 0));
    put(o, "verdicts", verdicts_array(s, b, now_ms));
}

/* null where there is none. */
static json_t *limit_of(const struct backend *b)
{
    return b->max_concurrent > 0 ? whole(b->max_concurrent) : json_null();
}

static json_t *backend_object(const struct status_source *s, const struct backend *b,
                              uint64_t now_ms)
{
    struct backend_view v = board_view(s->board, b->index, now_ms);
    struct backend_figures f;
    char why[96];
    board_figures(s->board, b->index, &f);
    cause_text(v.cause, why, sizeof(why));
    json_t *o = json_object();
    put(o, "name", text(b->name));
    put(o, "type", json_string(backend_type_name(b->type)));
    put(o, "url", text(b->url));
    put_judgement(o, s, b, &v, now_ms);
    put(o, "why", json_string(why));
    put(o, "resume", ability_word(board_worst_ability(s->board, b->index)));
    put(o, "in_flight", whole(v.in_flight));
    put(o, "max_concurrent", limit_of(b));
    put(o, "weight", whole(b->weight));
    put(o, "vitals", vitals_word(&v.vitals));
    put(o, "engine", engine_object(&v.vitals));
    put(o, "tokens_per_s", json_real(rates_tokens_per_s(s->rates, b->index)));
    put(o, "first_token_p50_ms", whole(figures_first_token_ms(&f, 0.5)));
    put(o, "first_token_p99_ms", whole(figures_first_token_ms(&f, 0.99)));
    put(o, "attempts", whole(f.attempts));
    put(o, "failures", whole(f.failures));
    return o;
}

/* --- why a member of a tier is usable or not --- */

/* When that changes by itself; 0: nobody knows. */
static uint64_t until_ms_of(const struct pick_prospect *p)
{
    switch (p->status) {
    case PICK_HELD:
        return p->backend.hold_until_ms;
    case PICK_RAMP:
    case PICK_DWELL:
    case PICK_OPEN:
        return p->breaker.until_ms;
    case PICK_USABLE:
    case PICK_DOWN:
    case PICK_FULL:
    case PICK_TRIED:
    case PICK_TOO_LONG:
    case PICK_INCAPABLE:
        return 0;
    }
    BUG("no such pick status");
}

static json_t *until_s(uint64_t until_ms, uint64_t now_ms)
{
    if (until_ms == 0) {
        return json_null();
    }
    return json_real(until_ms > now_ms ? seconds(until_ms - now_ms) : 0);
}

enum { WHY_BYTES = 200 };

static void say_open(const struct breaker_view *c, char why[WHY_BYTES])
{
    const char *then = c->is_half_open  ? "a trial is under way"
                       : c->wants_trial ? "the next request is its trial"
                                        : "until a trial is answered";
    const char *reason =
        c->reason == FAILURE_ok ? "the backend was DOWN" : verdict_of(c->reason)->name;
    (void)snprintf(why, WHY_BYTES, "breaker open: %s; %s", reason, then);
}

/* One sentence without a full stop about why it stands as it does, whatever is needed. */
static void say_status(const struct pick_prospect *p, char why[WHY_BYTES])
{
    char cause[96];
    cause_text(p->backend.cause, cause, sizeof(cause));
    switch (p->bare) {
    case PICK_USABLE:
    case PICK_TRIED:
    case PICK_TOO_LONG: /* of needs: say_fit */
    case PICK_INCAPABLE:
        (void)snprintf(why, WHY_BYTES, "%s: %s", state_name(p->backend.state), cause);
        return;
    case PICK_RAMP:
        (void)snprintf(why, WHY_BYTES, "returns slowly: %s",
                       p->breaker.is_proving ? "one request at a time until one is answered"
                                             : "gets a share of the requests");
        return;
    case PICK_DWELL:
        (void)snprintf(why, WHY_BYTES, "well again, but its outage is too recent");
        return;
    case PICK_OPEN:
        say_open(&p->breaker, why);
        return;
    case PICK_DOWN:
        (void)snprintf(why, WHY_BYTES, "DOWN: %s; until %s", cause,
                       p->backend.needs_token ? "it makes a token" : "probes prove it well");
        return;
    case PICK_HELD:
        (void)snprintf(why, WHY_BYTES, "asked to be left alone (Retry-After)");
        return;
    case PICK_FULL:
        (void)snprintf(why, WHY_BYTES, "full: %u of %u slots are taken", p->slots,
                       p->max_concurrent);
        return;
    }
    BUG("no such pick status");
}

static json_t *number_or_null(uint32_t number)
{
    return number > 0 ? whole(number) : json_null();
}

/* null: not known. */
static json_t *capabilities_object(const struct offer *offer)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < FEATURES; i++) {
        enum feature f = feature_at(i);
        bool is_known = (offer->known & f) != 0;
        put(o, feature_name(f), is_known ? json_boolean((offer->can & f) != 0) : json_null());
    }
    put(o, "embeddings", number_or_null(offer->embeddings));
    return o;
}

/* The same keys for status and explain. */
static void put_offer(json_t *o, const struct offer *offer)
{
    put(o, "context", number_or_null(offer->context));
    put(o, "capabilities", capabilities_object(offer));
}

/* The same keys for status and explain. */
static void put_prospect(json_t *o, const struct pick_prospect *p, uint64_t now_ms)
{
    put(o, "until_s", until_s(until_ms_of(p), now_ms));
    put(o, "breaker", json_string(breaker_view_word(&p->breaker)));
    put(o, "share", whole(p->breaker.share));
    put(o, "relapses", whole(p->breaker.relapses));
}

static json_t *member_object(const struct status_source *s, const struct tier_member *m,
                             uint64_t now_ms)
{
    char why[WHY_BYTES];
    struct pick_prospect p = pick_prospect(s->board, m, now_ms);
    json_t *o = json_object();
    say_status(&p, why);
    put(o, "name", text(m->backend->name));
    put(o, "model", text(m->model));
    put(o, "resume", ability_word(board_ability(s->board, m->serving)));
    put(o, "status", json_string(pick_status_name(p.status)));
    put(o, "why", json_string(why));
    put_prospect(o, &p, now_ms);
    struct offer offer = offers_of(board_offers(s->board), m->serving);
    put_offer(o, &offer);
    return o;
}

static json_t *tier_object(const struct status_source *s, const struct tier *t, size_t number,
                           uint64_t now_ms)
{
    json_t *o = json_object();
    json_t *members = json_array();
    for (size_t i = 0; i < t->member_count; i++) {
        push(members, member_object(s, &t->members[i], now_ms));
    }
    put(o, "tier", whole(number));
    put(o, "backends", members);
    return o;
}

/* The same keys for status and explain. */
static void put_load(json_t *o, const struct status_source *s, const struct model *m)
{
    put(o, "policy", json_string(load_kind_name(m->load.kind)));
    put(o, "waiting", whole(lines_waiting(loads_lines(board_loads(s->board)), m->index)));
    put(o, "queue", whole(m->queue.max));
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
        push(tiers, tier_object(s, &m->tiers[i], i + 1, now_ms));
    }
    put(o, "name", text(m->name));
    put(o, "aliases", aliases);
    put(o, "can_serve", json_boolean(pick_can_serve(m, s->board, now_ms)));
    put_load(o, s, m);
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
    struct pick_prospect is;
    struct offer offer;
};

/* What is told of it; `why` a sentence without a full stop. */
struct saying {
    const char *verdict;
    const char *why;
};

static json_t *prospect_object(const struct status_source *s, const struct prospect *p,
                               struct saying say, uint64_t now_ms)
{
    json_t *o = json_object();
    put(o, "tier", whole(p->tier + 1));
    put(o, "name", text(p->member->backend->name));
    put(o, "model", text(p->member->model));
    put(o, "verdict", json_string(say.verdict));
    put(o, "why", json_string(say.why));
    put_prospect(o, &p->is, now_ms);
    put_judgement(o, s, p->member->backend, &p->is.backend, now_ms);
    put_offer(o, &p->offer);
    return o;
}

/* Who the next request may get: the usable ones, or where there are none the reserves. */
static bool is_candidate(const struct pick_prospect *p, bool of_reserve)
{
    return of_reserve ? pick_is_reserve(p->status, &p->breaker) : p->status == PICK_USABLE;
}

/* Where a request does not fit, by what it needs. */
static void say_fit(const struct prospect *p, const struct needs *n, char why[WHY_BYTES])
{
    uint32_t missing = fit_missing(n, &p->offer);
    unsigned long long tokens =
        fit_prompt_tokens(n, &p->offer) + fit_answer_tokens(n, &p->offer);
    if (missing == 0) {
        (void)snprintf(why, WHY_BYTES, "too long: %llu tokens do not fit its context of %u",
                       tokens, p->offer.context);
        return;
    }
    int len = snprintf(why, WHY_BYTES, "cannot serve the request: no");
    for (unsigned i = 0; i < FEATURES; i++) {
        if ((missing & feature_at(i)) != 0 && len > 0) {
            len += snprintf(why + len, WHY_BYTES - (size_t)len, " %s",
                            feature_name(feature_at(i)));
        }
    }
}

/* How one tier is told. */
struct telling {
    bool is_first;     /* no better tier has a candidate */
    bool of_reserve;   /* no tier has anybody usable */
    bool only_healthy; /* a candidate of this tier is HEALTHY */
    const struct needs *needs;
    const struct prospect *roomiest; /* nobody is a candidate, and it is asked; else NULL */
};

/* Would be usable. */
static bool is_well(const struct pick_prospect *p)
{
    return p->status == PICK_USABLE || p->status == PICK_FULL;
}

static struct saying say_of(const struct prospect *p, const struct telling *t, const char *why)
{
    if (p == t->roomiest) {
        return (struct saying){"next", why};
    }
    if (!is_candidate(&p->is, t->of_reserve)) {
        return (struct saying){pick_status_name(p->is.status), why};
    }
    if (!t->is_first) {
        return (struct saying){"standby", "a better tier can serve"};
    }
    if (t->only_healthy && !t->of_reserve && p->is.backend.state == STATE_DEGRADED) {
        return (struct saying){"degraded",
                               "DEGRADED; a HEALTHY backend of its tier is preferred"};
    }
    return (struct saying){"next", why};
}

/* All tiers of a model, one after another. */
struct prospects {
    struct prospect *at;
    size_t count;
};

static struct prospect judge_member(const struct status_source *s, const struct tier_member *m,
                                    const struct needs *needs, uint64_t now_ms)
{
    return (struct prospect){.member = m,
                             .is = pick_prospect_for(s->board, m, needs, now_ms),
                             .offer = offers_of(board_offers(s->board), m->serving)};
}

static struct prospects judge_model(const struct status_source *s,
                                    const struct explain_query *q, const struct model *m,
                                    uint64_t now_ms, struct arena *a)
{
    struct prospects all = {0};
    for (size_t t = 0; t < m->tier_count; t++) {
        all.count += m->tiers[t].member_count;
    }
    all.at = arena_alloc(a, sizeof(all.at[0]) * (all.count + 1));
    all.count = 0;
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t i = 0; i < m->tiers[t].member_count; i++) {
            const struct tier_member *member = &m->tiers[t].members[i];
            all.at[all.count] = judge_member(s, member, &q->needs, now_ms);
            all.at[all.count++].tier = t;
        }
    }
    return all;
}

/* Of this tier and all tiers before it. */
static bool has_candidate(const struct prospects *all, size_t tier, bool of_reserve)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->at[i].tier <= tier && is_candidate(&all->at[i].is, of_reserve)) {
            return true;
        }
    }
    return false;
}

/* Not even panic asks those who are not. */
static bool is_anybody_able(const struct prospects *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->at[i].is.fit == FIT_WELL || all->at[i].is.fit == FIT_TOO_LONG) {
            return true;
        }
    }
    return false;
}

static bool has_healthy(const struct prospects *all, size_t tier)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct prospect *p = &all->at[i];
        if (p->tier == tier && p->is.status == PICK_USABLE &&
            p->is.backend.state == STATE_HEALTHY) {
            return true;
        }
    }
    return false;
}

/* As the picker's: whoever has the most room, where by the estimate nobody has enough. */
static const struct prospect *find_roomiest(const struct prospects *all)
{
    const struct prospect *best = NULL;
    if (has_candidate(all, SIZE_MAX, false) || has_candidate(all, SIZE_MAX, true)) {
        return NULL;
    }
    for (size_t i = 0; i < all->count; i++) {
        const struct prospect *p = &all->at[i];
        if (pick_is_doubtful(&p->is) && (!best || p->offer.context > best->offer.context)) {
            best = p;
        }
    }
    return best;
}

/* Then nobody is a reserve: requests wait for the full ones. */
static bool has_well(const struct prospects *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (is_well(&all->at[i].is)) {
            return true;
        }
    }
    return false;
}

/* Of the tiers before it somebody serves, or is waited for. */
static bool is_behind(const struct prospects *all, size_t tier, bool of_reserve, bool overflows)
{
    if (has_candidate(all, tier - 1, of_reserve)) {
        return true;
    }
    for (size_t i = 0; i < all->count && !overflows; i++) {
        if (all->at[i].tier < tier && is_well(&all->at[i].is)) {
            return true;
        }
    }
    return false;
}

static struct telling telling_of(const struct prospects *all, const struct explain_query *q,
                                 size_t tier, bool overflows)
{
    bool of_reserve = !has_well(all);
    return (struct telling){.is_first =
                                tier == 0 || !is_behind(all, tier, of_reserve, overflows),
                            .of_reserve = of_reserve,
                            .needs = &q->needs,
                            .roomiest = find_roomiest(all),
                            .only_healthy = has_healthy(all, tier)};
}

struct str explain_json(const struct status_source *s, const struct explain_query *q,
                        uint64_t now_ms, struct arena *a)
{
    const struct model *m = catalog_find_model(s->catalog, q->asked);
    if (!m) {
        return STR_NONE;
    }
    struct prospects all = judge_model(s, q, m, now_ms, a);
    json_t *next = json_array();
    json_t *backends = json_array();
    struct telling t = {.is_first = false};
    for (size_t i = 0; i < all.count; i++) {
        if (i == 0 || all.at[i].tier != all.at[i - 1].tier) {
            t = telling_of(&all, q, all.at[i].tier, m->queue.overflow);
        }
        char why[WHY_BYTES];
        say_status(&all.at[i].is, why);
        if (all.at[i].is.fit != FIT_WELL) {
            say_fit(&all.at[i], &q->needs, why);
        }
        struct saying say = say_of(&all.at[i], &t, why);
        if (strcmp(say.verdict, "next") == 0) {
            push(next, text(all.at[i].member->backend->name));
        }
        push(backends, prospect_object(s, &all.at[i], say, now_ms));
    }
    json_t *o = json_object();
    put(o, "asked", text(q->asked));
    put(o, "model", text(m->name));
    put(o, "next", next);
    put(o, "panic",
        json_boolean(m->may_panic && json_array_size(next) == 0 && !has_well(&all) &&
                     is_anybody_able(&all)));
    put(o, "waits", json_boolean(json_array_size(next) == 0 && has_well(&all)));
    put_load(o, s, m);
    put(o, "backends", backends);
    return dump(o, a);
}
