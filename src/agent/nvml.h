#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/nvml_abi.h"
#include "base/err.h"

/*
 * libnvidia-ml, opened at run time: a table of functions, each of which may be missing (an old
 * driver) and then answers as one that is not supported. Only the child may use it, as every
 * call may block for ever. The library is never closed.
 */

struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error_string)(int);
    int (*driver_version)(char *, unsigned);
    int (*count)(unsigned *);
    int (*by_index)(unsigned, nvml_device *);
    int (*pci)(nvml_device, struct nvml_pci *);
    int (*uuid)(nvml_device, char *, unsigned);
    int (*name)(nvml_device, char *, unsigned);
    int (*temperature_v)(nvml_device, struct nvml_temperature *);
    int (*temperature)(nvml_device, int, unsigned *);
    int (*temperature_limit)(nvml_device, int, unsigned *);
    int (*margin)(nvml_device, struct nvml_margin *);
    int (*reasons)(nvml_device, unsigned long long *);
    int (*ecc_mode)(nvml_device, int *, int *);
    int (*ecc_total)(nvml_device, int, int, unsigned long long *);
    int (*sram)(nvml_device, struct nvml_sram *);
    int (*rows)(nvml_device, unsigned *, unsigned *, unsigned *, unsigned *);
    int (*memory_v2)(nvml_device, struct nvml_memory_v2 *);
    int (*memory)(nvml_device, struct nvml_memory *);
    int (*utilization)(nvml_device, struct nvml_utilization *);
    int (*power)(nvml_device, unsigned *);
    int (*power_limit)(nvml_device, unsigned *);
    int (*energy)(nvml_device, unsigned long long *);
    int (*processes)(nvml_device, unsigned *, struct nvml_process *);
    int (*fields)(nvml_device, int, struct nvml_field *);
    int (*mig_mode)(nvml_device, unsigned *, unsigned *);
    int (*mig_max)(nvml_device, unsigned *);
    int (*mig_by_index)(nvml_device, unsigned, nvml_device *);
    int (*mig_instance)(nvml_device, unsigned *);
    int (*mig_compute)(nvml_device, unsigned *);
    int (*event_set_new)(nvml_event_set *);
    int (*event_set_free)(nvml_event_set);
    int (*event_types)(nvml_device, unsigned long long *);
    int (*event_register)(nvml_device, unsigned long long, nvml_event_set);
    int (*event_wait)(nvml_event_set, struct nvml_event *, unsigned);
};

/* Calls it, or answers NVML_NOT_SUPPORTED where the driver has it not. */
#define NVML_CALL(nvml, function, ...) \
    ((nvml)->function ? (nvml)->function(__VA_ARGS__) : NVML_NOT_SUPPORTED)

/* ERR_NOT_FOUND: there is no such library, or without the least that is needed; *why says so.
 */
NODISCARD enum err nvml_open(struct nvml *n, const char *path, const char **why);
