#include "guard/plan.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"

const char *plan_state_name(enum plan_state s)
{
    switch (s) {
    case PLAN_STARTING:
        return "STARTING";
    case PLAN_LOADING:
        return "LOADING";
    case PLAN_READY:
        return "READY";
    case PLAN_STOPPING:
        return "STOPPING";
    case PLAN_BACKOFF:
        return "RESTARTING";
    case PLAN_NEEDS_RESET:
        return "NEEDS_RESET";
    case PLAN_GAVE_UP:
        return "GAVE_UP";
    case PLAN_UNKILLABLE:
        return "UNKILLABLE";
    case PLAN_ENDED:
        return "ENDED";
    }
    BUG("no such state");
}

__attribute__((format(printf, 2, 3))) static void say(struct plan *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(p->why, sizeof(p->why), format, args);
    va_end(args);
}

/* The one place that changes the state. */
static void move(struct plan *p, enum plan_state to, uint64_t now_ms)
{
    p->state = to;
    p->since_ms = now_ms;
}

void plan_init(struct plan *p, const struct plan_policy *policy, struct rand rand,
               uint64_t now_ms)
{
    *p = (struct plan){.policy = *policy, .rand = rand};
    move(p, PLAN_STARTING, now_ms);
    say(p, "first start");
}

static bool is_running(const struct plan *p)
{
    return p->state == PLAN_LOADING || p->state == PLAN_READY;
}

static bool wants_census(const struct plan *p)
{
    return p->state == PLAN_STOPPING || p->state == PLAN_UNKILLABLE;
}

static unsigned leave(struct plan *p, int code, uint64_t now_ms)
{
    p->exit_code = code;
    move(p, PLAN_ENDED, now_ms);
    return PLAN_DO_LEAVE;
}

/* --- failures --- */

static void take_oom_step(struct plan *p)
{
    if (cause_is_memory(p->cause) && p->oom_step < p->policy.oom_steps) {
        p->oom_step++;
    }
}

/* Nothing of the failed run is left. */
static unsigned decide_restart(struct plan *p, uint64_t now_ms)
{
    char last[PLAN_WHY_MAX];
    uint64_t delay_ms = 0;
    (void)snprintf(last, sizeof(last), "%s", p->why);
    take_oom_step(p);
    if (restarts_next(&p->restarts, &p->policy.restart, &p->rand, now_ms, &delay_ms)) {
        p->due_ms = now_ms + delay_ms;
        move(p, PLAN_BACKOFF, now_ms);
        return 0;
    }
    move(p, PLAN_GAVE_UP, now_ms);
    say(p, "%u restarts within %llu s did not help; last failure: %.150s",
        (unsigned)p->policy.restart.limit,
        (unsigned long long)p->policy.restart.within_ms / 1000, last);
    return p->policy.then_leave == PLAN_LEAVE ? PLAN_DO_HOOK_GAVE_UP | leave(p, 1, now_ms)
                                              : PLAN_DO_HOOK_GAVE_UP;
}

/* A run has failed. What of it is left is ended first. */
static unsigned fail(struct plan *p, enum cause cause, const char *why, uint64_t now_ms)
{
    bool is_slow = cause == CAUSE_HANG || cause == CAUSE_SLOW_START;
    p->cause = is_slow && p->has_gpu_memory_line ? CAUSE_OOM_GPU : cause;
    say(p, "%s%s",
        is_slow && p->has_gpu_memory_line ? "out of GPU memory, as its log says; " : "", why);
    move(p, PLAN_STOPPING, now_ms);
    ladder_start(&p->ladder, &p->policy.stop, now_ms);
    if (cause == CAUSE_HANG) {
        ladder_hasten(&p->ladder);
    }
    return PLAN_DO_HOOK_DOWN | PLAN_DO_KEEP_INCIDENT |
           (p->is_main_alive ? PLAN_DO_TERM_MAIN : 0U);
}

/* --- STARTING --- */

unsigned plan_on_clear(struct plan *p, uint64_t now_ms)
{
    p->is_reset_told = false;
    if (p->state == PLAN_NEEDS_RESET) {
        move(p, PLAN_STARTING, now_ms);
        say(p, "the GPU is well again");
    }
    return p->state == PLAN_STARTING ? PLAN_DO_SPAWN : 0;
}

void plan_on_blocked(struct plan *p, const char *why)
{
    if (p->state == PLAN_STARTING) {
        say(p, "%s", why);
    }
}

unsigned plan_on_gpu_down(struct plan *p, const char *why, uint64_t now_ms)
{
    if (p->state == PLAN_STARTING) {
        move(p, PLAN_NEEDS_RESET, now_ms);
    }
    if (p->state == PLAN_NEEDS_RESET) {
        say(p, "%s", why);
    }
    bool is_news = !p->is_reset_told && p->state != PLAN_ENDED;
    p->is_reset_told = true;
    return is_news ? PLAN_DO_HOOK_RESET : 0;
}

unsigned plan_on_leftovers(struct plan *p, size_t left, uint64_t now_ms)
{
    if (p->state != PLAN_STARTING) {
        return 0;
    }
    p->cause = CAUSE_NONE;
    move(p, PLAN_STOPPING, now_ms);
    say(p, "%zu process(es) of an earlier run are there still", left);
    ladder_start(&p->ladder, &p->policy.stop, now_ms);
    return 0;
}

void plan_on_spawned(struct plan *p, uint64_t now_ms)
{
    CHECK(p->state == PLAN_STARTING);
    p->is_main_alive = true;
    move(p, PLAN_LOADING, now_ms);
    say(p, "the process runs; no token yet");
}

unsigned plan_on_no_start(struct plan *p, const char *why, uint64_t now_ms)
{
    CHECK(p->state == PLAN_STARTING);
    return fail(p, CAUSE_NO_START, why, now_ms);
}

/* --- while it runs --- */

void plan_on_progress(struct plan *p, const char *why)
{
    if (p->state == PLAN_LOADING) {
        say(p, "%s", why);
    }
}

void plan_on_token(struct plan *p, uint64_t now_ms)
{
    if (p->state != PLAN_LOADING) {
        return;
    }
    uint64_t took_ms = now_ms - p->since_ms;
    p->has_been_ready = true;
    p->cause = CAUSE_NONE;
    move(p, PLAN_READY, now_ms);
    say(p, "first token after %llu.%llu s", (unsigned long long)took_ms / 1000,
        (unsigned long long)took_ms % 1000 / 100);
}

unsigned plan_on_hang(struct plan *p, const char *why, uint64_t now_ms)
{
    return p->state == PLAN_READY ? fail(p, CAUSE_HANG, why, now_ms) : 0;
}

unsigned plan_on_exit(struct plan *p, enum cause cause, const char *why, uint64_t now_ms)
{
    p->is_main_alive = false;
    return is_running(p) ? fail(p, cause, why, now_ms) : 0;
}

/* --- the ladder --- */

static unsigned order_of(enum ladder_rung rung)
{
    switch (rung) {
    case LADDER_ASK:
        return PLAN_DO_TERM_MAIN;
    case LADDER_REST:
        return PLAN_DO_TERM_ALL;
    case LADDER_KILL:
        return PLAN_DO_KILL_ALL;
    case LADDER_TOP:
        break;
    }
    return 0;
}

static unsigned on_all_gone(struct plan *p, uint64_t now_ms)
{
    if (p->is_asked_to_stop) {
        say(p, "stopped, nothing is left");
        return leave(p, 0, now_ms);
    }
    return decide_restart(p, now_ms);
}

static unsigned on_top(struct plan *p, size_t left, size_t stuck, uint64_t now_ms)
{
    char before[PLAN_WHY_MAX];
    (void)snprintf(before, sizeof(before), "%s", p->why);
    move(p, PLAN_UNKILLABLE, now_ms);
    say(p,
        "%zu process(es) survive SIGKILL, %zu of them in state D (in the driver): %s; %.120s",
        left, stuck, stuck > 0 ? "the machine needs a restart" : "look at them by hand",
        before);
    return PLAN_DO_HOOK_RESET | (p->is_asked_to_stop ? leave(p, 1, now_ms) : 0U);
}

unsigned plan_on_census(struct plan *p, size_t left, size_t stuck, uint64_t now_ms)
{
    if (!wants_census(p)) {
        return 0;
    }
    if (left == 0 && !p->is_main_alive) {
        return on_all_gone(p, now_ms);
    }
    if (p->state == PLAN_UNKILLABLE) {
        return 0;
    }
    if (ladder_climb(&p->ladder, !p->is_main_alive, now_ms)) {
        return p->ladder.rung == LADDER_TOP ? on_top(p, left, stuck, now_ms)
                                            : order_of(p->ladder.rung);
    }
    /* A process that was just being made can have missed the signal. */
    return p->ladder.rung == LADDER_KILL ? PLAN_DO_KILL_ALL : 0;
}

/* --- time and the operator --- */

static void on_ready_time(struct plan *p, uint64_t now_ms)
{
    uint64_t ready_ms = now_ms - p->since_ms;
    if (ready_ms >= p->policy.restart.healthy_ms) {
        restarts_forget(&p->restarts);
    }
    if (ready_ms >= p->policy.oom_forget_ms) {
        p->oom_step = 0;
    }
}

unsigned plan_on_tick(struct plan *p, uint64_t now_ms)
{
    if (p->state == PLAN_READY) {
        on_ready_time(p, now_ms);
    }
    if (p->state == PLAN_LOADING && now_ms >= p->since_ms + p->policy.start_ms) {
        char why[PLAN_WHY_MAX];
        (void)snprintf(why, sizeof(why), "no token within %llu s of its start (%.150s)",
                       (unsigned long long)p->policy.start_ms / 1000, p->why);
        return fail(p, CAUSE_SLOW_START, why, now_ms);
    }
    if (p->state == PLAN_BACKOFF && now_ms >= p->due_ms) {
        move(p, PLAN_STARTING, now_ms);
    }
    return 0;
}

/* Nothing runs: the guard can leave at once. It has failed where it had given up. */
static unsigned leave_idle(struct plan *p, uint64_t now_ms)
{
    bool has_failed = p->state == PLAN_GAVE_UP || p->state == PLAN_UNKILLABLE;
    return leave(p, has_failed ? 1 : 0, now_ms);
}

unsigned plan_on_stop(struct plan *p, uint64_t now_ms)
{
    bool is_second = p->is_asked_to_stop;
    p->is_asked_to_stop = true;
    if (p->state == PLAN_ENDED) {
        return 0;
    }
    if (p->state == PLAN_STOPPING) {
        return is_second && ladder_jump(&p->ladder, now_ms) ? PLAN_DO_KILL_ALL : 0U;
    }
    if (!is_running(p)) {
        return leave_idle(p, now_ms);
    }
    say(p, "asked to stop");
    move(p, PLAN_STOPPING, now_ms);
    ladder_start(&p->ladder, &p->policy.stop, now_ms);
    return p->is_main_alive ? PLAN_DO_TERM_MAIN : 0U;
}
