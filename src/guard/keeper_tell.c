#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "guard/keeper_priv.h"
#include "guard/notify_text.h"

/*
 * What others are told: the log, the service manager, the hooks, GET /guard.
 */

enum { EXTEND_EVERY_MS = 10000, EXTEND_BY_MS = 60000, STATUS_SIZE = 400 };

static const char *cause_of(const struct keeper *k)
{
    return cause_name(k->plan.cause);
}

static void log_state(const struct keeper *k)
{
    const struct plan *p = &k->plan;
    bool is_bad =
        p->state == PLAN_GAVE_UP || p->state == PLAN_UNKILLABLE || p->state == PLAN_NEEDS_RESET;
    bool is_failure = p->cause != CAUSE_NONE && !p->is_asked_to_stop;
    LOG_AT(is_bad       ? LOG_ERROR
           : is_failure ? LOG_WARN
                        : LOG_INFO,
           "the backend's state", LOG_TEXT("state", plan_state_name(p->state)),
           LOG_TEXT("reason", p->why), LOG_TEXT("cause", cause_of(k)),
           LOG_NUM("restarts", p->restarts.total), LOG_DONE);
}

/* How much more time systemd is asked for: 0 for none. While it waits for READY=1 it is told
 * that things go on only where they do. */
static uint64_t extension_ms(const struct keeper *k)
{
    const struct plan *p = &k->plan;
    switch (p->state) {
    case PLAN_STOPPING:
        return ladder_left_ms(&p->ladder, k->now_ms) + EXTEND_BY_MS;
    case PLAN_LOADING:
        return k->is_advancing && !p->has_been_ready ? EXTEND_BY_MS : 0;
    case PLAN_BACKOFF:
        return p->has_been_ready ? 0 : p->due_ms - p->since_ms + EXTEND_BY_MS;
    case PLAN_STARTING:
    case PLAN_NEEDS_RESET:
    case PLAN_GAVE_UP:
    case PLAN_UNKILLABLE:
        /* Known to be so, and told: a restart by systemd would not help. */
        return p->has_been_ready ? 0 : EXTEND_BY_MS;
    case PLAN_READY:
    case PLAN_ENDED:
        break;
    }
    return 0;
}

static void put_times(struct keeper *k, struct notify *n, bool is_news)
{
    n->is_alive = k->notify.watchdog_ms > 0 && k->now_ms >= k->watchdog_due_ms;
    if (n->is_alive) {
        k->watchdog_due_ms = k->now_ms + k->notify.watchdog_ms;
    }
    if (is_news || k->now_ms >= k->extend_due_ms) {
        n->extend_ms = extension_ms(k);
        k->extend_due_ms = n->extend_ms > 0 ? k->now_ms + EXTEND_EVERY_MS : k->extend_due_ms;
    }
}

static void notify_manager(struct keeper *k, bool is_news)
{
    char status[STATUS_SIZE];
    char text[NOTIFY_MAX];
    struct notify n = {.main_pid = getpid()};
    (void)snprintf(status, sizeof(status), "%s: %s", plan_state_name(k->plan.state),
                   k->plan.why);
    n.status = is_news ? str_from(status) : STR("");
    n.is_ready = k->plan.state == PLAN_READY && !k->has_told_ready;
    n.is_stopping = (k->plan.is_asked_to_stop || k->is_leaving) && !k->has_told_stopping;
    put_times(k, &n, is_news);
    k->has_told_ready = k->has_told_ready || n.is_ready;
    k->has_told_stopping = k->has_told_stopping || n.is_stopping;
    sdnotify_send(&k->notify, str_of(text, notify_text(&n, text)));
}

static void tell_parent(struct keeper *k, enum guard_state state, const char *why)
{
    struct guard_line line = {.state = state,
                              .restarts = (uint32_t)k->plan.restarts.total,
                              .pid = k->pid > 0 ? (uint32_t)k->pid : 0};
    if (k->parent) {
        (void)snprintf(line.why, sizeof(line.why), "%s", why);
        parent_tell(k->parent, line);
    }
}

void keeper_tell_no_command(struct keeper *k, const char *why)
{
    tell_parent(k, GUARD_GAVE_UP, why);
}

/* GET /guard and the parent hear the same names. */
static enum guard_state state_of(const struct plan *p)
{
    enum guard_state state = GUARD_ENDED;
    CHECK(guard_state_find(str_from(plan_state_name(p->state)), &state));
    return state;
}

void keeper_tell(struct keeper *k)
{
    const struct plan *p = &k->plan;
    bool is_state_news = p->state != k->told_state;
    bool is_news = is_state_news || strcmp(p->why, k->told_why) != 0;
    if (is_state_news || (is_news && p->state != PLAN_LOADING)) {
        log_state(k);
    }
    notify_manager(k, is_news);
    if (k->end != KEEPER_NO_COMMAND) {
        tell_parent(k, state_of(p), p->why);
    }
    k->told_state = p->state;
    (void)snprintf(k->told_why, sizeof(k->told_why), "%s", p->why);
}

void keeper_run_hook(struct keeper *k, enum guard_hook hook)
{
    const char *why = hook == HOOK_NEEDS_RESET && k->plan.state == PLAN_READY
                          ? clearance_why(k->clearance)
                          : k->plan.why;
    hooks_start(&k->hooks, k->settings,
                &(struct hook_news){.hook = hook, .reason = why, .cause = cause_of(k)},
                k->now_ms);
}

struct str keeper_json(void *owner, struct arena *a)
{
    const struct keeper *k = owner;
    const struct guard_settings *s = k->settings;
    uint64_t now_ms = loop_now_ms(k->loop);
    struct guard_view v = {.plan = &k->plan,
                           .incident = &k->incident,
                           .backend = arena_dup(a, s->origin).ptr,
                           .type = arena_dup(a, s->type).ptr,
                           .program = s->command.word[0],
                           .cgroup = k->cgroup.is_on ? k->cgroup.engine : NULL,
                           .no_cgroup = k->cgroup.why,
                           .pid = k->pid,
                           .now_ms = now_ms,
                           .now_wall_ms = clock_wall_ms(),
                           .recent =
                               restarts_recent(&k->plan.restarts, &s->plan.restart, now_ms),
                           .limit = s->plan.restart.limit,
                           .dropped = outlet_dropped(k->out) + outlet_dropped(k->err)};
    return guard_json(&v, a);
}
