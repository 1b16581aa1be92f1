#include "guard/keeper.h"

#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "guard/guard_serve.h"
#include "guard/keeper_priv.h"

enum {
    TURN_MS = 200,
    TURN_STOPPING_MS = 50, /* while processes are to go */
    LOOK_MS = 2000,
    LEAVE_MS = 5000 /* for hooks that still run */
};

/* --- orders --- */

static void run_hooks(struct keeper *k, unsigned orders)
{
    if ((orders & PLAN_DO_HOOK_DOWN) != 0) {
        keeper_run_hook(k, HOOK_DOWN);
    }
    if ((orders & PLAN_DO_HOOK_RESET) != 0) {
        keeper_run_hook(k, HOOK_NEEDS_RESET);
    }
    if ((orders & PLAN_DO_HOOK_GAVE_UP) != 0) {
        keeper_run_hook(k, HOOK_GAVE_UP);
    }
}

static void send_signals(struct keeper *k, unsigned orders)
{
    if ((orders & PLAN_DO_TERM_MAIN) != 0 && k->pid > 0) {
        (void)kill(k->pid, SIGTERM);
    }
    if ((orders & PLAN_DO_TERM_ALL) != 0) {
        keeper_signal_all(k, SIGTERM);
    }
    if ((orders & PLAN_DO_KILL_ALL) != 0) {
        keeper_kill_all(k);
    }
}

static void obey(struct keeper *k, unsigned orders)
{
    if (orders == 0) {
        return;
    }
    if ((orders & PLAN_DO_KEEP_INCIDENT) != 0) {
        keeper_keep_incident(k);
    }
    if ((orders & PLAN_DO_SPAWN) != 0) {
        orders |= keeper_spawn(k);
    }
    run_hooks(k, orders);
    send_signals(k, orders);
    if (k->plan.state != PLAN_LOADING && k->plan.state != PLAN_READY) {
        watch_rest(k->watch);
    }
    if ((orders & PLAN_DO_LEAVE) != 0) {
        k->is_leaving = true;
        k->leave_due_ms = k->now_ms + LEAVE_MS;
        k->end = k->plan.exit_code == 0 ? KEEPER_STOPPED : KEEPER_FAILED;
    }
}

/* --- by state --- */

/* Where somebody decides, he is asked; and while the answer was awaited much may have changed.
 */
static unsigned take_turn(struct keeper *k)
{
    if (!k->parent || parent_turn(k->parent) == GUARD_TURN_HELD) {
        k->is_clearing = false;
        clearance_rest(k->clearance);
        return plan_on_clear(&k->plan, k->now_ms);
    }
    parent_want_turn(k->parent);
    plan_on_blocked(&k->plan, "waits for its turn");
    return 0;
}

/* No start now. */
static void yield_turn(struct keeper *k)
{
    if (k->parent) {
        parent_end_turn(k->parent);
    }
}

/* Nothing of an earlier run may be left; then the port and the GPUs are asked. */
static unsigned clear(struct keeper *k)
{
    if (!k->is_clearing) {
        keeper_look(k);
        if (k->offspring.count > 0) {
            return plan_on_leftovers(&k->plan, k->offspring.count, k->now_ms);
        }
        k->is_clearing = true;
        clearance_begin(k->clearance, k->run_pids, k->run_pid_count, k->now_ms);
    }
    switch (clearance_next(k->clearance, k->now_ms)) {
    case CLEARANCE_PENDING:
        return 0;
    case CLEARANCE_GIVEN:
        return take_turn(k);
    case CLEARANCE_BLOCKED:
        yield_turn(k);
        plan_on_blocked(&k->plan, clearance_why(k->clearance));
        return 0;
    case CLEARANCE_GPU_DOWN:
        yield_turn(k);
        return plan_on_gpu_down(&k->plan, clearance_why(k->clearance), k->now_ms);
    }
    BUG("no such word");
}

static void look_now_and_then(struct keeper *k)
{
    if (k->now_ms >= k->census_due_ms) {
        k->census_due_ms = k->now_ms + LOOK_MS;
        keeper_look(k);
    }
}

static unsigned load(struct keeper *k)
{
    look_now_and_then(k);
    if (watch_next(k->watch, k->is_computing, k->now_ms) == WATCH_TOKEN) {
        plan_on_token(&k->plan, k->now_ms);
        watch_ready(k->watch, k->now_ms);
    } else if (watch_words(k->watch)[0] != '\0') {
        plan_on_progress(&k->plan, watch_words(k->watch));
    }
    return 0;
}

static unsigned patrol(struct keeper *k)
{
    unsigned orders = 0;
    look_now_and_then(k);
    if (clearance_patrol(k->clearance, k->now_ms)) {
        orders = plan_on_gpu_down(&k->plan, clearance_why(k->clearance), k->now_ms);
        watch_suspect(k->watch);
    }
    if (watch_next(k->watch, k->is_computing, k->now_ms) == WATCH_HUNG) {
        orders |= plan_on_hang(&k->plan, watch_words(k->watch), k->now_ms);
    }
    return orders;
}

/* What cannot be killed is looked at seldom. */
static unsigned end_processes(struct keeper *k)
{
    if (k->plan.state == PLAN_UNKILLABLE && k->now_ms < k->census_due_ms) {
        return 0;
    }
    k->census_due_ms = k->now_ms + LOOK_MS;
    keeper_look(k);
    return plan_on_census(&k->plan, k->offspring.count, k->offspring.stuck, k->now_ms);
}

static unsigned act(struct keeper *k)
{
    switch (k->plan.state) {
    case PLAN_STARTING:
    case PLAN_NEEDS_RESET:
        return clear(k);
    case PLAN_LOADING:
        return load(k);
    case PLAN_READY:
        return patrol(k);
    case PLAN_STOPPING:
    case PLAN_UNKILLABLE:
        return end_processes(k);
    case PLAN_BACKOFF:
    case PLAN_GAVE_UP:
    case PLAN_ENDED:
        break;
    }
    return 0;
}

/* --- the parent --- */

static void ask_to_stop(struct keeper *k)
{
    k->now_ms = loop_now_ms(k->loop);
    k->is_clearing = false;
    clearance_rest(k->clearance);
    obey(k, plan_on_stop(&k->plan, k->now_ms));
    keeper_tell(k); /* before the backend can be gone already */
}

/* The turn is held from the parent's word until the start has come to something, and all of a
 * failed one is gone. */
static void keep_turn(struct keeper *k)
{
    bool is_at_it = k->plan.state == PLAN_STARTING || k->plan.state == PLAN_LOADING ||
                    k->plan.state == PLAN_STOPPING;
    if (!is_at_it) {
        parent_end_turn(k->parent);
    }
}

static void heed_parent(struct keeper *k)
{
    bool is_new_turn = parent_turn(k->parent) == GUARD_TURN_HELD && k->is_clearing;
    if (parent_is_gone(k->parent) && !k->has_left_parent) {
        log_warn("who started this guard is gone: the backend is stopped");
        k->has_left_parent = true;
        ask_to_stop(k);
    } else if (is_new_turn && !k->has_turn) {
        k->is_clearing = false; /* looked at once more, now that nobody else starts */
        clearance_rest(k->clearance);
    }
    k->has_turn = parent_turn(k->parent) == GUARD_TURN_HELD;
}

/* --- the turn --- */

static void turn(struct task *t)
{
    struct keeper *k = container_of(t, struct keeper, task);
    k->now_ms = loop_now_ms(k->loop);
    if (k->parent) {
        heed_parent(k);
    }
    obey(k, keeper_reap(k));
    obey(k, act(k));
    obey(k, plan_on_tick(&k->plan, k->now_ms));
    hooks_on_tick(&k->hooks, k->now_ms);
    outlet_flush(k->out);
    outlet_flush(k->err);
    if (k->parent) {
        keep_turn(k);
    }
    keeper_tell(k);
    if (k->is_leaving && (k->hooks.count == 0 || k->now_ms >= k->leave_due_ms)) {
        loop_stop(k->loop);
    }
    bool is_busy = k->plan.state == PLAN_STOPPING || k->is_leaving;
    timer_arm(k->loop, &k->timer, k->now_ms + (is_busy ? TURN_STOPPING_MS : TURN_MS));
}

static void on_time(struct timer *t)
{
    struct keeper *k = container_of(t, struct keeper, timer);
    task_ready(k->loop, &k->task);
}

static void on_news(void *owner)
{
    struct keeper *k = owner;
    task_ready(k->loop, &k->task);
}

static void on_child(uv_signal_t *handle, int number)
{
    (void)number;
    on_news(handle->data);
}

static void on_stop(uv_signal_t *handle, int number)
{
    struct keeper *k = handle->data;
    log_info("asked to stop", LOG_NUM("signal", number));
    ask_to_stop(k);
    on_news(k);
}

static void watch_signal(struct keeper *k, uv_signal_t *handle, int number, uv_signal_cb run)
{
    CHECK(uv_signal_init(loop_uv(k->loop), handle) == 0);
    handle->data = k;
    CHECK(uv_signal_start(handle, run, number) == 0);
}

/* --- life --- */

static bool begin(struct keeper *k, const char **why)
{
    const char *bad_socket = NULL;
    char name[128] = "off";
    sdnotify_open(&k->notify, &bad_socket);
    if (bad_socket) {
        log_warn("the service manager is not told", LOG_TEXT("reason", bad_socket));
    }
    struct guard_serve_conf serve = {
        .loop = k->loop, .settings = k->settings, .tell = keeper_json, .owner = k};
    if (k->settings->has_listen) {
        if (guard_serve_start(&serve, &k->serve, why) != ERR_OK) {
            return false;
        }
        guard_serve_name(k->serve, name, sizeof(name));
    }
    if (k->settings->parent_fd >= 0) {
        k->parent = parent_open(k->loop, k->settings->parent_fd, on_news, k);
        if (!k->parent) {
            *why = "--parent is no socket of packets";
            return false;
        }
    }
    if (!keeper_init_processes(k)) {
        *why = k->cgroup.why;
        return false;
    }
    log_info("guarding", LOG_TEXT("listen", name), LOG_STR("backend", k->settings->origin),
             LOG_TEXT("cgroup", k->cgroup.is_on ? k->cgroup.engine : k->cgroup.why),
             LOG_TEXT("version", FALLTHROUGH_VERSION));
    return true;
}

static void run(struct keeper *k)
{
    struct rand rand;
    rand_seed(&rand);
    plan_init(&k->plan, &k->settings->plan, rand, loop_now_ms(k->loop));
    k->told_state = PLAN_ENDED;
    k->watch = watch_new(k->loop, k->settings, on_news, k);
    k->clearance = clearance_new(k->loop, k->settings, on_news, k);
    watch_signal(k, &k->on_child, SIGCHLD, on_child);
    watch_signal(k, &k->on_term, SIGTERM, on_stop);
    watch_signal(k, &k->on_int, SIGINT, on_stop);
    watch_signal(k, &k->on_hup, SIGHUP, on_stop);
    task_ready(k->loop, &k->task);
    loop_run(k->loop);
    hooks_on_tick(&k->hooks, UINT64_MAX);
    watch_free(&k->watch);
    clearance_free(&k->clearance);
}

enum keeper_end keeper_run(const struct guard_settings *s, const char **why)
{
    struct keeper *k = mem_alloc(sizeof(*k));
    k->settings = s;
    k->loop = loop_new();
    k->end = KEEPER_NO_START;
    task_init(&k->task, turn);
    timer_init(&k->timer, on_time);
    bool has_begun = begin(k, why);
    if (has_begun) {
        run(k);
    }
    if (k->serve) {
        guard_serve_stop(&k->serve);
    }
    timer_drop(k->loop, &k->timer);
    task_cancel(k->loop, &k->task);
    if (k->out) {
        keeper_fini_processes(k);
    }
    parent_close(&k->parent);
    sdnotify_close(&k->notify);
    loop_free(&k->loop);
    enum keeper_end end = k->end;
    free(k);
    return end;
}
