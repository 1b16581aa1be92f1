#include "agent/nvml.h"

#include <dlfcn.h>
#include <string.h>

/* Names from the newest to the oldest that take the same arguments. The header's macros rename
 * silently; dlsym does not. */
struct symbol {
    const char *names[2];
    size_t offset;
};

#define SYMBOL(field, newest, older)                                     \
    {                                                                    \
        .names = {newest, older}, .offset = offsetof(struct nvml, field) \
    }

static const struct symbol SYMBOLS[] = {
    SYMBOL(init, "nvmlInit_v2", NULL),
    SYMBOL(shutdown, "nvmlShutdown", NULL),
    SYMBOL(error_string, "nvmlErrorString", NULL),
    SYMBOL(driver_version, "nvmlSystemGetDriverVersion", NULL),
    SYMBOL(count, "nvmlDeviceGetCount_v2", NULL),
    SYMBOL(by_index, "nvmlDeviceGetHandleByIndex_v2", NULL),
    SYMBOL(pci, "nvmlDeviceGetPciInfo_v3", NULL),
    SYMBOL(uuid, "nvmlDeviceGetUUID", NULL),
    SYMBOL(name, "nvmlDeviceGetName", NULL),
    SYMBOL(temperature_v, "nvmlDeviceGetTemperatureV", NULL),
    SYMBOL(temperature, "nvmlDeviceGetTemperature", NULL),
    SYMBOL(temperature_limit, "nvmlDeviceGetTemperatureThreshold", NULL),
    SYMBOL(margin, "nvmlDeviceGetMarginTemperature", NULL),
    SYMBOL(reasons, "nvmlDeviceGetCurrentClocksEventReasons",
           "nvmlDeviceGetCurrentClocksThrottleReasons"),
    SYMBOL(ecc_mode, "nvmlDeviceGetEccMode", NULL),
    SYMBOL(ecc_total, "nvmlDeviceGetTotalEccErrors", NULL),
    SYMBOL(sram, "nvmlDeviceGetSramEccErrorStatus", NULL),
    SYMBOL(rows, "nvmlDeviceGetRemappedRows", NULL),
    SYMBOL(memory_v2, "nvmlDeviceGetMemoryInfo_v2", NULL),
    SYMBOL(memory, "nvmlDeviceGetMemoryInfo", NULL),
    SYMBOL(utilization, "nvmlDeviceGetUtilizationRates", NULL),
    SYMBOL(power, "nvmlDeviceGetPowerUsage", NULL),
    SYMBOL(power_limit, "nvmlDeviceGetEnforcedPowerLimit", NULL),
    SYMBOL(energy, "nvmlDeviceGetTotalEnergyConsumption", NULL),
    SYMBOL(processes, "nvmlDeviceGetComputeRunningProcesses_v3",
           "nvmlDeviceGetComputeRunningProcesses_v2"),
    SYMBOL(fields, "nvmlDeviceGetFieldValues", NULL),
    SYMBOL(mig_mode, "nvmlDeviceGetMigMode", NULL),
    SYMBOL(mig_max, "nvmlDeviceGetMaxMigDeviceCount", NULL),
    SYMBOL(mig_by_index, "nvmlDeviceGetMigDeviceHandleByIndex", NULL),
    SYMBOL(mig_instance, "nvmlDeviceGetGpuInstanceId", NULL),
    SYMBOL(mig_compute, "nvmlDeviceGetComputeInstanceId", NULL),
    SYMBOL(event_set_new, "nvmlEventSetCreate", NULL),
    SYMBOL(event_set_free, "nvmlEventSetFree", NULL),
    SYMBOL(event_types, "nvmlDeviceGetSupportedEventTypes", NULL),
    SYMBOL(event_register, "nvmlDeviceRegisterEvents", NULL),
    SYMBOL(event_wait, "nvmlEventSetWait_v2", NULL),
};

_Static_assert(sizeof(SYMBOLS) / sizeof(SYMBOLS[0]) == sizeof(struct nvml) / sizeof(void *),
               "a row for each function");

enum err nvml_open(struct nvml *n, const char *path, const char **why)
{
    memset(n, 0, sizeof(*n));
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *said = dlerror();
        *why = said ? said : "the library cannot be opened";
        return ERR_NOT_FOUND;
    }
    for (size_t i = 0; i < sizeof(SYMBOLS) / sizeof(SYMBOLS[0]); i++) {
        void *address = dlsym(library, SYMBOLS[i].names[0]);
        if (!address && SYMBOLS[i].names[1]) {
            address = dlsym(library, SYMBOLS[i].names[1]);
        }
        memcpy((char *)n + SYMBOLS[i].offset, &address, sizeof(address));
    }
    if (!n->init || !n->count || !n->by_index) {
        *why = "the library has not even nvmlInit_v2, GetCount_v2 and GetHandleByIndex_v2";
        return ERR_NOT_FOUND;
    }
    return ERR_OK;
}
