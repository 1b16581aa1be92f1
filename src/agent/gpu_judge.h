#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/reading.h"
#include "agent/xid_log.h"

/*
 * What is thought of one GPU: a set of ailments, each of which has its own way in and out. The
 * first in the list that it has gives its state and reason.
 *
 *     readings ─┐               in at once, or in 3 of 5 readings
 *     Xids      ├─▶ ailment ────────────────────────────────────────▶ state, reason, advice
 *     lateness ─┘               out by its way:
 *        READING   when that many good readings have followed, and not before `hold`
 *        TIME      when it has not come again for a while
 *        ON_TIME   when the driver has answered in time three times
 *        RESET     when a reset of the GPU was seen: silence is no recovery
 *        BOOT      when the machine has started anew
 *        OPERATOR  when the machine has started anew, or an operator says so
 *
 * What leaves by RESET, BOOT or OPERATOR is lifted by an operator's word too. Pure; times are
 * monotonic ms and an argument.
 */

enum gpu_state { GPU_HEALTHY, GPU_DEGRADED, GPU_DOWN };
const char *gpu_state_name(enum gpu_state s); /* "HEALTHY", … */

/* Name, word, state, advice, way out. Down first; in each state the graver first. */
#define AILMENT_LIST(X)                                                 \
    X(LOST, "gpu_lost", DOWN, CUT, OPERATOR)                            \
    X(REBOOT, "reboot_required", DOWN, CUT, BOOT)                       \
    X(RESET, "reset_required", DOWN, CUT, RESET)                        \
    X(ECC, "uncorrected_ecc", DOWN, CUT, RESET)                         \
    X(REPEATED, "repeated_app_errors", DOWN, CUT, RESET)                \
    X(HUNG, "driver_hung", DOWN, CUT, ON_TIME)                          \
    X(NEAR_SHUTDOWN, "near_shutdown_temperature", DOWN, DRAIN, READING) \
    X(WORN, "memory_worn", DOWN, DRAIN, OPERATOR)                       \
    X(LATE, "driver_late", DEGRADED, NO_PROMOTE, ON_TIME)               \
    X(FABRIC, "fabric", DEGRADED, DRAIN, READING)                       \
    X(SWITCH, "nvswitch", DEGRADED, DRAIN, OPERATOR)                    \
    X(HW_THERMAL, "hw_thermal", DEGRADED, NO_PROMOTE, READING)          \
    X(POWER_BRAKE, "power_brake", DEGRADED, NO_PROMOTE, READING)        \
    X(MEMORY_HOT, "memory_hot", DEGRADED, NO_PROMOTE, READING)          \
    X(APP, "app_error", DEGRADED, CHECK_APP, TIME)                      \
    X(XID, "xid", DEGRADED, CHECK_APP, TIME)                            \
    X(SW_THERMAL, "sw_thermal", DEGRADED, NO_PROMOTE, READING)          \
    X(MAINTENANCE, "maintenance", DEGRADED, SERVE, READING)

enum ailment_kind {
#define AILMENT_ENUM(name, word, state, advice, way) AILMENT_##name,
    AILMENT_LIST(AILMENT_ENUM)
#undef AILMENT_ENUM
        AILMENT_COUNT
};

enum gpu_advice {
    ADVICE_SERVE,      /* as ever */
    ADVICE_NO_PROMOTE, /* keep what it has, send it nothing that fails over */
    ADVICE_CHECK_APP,  /* ask the engine for a token: its context may be poisoned */
    ADVICE_DRAIN,      /* nothing new */
    ADVICE_CUT         /* what runs there cannot finish */
};
const char *gpu_advice_name(enum gpu_advice a);

enum ailment_way { WAY_READING, WAY_TIME, WAY_ON_TIME, WAY_RESET, WAY_BOOT, WAY_OPERATOR };

struct ailment_row {
    const char *word;
    enum gpu_state state;
    enum gpu_advice advice;
    enum ailment_way way;
};
extern const struct ailment_row AILMENT_ROWS[AILMENT_COUNT];
/* The kind of that word; false: there is none. */
bool ailment_find(struct str word, enum ailment_kind *out);

/* Every threshold is configuration (docs/agent.md); times in ms. */
struct gpu_policy {
    uint32_t samples_bad; /* of the last samples_of (<= 8), to enter */
    uint32_t samples_of;
    uint32_t samples_good; /* in a row, to leave */
    uint32_t hold_ms;
    uint32_t cool_by_c;         /* below the slowdown limit, to leave */
    uint32_t shutdown_margin_c; /* to the shutdown limit */
    uint32_t tlimit_margin_c;   /* the same where the GPU tells margins */
    uint32_t memory_max_c;      /* where the GPU does not say */
    uint32_t hw_share_per_10k;  /* of the time between two readings */
    uint32_t sw_share_per_10k;
    uint32_t retired_pages;
    uint32_t app_repeat;
    uint32_t app_window_ms;
    uint32_t app_hold_ms;
    uint32_t xid_hold_ms;
    uint32_t ecc_grace_ms; /* an Xid within it explains the error */
    uint32_t dedupe_ms;
    uint32_t late_after_ms;      /* an answer; from then on it is late */
    uint32_t hung_after_ms;      /* then DEGRADED */
    uint32_t hung_down_after_ms; /* then DOWN; 0: lateness alone never is */
    uint32_t gsp_window_ms;      /* a line about the GSP makes a late driver DOWN */
    uint32_t on_time;            /* answers in a row, to leave */
    struct xid_policy xids;
};
void gpu_policy_set_defaults(struct gpu_policy *p);

struct ailment {
    bool is_active;
    bool is_history; /* known from the kernel's log of before the agent's first look */
    uint8_t bad;     /* the last samples, a bit each */
    uint32_t good;   /* samples in a row */
    uint32_t xid;    /* 0: none */
    uint64_t since_ms;
    uint64_t good_since_ms;
    uint64_t until_ms; /* WAY_TIME */
    char why[128];     /* for people; printable ASCII */
};

enum { APP_ERRORS_MAX = 16 };

struct gpu_judge {
    const struct gpu_policy *policy; /* borrowed */
    struct ailment ailment[AILMENT_COUNT];
    enum gpu_state state;
    uint64_t state_since_ms;
    int64_t share_per_10k[4]; /* SW thermal, HW thermal, brake, cap; READING_NONE: not known */
    int64_t ecc_seen;         /* uncorrected, as last read; READING_NONE */

    /* private: */
    int64_t ns_seen[4];
    int64_t energy_seen;
    uint64_t read_at_ms;
    uint64_t ecc_at_ms; /* an unexplained error was seen; 0: none */
    uint64_t xid_at_ms; /* the last one; 0: none */
    uint64_t gsp_at_ms; /* 0: none */
    uint32_t lost_reads;
    uint32_t gone_reads;
    uint32_t settled_reads; /* in a row with NVML content and no recovery action */
    bool was_action;        /* a recovery action or "reset required" was read */
    uint64_t app_at_ms[APP_ERRORS_MAX];
    uint32_t app_count;
};

struct gpu_verdict {
    enum gpu_state state;
    enum gpu_advice advice;
    enum ailment_kind reason; /* AILMENT_COUNT: none */
    const char *word;         /* "ok", or the reason's */
    const char *why;          /* "" or more for people */
    uint64_t since_ms;        /* of the state */
};

void gpu_judge_init(struct gpu_judge *j, const struct gpu_policy *p, uint64_t now_ms);
struct gpu_verdict gpu_judge_verdict(const struct gpu_judge *j);

void gpu_judge_reading(struct gpu_judge *j, const struct gpu_reading *r, uint64_t now_ms);

/* An Xid, or the other source's word on one (is_new false), which may only make it graver.
 * `is_foreign`: its process had no memory on this GPU. */
void gpu_judge_xid(struct gpu_judge *j, const struct xid_event *e, bool is_new, bool is_foreign,
                   uint64_t now_ms);

/* The kernel, or NVML's list, says something outside of readings and Xids. */
void gpu_judge_enter(struct gpu_judge *j, enum ailment_kind kind, const char *why,
                     uint64_t now_ms);
void gpu_judge_gsp(struct gpu_judge *j, uint64_t now_ms);

/* The driver has not answered for that long; again and again while it lasts. */
void gpu_judge_late(struct gpu_judge *j, uint64_t late_ms, uint64_t now_ms);
/* It has answered in time `in_a_row` times. */
void gpu_judge_on_time(struct gpu_judge *j, uint32_t in_a_row, uint64_t now_ms);

/* Lets what leaves by time go. */
void gpu_judge_tick(struct gpu_judge *j, uint64_t now_ms);

/* An operator's word. True: something was lifted. */
bool gpu_judge_clear(struct gpu_judge *j, uint64_t now_ms);
