#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "guard/keeper_priv.h"
#include "guard/process.h"

/*
 * The backend's processes: started, reaped, looked at, killed.
 */

enum {
    OTHERS_MAX = HOOKS_AT_ONCE + KEEPER_STRANGERS_MAX,
    OOM_LATELY_MS = 15000 /* vLLM's front outlives its engine by up to 11 s */
};

/* --- looking --- */

static void note_pid(struct keeper *k, pid_t pid)
{
    for (size_t i = 0; i < k->run_pid_count; i++) {
        if (k->run_pids[i] == pid) {
            return;
        }
    }
    if (k->run_pid_count < KEEPER_PIDS_MAX) {
        k->run_pids[k->run_pid_count++] = pid;
    }
}

static void scan(struct keeper *k)
{
    struct offspring_other others[OTHERS_MAX];
    pid_t hooks[HOOKS_AT_ONCE];
    pid_t inside[KEEPER_PIDS_MAX];
    size_t count = hooks_pids(&k->hooks, hooks);
    for (size_t i = 0; i < count; i++) {
        others[i] = (struct offspring_other){.pid = hooks[i]}; /* not reaped yet */
    }
    for (size_t i = 0; i < k->stranger_count; i++) {
        others[count++] = k->strangers[i];
    }
    offspring_scan(
        &k->offspring,
        &(struct offspring_query){.root = getpid(), .others = others, .other_count = count});
    count = cgroup_pids(&k->cgroup, inside, KEEPER_PIDS_MAX);
    for (size_t i = 0; i < count; i++) {
        offspring_add(&k->offspring, inside[i]);
    }
}

/* Whether the kernel has just killed for memory, somewhere on this machine. */
static bool has_host_oom_lately(struct keeper *k)
{
    uint64_t count = 0;
    if (k->has_host_oom_count && cgroup_host_oom_kills(&count) && count > k->host_oom_count) {
        k->host_oom_count = count;
        k->host_oom_ms = k->now_ms;
    }
    return k->host_oom_ms > 0 && k->now_ms < k->host_oom_ms + OOM_LATELY_MS;
}

void keeper_look(struct keeper *k)
{
    scan(k);
    (void)has_host_oom_lately(k);
    for (size_t i = 0; i < k->offspring.count; i++) {
        note_pid(k, k->offspring.pids[i]);
    }
    uint64_t bytes = outlet_bytes(k->out) + outlet_bytes(k->err);
    k->is_computing = k->offspring.ticks > k->seen_ticks;
    k->is_advancing = k->is_computing || bytes > k->seen_bytes;
    k->seen_ticks = k->offspring.ticks;
    k->seen_bytes = bytes;
}

/* Whoever started us may have given us children of his own. */
static void note_strangers(struct keeper *k)
{
    offspring_scan(&k->offspring, &(struct offspring_query){.root = getpid()});
    for (size_t i = 0; i < k->offspring.count && i < KEEPER_STRANGERS_MAX; i++) {
        k->strangers[k->stranger_count++] =
            (struct offspring_other){.pid = k->offspring.pids[i], .born = k->offspring.born[i]};
    }
}

/* --- output --- */

static void on_line(void *owner, struct str line)
{
    struct keeper *k = owner;
    char shown[LOG_RING_BYTES];
    size_t len = line.len < sizeof(shown) ? line.len : sizeof(shown);
    memcpy(shown, str_chars(line), len);
    hush_line(&k->hush, shown, len);
    log_ring_put(&k->lines, str_of(shown, len));
    if (blame_is_gpu_memory(line)) {
        k->gpu_line = k->lines.total;
    }
    k->plan.has_gpu_memory_line =
        k->gpu_line > 0 && k->lines.total - k->gpu_line < LOG_RING_LINES;
}

static void find_secrets(struct keeper *k)
{
    const struct guard_settings *s = k->settings;
    hush_add(&k->hush, s->api_key);
    hush_add(&k->hush, s->token);
    hush_add(&k->hush, s->agent_token);
    hush_add_words(&k->hush, s->command.word, s->command.count);
}

bool keeper_init_processes(struct keeper *k)
{
    find_secrets(k);
    process_become_subreaper();
    note_strangers(k);
    k->out = outlet_new(&(struct outlet_conf){
        .loop = k->loop, .to_fd = STDOUT_FILENO, .on_line = on_line, .owner = k});
    k->err = outlet_new(&(struct outlet_conf){
        .loop = k->loop, .to_fd = STDERR_FILENO, .on_line = on_line, .owner = k});
    return cgroup_open(&k->cgroup, k->settings->cgroup);
}

void keeper_fini_processes(struct keeper *k)
{
    outlet_free(&k->out);
    outlet_free(&k->err);
    offspring_fini(&k->offspring);
    cgroup_close(&k->cgroup);
}

/* --- starting --- */

/* The command, and what the steps of on_oom add to it. The array is the caller's. */
static char **make_argv(const struct keeper *k)
{
    const struct guard_settings *s = k->settings;
    size_t count = s->command.count;
    for (size_t i = 0; i < k->plan.oom_step; i++) {
        count += s->on_oom[i].count;
    }
    char **argv = mem_alloc((count + 1) * sizeof(char *));
    memcpy(argv, s->command.word, s->command.count * sizeof(char *));
    size_t at = s->command.count;
    for (size_t i = 0; i < k->plan.oom_step; i++) {
        memcpy(argv + at, s->on_oom[i].word, s->on_oom[i].count * sizeof(char *));
        at += s->on_oom[i].count;
    }
    return argv;
}

static void begin_run(struct keeper *k)
{
    k->run_pid_count = 0;
    k->lines.total = 0;
    k->gpu_line = 0;
    k->plan.has_gpu_memory_line = false;
    k->seen_ticks = 0;
    k->census_due_ms = 0;
    k->has_oom_count = cgroup_oom_kills(&k->cgroup, &k->oom_count);
    k->has_host_oom_count = cgroup_host_oom_kills(&k->host_oom_count);
    k->host_oom_ms = 0;
}

static unsigned on_no_start(struct keeper *k, enum err e, int why)
{
    char text[PLAN_WHY_MAX];
    (void)snprintf(text, sizeof(text), "'%.150s' cannot be run: %s",
                   k->settings->command.word[0], strerror(why));
    if (e == ERR_NOT_FOUND && k->plan.restarts.total == 0) {
        log_error("the command cannot be run",
                  LOG_TEXT("command", k->settings->command.word[0]),
                  LOG_TEXT("reason", strerror(why)));
        keeper_tell_no_command(k, text);
        k->end = KEEPER_NO_COMMAND;
        loop_stop(k->loop);
        return 0;
    }
    return plan_on_no_start(&k->plan, text, k->now_ms);
}

static void close_end(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

unsigned keeper_spawn(struct keeper *k)
{
    int why = EMFILE;
    enum err e = ERR_NO_FDS;
    struct process_conf conf = {
        .cgroup_fd = cgroup_entrance(&k->cgroup), .out_fd = -1, .err_fd = -1};
    begin_run(k);
    if (outlet_open(k->out, &conf.out_fd) && outlet_open(k->err, &conf.err_fd)) {
        char **argv = make_argv(k);
        conf.argv = argv;
        e = process_start(&conf, &k->pid, &why);
        free(argv);
    }
    close_end(conf.out_fd);
    close_end(conf.err_fd);
    close_end(conf.cgroup_fd);
    if (e != ERR_OK) {
        k->pid = 0;
        outlet_close(k->out);
        outlet_close(k->err);
        return on_no_start(k, e, why);
    }
    log_info("the backend has been started", LOG_NUM("pid", k->pid),
             LOG_TEXT("command", k->settings->command.word[0]),
             LOG_NUM("oom_step", k->plan.oom_step));
    note_pid(k, k->pid);
    plan_on_spawned(&k->plan, k->now_ms);
    watch_load(k->watch, k->now_ms);
    return 0;
}

/* --- ending --- */

static bool has_killed_for_oom(const struct keeper *k)
{
    uint64_t count = 0;
    return k->has_oom_count && cgroup_oom_kills(&k->cgroup, &count) && count > k->oom_count;
}

static unsigned on_main_ended(struct keeper *k, int status)
{
    char why[PLAN_WHY_MAX];
    outlet_close(k->out);
    outlet_close(k->err);
    struct evidence e = {.wait_status = status,
                         .has_killed_for_oom = has_killed_for_oom(k),
                         .has_cgroup = k->has_oom_count,
                         .has_host_oom_lately = has_host_oom_lately(k),
                         .has_host_count = k->has_host_oom_count,
                         .has_gpu_memory_line = k->plan.has_gpu_memory_line};
    enum cause cause = blame(&e, why, sizeof(why));
    unsigned orders = plan_on_exit(&k->plan, cause, why, k->now_ms);
    if ((orders & PLAN_DO_KEEP_INCIDENT) != 0) {
        keeper_keep_incident(k);
    }
    if (k->incident.is_there && k->incident.pid == k->pid) {
        k->incident.has_ended = true;
        k->incident.wait_status = status;
    }
    log_info("the backend's main process has ended", LOG_NUM("pid", k->pid),
             LOG_NUM("wait_status", status));
    k->pid = 0;
    return orders & ~(unsigned)PLAN_DO_KEEP_INCIDENT;
}

unsigned keeper_reap(struct keeper *k)
{
    unsigned orders = 0;
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0;
         pid = waitpid(-1, &status, WNOHANG)) {
        if (pid == k->pid) {
            orders |= on_main_ended(k, status);
        } else {
            (void)hooks_on_exit(&k->hooks, pid, status);
        }
    }
    return orders;
}

void keeper_signal_all(struct keeper *k, int number)
{
    scan(k);
    offspring_signal(&k->offspring, number);
}

void keeper_kill_all(struct keeper *k)
{
    (void)cgroup_kill(&k->cgroup);
    keeper_signal_all(k, SIGKILL);
}

void keeper_keep_incident(struct keeper *k)
{
    struct incident *i = &k->incident;
    i->is_there = true;
    i->cause = k->plan.cause;
    (void)snprintf(i->why, sizeof(i->why), "%s", k->plan.why);
    i->at_wall_ms = clock_wall_ms();
    i->pid = k->pid;
    i->has_ended = false;
    i->lines = k->lines;
}
