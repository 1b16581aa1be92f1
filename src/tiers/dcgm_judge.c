#include "tiers/dcgm_judge.h"

#include <math.h>
#include <stddef.h>

enum { RESET = 1, REBOOT = 2, DRAIN_AND_RESET = 4 };
enum { XID_LOST = 79 };
enum { HW_SLOWDOWN = 0x08, SW_THERMAL = 0x20, HW_THERMAL = 0x40, POWER_BRAKE = 0x80 };

/* What a finding means. */
struct finding {
    const char *state;
    const char *advice;
    const char *reason;
    const char *why;
};

static void report(struct gpu_news *into, struct finding f)
{
    (void)gpu_news_take(into, &(struct gpu_line){.state = str_from(f.state),
                                                 .advice = str_from(f.advice),
                                                 .reason = str_from(f.reason),
                                                 .why = str_from(f.why)});
}

static bool is_told(double figure, double value)
{
    return figure >= value && figure <= value; /* false for NAN */
}

static void judge_recovery(double action, struct gpu_news *into)
{
    if (is_told(action, RESET) || is_told(action, DRAIN_AND_RESET)) {
        report(into, (struct finding){"DOWN", "cut", "reset_required",
                                      "the driver asks for a reset of the GPU"});
    } else if (is_told(action, REBOOT)) {
        report(into, (struct finding){"DOWN", "cut", "reboot_required",
                                      "the driver asks for a reboot of the machine"});
    } else if (action > 0) {
        report(into, (struct finding){"DEGRADED", "drain", "fabric",
                                      "the driver asks for a recovery of several GPUs"});
    }
}

/* Those of a broken GPU whatever their text says, of which there is none here. */
static bool is_broken(double xid)
{
    static const int all[] = {46,  48,  62,  64,  95,  109, 110, 119, 120, 136, 140,
                              143, 151, 155, 156, 158, 167, 169, 171, 172, 173, 175};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (is_told(xid, all[i])) {
            return true;
        }
    }
    return false;
}

static void judge_xid(const struct dcgm_figures *f, struct gpu_news *into)
{
    if (is_told(f->xid, XID_LOST)) {
        report(into, (struct finding){"DOWN", "cut", "gpu_lost",
                                      "its last Xid is 79: fallen off the bus"});
    } else if (is_broken(f->xid) && !is_told(f->recovery, 0)) {
        report(into, (struct finding){"DOWN", "cut", "reset_required",
                                      "its last Xid is one of a broken GPU"});
    }
}

static void judge_memory(struct dcgm_judge *j, const struct dcgm_figures *f,
                         struct gpu_news *into)
{
    if (f->unmapped > 0) {
        report(into, (struct finding){"DOWN", "drain", "memory_worn",
                                      "a row of its memory could not be remapped"});
    }
    if (isnan(f->dbe)) {
        return;
    }
    if (!j->has_dbe || f->dbe < j->first_dbe) {
        j->first_dbe = f->dbe;
        j->has_dbe = true;
    }
    if (f->dbe > j->first_dbe) {
        report(into, (struct finding){"DOWN", "cut", "uncorrected_ecc",
                                      "its count of uncorrected errors grew"});
    }
}

/* NULL: it is not. */
static const char *find_heat(const struct dcgm_figures *f)
{
    unsigned bits = f->clocks > 0 && f->clocks < (double)UINT32_MAX ? (unsigned)f->clocks : 0;
    if ((bits & POWER_BRAKE) != 0) {
        return "power_brake";
    }
    if ((bits & (HW_THERMAL | HW_SLOWDOWN)) != 0) {
        return "hw_thermal";
    }
    if (f->memory_c >= MEMORY_HOT_C) {
        return "memory_hot";
    }
    return (bits & SW_THERMAL) != 0 ? "sw_thermal" : NULL;
}

static void judge_heat(struct dcgm_judge *j, const struct dcgm_figures *f, uint64_t now_ms,
                       struct gpu_news *into)
{
    const char *heat = find_heat(f);
    uint64_t *since_ms = heat ? &j->hot_ms : &j->cool_ms;
    *(heat ? &j->cool_ms : &j->hot_ms) = 0;
    *since_ms = *since_ms > 0 ? *since_ms : now_ms;
    j->heat = heat ? heat : j->heat;
    if (heat && now_ms - *since_ms >= HOT_AFTER_MS) {
        j->is_hot = true;
    } else if (!heat && now_ms - *since_ms >= COOL_AFTER_MS) {
        j->is_hot = false;
    }
    if (j->is_hot) {
        report(into, (struct finding){"DEGRADED", "no_promote", j->heat,
                                      "it is slowed down, or was a minute ago"});
    }
}

void dcgm_judge_see(struct dcgm_judge *j, const struct dcgm_figures *f, uint64_t now_ms,
                    struct gpu_news *into)
{
    report(into, (struct finding){"HEALTHY", "serve", "ok", ""});
    judge_recovery(f->recovery, into);
    judge_xid(f, into);
    judge_memory(j, f, into);
    judge_heat(j, f, now_ms, into);
}
