#include "tiers/alert_rules_priv.h"

#include <string.h>

#include "tiers/alert_words.h"

uint32_t story_tier(const struct story *s, const struct model *m)
{
    for (size_t t = 0; s->backend && t < m->tier_count; t++) {
        for (size_t k = 0; k < m->tiers[t].member_count; k++) {
            if (m->tiers[t].members[k].backend == s->backend) {
                return (uint32_t)t + 1;
            }
        }
    }
    return 0;
}

bool story_concerns(const struct story *s, const struct model *m)
{
    return s->model == m || story_tier(s, m) > 0;
}

struct str story_name(const struct story *s)
{
    return s->backend ? s->backend->name : s->model->name;
}

void rules_look(struct alert_rules *r)
{
    for (size_t m = 0; m < r->conf.catalog->model_count; m++) {
        r->conf.look(r->conf.arg, m, &r->courses[m].now);
    }
}

struct alert_look rules_sum(const struct alert_rules *r, const struct story *s)
{
    struct alert_look sum = {.by = NULL};
    for (size_t m = 0; m < r->conf.catalog->model_count; m++) {
        if (story_concerns(s, &r->conf.catalog->models[m])) {
            const struct alert_look *now = &r->courses[m].now;
            sum.requests += now->requests;
            sum.degraded += now->degraded;
            sum.failed += now->failed;
        }
    }
    return sum;
}

/* --- from and to --- */

static void put_backend(char out[EVENT_NAME], const struct backend *b)
{
    event_put(out, EVENT_NAME, b ? b->name : STR(""));
}

/* Whether the model's traffic was the backend's before. */
static bool was_serving(const struct story *s, const struct model *m, const struct course *c)
{
    uint32_t tier = story_tier(s, m);
    return tier > 0 && (c->well.tier == 0 || tier <= c->well.tier);
}

/* How much the model is concerned. */
static uint64_t weigh(const struct story *s, const struct model *m, const struct course *c)
{
    if (!story_concerns(s, m)) {
        return 0;
    }
    bool has_moved = was_serving(s, m, c) && c->now.by != s->backend;
    return c->now.tier == 0 ? UINT64_MAX : has_moved ? 2ULL + c->now.tier : 1;
}

static const struct model *find_most_concerned(const struct alert_rules *r,
                                               const struct story *s)
{
    const struct model *found = NULL;
    uint64_t most = 0;
    for (size_t k = 0; k < r->conf.catalog->model_count; k++) {
        const struct model *m = &r->conf.catalog->models[k];
        uint64_t weight = weigh(s, m, &r->courses[m->index]);
        if (weight > most) {
            most = weight;
            found = m;
        }
    }
    return found;
}

static void aim_to(struct telling *t, const struct alert_look *now)
{
    put_backend(t->to, now->by);
    t->to_tier = now->tier;
}

void rules_aim(struct alert_rules *r, struct story *s)
{
    struct telling *t = &s->telling;
    t->model = find_most_concerned(r, s);
    if (!t->model) {
        put_backend(t->from, s->backend);
        put_backend(t->to, s->backend);
        return;
    }
    const struct course *c = &r->courses[t->model->index];
    aim_to(t, &c->now);
    bool is_own = was_serving(s, t->model, c);
    put_backend(t->from, is_own ? s->backend : c->well.by);
    t->from_tier = is_own ? story_tier(s, t->model) : c->well.tier;
}

/* --- telling --- */

static void put_felt(const struct alert_rules *r, const struct story *s, struct alert_felt *out)
{
    struct alert_look sum = rules_sum(r, s);
    const struct alert_felt *before = &s->telling.before;
    out->requests = before->requests + sum.requests - s->base.requests;
    out->degraded = before->degraded + sum.degraded - s->base.degraded;
    out->failed = before->failed + sum.failed - s->base.failed;
    out->moved = before->moved + s->moved;
    out->resumed = before->resumed + s->resumed;
}

/* Of it and all that have joined it, the one with the newest cause. */
static const struct story *find_newest(const struct alert_rules *r, const struct story *s)
{
    const struct story *newest = s;
    for (size_t k = 0; k < r->story_count; k++) {
        const struct story *j = &r->stories[k];
        if (j->owner == s && j->incident != 0 && j->error_ms > newest->error_ms) {
            newest = j;
        }
    }
    return newest;
}

static void put_subject(struct alert *a, const struct story *s)
{
    EVENT_PUT(a->subject, story_name(s));
    a->subject_is_model = s->model != NULL;
}

static void draft(struct alert_rules *r, const struct story *s, enum alert_moment moment,
                  const struct alert_clock *at)
{
    const struct telling *t = &s->telling;
    struct alert *a = &r->draft;
    const struct story *cause = moment == ALERT_OVER ? s : find_newest(r, s);
    *a = s->lines;
    a->incident = t->number;
    a->moment = moment;
    a->severity = t->severity;
    a->wall_ms = at->wall_ms;
    a->opened_wall_ms = t->opened_wall_ms;
    a->closed_wall_ms = moment == ALERT_OVER ? t->closed_wall_ms : 0;
    EVENT_PUT(a->gateway, str_from(r->conf.gateway));
    put_subject(a, s);
    EVENT_PUT(a->from, str_from(t->from));
    EVENT_PUT(a->to, str_from(t->to));
    a->from_tier = t->from_tier;
    a->to_tier = t->to_tier;
    EVENT_PUT(a->error, str_from(cause->error));
    put_felt(r, s, &a->felt);
    bool is_same = strcmp(t->from, t->to) == 0;
    alert_words_action(
        &(struct alert_deed){.model = t->model,
                             .rising = t->model ? r->courses[t->model->index].now.rising : NULL,
                             .probed = cause->signs.is_down ? cause->backend : NULL,
                             .has_moved = moment != ALERT_OVER && !is_same && t->to_tier > 0},
        a);
}

static bool is_for(const struct telling *t, enum alert_moment moment, uint64_t bit)
{
    bool was_told = (t->channels & bit) != 0;
    return moment == ALERT_WORSENED || was_told == (moment == ALERT_OVER);
}

static void tell_one(struct alert_rules *r, size_t channel, const struct alert *a,
                     const struct alert_clock *at)
{
    if (alert_gate_pass(&r->gates[channel], a, at)) {
        r->conf.tell(r->conf.arg, channel, a);
    }
}

void rules_tell(struct alert_rules *r, struct story *s, enum alert_moment moment,
                const struct alert_clock *at)
{
    struct telling *t = &s->telling;
    draft(r, s, moment, at);
    for (size_t k = 0; k < r->conf.policy->channel_count; k++) {
        uint64_t bit = 1ULL << k;
        bool is_severe = t->severity >= r->conf.policy->channels[k].at_least;
        if ((!is_severe && moment != ALERT_OVER) || !is_for(t, moment, bit)) {
            continue;
        }
        bool is_new = moment == ALERT_WORSENED && (t->channels & bit) == 0;
        r->draft.moment = is_new ? ALERT_OPENED : moment;
        t->channels |= bit;
        tell_one(r, k, &r->draft, at);
    }
}

void rules_tell_carried_over(struct alert_rules *r, const struct alert_carried *c,
                             const struct story *s, const char *action,
                             const struct alert_clock *at)
{
    struct alert *a = &r->draft;
    *a = c->last;
    a->moment = ALERT_OVER;
    a->wall_ms = at->wall_ms;
    a->closed_wall_ms = at->wall_ms;
    EVENT_PUT(a->from, str_from(c->last.to));
    a->from_tier = c->last.to_tier;
    a->to[0] = '\0';
    a->to_tier = 0;
    const struct model *m = s ? find_most_concerned(r, s) : NULL;
    if (m) {
        put_backend(a->to, r->courses[m->index].now.by);
        a->to_tier = r->courses[m->index].now.tier;
    }
    EVENT_PUT(a->action, str_from(action));
    for (size_t k = 0; k < r->conf.policy->channel_count; k++) {
        if ((c->channels >> k & 1) != 0) {
            tell_one(r, k, a, at);
        }
    }
}
