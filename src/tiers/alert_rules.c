#include "tiers/alert_rules_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "tiers/alert_words.h"

enum { STREAKS = 3, LOOK_MS = 1000 };

static const char SUCCEEDED[] = "what goes on is told as another incident";

/* --- life --- */

static void name_stories(struct alert_rules *r)
{
    const struct catalog *c = r->conf.catalog;
    for (size_t k = 0; k < r->story_count; k++) {
        bool is_backend = k < c->backend_count;
        r->stories[k].backend = is_backend ? &c->backends[k] : NULL;
        r->stories[k].model = is_backend ? NULL : &c->models[k - c->backend_count];
    }
}

struct alert_rules *alert_rules_new(const struct alert_rules_conf *conf,
                                    const struct alert_clock *at)
{
    struct alert_rules *r = mem_alloc(sizeof(*r));
    const struct alert_policy *p = conf->policy;
    CHECK(p->channel_count <= ALERT_CHANNELS);
    r->conf = *conf;
    r->story_count = conf->catalog->backend_count + conf->catalog->model_count;
    r->stories = mem_alloc(sizeof(r->stories[0]) * (r->story_count + 1));
    r->courses = mem_alloc(sizeof(r->courses[0]) * (conf->catalog->model_count + 1));
    r->gates = mem_alloc(sizeof(r->gates[0]) * (p->channel_count + 1));
    name_stories(r);
    for (size_t k = 0; k < p->channel_count; k++) {
        alert_gate_init(&r->gates[k], &p->channels[k], p->digest_ms, at->now_ms);
    }
    alert_rules_turn(r, at);
    return r;
}

void alert_rules_free(struct alert_rules **r)
{
    struct alert_rules *gone = *r;
    *r = NULL;
    if (gone) {
        for (size_t k = 0; k < gone->story_count; k++) {
            free(gone->stories[k].carried);
        }
        free(gone->stories);
        free(gone->courses);
        free(gone->gates);
        free(gone);
    }
}

/* --- whose turn it is --- */

static uint64_t ready_ms(const struct alert_rules *r, const struct story *s)
{
    return s->streaks >= STREAKS ? s->streak_ms : s->streak_ms + r->conf.policy->for_ms;
}

/* Bad for long enough, and nobody was told. */
static bool is_ready(const struct alert_rules *r, const struct story *s, uint64_t now_ms)
{
    return s->incident != 0 && !s->owner && s->streak_ms > 0 && now_ms >= ready_ms(r, s);
}

/* --- joining --- */

static void join(struct story *to, struct story *j)
{
    j->owner = to;
    to->moved += j->moved;
    to->resumed += j->resumed;
    to->severity = j->severity > to->severity ? j->severity : to->severity;
    for (uint32_t i = 0; i < j->lines.line_count; i++) {
        alert_words_add(&to->lines, j->lines.lines[i]);
    }
}

/* Whether it is part of why the model is served from where it is. */
static bool explains(const struct story *j, const struct model *m, const struct course *c)
{
    uint32_t tier = story_tier(j, m);
    return tier > 0 ? tier < level_of(&c->now) : j->model == m && c->now.tier == 0;
}

/* Nobody was told of it, and it would join what is told of the model. */
static bool may_join(const struct alert_rules *r, const struct story *j, const struct model *m,
                     uint64_t now_ms)
{
    bool is_free = j->incident != 0 && !j->owner && !j->carried;
    return is_free && story_is_bad(r, j, now_ms) && explains(j, m, &r->courses[m->index]);
}

static void gather(struct alert_rules *r, struct story *s, const struct model *m,
                   const struct alert_clock *at)
{
    for (size_t k = 0; k < r->story_count; k++) {
        struct story *j = &r->stories[k];
        if (j != s && may_join(r, j, m, at->now_ms)) {
            join(s, j);
        }
    }
}

/* All that it tells of its models is known from now on. */
static void settle_levels(struct alert_rules *r, struct story *s, uint32_t least,
                          const struct alert_clock *at)
{
    for (size_t k = 0; k < r->conf.catalog->model_count; k++) {
        const struct model *m = &r->conf.catalog->models[k];
        struct course *c = &r->courses[k];
        if (story_concerns(s, m)) {
            uint32_t level = least > 0 ? least : level_of(&c->now);
            c->told_level = level > c->told_level ? level : c->told_level;
            c->below_ms = 0;
            gather(r, s, m, at);
        }
    }
    s->telling.severity = s->severity;
    s->telling.risen_ms = 0;
}

/* --- telling --- */

static void begin(struct alert_rules *r, struct story *s, const struct alert_clock *at)
{
    s->owner = s;
    s->telling = (struct telling){.is_open = true,
                                  .number = s->incident + at->incident_shift,
                                  .opened_ms = s->opened_ms,
                                  .opened_wall_ms = s->opened_wall_ms};
    rules_aim(r, s);
    settle_levels(r, s, 0, at);
    rules_tell(r, s, ALERT_OPENED, at);
}

/* Those who were told by an earlier process are told nothing again. */
static void go_on(struct alert_rules *r, struct story *s, const struct alert_clock *at)
{
    const struct alert *last = &s->carried->last;
    s->owner = s;
    s->telling = (struct telling){.is_open = true,
                                  .number = last->incident,
                                  .opened_ms = s->opened_ms,
                                  .opened_wall_ms = last->opened_wall_ms,
                                  .channels = s->carried->channels,
                                  .before = last->felt};
    rules_aim(r, s);
    settle_levels(r, s, last->to_tier > 0 ? last->to_tier : LEVEL_NOBODY, at);
    rules_tell(r, s, ALERT_OPENED, at);
    s->telling.severity = last->severity;
    EVENT_PUT(s->telling.to, str_from(last->to));
    s->telling.to_tier = last->to_tier;
    free(s->carried);
    s->carried = NULL;
}

/* The oldest of them; NULL: there is none. */
static struct story *find_ready(const struct alert_rules *r, bool is_carried, uint64_t now_ms)
{
    struct story *oldest = NULL;
    for (size_t k = 0; k < r->story_count; k++) {
        struct story *s = &r->stories[k];
        if (is_ready(r, s, now_ms) && (s->carried != NULL) == is_carried &&
            (!oldest || s->incident < oldest->incident)) {
            oldest = s;
        }
    }
    return oldest;
}

/* Who tells of the model: the oldest that does; NULL: nobody. */
static struct story *find_teller(struct alert_rules *r, const struct model *m)
{
    struct story *oldest = NULL;
    for (size_t k = 0; k < r->story_count; k++) {
        struct story *s = &r->stories[k];
        bool tells = s->owner && s->incident != 0 && story_concerns(s, m);
        struct story *teller = tells ? s->owner : NULL;
        if (teller && (!oldest || teller->telling.opened_ms < oldest->telling.opened_ms)) {
            oldest = teller;
        }
    }
    return oldest;
}

static void tell_worse(struct alert_rules *r, struct story *s, const struct model *m,
                       const struct alert_clock *at)
{
    struct telling *t = &s->telling;
    EVENT_PUT(t->from, str_from(t->to));
    t->from_tier = t->to_tier;
    if (m) {
        const struct alert_look *now = &r->courses[m->index].now;
        event_put(t->to, sizeof(t->to), now->by ? now->by->name : STR(""));
        t->to_tier = now->tier;
        t->model = m;
    }
    settle_levels(r, s, 0, at);
    rules_tell(r, s, ALERT_WORSENED, at);
}

/* Since when the model is further down, seen just now: as long as what explains it is bad. Else
 * that would be told first, as an incident of its own. */
static uint64_t below_since(const struct alert_rules *r, const struct model *m, uint64_t now_ms)
{
    uint64_t since_ms = story_stamp(now_ms);
    for (size_t k = 0; k < r->story_count; k++) {
        const struct story *j = &r->stories[k];
        bool is_earlier = j->streak_ms > 0 && j->streak_ms < since_ms;
        since_ms = is_earlier && may_join(r, j, m, now_ms) ? j->streak_ms : since_ms;
    }
    return since_ms;
}

/* A tier further down than told, for long enough. */
static void follow_course(struct alert_rules *r, const struct model *m,
                          const struct alert_clock *at)
{
    struct course *c = &r->courses[m->index];
    struct story *teller = find_teller(r, m);
    if (!teller) {
        c->told_level = 0;
    }
    if (!teller || level_of(&c->now) <= c->told_level) {
        c->below_ms = 0;
        return;
    }
    c->below_ms = c->below_ms > 0 ? c->below_ms : below_since(r, m, at->now_ms);
    if (at->now_ms >= c->below_ms + r->conf.policy->for_ms) {
        tell_worse(r, teller, m, at);
    }
}

/* It, or one that has joined it. */
static bool is_any_bad(const struct alert_rules *r, const struct story *s, uint64_t now_ms)
{
    for (size_t k = 0; k < r->story_count; k++) {
        if (r->stories[k].owner == s && story_is_bad(r, &r->stories[k], now_ms)) {
            return true;
        }
    }
    return false;
}

/* Severer than told, and still bad after a while. */
static void follow_severity(struct alert_rules *r, struct story *s,
                            const struct alert_clock *at)
{
    struct telling *t = &s->telling;
    if (!t->is_open || s->severity <= t->severity) {
        return;
    }
    t->risen_ms = t->risen_ms > 0 ? t->risen_ms : story_stamp(at->now_ms);
    if (at->now_ms >= t->risen_ms + r->conf.policy->for_ms && is_any_bad(r, s, at->now_ms)) {
        tell_worse(r, s, NULL, at);
    }
}

static void end_carried(struct alert_rules *r, struct story *s, const struct alert_clock *at)
{
    if (s->carried && s->incident == 0 && at->now_ms >= s->carried_due_ms) {
        rules_tell_carried_over(r, s->carried, s, "the gateway was restarted; all is well", at);
        free(s->carried);
        s->carried = NULL;
    }
}

/* Who serves when nothing is wrong. */
static void note_well(struct alert_rules *r, const struct model *m)
{
    for (size_t k = 0; k < r->story_count; k++) {
        const struct story *s = &r->stories[k];
        if ((s->incident != 0 || s->telling.is_open) && story_concerns(s, m)) {
            return;
        }
    }
    r->courses[m->index].well = r->courses[m->index].now;
}

static void tell_digests(struct alert_rules *r, bool is_end, const struct alert_clock *at)
{
    for (size_t k = 0; k < r->conf.policy->channel_count; k++) {
        if (alert_gate_digest(&r->gates[k], at, is_end, &r->draft)) {
            r->conf.tell(r->conf.arg, k, &r->draft);
        }
    }
}

static void tell_ready(struct alert_rules *r, const struct alert_clock *at)
{
    struct story *s = find_ready(r, true, at->now_ms);
    while (s) {
        go_on(r, s, at);
        s = find_ready(r, true, at->now_ms);
    }
    for (size_t m = 0; m < r->conf.catalog->model_count; m++) {
        follow_course(r, &r->conf.catalog->models[m], at);
    }
    s = find_ready(r, false, at->now_ms);
    while (s) {
        begin(r, s, at);
        s = find_ready(r, false, at->now_ms);
    }
}

void alert_rules_turn(struct alert_rules *r, const struct alert_clock *at)
{
    rules_look(r);
    for (size_t k = 0; k < r->story_count; k++) {
        struct story *s = &r->stories[k];
        s->streak_ms = story_is_bad(r, s, at->now_ms) ? s->streak_ms : 0;
    }
    tell_ready(r, at);
    for (size_t k = 0; k < r->story_count; k++) {
        follow_severity(r, &r->stories[k], at);
        end_carried(r, &r->stories[k], at);
    }
    for (size_t m = 0; m < r->conf.catalog->model_count; m++) {
        note_well(r, &r->conf.catalog->models[m]);
    }
    tell_digests(r, false, at);
}

void alert_rules_end(struct alert_rules *r, const struct alert_clock *at)
{
    tell_digests(r, true, at);
}

void alert_rules_carry(struct alert_rules *r, const struct alert_carried *c,
                       const struct alert_clock *at)
{
    struct story *s = rules_find(r, c->last.subject_is_model, c->last.subject);
    if (!s) {
        rules_tell_carried_over(r, c, s, "the gateway was restarted without it", at);
        return;
    }
    if (s->telling.is_open) {
        rules_tell_carried_over(r, c, s, SUCCEEDED, at);
        return;
    }
    if (s->carried) { /* the newer one is what people look at */
        rules_tell_carried_over(r, s->carried, s, SUCCEEDED, at);
        free(s->carried);
    }
    s->carried = mem_alloc(sizeof(*s->carried));
    *s->carried = *c;
    s->carried_due_ms = at->now_ms + r->conf.policy->for_ms + r->conf.settle_ms;
}

/* --- when --- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t story_due_ms(const struct alert_rules *r, const struct story *s,
                             uint64_t now_ms)
{
    uint64_t due_ms = UINT64_MAX;
    if (s->incident != 0 || s->telling.is_open) {
        due_ms = now_ms + LOOK_MS;
    }
    if (s->incident != 0 && !s->owner && s->streak_ms > 0) {
        due_ms = least(due_ms, ready_ms(r, s));
    }
    if (s->telling.is_open && s->telling.risen_ms > now_ms) {
        due_ms = least(due_ms, s->telling.risen_ms + r->conf.policy->for_ms);
    }
    if (s->carried) {
        due_ms =
            least(due_ms, s->carried_due_ms > now_ms ? s->carried_due_ms : now_ms + LOOK_MS);
    }
    return due_ms;
}

uint64_t alert_rules_due_ms(const struct alert_rules *r, const struct alert_clock *at)
{
    uint64_t due_ms = UINT64_MAX;
    for (size_t k = 0; k < r->story_count; k++) {
        due_ms = least(due_ms, story_due_ms(r, &r->stories[k], at->now_ms));
    }
    for (size_t m = 0; m < r->conf.catalog->model_count; m++) {
        if (r->courses[m].below_ms > 0) {
            due_ms = least(due_ms, r->courses[m].below_ms + r->conf.policy->for_ms);
        }
    }
    for (size_t k = 0; k < r->conf.policy->channel_count; k++) {
        due_ms = least(due_ms, alert_gate_due_ms(&r->gates[k], at));
    }
    return due_ms;
}
