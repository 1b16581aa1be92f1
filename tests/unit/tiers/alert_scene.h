#pragma once

#include <stdio.h>
#include <string.h>

#include "small_catalog.h"
#include "tiers/alert_rules.h"
#include "tiers/incidents.h"

/*
 * Stories: what happens to the backends, at which second, and what a channel is told of it. The
 * incidents are the real ones; who serves is the first tier with a backend that is not down.
 */

enum { FOR = 5000, SETTLE = 60000, TOLD = 64, CHANNELS = 3, TELLING = 96 };

struct told {
    uint32_t channel;
    struct alert alert;
};

struct scene {
    struct small_catalog small;
    struct alert_channel channels[CHANNELS];
    struct alert_policy policy;
    struct incidents *incidents;
    struct alert_rules *rules;
    struct alert_clock at;
    bool is_down[SMALL_MAX];
    struct alert_look sums;
    struct told told[TOLD];
    size_t count;
};

static struct scene scene;

static inline void look(void *arg, size_t model, struct alert_look *out)
{
    struct scene *s = arg;
    assert_int_equal(model, 0);
    *out = s->sums;
    for (uint32_t t = 0; t < s->small.model.tier_count; t++) {
        const struct tier *tier = &s->small.tiers[t];
        for (size_t k = 0; k < tier->member_count; k++) {
            if (!out->by && !s->is_down[tier->members[k].backend->index]) {
                out->by = tier->members[k].backend;
                out->tier = t + 1;
            }
        }
    }
}

static inline void tell(void *arg, size_t channel, const struct alert *a)
{
    struct scene *s = arg;
    assert_true(s->count < TOLD);
    s->told[s->count].channel = (uint32_t)channel;
    s->told[s->count++].alert = *a;
}

static inline void begin_rules(struct scene *s)
{
    s->incidents = incidents_new(&s->small.catalog, SETTLE);
    s->rules = alert_rules_new(&(struct alert_rules_conf){.catalog = &s->small.catalog,
                                                          .policy = &s->policy,
                                                          .settle_ms = SETTLE,
                                                          .gateway = "gw",
                                                          .look = look,
                                                          .tell = tell,
                                                          .arg = s},
                               &s->at);
}

static inline void end_rules(struct scene *s)
{
    alert_rules_free(&s->rules);
    assert_null(s->rules);
    incidents_free(&s->incidents);
}

static inline void stage(const char *tiers)
{
    struct scene *s = &scene;
    memset(s, 0, sizeof(*s));
    small_catalog_init(&s->small, tiers);
    for (uint32_t i = 0; i < CHANNELS; i++) {
        s->channels[i].at_least = SEVERITY_WARN;
        s->channels[i].rate = (struct alert_rate){.burst = 100, .refill_ms = 600000};
        s->channels[i].quiet.at_least = SEVERITY_ERROR;
    }
    s->policy = (struct alert_policy){
        .channels = s->channels, .channel_count = 1, .for_ms = FOR, .digest_ms = 600000};
    s->at = (struct alert_clock){.now_ms = 1000, .wall_ms = 1700000001000, .minute = 720};
    begin_rules(s);
}

static inline int tear_down(void **state)
{
    (void)state;
    end_rules(&scene);
    return 0;
}

static inline void take(struct event *e)
{
    incidents_take(scene.incidents, e);
    alert_rules_take(scene.rules, e, &scene.at);
}

static inline void close_all(void)
{
    struct event e;
    while (incidents_close(scene.incidents, scene.at.wall_ms, scene.at.now_ms, &e)) {
        alert_rules_take(scene.rules, &e, &scene.at);
    }
}

/* Lets time pass as the timer would, in its own steps. */
static inline void pass(uint64_t ms)
{
    uint64_t end_ms = scene.at.now_ms + ms;
    while (scene.at.now_ms < end_ms) {
        uint64_t due_ms = alert_rules_due_ms(scene.rules, &scene.at);
        uint64_t close_ms = incidents_due_ms(scene.incidents);
        due_ms = close_ms < due_ms ? close_ms : due_ms;
        due_ms = due_ms > scene.at.now_ms ? due_ms : scene.at.now_ms + 1;
        due_ms = due_ms < end_ms ? due_ms : end_ms;
        scene.at.wall_ms += due_ms - scene.at.now_ms;
        scene.at.now_ms = due_ms;
        close_all();
        alert_rules_turn(scene.rules, &scene.at);
    }
}

/* The rules are told, and have not yet looked who serves. */
static inline void take_state(uint32_t b, const char *word, enum severity severity)
{
    struct event e = event_of(EVENT_KIND_state, scene.at.wall_ms, scene.at.now_ms);
    EVENT_PUT(e.backend, scene.small.backends[b].name);
    EVENT_PUT(e.word, str_from(word));
    EVENT_PUT(e.was, STR("HEALTHY"));
    EVENT_PUT(e.cause, STR("reset"));
    e.severity = severity;
    scene.is_down[b] = strcmp(word, "DOWN") == 0;
    take(&e);
}

static inline void state_of(uint32_t b, const char *word, enum severity severity)
{
    take_state(b, word, severity);
    alert_rules_turn(scene.rules, &scene.at);
}

static inline void down(uint32_t b)
{
    state_of(b, "DOWN", SEVERITY_ERROR);
}

static inline void up(uint32_t b)
{
    state_of(b, "HEALTHY", SEVERITY_INFO);
}

static inline void happens(enum event_kind kind, const char *backend, const char *word,
                           uint32_t times)
{
    struct event e = event_of(kind, scene.at.wall_ms, scene.at.now_ms);
    EVENT_PUT(e.backend, str_from(backend));
    EVENT_PUT(e.model, STR("m"));
    EVENT_PUT(e.word, str_from(word));
    e.times = times;
    take(&e);
    alert_rules_turn(scene.rules, &scene.at);
}

/* All that was told since the last time: "opened b0 b0->b1, over b0 b1->b0". */
static inline void assert_told(const char *expected)
{
    char text[TELLING * 8] = "";
    for (size_t i = 0; i < scene.count; i++) {
        const struct alert *a = &scene.told[i].alert;
        size_t len = strlen(text);
        (void)snprintf(text + len, sizeof(text) - len, "%s%s%.*s %s %s->%s", i > 0 ? ", " : "",
                       alert_moment_name(a->moment), (int)scene.told[i].channel, "+++",
                       a->subject, a->from, a->to);
    }
    assert_string_equal(text, expected);
    scene.count = 0;
}

static inline const struct alert *last_told(void)
{
    assert_true(scene.count > 0);
    return &scene.told[scene.count - 1].alert;
}
