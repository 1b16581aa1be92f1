#include <string.h>

#include "agent/gpu_judge_private.h"
#include "agent/kernel_record.h"
#include "agent/nvml_abi.h"

/* What a reading means: gpu_judge_reading, row by row of the decision table. */

enum { LOST_READS = 2, SETTLED_READS = 3, FULL_PER_10K = 10000 };

static bool is_known(const struct gpu_reading *r, enum reading_key key)
{
    return r->v[key] != READING_NONE;
}

static unsigned count_bits(unsigned bits)
{
    return (unsigned)__builtin_popcount(bits);
}

/* How a sample looks to an ailment that comes and goes with the readings. */
struct sample {
    bool is_bad;
    bool is_good; /* not merely not bad: well clear of it */
};

/* In: enough bad ones among the last. Out: enough good ones in a row, and the hold is over. */
static bool is_entered(struct gpu_judge *j, enum ailment_kind kind, struct sample s,
                       uint64_t now_ms)
{
    const struct gpu_policy *p = j->policy;
    struct ailment *a = &j->ailment[kind];
    unsigned window = (1u << p->samples_of) - 1u;
    a->bad = (uint8_t)(((unsigned)a->bad << 1 | (s.is_bad ? 1u : 0u)) & window);
    if (!a->is_active) {
        return count_bits(a->bad) >= p->samples_bad;
    }
    a->good = s.is_good && !s.is_bad ? a->good + 1 : 0;
    if (a->good >= p->samples_good && now_ms - a->since_ms >= p->hold_ms) {
        judge_leave(j, kind, now_ms);
    }
    return false;
}

/* --- what NVML says of the GPU as a whole --- */

static void judge_fault(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    bool is_unknown = r->fault == NVML_UNKNOWN && r->is_handle_lost;
    j->lost_reads = is_unknown ? j->lost_reads + 1 : 0;
    j->gone_reads = r->is_gone ? j->gone_reads + 1 : 0;
    if (r->fault == NVML_GPU_IS_LOST || r->fault == NVML_INSUFFICIENT_POWER ||
        r->fault == NVML_IRQ_ISSUE) {
        (void)judge_enter(j, AILMENT_LOST, now_ms, "NVML: %s", nvml_code_text(r->fault));
    } else if (j->lost_reads >= LOST_READS) {
        (void)judge_enter(j, AILMENT_LOST, now_ms, "NVML gives no handle to it");
    } else if (r->fault == NVML_RESET_REQUIRED) {
        (void)judge_enter(j, AILMENT_RESET, now_ms, "NVML: reset required");
        j->was_action = true;
    }
    if (j->gone_reads >= LOST_READS) {
        (void)judge_enter(j, AILMENT_LOST, now_ms, "it is not on the PCI bus any more");
    }
}

static void judge_recovery(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    static const char WORDS[] = "the driver asks for recovery action %d";
    int64_t action = r->v[READING_RECOVERY_ACTION];
    if (action == READING_NONE || action == RECOVERY_NONE) {
        return;
    }
    j->was_action = true;
    if (action == RECOVERY_REBOOT) {
        (void)judge_enter(j, AILMENT_REBOOT, now_ms, WORDS, (int)action);
    } else if (action == RECOVERY_RESET || action == RECOVERY_DRAIN_RESET) {
        (void)judge_enter(j, AILMENT_RESET, now_ms, WORDS, (int)action);
    } else {
        (void)judge_enter(j, AILMENT_FABRIC, now_ms, WORDS, (int)action);
    }
}

/* True when all that waits for a reset is known from before the agent's first look only. */
static bool has_history(const struct gpu_judge *j)
{
    bool any = false;
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        if (!j->ailment[i].is_active || AILMENT_ROWS[i].way != WAY_RESET) {
            continue;
        }
        if (!j->ailment[i].is_history) {
            return false;
        }
        any = true;
    }
    return any;
}

/* Counters that begin anew, or an action asked for and then no more, tell of a reset. */
static void judge_reset(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    int64_t action = r->v[READING_RECOVERY_ACTION];
    int64_t ecc = r->v[READING_ECC_UNCORRECTED];
    int64_t energy = r->v[READING_ENERGY_MJ];
    bool is_settled =
        r->fault == 0 && !r->is_gone && (action == RECOVERY_NONE || action == READING_NONE);
    bool is_fresh =
        (ecc != READING_NONE && j->ecc_seen != READING_NONE && ecc < j->ecc_seen) ||
        (energy != READING_NONE && j->energy_seen != READING_NONE && energy < j->energy_seen);
    j->energy_seen = energy != READING_NONE ? energy : j->energy_seen;
    j->settled_reads = is_settled ? j->settled_reads + 1 : 0;
    bool is_over = j->settled_reads >= SETTLED_READS;
    bool was_long_ago = action == RECOVERY_NONE && has_history(j);
    if (is_fresh || (is_over && (j->was_action || was_long_ago))) {
        judge_forget_reset(j, now_ms);
    }
    if (is_over && judge_has(j, AILMENT_FABRIC)) {
        judge_leave(j, AILMENT_FABRIC, now_ms);
    }
}

/* --- memory --- */

static void judge_ecc(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    int64_t now = r->v[READING_ECC_UNCORRECTED];
    if (now == READING_NONE) {
        return;
    }
    bool is_explained = j->xid_at_ms > 0 && now_ms - j->xid_at_ms <= j->policy->dedupe_ms;
    if (j->ecc_seen != READING_NONE && now > j->ecc_seen && !is_explained &&
        j->ecc_at_ms == 0) {
        j->ecc_at_ms = now_ms;
    }
    j->ecc_seen = now;
}

static int64_t value_or_0(const struct gpu_reading *r, enum reading_key key)
{
    return is_known(r, key) ? r->v[key] : 0;
}

static void judge_wear(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    int64_t pages = value_or_0(r, READING_PAGES_SINGLE) + value_or_0(r, READING_PAGES_DOUBLE);
    uint32_t most = j->policy->retired_pages;
    if (value_or_0(r, READING_ROWS_FAILED) > 0) {
        (void)judge_enter(j, AILMENT_WORN, now_ms, "a row of its memory could not be replaced");
    } else if (value_or_0(r, READING_SRAM_EXCEEDED) > 0) {
        (void)judge_enter(j, AILMENT_WORN, now_ms, "SRAM errors are over the driver's limit");
    } else if (most > 0 && pages >= most) {
        (void)judge_enter(j, AILMENT_WORN, now_ms, "%d pages of its memory are retired",
                          (int)pages);
    }
}

static void judge_maintenance(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    bool is_pending =
        value_or_0(r, READING_ROWS_PENDING) > 0 || value_or_0(r, READING_PAGES_PENDING) > 0;
    bool can_tell = is_known(r, READING_ROWS_PENDING) || is_known(r, READING_PAGES_PENDING);
    struct ailment *a = &j->ailment[AILMENT_MAINTENANCE];
    if (is_pending) {
        (void)judge_enter(j, AILMENT_MAINTENANCE, now_ms,
                          "a part of its memory will be replaced at the next reset");
    } else if (r->fault == NVML_CORRUPTED_INFOROM) {
        (void)judge_enter(j, AILMENT_MAINTENANCE, now_ms, "NVML: its inforom is corrupted");
    } else if (a->is_active && can_tell) {
        a->good++;
        if (a->good >= j->policy->samples_good) {
            judge_leave(j, AILMENT_MAINTENANCE, now_ms);
        }
    }
}

/* --- heat and power --- */

/* Of the time since the last reading, in hundredths of a percent. */
static int64_t share_of(struct gpu_judge *j, size_t which, int64_t ns, uint64_t elapsed_ms)
{
    int64_t before = j->ns_seen[which];
    j->ns_seen[which] = ns;
    if (ns == READING_NONE || before == READING_NONE || ns < before || elapsed_ms == 0) {
        return READING_NONE;
    }
    int64_t share = (ns - before) / 100 / (int64_t)elapsed_ms;
    return share < FULL_PER_10K ? share : FULL_PER_10K;
}

static void read_shares(struct gpu_judge *j, const struct gpu_reading *r)
{
    static const enum reading_key keys[] = {[SHARE_SW] = READING_NS_SW_THERMAL,
                                            [SHARE_HW] = READING_NS_HW_THERMAL,
                                            [SHARE_BRAKE] = READING_NS_POWER_BRAKE,
                                            [SHARE_CAP] = READING_NS_POWER_CAP};
    uint64_t elapsed_ms = j->read_at_ms > 0 ? r->at_ms - j->read_at_ms : 0;
    for (size_t i = 0; i < 4; i++) {
        j->share_per_10k[i] = share_of(j, i, r->v[keys[i]], elapsed_ms);
    }
    j->read_at_ms = r->at_ms;
}

static bool is_over(int64_t share, uint32_t limit)
{
    return share != READING_NONE && share > (int64_t)limit;
}

/* Far enough below the slowdown limit, where both are known. */
static bool is_cool(const struct gpu_judge *j, const struct gpu_reading *r)
{
    if (!is_known(r, READING_TEMP) || !is_known(r, READING_LIMIT_SLOWDOWN)) {
        return true;
    }
    return r->v[READING_TEMP] <= r->v[READING_LIMIT_SLOWDOWN] - (int64_t)j->policy->cool_by_c;
}

static void enter_hot(struct gpu_judge *j, enum ailment_kind kind, const char *what,
                      const struct gpu_reading *r, uint64_t now_ms)
{
    if (is_known(r, READING_TEMP)) {
        (void)judge_enter(j, kind, now_ms, "%s at %d C", what, (int)r->v[READING_TEMP]);
    } else {
        (void)judge_enter(j, kind, now_ms, "%s", what);
    }
}

static void judge_throttle(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    const struct gpu_policy *p = j->policy;
    int64_t bits = value_or_0(r, READING_REASONS);
    bool is_cooled = is_cool(j, r);
    bool is_brake = (bits & NVML_POWER_BRAKE) != 0 ||
                    is_over(j->share_per_10k[SHARE_BRAKE], p->hw_share_per_10k);
    bool is_hot = (bits & NVML_HW_THERMAL) != 0 ||
                  is_over(j->share_per_10k[SHARE_HW], p->hw_share_per_10k) ||
                  ((bits & NVML_HW_SLOWDOWN) != 0 && !is_brake);
    bool is_warm = (bits & NVML_SW_THERMAL) != 0 ||
                   is_over(j->share_per_10k[SHARE_SW], p->sw_share_per_10k);
    if (is_entered(j, AILMENT_HW_THERMAL, (struct sample){is_hot, !is_hot && is_cooled},
                   now_ms)) {
        enter_hot(j, AILMENT_HW_THERMAL, "the hardware slows it down for heat", r, now_ms);
    }
    if (is_entered(j, AILMENT_POWER_BRAKE, (struct sample){is_brake, !is_brake}, now_ms)) {
        enter_hot(j, AILMENT_POWER_BRAKE, "the power brake slows it down", r, now_ms);
    }
    if (is_entered(j, AILMENT_SW_THERMAL, (struct sample){is_warm, !is_warm && is_cooled},
                   now_ms)) {
        enter_hot(j, AILMENT_SW_THERMAL, "the driver slows it down for heat", r, now_ms);
    }
}

static void judge_memory_heat(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    int64_t temp = r->v[READING_TEMP_MEMORY];
    int64_t limit = is_known(r, READING_LIMIT_MEMORY) ? r->v[READING_LIMIT_MEMORY]
                                                      : (int64_t)j->policy->memory_max_c;
    if (temp == READING_NONE || limit <= 0) {
        return;
    }
    struct sample s = {temp > limit, temp <= limit - (int64_t)j->policy->cool_by_c};
    if (is_entered(j, AILMENT_MEMORY_HOT, s, now_ms)) {
        (void)judge_enter(j, AILMENT_MEMORY_HOT, now_ms, "its memory is at %d C", (int)temp);
    }
}

/* In at once; out when it has been cool for the whole hold. */
static void judge_shutdown(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    const struct gpu_policy *p = j->policy;
    struct ailment *a = &j->ailment[AILMENT_NEAR_SHUTDOWN];
    bool by_limit =
        is_known(r, READING_TEMP) && is_known(r, READING_LIMIT_SHUTDOWN) &&
        r->v[READING_TEMP] >= r->v[READING_LIMIT_SHUTDOWN] - (int64_t)p->shutdown_margin_c;
    bool by_margin = is_known(r, READING_MARGIN_SHUTDOWN) &&
                     r->v[READING_MARGIN_SHUTDOWN] <= (int64_t)p->tlimit_margin_c;
    if (by_limit || by_margin) {
        enter_hot(j, AILMENT_NEAR_SHUTDOWN, "about to switch itself off", r, now_ms);
        a->good_since_ms = 0;
    } else if (a->is_active && !is_cool(j, r)) {
        a->good_since_ms = 0;
    } else if (a->is_active && a->good_since_ms == 0) {
        a->good_since_ms = now_ms;
    } else if (a->is_active && now_ms - a->good_since_ms >= p->hold_ms) {
        judge_leave(j, AILMENT_NEAR_SHUTDOWN, now_ms);
    }
}

void gpu_judge_reading(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms)
{
    judge_fault(j, r, now_ms);
    judge_recovery(j, r, now_ms);
    judge_reset(j, r, now_ms);
    judge_ecc(j, r, now_ms);
    judge_wear(j, r, now_ms);
    judge_maintenance(j, r, now_ms);
    read_shares(j, r);
    judge_throttle(j, r, now_ms);
    judge_memory_heat(j, r, now_ms);
    judge_shutdown(j, r, now_ms);
    gpu_judge_tick(j, now_ms);
}
