#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/telemetry.h"

/*
 * One GPU as dcgm-exporter tells it: figures without a judgement, which is made here, as far as
 * single figures allow (the agent sees more). Pure; time is an argument.
 *
 *   recovery action 1, 4          DOWN  cut     reset_required
 *   recovery action 2             DOWN  cut     reboot_required
 *   another one but 0             DEGR. drain   fabric
 *   last Xid 79                   DOWN  cut     gpu_lost
 *   last Xid of a broken GPU      DOWN  cut     reset_required, unless a recovery action is
 * told and is 0: the figure keeps the last Xid for ever uncorrected errors grow       DOWN  cut
 * uncorrected_ecc, until they are counted anew a row could not be remapped   DOWN  drain
 * memory_worn slowed down for heat          DEGR. spare   hw_thermal, power_brake, sw_thermal
 *   memory too hot                DEGR. spare   memory_hot
 *
 * The last two enter after HOT_AFTER_MS of it and leave after COOL_AFTER_MS without.
 */

enum { HOT_AFTER_MS = 5000, COOL_AFTER_MS = 60000, MEMORY_HOT_C = 95 };

/* NAN: not told. */
struct dcgm_figures {
    double recovery; /* DCGM_FI_DEV_GPU_RECOVERY_ACTION */
    double xid;      /* DCGM_FI_DEV_XID_ERRORS: the last one */
    double clocks;   /* DCGM_FI_DEV_CLOCKS_EVENT_REASONS: bits */
    double memory_c; /* DCGM_FI_DEV_MEMORY_TEMP */
    double dbe;      /* DCGM_FI_DEV_ECC_DBE_VOL_TOTAL */
    double unmapped; /* DCGM_FI_DEV_ROW_REMAP_FAILURE */
};

/* Zeroed: nothing has been seen. */
struct dcgm_judge {
    bool has_dbe;
    double first_dbe; /* when it was first seen, or fewer were */
    bool is_hot;
    uint64_t hot_ms;  /* since when all readings were; 0: the last was not */
    uint64_t cool_ms; /* likewise */
    const char *heat; /* static: its word while it is_hot */
};

/* Takes a reading and adds what it means to the news. */
void dcgm_judge_see(struct dcgm_judge *j, const struct dcgm_figures *f, uint64_t now_ms,
                    struct gpu_news *into);
