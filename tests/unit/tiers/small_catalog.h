#pragma once

#include <string.h>

#include "tiers/catalog.h"
#include "tiers/health.h"

/*
 * A catalog of a few backends b0, b1, … and one model "m" for the tests of this room. Tiers are
 * written as text: "01/2" is tier 1 with b0 and b1, tier 2 with b2.
 */

enum { SMALL_MAX = 8 };

struct small_catalog {
    struct catalog catalog;
    struct model model;
    struct backend backends[SMALL_MAX];
    struct tier_member members[SMALL_MAX];
    struct tier tiers[SMALL_MAX];
    struct serving servings[SMALL_MAX]; /* one for each member, by backend */
};

static const struct health_policy SMALL_HEALTH = {
    .interval_ms = 10000,
    .timeout_ms = 5000,
    .degraded_after_ms = 2000,
    .down_after = 3,
    .up_after = 2,
    .loading_limit_ms = 600000,
    .down_gap_ms = 2000,
    .down_gap_max_ms = 10000,
};

/* The defaults. Backends have none of it unless a test gives it to them: they return at once.
 */
static const struct breaker_policy SMALL_BREAKER = {
    .trial_ms = 2000,
    .trial_max_ms = 10000,
    .dwell_ms = 10000,
    .slow_start_ms = 30000,
};

static inline void small_catalog_serve(struct small_catalog *s, size_t members)
{
    for (uint32_t i = 0; i < SMALL_MAX; i++) {
        struct backend *b = &s->backends[i];
        for (size_t m = 0; m < members; m++) {
            if (s->members[m].backend == b) {
                uint32_t index = (uint32_t)s->catalog.serving_count++;
                s->servings[index] = (struct serving){.index = index, .backend = b};
                s->members[m].serving = index;
                b->first_serving = index;
                b->serving_count = 1;
            }
        }
    }
    s->catalog.servings = s->servings;
}

static inline void small_catalog_init(struct small_catalog *s, const char *tiers)
{
    static const struct str names[SMALL_MAX] = {
        STR_INIT("b0"), STR_INIT("b1"), STR_INIT("b2"), STR_INIT("b3"),
        STR_INIT("b4"), STR_INIT("b5"), STR_INIT("b6"), STR_INIT("b7"),
    };
    memset(s, 0, sizeof(*s));
    for (uint32_t i = 0; i < SMALL_MAX; i++) {
        s->backends[i].index = i;
        s->backends[i].name = names[i];
        s->backends[i].health = SMALL_HEALTH;
    }
    size_t members = 0;
    s->tiers[0].members = s->members;
    s->model.tier_count = 1;
    for (const char *c = tiers; *c; c++) {
        struct tier *tier = &s->tiers[s->model.tier_count - 1];
        if (*c == '/') {
            s->tiers[s->model.tier_count].members = &s->members[members];
            s->model.tier_count++;
            continue;
        }
        s->members[members].backend = &s->backends[*c - '0'];
        members++;
        tier->member_count++;
    }
    s->model.name = STR("m");
    s->model.may_panic = true;
    s->model.tiers = s->tiers;
    s->catalog.backends = s->backends;
    s->catalog.backend_count = SMALL_MAX;
    s->catalog.models = &s->model;
    s->catalog.model_count = 1;
    small_catalog_serve(s, members);
}

static inline struct probe_result probe_ok(uint32_t took_ms)
{
    return (struct probe_result){.answered = true, .status = 200, .took_ms = took_ms};
}

static inline struct probe_result probe_status(uint16_t status)
{
    return (struct probe_result){.answered = true, .status = status, .took_ms = 5};
}

static inline struct probe_result probe_loading(void)
{
    return (struct probe_result){
        .answered = true, .status = 503, .is_loading = true, .took_ms = 5};
}

static inline struct probe_result probe_exception(enum failure f)
{
    return (struct probe_result){.failure = f, .took_ms = 5};
}
