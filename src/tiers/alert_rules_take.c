#include <string.h>

#include "tiers/alert_rules_priv.h"
#include "tiers/alert_words.h"

/* Taking events in: whose story they are, how bad that is, and when it is over. */

enum { BAD_MS = 2000, BAD_LEAST_MS = 50 };

/* --- finding --- */

/* Names in events are cut as event_put cuts them. */
static bool is_named(struct str name, const char *in_event)
{
    char cut[EVENT_NAME];
    EVENT_PUT(cut, name);
    return in_event[0] != '\0' && strcmp(cut, in_event) == 0;
}

struct story *rules_find(const struct alert_rules *r, bool is_model, const char *name)
{
    for (size_t k = 0; k < r->story_count; k++) {
        struct story *s = &r->stories[k];
        if ((s->model != NULL) == is_model && is_named(story_name(s), name)) {
            return s;
        }
    }
    return NULL;
}

static struct story *find_incident(const struct alert_rules *r, uint64_t incident)
{
    for (size_t k = 0; k < r->story_count; k++) {
        if (r->stories[k].incident == incident) {
            return &r->stories[k];
        }
    }
    return NULL;
}

/* --- how bad it is --- */

/* What only happens, and is no state, is bad until it has not happened for a while. */
static uint64_t bad_for_ms(const struct alert_rules *r)
{
    uint64_t half_ms = r->conf.policy->for_ms / 2;
    half_ms = half_ms < BAD_LEAST_MS ? BAD_LEAST_MS : half_ms;
    return half_ms < BAD_MS ? half_ms : BAD_MS;
}

bool story_is_bad(const struct alert_rules *r, const struct story *s, uint64_t now_ms)
{
    return !signs_are_good(&s->signs) || (s->bad_ms > 0 && now_ms < s->bad_ms + bad_for_ms(r));
}

/* --- what happens --- */

static void open_story(struct alert_rules *r, struct story *s, const struct event *e,
                       const struct alert_clock *at)
{
    s->incident = e->incident;
    s->opened_ms = at->now_ms;
    s->opened_wall_ms = e->wall_ms;
    s->severity = e->severity;
    s->bad_ms = 0;
    s->streak_ms = 0;
    s->streaks = 0;
    s->error[0] = '\0';
    s->error_ms = 0;
    s->owner = NULL;
    if (s->telling.is_open) {
        s->owner = s; /* it waits for those that have joined it, and goes on */
        return;
    }
    s->lines.line_count = 0;
    s->lines.lines_left_out = 0;
    s->lined = 0;
    s->moved = 0;
    s->resumed = 0;
    rules_look(r);
    s->base = rules_sum(r, s);
}

/* Whose incident it is; NULL: nobody's that we know. */
static struct story *story_of(struct alert_rules *r, const struct event *e,
                              const struct alert_clock *at)
{
    struct story *s = find_incident(r, e->incident);
    if (!s && e->severity != SEVERITY_INFO) {
        s = rules_find(r, false, e->backend);
        s = s ? s : rules_find(r, true, e->model);
        if (s) {
            open_story(r, s, e, at);
        }
    }
    return s;
}

static void note_error(struct story *s, const struct event *e, const struct alert_clock *at)
{
    bool is_change = event_row(e->kind)->flow == EVENT_CHANGE;
    bool is_weaker = e->severity < s->error_severity ||
                     (e->severity == s->error_severity && s->error_is_change && !is_change);
    if (s->error[0] != '\0' && is_weaker) {
        return;
    }
    char text[EVENT_TEXT];
    event_text(e, text);
    EVENT_PUT(s->error, str_from(text));
    s->error_ms = at->now_ms;
    s->error_severity = e->severity;
    s->error_is_change = is_change;
}

/* Every change has its line, and the first of each kind that is only counted. */
static void note_line(struct story *s, const struct event *e)
{
    char line[ALERT_LINE];
    uint32_t bit = 1U << (unsigned)e->kind;
    bool is_change = event_row(e->kind)->flow == EVENT_CHANGE;
    if (is_change || (e->severity != SEVERITY_INFO && (s->lined & bit) == 0)) {
        alert_words_event(e, line);
        alert_words_add(&s->lines, line);
        s->lined |= bit;
    }
}

static void note_felt(struct story *s, const struct event *e)
{
    if (e->kind == EVENT_KIND_failover && strcmp(e->word, "next backend") == 0) {
        s->moved += e->times;
    }
    s->resumed += e->kind == EVENT_KIND_resume ? e->times : 0;
}

static void note_bad(struct story *s, const struct event *e, bool was_bad,
                     const struct alert_clock *at)
{
    struct story *told = s->owner ? s->owner : s;
    s->bad_ms = story_stamp(at->now_ms);
    if (!was_bad) {
        s->streak_ms = s->bad_ms;
        s->streaks++;
    }
    s->severity = e->severity > s->severity ? e->severity : s->severity;
    told->severity = s->severity > told->severity ? s->severity : told->severity;
    note_error(s, e, at);
}

/* --- over --- */

static bool waits_for_others(const struct alert_rules *r, const struct story *s)
{
    for (size_t k = 0; k < r->story_count; k++) {
        if (r->stories[k].owner == s && r->stories[k].incident != 0) {
            return true;
        }
    }
    return false;
}

static void finish(struct alert_rules *r, struct story *s, const struct alert_clock *at)
{
    struct telling *t = &s->telling;
    rules_look(r);
    EVENT_PUT(t->from, str_from(t->to));
    t->from_tier = t->to_tier;
    if (t->model) {
        const struct alert_look *now = &r->courses[t->model->index].now;
        event_put(t->to, sizeof(t->to), now->by ? now->by->name : STR(""));
        t->to_tier = now->tier;
    }
    rules_tell(r, s, ALERT_OVER, at);
    *t = (struct telling){.is_open = false};
    for (size_t k = 0; k < r->story_count; k++) {
        r->stories[k].owner = r->stories[k].owner == s ? NULL : r->stories[k].owner;
    }
}

static void close_story(struct alert_rules *r, struct story *s, const struct event *e,
                        const struct alert_clock *at)
{
    struct story *told = s->owner;
    uint64_t closed_wall_ms = s->opened_wall_ms + (uint64_t)e->numbers[0];
    s->incident = 0;
    s->streak_ms = 0;
    s->bad_ms = 0;
    if (!told) {
        return;
    }
    if (closed_wall_ms > told->telling.closed_wall_ms) {
        told->telling.closed_wall_ms = closed_wall_ms;
    }
    if (!waits_for_others(r, told)) {
        finish(r, told, at);
    }
}

void alert_rules_take(struct alert_rules *r, const struct event *e,
                      const struct alert_clock *at)
{
    struct story *named = rules_find(r, false, e->backend);
    struct story *s = e->incident != 0 ? story_of(r, e, at) : NULL;
    bool was_bad = s && story_is_bad(r, s, at->now_ms);
    if (named && signs_take(&named->signs, e) && signs_are_good(&named->signs)) {
        named->bad_ms = 0;
    }
    if (!s) {
        return;
    }
    if (e->kind == EVENT_KIND_closed) {
        close_story(r, s, e, at);
        return;
    }
    if (e->severity != SEVERITY_INFO) {
        note_bad(s, e, was_bad, at);
    }
    note_line(s->owner ? s->owner : s, e);
    note_felt(s->owner ? s->owner : s, e);
}
