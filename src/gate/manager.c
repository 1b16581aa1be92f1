#include "gate/manager.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "gate/managed_child.h"
#include "gate/managed_conf.h"
#include "gate/report.h"
#include "tiers/demand.h"
#include "wire/guard_line.h"

enum {
    TURN_MS = 200,
    TURN_ENDING_MS = 20, /* while a guard is to end */
    PREPARING_MS = 5000, /* a new guard's first word is awaited before worse ones start */
    AGAIN_MS = 1000,     /* before a guard is started again that has ended unasked; doubled */
    AGAIN_MAX_MS = 60000,
    PAUSE_MS = 20,    /* while all are stopped */
    LEAST_MS = 2000,  /* two signals at once would be one */
    FORCE_MS = 15000, /* beyond hurry_ms */
    NO_COMMAND = 78   /* exit status of a guard whose command cannot be run */
};

/* One managed backend. */
struct managed {
    struct manager *manager;
    const struct backend *backend;
    struct demand demand;
    struct demand_look look;
    struct managed_child child; /* its guard */
    struct fd_watch watch;
    bool is_watched;
    bool is_cut; /* its end of the socket is closed: it ends */
    bool is_signalled;
    bool is_granted; /* it was told to go, and has not come to anything yet */
    bool has_line;
    struct guard_line line; /* its last word */
    bool is_hopeless;       /* its command cannot be run */
    uint32_t lost;          /* guards that have ended unasked, in a row */
    uint64_t spawned_ms;
    uint64_t spawn_due_ms;
    uint32_t counted_pid; /* whose start was counted */
    struct process_word *word;
};

struct manager {
    struct gateway *gateway;
    struct loop *loop;
    struct managed *all;
    struct demand_turn *turns;
    size_t count;
    struct task task;
    struct timer timer;
};

/* --- what a guard says --- */

static void on_ready(struct fd_watch *w, unsigned events)
{
    struct managed *m = container_of(w, struct managed, watch);
    (void)events;
    task_ready(m->manager->loop, &m->manager->task);
}

static void take_line(struct managed *m, const struct guard_line *line)
{
    m->line = *line;
    m->has_line = true;
    m->is_granted = m->is_granted && line->turn != GUARD_TURN_NONE;
    m->lost = line->state == GUARD_READY ? 0 : m->lost;
    if (line->pid != 0 && line->pid != m->counted_pid) {
        m->counted_pid = line->pid;
        m->word->starts++;
    }
}

static void read_lines(struct managed *m)
{
    char room[GUARD_LINE_MAX];
    struct guard_line line;
    ssize_t got = 1;
    while (m->child.fd >= 0 && !m->is_cut && got > 0) {
        got = recv(m->child.fd, room, sizeof(room), MSG_DONTWAIT);
        if (got > 0 && guard_line_read(str_of(room, (size_t)got), &line) == ERR_OK) {
            take_line(m, &line);
        }
        m->is_cut = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    }
}

/* --- its end --- */

static void unwatch(struct managed *m)
{
    if (m->is_watched) {
        watch_set_remove(loop_watches(m->manager->loop), &m->watch, m->child.fd);
        m->is_watched = false;
    }
}

/* It was not asked to. */
static void note_loss(struct managed *m, int status, uint64_t now_ms)
{
    uint64_t wait_ms = AGAIN_MS;
    m->is_hopeless = WIFEXITED(status) && WEXITSTATUS(status) == NO_COMMAND;
    for (uint32_t i = 0; i < m->lost && wait_ms < AGAIN_MAX_MS; i++) {
        wait_ms *= 2;
    }
    m->lost++;
    m->spawn_due_ms = now_ms + wait_ms;
    log_warn("the guard of a managed backend has ended unasked",
             LOG_STR("backend", m->backend->name), LOG_NUM("wait_status", status),
             LOG_TEXT("last", m->has_line ? m->line.why : ""));
}

static void reap(struct managed *m, uint64_t now_ms)
{
    int status = 0;
    if (m->child.pid == 0 || waitpid(m->child.pid, &status, WNOHANG) != m->child.pid) {
        return;
    }
    read_lines(m); /* its last words */
    unwatch(m);
    managed_child_forget(&m->child);
    if (!m->is_signalled) {
        note_loss(m, status, now_ms);
    }
    m->is_signalled = false;
    m->is_granted = false;
}

/* --- starting and stopping --- */

static void spawn(struct managed *m, uint64_t now_ms)
{
    const struct backend *b = m->backend;
    int config = managed_conf_open(m->manager->gateway->settings, b);
    char *output = b->managed.output.len > 0 ? mem_dup(b->managed.output) : NULL;
    enum err e = config < 0 ? ERR_NO_FDS : managed_child_start(config, output, &m->child);
    free(output);
    if (config >= 0) {
        (void)close(config);
    }
    m->is_cut = m->has_line = m->is_granted = m->is_signalled = false;
    m->counted_pid = 0;
    m->spawned_ms = now_ms;
    if (e != ERR_OK) {
        m->spawn_due_ms = now_ms + AGAIN_MS;
        log_error("a managed backend cannot be started", LOG_STR("backend", b->name),
                  LOG_TEXT("reason", err_text(e)));
        return;
    }
    m->watch.ready = on_ready;
    m->is_watched = true;
    watch_set_add(loop_watches(m->manager->loop), &m->watch, m->child.fd);
}

static void signal_guard(struct managed *m)
{
    m->is_signalled = true;
    (void)kill(m->child.pid, SIGTERM);
}

/* Makes of what is what is wanted. One that has just been taken out of traffic may still have
 * attempts in flight: they end first. */
static void reconcile(struct managed *m, uint64_t now_ms)
{
    bool is_there = m->child.pid != 0;
    if (m->demand.is_wanted && !is_there && !m->is_hopeless && now_ms >= m->spawn_due_ms) {
        spawn(m, now_ms);
    } else if (!m->demand.is_wanted && is_there && !m->is_signalled && m->look.in_flight == 0 &&
               m->word->state == PROCESS_stopping) {
        signal_guard(m);
    }
}

static void decide(struct managed *m, uint64_t now_ms)
{
    struct gateway *g = m->manager->gateway;
    const struct catalog *c = &g->settings->catalog;
    m->look = demand_look(c, g->board, g->processes, m->backend->index, now_ms);
    if (atomic_load(&g->draining) ||
        !demand_next(&m->demand, &m->backend->managed, &m->look, now_ms)) {
        return;
    }
    if (!m->demand.is_wanted) {
        m->is_hopeless = false;
        m->lost = 0;
        m->spawn_due_ms = 0;
    }
    log_info(m->demand.is_wanted ? "a managed backend is needed"
                                 : "a managed backend is not needed any more",
             LOG_STR("backend", m->backend->name));
}

/* --- turns --- */

/* Has not said yet whether it wants to start. */
static bool is_preparing(const struct managed *m, uint64_t now_ms)
{
    bool is_mute =
        !m->has_line || (m->line.state == GUARD_STARTING && m->line.turn == GUARD_TURN_NONE);
    return m->child.pid != 0 && is_mute && now_ms < m->spawned_ms + PREPARING_MS;
}

/* A first start is made only while it is needed: one above may be on its way meanwhile. None
 * while the operator keeps it out. */
static bool is_due(const struct managed *m)
{
    return m->demand.is_wanted && !m->is_signalled && !m->look.is_frozen &&
           (m->look.is_needed || m->line.restarts > 0 ||
            m->backend->managed.start == MANAGED_ALWAYS);
}

static void grant_turns(struct manager *all, uint64_t now_ms)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct managed *m = &all->all[i];
        bool wants = m->child.pid != 0 && m->has_line && !m->is_granted &&
                     m->line.turn == GUARD_TURN_WANTED && is_due(m);
        all->turns[i] = (struct demand_turn){.gpu = m->backend->managed.gpu,
                                             .rank = m->look.rank,
                                             .wants = wants,
                                             .has = m->is_granted || is_preparing(m, now_ms)};
    }
    for (size_t i = demand_grant(all->turns, all->count); i != SIZE_MAX;
         i = demand_grant(all->turns, all->count)) {
        struct managed *m = &all->all[i];
        ssize_t sent = send(m->child.fd, GUARD_LINE_GO, sizeof(GUARD_LINE_GO) - 1,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        m->is_granted = sent > 0;
        all->turns[i].has = true;
        all->turns[i].wants = false;
    }
}

/* --- telling --- */

static enum process_state state_of_line(const struct managed *m)
{
    switch (m->line.state) {
    case GUARD_STARTING:
        return m->is_granted ? PROCESS_loading : PROCESS_waiting;
    case GUARD_NEEDS_RESET:
        return PROCESS_waiting;
    case GUARD_LOADING:
        return PROCESS_loading;
    case GUARD_READY:
        return PROCESS_ready;
    case GUARD_STOPPING:
    case GUARD_RESTARTING:
        return PROCESS_restarting;
    case GUARD_GAVE_UP:
    case GUARD_UNKILLABLE:
        return PROCESS_gave_up;
    case GUARD_ENDED:
        return PROCESS_stopping;
    }
    BUG("no such state of a guard");
}

static enum process_state state_now(const struct managed *m)
{
    if (m->child.pid == 0) {
        enum process_state failed = m->is_hopeless ? PROCESS_gave_up : PROCESS_restarting;
        bool has_failed = m->is_hopeless || m->lost > 0;
        return !m->demand.is_wanted ? PROCESS_stopped : has_failed ? failed : PROCESS_waiting;
    }
    if (m->is_signalled || !m->demand.is_wanted) {
        return PROCESS_stopping;
    }
    return m->has_line ? state_of_line(m) : PROCESS_waiting;
}

static void say_why(const struct managed *m, enum process_state s, char why[PROCESS_WHY])
{
    const char *last = m->has_line ? m->line.why : "its guard is being started";
    switch (s) {
    case PROCESS_stopped:
        last = m->word->starts > 0 ? "not needed any more" : "not needed so far";
        break;
    case PROCESS_stopping:
        last = m->is_signalled ? last : "until its answers in flight have ended";
        break;
    case PROCESS_restarting:
        last = m->child.pid == 0 ? "its guard has ended unasked, and is started again" : last;
        break;
    case PROCESS_waiting:
    case PROCESS_loading:
    case PROCESS_ready:
    case PROCESS_gave_up:
    case PROCESS_COUNT:
        break;
    }
    (void)snprintf(why, PROCESS_WHY, "%s", last);
}

static void tell_board(struct managed *m, enum process_state s, uint64_t now_ms)
{
    struct gateway *g = m->manager->gateway;
    uint32_t backend = m->backend->index;
    bool has_failed = m->lost > 0 || m->word->restarts > 0;
    enum cause_kind why = CAUSE_STOPPED;
    struct board_change change;
    switch (s) {
    case PROCESS_stopped:
    case PROCESS_stopping:
        break;
    case PROCESS_waiting:
    case PROCESS_loading:
        why = has_failed ? CAUSE_RESTARTING : CAUSE_RISING;
        break;
    case PROCESS_restarting:
        why = CAUSE_RESTARTING;
        break;
    case PROCESS_gave_up:
        why = CAUSE_GAVE_UP;
        break;
    case PROCESS_ready:
    case PROCESS_COUNT:
        change = board_put_on(g->board, backend, now_ms);
        gateway_note_change(g, m->backend, &change);
        g->wake_prober(g->wake_arg);
        return;
    }
    change = board_put_off(g->board, backend, why, now_ms);
    gateway_note_change(g, m->backend, &change);
}

static void publish(struct managed *m, uint64_t now_ms)
{
    struct process_word *w = m->word;
    enum process_state s = state_now(m);
    bool is_news = s != w->state;
    bool is_there = m->child.pid != 0 && m->has_line;
    w->state = s;
    w->restarts = is_there ? m->line.restarts : 0;
    w->pid = is_there ? m->line.pid : 0;
    w->stop_ms = demand_end_ms(&m->demand, &m->backend->managed);
    say_why(m, s, w->why);
    if (!is_news) {
        return;
    }
    w->since_ms = now_ms;
    LOG_AT(s == PROCESS_restarting || s == PROCESS_gave_up ? LOG_WARN : LOG_INFO,
           "the process of a managed backend", LOG_STR("backend", m->backend->name),
           LOG_TEXT("state", process_state_name(s)), LOG_TEXT("reason", w->why),
           LOG_NUM("starts", w->starts), LOG_NUM("restarts", w->restarts), LOG_DONE);
    report_process(m->manager->gateway, m->backend, w);
    tell_board(m, s, now_ms);
}

/* --- the turn --- */

static bool is_ending(const struct manager *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->all[i].child.pid != 0 && (all->all[i].is_cut || all->all[i].is_signalled)) {
            return true;
        }
    }
    return false;
}

static void run(struct task *t)
{
    struct manager *all = container_of(t, struct manager, task);
    uint64_t now_ms = loop_now_ms(all->loop);
    for (size_t i = 0; i < all->count; i++) {
        struct managed *m = &all->all[i];
        read_lines(m);
        reap(m, now_ms);
        decide(m, now_ms);
        reconcile(m, now_ms);
    }
    grant_turns(all, now_ms);
    for (size_t i = 0; i < all->count; i++) {
        publish(&all->all[i], now_ms);
    }
    timer_arm(all->loop, &all->timer, now_ms + (is_ending(all) ? TURN_ENDING_MS : TURN_MS));
}

static void on_time(struct timer *t)
{
    struct manager *all = container_of(t, struct manager, timer);
    task_ready(all->loop, &all->task);
}

/* --- life --- */

static void init_managed(struct manager *all, struct managed *m, const struct backend *b)
{
    m->manager = all;
    m->backend = b;
    m->child.fd = -1;
    m->word = processes_at(all->gateway->processes, b->index);
}

struct manager *manager_start(struct gateway *g, struct loop *l)
{
    const struct catalog *c = &g->settings->catalog;
    struct manager *all = mem_alloc(sizeof(*all));
    all->gateway = g;
    all->loop = l;
    all->all = mem_alloc((c->backend_count + 1) * sizeof(all->all[0]));
    all->turns = mem_alloc((c->backend_count + 1) * sizeof(all->turns[0]));
    for (size_t i = 0; i < c->backend_count; i++) {
        if (c->backends[i].managed.command) {
            init_managed(all, &all->all[all->count++], &c->backends[i]);
        }
    }
    task_init(&all->task, run);
    timer_init(&all->timer, on_time);
    if (all->count > 0) {
        timer_arm(l, &all->timer, loop_now_ms(l));
    }
    return all;
}

/* --- the end --- */

static void pause_shortly(void)
{
    struct timespec t = {.tv_nsec = (long)PAUSE_MS * 1000000};
    (void)nanosleep(&t, NULL);
}

static size_t count_left(struct manager *all)
{
    size_t left = 0;
    for (size_t i = 0; i < all->count; i++) {
        reap(&all->all[i], clock_mono_ms());
        left += all->all[i].child.pid != 0 ? 1 : 0;
    }
    return left;
}

static void signal_all(struct manager *all, bool again)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->all[i].child.pid != 0 && (again || !all->all[i].is_signalled)) {
            signal_guard(&all->all[i]);
        }
    }
}

static bool await_ends(struct manager *all, uint64_t until_ms)
{
    while (count_left(all) > 0) {
        if (clock_mono_ms() >= until_ms) {
            return false;
        }
        pause_shortly();
    }
    return true;
}

static void end_all(struct manager *all, uint64_t hurry_ms)
{
    uint64_t least_ms = clock_mono_ms() + LEAST_MS;
    signal_all(all, false);
    if (await_ends(all, hurry_ms > least_ms ? hurry_ms : least_ms)) {
        return;
    }
    signal_all(all, true); /* a second one makes a guard kill at once */
    if (await_ends(all, clock_mono_ms() + FORCE_MS)) {
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        if (all->all[i].child.pid != 0) {
            log_error("a managed backend cannot be ended",
                      LOG_STR("backend", all->all[i].backend->name),
                      LOG_NUM("guard", all->all[i].child.pid));
        }
    }
}

void manager_stop(struct manager **m, uint64_t hurry_ms)
{
    struct manager *all = *m;
    *m = NULL;
    end_all(all, hurry_ms);
    for (size_t i = 0; i < all->count; i++) {
        unwatch(&all->all[i]);
        managed_child_forget(&all->all[i].child);
    }
    task_cancel(all->loop, &all->task);
    timer_drop(all->loop, &all->timer);
    free(all->turns);
    free(all->all);
    free(all);
}
