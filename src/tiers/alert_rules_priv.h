#pragma once

#include "tiers/alert_rules.h"
#include "tiers/signs.h"

/* What the parts of the alert rules share: what happens (alert_rules_take.c), when that is told
 * (alert_rules.c), and what is said (alert_rules_tell.c). Private to tiers. */

#define LEVEL_NOBODY UINT32_MAX

/* What people have been told of an incident; of the story that it was told for. */
struct telling {
    bool is_open;
    uint64_t number; /* as the history has it */
    uint64_t opened_ms;
    uint64_t opened_wall_ms;
    uint64_t closed_wall_ms;
    uint64_t channels; /* a bit for each that was told */
    enum severity severity;
    uint64_t risen_ms;         /* since when it is severer than told; 0: it is not */
    const struct model *model; /* the one that was told of; NULL: none has the backend */
    char from[EVENT_NAME];
    char to[EVENT_NAME];
    uint32_t from_tier, to_tier;
    struct alert_felt before; /* by earlier processes */
};

/* A backend or a model, and its incident. */
struct story {
    const struct backend *backend; /* one of these two */
    const struct model *model;
    struct signs signs;
    uint64_t incident; /* 0: none is open; then what follows has no meaning */
    uint64_t opened_ms;
    uint64_t opened_wall_ms;
    enum severity severity;
    uint64_t bad_ms;    /* when something bad last happened; 0: it is well since */
    uint64_t streak_ms; /* since when it is bad; 0: it is not */
    uint32_t streaks;
    uint64_t error_ms; /* of `error` */
    enum severity error_severity;
    bool error_is_change;
    char error[EVENT_CAUSE];
    struct alert lines; /* only its lines are used */
    uint32_t lined;     /* a bit for each kind that has its line */
    uint64_t moved, resumed;
    struct alert_look base; /* sums when it opened */
    struct story *owner;    /* whose telling it is part of; NULL: it was not told */
    struct telling telling;
    struct alert_carried *carried; /* NULL: none */
    uint64_t carried_due_ms;
};

/* How a model is served, then and now. */
struct course {
    struct alert_look now;
    struct alert_look well; /* when nothing was wrong */
    uint32_t told_level;    /* the furthest tier told; 0: nothing is */
    uint64_t below_ms;      /* since when it is further down; 0: it is not */
};

struct alert_rules {
    struct alert_rules_conf conf;
    struct story *stories; /* the backends, then the models */
    size_t story_count;
    struct course *courses;   /* one a model */
    struct alert_gate *gates; /* one a channel */
    struct alert draft;
};

static inline uint32_t level_of(const struct alert_look *l)
{
    return l->tier > 0 ? l->tier : LEVEL_NOBODY;
}

/* A time that is kept in a field where 0 says that there is none. */
static inline uint64_t story_stamp(uint64_t now_ms)
{
    return now_ms > 0 ? now_ms : 1;
}

/* NULL: none has that name. */
struct story *rules_find(const struct alert_rules *r, bool is_model, const char *name);

/* Its signs are bad, or something bad has happened lately. */
bool story_is_bad(const struct alert_rules *r, const struct story *s, uint64_t now_ms);

/* The backend's tier of the model, from 1; 0: none. */
uint32_t story_tier(const struct story *s, const struct model *m);
bool story_concerns(const struct story *s, const struct model *m);
struct str story_name(const struct story *s);

/* Looks at all models. */
void rules_look(struct alert_rules *r);

/* Of the models that the story concerns, all together. */
struct alert_look rules_sum(const struct alert_rules *r, const struct story *s);

/* Sets who served and who serves now, of the model that it concerns most. */
void rules_aim(struct alert_rules *r, struct story *s);

/* Tells the channels that are concerned: OPENED those that were not told, WORSENED also those
 * that were, OVER only those. */
void rules_tell(struct alert_rules *r, struct story *s, enum alert_moment moment,
                const struct alert_clock *at);

/* What was carried is over, in these words; its subject is `s`, if it still exists. */
void rules_tell_carried_over(struct alert_rules *r, const struct alert_carried *c,
                             const struct story *s, const char *action,
                             const struct alert_clock *at);
