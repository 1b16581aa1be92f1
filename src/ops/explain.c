#include "ops/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/tell.h"
#include "tiers/picker.h"

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
    tell_put(o, "tier", tell_whole(p->tier + 1));
    tell_put(o, "name", tell_text(p->member->backend->name));
    tell_put(o, "model", tell_text(p->member->model));
    tell_put(o, "verdict", json_string(say.verdict));
    tell_put(o, "why", json_string(say.why));
    tell_prospect(o, &p->is, now_ms);
    tell_judgement(o, s, p->member->backend, &p->is.backend, now_ms);
    tell_put(o, "managed", tell_process(s, p->member->backend, now_ms));
    tell_offer(o, &p->offer);
    return o;
}

/* Who the next request may get: the usable ones, or where there are none the best reserves. */
static bool is_candidate(const struct pick_prospect *p, enum pick_rank rank)
{
    return rank != PICK_RANK_NOBODY && pick_rank_of(p) == rank && p->status != PICK_FULL;
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
    bool is_first;       /* no better tier has a candidate */
    enum pick_rank rank; /* of those who are asked */
    bool only_healthy;   /* a candidate of this tier is HEALTHY */
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
    if (!is_candidate(&p->is, t->rank)) {
        return (struct saying){pick_status_name(p->is.status), why};
    }
    if (!t->is_first) {
        return (struct saying){"standby", "a better tier can serve"};
    }
    if (t->only_healthy && t->rank == PICK_RANK_WELL && p->is.backend.state == STATE_DEGRADED) {
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
static bool has_candidate(const struct prospects *all, size_t tier, enum pick_rank rank)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->at[i].tier <= tier && is_candidate(&all->at[i].is, rank)) {
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

static enum pick_rank rank_of_best(const struct prospects *all)
{
    enum pick_rank best = PICK_RANK_NOBODY;
    for (size_t i = 0; i < all->count; i++) {
        enum pick_rank one = pick_rank_of(&all->at[i].is);
        best = one < best ? one : best;
    }
    return best;
}

/* As the picker's: whoever has the most room, where by the estimate nobody has enough. */
static const struct prospect *find_roomiest(const struct prospects *all)
{
    const struct prospect *best = NULL;
    if (rank_of_best(all) != PICK_RANK_NOBODY) {
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
static bool is_behind(const struct prospects *all, size_t tier, enum pick_rank rank,
                      bool overflows)
{
    if (has_candidate(all, tier - 1, rank)) {
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
    enum pick_rank rank = rank_of_best(all);
    return (struct telling){.is_first = tier == 0 || !is_behind(all, tier, rank, overflows),
                            .rank = rank,
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
        tell_why(s, all.at[i].member->backend, &all.at[i].is, now_ms, why);
        if (all.at[i].is.fit != FIT_WELL) {
            say_fit(&all.at[i], &q->needs, why);
        }
        struct saying say = say_of(&all.at[i], &t, why);
        if (strcmp(say.verdict, "next") == 0) {
            tell_push(next, tell_text(all.at[i].member->backend->name));
        }
        tell_push(backends, prospect_object(s, &all.at[i], say, now_ms));
    }
    json_t *o = json_object();
    tell_put(o, "asked", tell_text(q->asked));
    tell_put(o, "model", tell_text(m->name));
    tell_put(o, "next", next);
    tell_put(o, "panic",
             json_boolean(m->may_panic && json_array_size(next) == 0 && !has_well(&all) &&
                          is_anybody_able(&all)));
    tell_put(o, "waits", json_boolean(json_array_size(next) == 0 && has_well(&all)));
    tell_load(o, s, m);
    tell_put(o, "backends", backends);
    return tell_dump(o, a);
}
