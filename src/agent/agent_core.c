#include "agent/agent_core.h"

#include <string.h>

#include "agent/nvml_abi.h"
#include "base/clock.h"
#include "base/log.h"

enum { OLD_MS = 60 * 1000, TICK_MS = 1000 }; /* lateness is looked at once a second at least */

struct moment agent_core_now(const struct agent_core *a)
{
    return (struct moment){.mono_ms = loop_now_ms(a->loop), .wall_ms = clock_wall_ms()};
}

static void log_verdict(const struct gpu_host *h)
{
    if (h->state == GPU_HEALTHY) {
        log_info("the GPUs' state", LOG_TEXT("gpu", gpu_presence_name(h->presence)),
                 LOG_TEXT("state", gpu_state_name(h->state)), LOG_TEXT("reason", h->word),
                 LOG_TEXT("why", h->why), LOG_NUM("late", h->is_late));
    } else {
        log_warn("the GPUs' state", LOG_TEXT("gpu", gpu_presence_name(h->presence)),
                 LOG_TEXT("state", gpu_state_name(h->state)), LOG_TEXT("reason", h->word),
                 LOG_TEXT("why", h->why), LOG_NUM("late", h->is_late));
    }
}

void agent_core_publish(struct agent_core *a)
{
    if (gpu_host_publish(&a->host, agent_core_now(a))) {
        log_verdict(&a->host);
        if (a->on_change) {
            a->on_change(a->owner);
        }
    }
}

static void save(struct agent_core *a)
{
    if (!a->host.is_dirty || !a->keeps_state || !a->state_path || a->boot_id[0] == '\0') {
        return;
    }
    a->host.is_dirty = false;
    const char *why = "";
    enum err e =
        gpu_memo_save(&a->host, a->state_path, str_from(a->boot_id), agent_core_now(a), &why);
    if (e != ERR_OK && !a->is_state_bad) {
        log_warn("the state file cannot be written: nothing will outlive this process",
                 LOG_TEXT("file", a->state_path), LOG_TEXT("reason", why));
    }
    a->is_state_bad = e != ERR_OK;
}

/* --- the child --- */

static void take_hello(struct agent_core *a, const struct gpu_hello *h)
{
    gpu_host_hello(&a->host, h, agent_core_now(a));
    log_info("the probe has looked", LOG_TEXT("gpu", gpu_presence_name(a->host.presence)),
             LOG_NUM("gpus", h->count), LOG_TEXT("driver", h->driver), LOG_TEXT("why", h->why),
             LOG_NUM("nvml", h->init));
    bool is_all = h->init != NVML_SUCCESS || h->count == 0;
    if (is_all && a->on_poll) {
        a->on_poll(a->owner);
    }
}

static void on_frame(void *owner, const struct frame *f, uint64_t took_ms)
{
    struct agent_core *a = owner;
    struct moment m = agent_core_now(a);
    if (f->kind == FRAME_HELLO) {
        take_hello(a, &f->of.hello);
    } else if (f->kind == FRAME_GPU) {
        gpu_host_reading(&a->host, &f->of.gpu, m);
        return; /* summed up when the poll is complete */
    } else if (f->kind == FRAME_EVENT) {
        gpu_host_event(&a->host, &f->of.event, m);
        gpu_child_ask(a->child, m.mono_ms);
    } else if (f->kind == FRAME_DONE) {
        gpu_host_done(&a->host, took_ms, m);
        a->polls++;
    }
    agent_core_publish(a);
    if (f->kind == FRAME_DONE && a->on_poll) {
        a->on_poll(a->owner);
    }
}

static void on_end(void *owner, bool saw)
{
    struct agent_core *a = owner;
    if (saw) {
        gpu_host_blind(&a->host, "the probe has ended and will be started again",
                       agent_core_now(a));
        agent_core_publish(a);
    }
}

/* --- the kernel's log --- */

static void on_record(void *owner, const struct kernel_record *r, uint64_t age_ms, bool is_old)
{
    struct agent_core *a = owner;
    struct moment m = agent_core_now(a);
    uint64_t wall_ms = is_old && age_ms < m.wall_ms ? m.wall_ms - age_ms : m.wall_ms;
    gpu_host_record(&a->host, r, wall_ms, is_old && age_ms > OLD_MS, m);
    if (r->kind != KERNEL_OTHER && !is_old) {
        if (a->child) {
            gpu_child_ask(a->child, m.mono_ms);
        }
        agent_core_publish(a);
    }
}

static void open_log(struct agent_core *a)
{
    const char *why = "";
    struct str path = a->settings->kmsg;
    if (str_eq(path, STR("off"))) {
        return;
    }
    a->log = kernel_log_open(&(struct kernel_log_conf){.loop = a->loop,
                                                       .path = arena_dup(&a->texts, path).ptr,
                                                       .after_seq = a->host.kernel_seq,
                                                       .owner = a,
                                                       .on_record = on_record},
                             &why);
    if (!a->log) {
        log_warn("the kernel's log cannot be read: Xids come from NVML alone",
                 LOG_STR("file", path), LOG_TEXT("reason", why));
    }
}

/* --- time --- */

static void on_tick(struct timer *t)
{
    struct agent_core *a = container_of(t, struct agent_core, tick);
    struct moment m = agent_core_now(a);
    if (a->log) {
        kernel_log_tick(a->log);
    }
    gpu_child_tick(a->child, m.mono_ms);
    gpu_host_late(&a->host, gpu_child_waited_ms(a->child, m.mono_ms), m);
    gpu_host_tick(&a->host, m);
    agent_core_publish(a);
    save(a);
    uint32_t interval_ms = a->settings->interval_ms;
    timer_arm(a->loop, t, m.mono_ms + (interval_ms < TICK_MS ? interval_ms : TICK_MS));
}

static void load_state(struct agent_core *a)
{
    if (str_eq(a->settings->state, STR("off"))) {
        return;
    }
    a->state_path = arena_dup(&a->texts, a->settings->state).ptr;
    enum err e =
        gpu_memo_load(&a->host, a->state_path, str_from(a->boot_id), agent_core_now(a));
    if (e != ERR_OK && e != ERR_NOT_FOUND) {
        log_warn("the state file cannot be read and is begun anew",
                 LOG_TEXT("file", a->state_path), LOG_TEXT("reason", err_text(e)));
    }
}

void agent_core_start(struct agent_core *a)
{
    const struct agent_settings *s = a->settings;
    arena_init(&a->texts);
    gpu_host_init(&a->host, &s->policy, agent_core_now(a));
    gpu_memo_boot_id(arena_dup(&a->texts, s->proc_root).ptr, a->boot_id);
    load_state(a);
    open_log(a);
    a->child = gpu_child_new(
        &(struct gpu_child_conf){.loop = a->loop,
                                 .library = arena_dup(&a->texts, s->nvml_library).ptr,
                                 .sysfs_root = arena_dup(&a->texts, s->sysfs_root).ptr,
                                 .proc_root = arena_dup(&a->texts, s->proc_root).ptr,
                                 .interval_ms = s->interval_ms,
                                 .start_ms = s->start_after_ms,
                                 .late_ms = s->policy.late_after_ms,
                                 .abandon_ms = s->abandon_after_ms,
                                 .retry_ms = s->retry_ms,
                                 .is_mute = a->is_once,
                                 .owner = a,
                                 .on_frame = on_frame,
                                 .on_end = on_end});
    timer_init(&a->tick, on_tick);
    timer_arm(a->loop, &a->tick, loop_now_ms(a->loop));
}

void agent_core_stop(struct agent_core *a)
{
    save(a);
    timer_drop(a->loop, &a->tick);
    gpu_child_free(&a->child);
    kernel_log_close(&a->log);
    gpu_host_fini(&a->host);
    arena_fini(&a->texts);
}
