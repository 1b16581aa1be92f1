#include "agent/gpu_judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/gpu_judge_private.h"
#include "agent/kernel_record.h"

const struct ailment_row AILMENT_ROWS[AILMENT_COUNT] = {
#define AILMENT_ROW(name, word, state, advice, way) \
    {word, GPU_##state, ADVICE_##advice, WAY_##way},
    AILMENT_LIST(AILMENT_ROW)
#undef AILMENT_ROW
};

const char *gpu_state_name(enum gpu_state s)
{
    static const char *const names[] = {
        [GPU_HEALTHY] = "HEALTHY", [GPU_DEGRADED] = "DEGRADED", [GPU_DOWN] = "DOWN"};
    return names[s];
}

const char *gpu_advice_name(enum gpu_advice a)
{
    static const char *const names[] = {[ADVICE_SERVE] = "serve",
                                        [ADVICE_NO_PROMOTE] = "no_promote",
                                        [ADVICE_CHECK_APP] = "check_app",
                                        [ADVICE_DRAIN] = "drain",
                                        [ADVICE_CUT] = "cut"};
    return names[a];
}

bool ailment_find(struct str word, enum ailment_kind *out)
{
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        if (str_eq(word, str_from(AILMENT_ROWS[i].word))) {
            *out = (enum ailment_kind)i;
            return true;
        }
    }
    return false;
}

void gpu_policy_set_defaults(struct gpu_policy *p)
{
    enum { SECOND = 1000, MINUTE = 60 * SECOND };
    *p = (struct gpu_policy){
        .samples_bad = 3,
        .samples_of = 5,
        .samples_good = 5,
        .hold_ms = MINUTE,
        .cool_by_c = 5,
        .shutdown_margin_c = 3,
        .tlimit_margin_c = 2,
        .memory_max_c = 95,
        .hw_share_per_10k = 1000,
        .sw_share_per_10k = 2500,
        .retired_pages = 63,
        .app_repeat = 3,
        .app_window_ms = 10 * MINUTE,
        .app_hold_ms = 5 * MINUTE,
        .xid_hold_ms = 10 * MINUTE,
        .ecc_grace_ms = 2 * SECOND,
        .dedupe_ms = 5 * SECOND,
        .late_after_ms = 5 * SECOND,
        .hung_after_ms = 10 * SECOND,
        .gsp_window_ms = 10 * MINUTE,
        .on_time = 3,
    };
    xid_policy_set_defaults(&p->xids);
}

void gpu_judge_init(struct gpu_judge *j, const struct gpu_policy *p, uint64_t now_ms)
{
    memset(j, 0, sizeof(*j));
    j->policy = p;
    j->state_since_ms = now_ms;
    j->ecc_seen = j->energy_seen = READING_NONE;
    for (size_t i = 0; i < 4; i++) {
        j->share_per_10k[i] = j->ns_seen[i] = READING_NONE;
    }
}

static enum ailment_kind first_active(const struct gpu_judge *j)
{
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        if (j->ailment[i].is_active) {
            return (enum ailment_kind)i;
        }
    }
    return AILMENT_COUNT;
}

/* The one place that changes the state. */
static void settle(struct gpu_judge *j, uint64_t now_ms)
{
    enum ailment_kind first = first_active(j);
    enum gpu_state state = first == AILMENT_COUNT ? GPU_HEALTHY : AILMENT_ROWS[first].state;
    if (state != j->state) {
        j->state = state;
        j->state_since_ms = now_ms;
    }
}

struct gpu_verdict gpu_judge_verdict(const struct gpu_judge *j)
{
    enum ailment_kind first = first_active(j);
    struct gpu_verdict v = {.state = j->state,
                            .reason = first,
                            .word = "ok",
                            .why = "",
                            .since_ms = j->state_since_ms};
    if (first != AILMENT_COUNT) {
        v.word = AILMENT_ROWS[first].word;
        v.why = j->ailment[first].why;
    }
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        if (j->ailment[i].is_active && AILMENT_ROWS[i].advice > v.advice) {
            v.advice = AILMENT_ROWS[i].advice;
        }
    }
    return v;
}

struct ailment *judge_enter(struct gpu_judge *j, enum ailment_kind kind, uint64_t now_ms,
                            const char *format, ...)
{
    struct ailment *a = &j->ailment[kind];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(a->why, sizeof(a->why), format, args);
    va_end(args);
    if (!a->is_active) {
        a->is_active = true;
        a->is_history = false;
        a->since_ms = now_ms;
        a->xid = 0;
    }
    a->good = 0;
    settle(j, now_ms);
    return a;
}

void judge_leave(struct gpu_judge *j, enum ailment_kind kind, uint64_t now_ms)
{
    j->ailment[kind] = (struct ailment){.is_active = false};
    settle(j, now_ms);
}

void gpu_judge_enter(struct gpu_judge *j, enum ailment_kind kind, const char *why,
                     uint64_t now_ms)
{
    (void)judge_enter(j, kind, now_ms, "%s", why);
}

void judge_forget_reset(struct gpu_judge *j, uint64_t now_ms)
{
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        if (j->ailment[i].is_active && AILMENT_ROWS[i].way == WAY_RESET) {
            judge_leave(j, (enum ailment_kind)i, now_ms);
        }
    }
    j->was_action = false;
    j->app_count = 0;
}

bool gpu_judge_clear(struct gpu_judge *j, uint64_t now_ms)
{
    bool any = false;
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        enum ailment_way way = AILMENT_ROWS[i].way;
        bool is_liftable = way != WAY_READING && way != WAY_ON_TIME;
        if (j->ailment[i].is_active && (is_liftable || i == AILMENT_MAINTENANCE)) {
            judge_leave(j, (enum ailment_kind)i, now_ms);
            any = true;
        }
    }
    j->was_action = false;
    j->app_count = 0;
    j->ecc_at_ms = 0;
    return any;
}

/* --- Xids --- */

static uint32_t count_recent(const struct gpu_judge *j, uint64_t now_ms)
{
    uint32_t recent = 0;
    uint32_t kept = j->app_count < APP_ERRORS_MAX ? j->app_count : APP_ERRORS_MAX;
    for (uint32_t i = 0; i < kept; i++) {
        recent += now_ms - j->app_at_ms[i] <= j->policy->app_window_ms;
    }
    return recent;
}

static struct ailment *enter_xid(struct gpu_judge *j, enum ailment_kind kind,
                                 const struct xid_event *e, uint64_t now_ms)
{
    bool was_active = judge_has(j, kind);
    struct ailment *a =
        judge_enter(j, kind, now_ms, "Xid %u%s%.100s", e->xid, e->text[0] ? ": " : "", e->text);
    a->xid = e->xid;
    a->is_history = e->is_history && (!was_active || a->is_history);
    return a;
}

static void judge_app(struct gpu_judge *j, const struct xid_event *e, bool is_new,
                      uint64_t now_ms)
{
    struct ailment *a = enter_xid(j, AILMENT_APP, e, now_ms);
    a->until_ms = now_ms + j->policy->app_hold_ms;
    if (!is_new) {
        return;
    }
    j->app_at_ms[j->app_count % APP_ERRORS_MAX] = now_ms;
    j->app_count++;
    uint32_t recent = count_recent(j, now_ms);
    if (j->policy->app_repeat > 0 && recent >= j->policy->app_repeat) {
        a = judge_enter(j, AILMENT_REPEATED, now_ms, "%u application Xids in a short time",
                        recent);
        a->xid = e->xid;
    }
}

/* NVML does not say whose process it was; the kernel, a moment later, may. */
static void retract_app(struct gpu_judge *j, const struct xid_event *e, bool is_new,
                        uint64_t now_ms)
{
    struct ailment *a = &j->ailment[AILMENT_APP];
    if (!is_new && a->is_active && a->xid == e->xid &&
        now_ms - a->since_ms <= j->policy->dedupe_ms) {
        j->app_count -= j->app_count > 0;
        judge_leave(j, AILMENT_APP, now_ms);
    }
}

/* Xid 154. Without its text the next reading tells. */
static void judge_action(struct gpu_judge *j, const struct xid_event *e, uint64_t now_ms)
{
    if (e->action == RECOVERY_NONE) {
        judge_forget_reset(j, now_ms);
    } else if (e->action == RECOVERY_REBOOT) {
        (void)enter_xid(j, AILMENT_REBOOT, e, now_ms);
    } else if (e->action == RECOVERY_RESET || e->action == RECOVERY_DRAIN_RESET) {
        (void)enter_xid(j, AILMENT_RESET, e, now_ms);
    } else if (e->action > 0) {
        (void)enter_xid(j, AILMENT_FABRIC, e, now_ms);
    }
}

static void judge_class(struct gpu_judge *j, const struct xid_event *e, enum xid_class class,
                        uint64_t now_ms)
{
    switch (class) {
    case XID_LOST:
        (void)enter_xid(j, AILMENT_LOST, e, now_ms);
        break;
    case XID_REBOOT:
        (void)enter_xid(j, AILMENT_REBOOT, e, now_ms);
        break;
    case XID_DOWN:
        (void)enter_xid(j, AILMENT_RESET, e, now_ms);
        break;
    case XID_MAINTENANCE:
        (void)enter_xid(j, AILMENT_MAINTENANCE, e, now_ms);
        break;
    case XID_ACTION:
        judge_action(j, e, now_ms);
        break;
    case XID_DEGRADE:
    case XID_IF_FATAL:
        enter_xid(j, AILMENT_XID, e, now_ms)->until_ms = now_ms + j->policy->xid_hold_ms;
        break;
    case XID_IGNORE:
    case XID_APP:
    case XID_CLASSES:
        break;
    }
}

void gpu_judge_xid(struct gpu_judge *j, const struct xid_event *e, bool is_new, bool is_foreign,
                   uint64_t now_ms)
{
    enum xid_class class = xid_class_of(&j->policy->xids, e->xid);
    bool is_fleeting = class == XID_APP || class == XID_DEGRADE || class == XID_IF_FATAL;
    if (class == XID_IF_FATAL && e->is_fatal) {
        class = XID_DOWN;
        is_fleeting = false;
    }
    if (class != XID_IGNORE && class != XID_ACTION) {
        j->xid_at_ms = now_ms;
        j->ecc_at_ms = 0; /* explained */
    }
    if (class == XID_APP && is_foreign) {
        retract_app(j, e, is_new, now_ms);
        return;
    }
    if (is_fleeting && e->is_history) {
        return; /* long over */
    }
    if (class == XID_APP) {
        judge_app(j, e, is_new, now_ms);
    } else {
        judge_class(j, e, class, now_ms);
    }
}

void gpu_judge_gsp(struct gpu_judge *j, uint64_t now_ms)
{
    j->gsp_at_ms = now_ms;
}

/* --- time --- */

void gpu_judge_late(struct gpu_judge *j, uint64_t late_ms, uint64_t now_ms)
{
    const struct gpu_policy *p = j->policy;
    if (late_ms < p->hung_after_ms) {
        return;
    }
    bool is_gsp = j->gsp_at_ms > 0 && now_ms - j->gsp_at_ms <= p->gsp_window_ms;
    bool is_long = p->hung_down_after_ms > 0 && late_ms >= p->hung_down_after_ms;
    unsigned seconds = (unsigned)(late_ms / 1000);
    (void)judge_enter(j, AILMENT_LATE, now_ms, "the driver has not answered for %u s", seconds);
    if (is_gsp || is_long) {
        (void)judge_enter(j, AILMENT_HUNG, now_ms, "the driver has not answered for %u s%s",
                          seconds, is_gsp ? ", nor the GPU's GSP to the driver" : "");
    }
}

void gpu_judge_on_time(struct gpu_judge *j, uint32_t in_a_row, uint64_t now_ms)
{
    if (in_a_row < j->policy->on_time) {
        return;
    }
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        if (j->ailment[i].is_active && AILMENT_ROWS[i].way == WAY_ON_TIME) {
            judge_leave(j, (enum ailment_kind)i, now_ms);
        }
    }
}

void gpu_judge_tick(struct gpu_judge *j, uint64_t now_ms)
{
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        struct ailment *a = &j->ailment[i];
        if (a->is_active && AILMENT_ROWS[i].way == WAY_TIME && now_ms >= a->until_ms) {
            judge_leave(j, (enum ailment_kind)i, now_ms);
        }
    }
    if (j->ecc_at_ms > 0 && now_ms - j->ecc_at_ms >= j->policy->ecc_grace_ms) {
        j->ecc_at_ms = 0;
        (void)judge_enter(j, AILMENT_ECC, now_ms,
                          "an uncorrected memory error that no Xid explains");
    }
}
