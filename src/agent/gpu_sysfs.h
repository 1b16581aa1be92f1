#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/reading.h"

/*
 * NVIDIA's GPUs as the PCI bus shows them, without NVIDIA's software. Only in the child: a
 * dying link can stall these reads too.
 */

struct gpu_sysfs {
    char bdf[GPUS_MAX][BDF_MAX];
    size_t count;
};

void gpu_sysfs_scan(struct gpu_sysfs *s, const char *root);

/* True when the device is not there any more, or answers all ones while it is not asleep. */
bool gpu_sysfs_is_gone(const char *root, const char *bdf);
