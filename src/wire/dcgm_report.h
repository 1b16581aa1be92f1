#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/*
 * The figures of NVIDIA's dcgm-exporter that tell whether a GPU is well, by GPU. Nothing is
 * judged here. Pure; texts are slices of the body.
 *
 *     DCGM_FI_DEV_XID_ERRORS{gpu="0",UUID="GPU-…",pci_bus_id="…",…} 79
 */

enum { DCGM_GPUS_MAX = 64 };

enum dcgm_figure {
    DCGM_RECOVERY, /* the driver's recovery action */
    DCGM_XID,      /* the last one, for ever */
    DCGM_CLOCKS,   /* why its clocks are slowed down: bits */
    DCGM_MEMORY_C,
    DCGM_DBE,      /* uncorrected errors since the driver was loaded, or the GPU reset */
    DCGM_UNMAPPED, /* a row could not be remapped */
    DCGM_FIGURES
};

struct dcgm_gpu {
    struct str index;            /* the label gpu, and … */
    struct str uuid;             /* … UUID, as they are written */
    double figure[DCGM_FIGURES]; /* NAN: not told */
};

struct dcgm_report {
    struct dcgm_gpu gpu[DCGM_GPUS_MAX];
    size_t count;
};

/* ERR_TYPE: there is not one figure of a GPU in it (those of ours or others, as the
 * temperature), or more GPUs than a machine has. */
NODISCARD enum err dcgm_report_read(struct str body, struct dcgm_report *out);
