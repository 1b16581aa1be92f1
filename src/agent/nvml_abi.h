#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * NVML's binary interface as far as it is used (nvml.h 13.3), written down here because the
 * library is only ever opened at run time. The sizes are those of x86-64 and aarch64, checked
 * when this is compiled.
 */

typedef struct nvml_device_opaque *nvml_device;
typedef struct nvml_event_set_opaque *nvml_event_set;

enum nvml_code {
    NVML_SUCCESS = 0,
    NVML_UNINITIALIZED = 1,
    NVML_INVALID_ARGUMENT = 2,
    NVML_NOT_SUPPORTED = 3,
    NVML_NO_PERMISSION = 4,
    NVML_NOT_FOUND = 6,
    NVML_INSUFFICIENT_SIZE = 7,
    NVML_INSUFFICIENT_POWER = 8,
    NVML_DRIVER_NOT_LOADED = 9,
    NVML_TIMEOUT = 10,
    NVML_IRQ_ISSUE = 11,
    NVML_LIBRARY_NOT_FOUND = 12,
    NVML_FUNCTION_NOT_FOUND = 13,
    NVML_CORRUPTED_INFOROM = 14,
    NVML_GPU_IS_LOST = 15,
    NVML_RESET_REQUIRED = 16,
    NVML_OPERATING_SYSTEM = 17,
    NVML_VERSION_MISMATCH = 18,
    NVML_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_NOT_READY = 27,
    NVML_UNKNOWN = 999
};

/* For people; static storage. */
const char *nvml_code_text(int code);

/* Clock event reasons. */
enum {
    NVML_HW_SLOWDOWN = 0x08,
    NVML_SW_THERMAL = 0x20,
    NVML_HW_THERMAL = 0x40,
    NVML_POWER_BRAKE = 0x80
};

enum {
    NVML_EVENT_XID = 0x8,
    NVML_EVENT_MIG = 0x100,
    NVML_EVENT_UNAVAILABLE = 0x4000,
    NVML_EVENT_RECOVERY = 0x8000
};

/* Fields of nvmlDeviceGetFieldValues. */
enum {
    NVML_FIELD_PAGES_SINGLE = 29,
    NVML_FIELD_PAGES_DOUBLE = 30,
    NVML_FIELD_PAGES_PENDING = 31,
    NVML_FIELD_POWER_CAP_NS = 74,
    NVML_FIELD_MEMORY_TEMP = 82,
    NVML_FIELD_PCIE_REPLAYS = 94,
    NVML_FIELD_ROWS_CORRECTED = 142,
    NVML_FIELD_ROWS_UNCORRECTED = 143,
    NVML_FIELD_ROWS_PENDING = 144,
    NVML_FIELD_ROWS_FAILED = 145,
    NVML_FIELD_TLIMIT_SHUTDOWN = 193,
    NVML_FIELD_RECOVERY_ACTION = 230,
    NVML_FIELD_SW_THERMAL_NS = 269,
    NVML_FIELD_HW_THERMAL_NS = 270,
    NVML_FIELD_POWER_BRAKE_NS = 271
};

struct nvml_pci {
    char legacy_id[16];
    uint32_t domain;
    uint32_t bus;
    uint32_t device;
    uint32_t device_id;
    uint32_t subsystem_id;
    char bus_id[32];
};
_Static_assert(sizeof(struct nvml_pci) == 68, "nvmlPciInfo_t");
_Static_assert(offsetof(struct nvml_pci, domain) == 16, "nvmlPciInfo_t.domain");
_Static_assert(offsetof(struct nvml_pci, bus) == 20, "nvmlPciInfo_t.bus");
_Static_assert(offsetof(struct nvml_pci, device) == 24, "nvmlPciInfo_t.device");
_Static_assert(offsetof(struct nvml_pci, device_id) == 28, "nvmlPciInfo_t.pciDeviceId");
_Static_assert(offsetof(struct nvml_pci, subsystem_id) == 32, "nvmlPciInfo_t.pciSubSystemId");
_Static_assert(offsetof(struct nvml_pci, bus_id) == 36, "nvmlPciInfo_t.busId");

struct nvml_temperature {
    uint32_t version;
    int32_t sensor;
    int32_t temp;
};
_Static_assert(sizeof(struct nvml_temperature) == 12, "nvmlTemperature_t");
_Static_assert(offsetof(struct nvml_temperature, temp) == 8, "nvmlTemperature_t.temperature");

struct nvml_margin {
    uint32_t version;
    int32_t margin;
};
_Static_assert(sizeof(struct nvml_margin) == 8, "nvmlMarginTemperature_t");

struct nvml_memory {
    uint64_t total;
    uint64_t free;
    uint64_t used;
};
_Static_assert(sizeof(struct nvml_memory) == 24, "nvmlMemory_t");

struct nvml_memory_v2 {
    uint32_t version;
    uint64_t total;
    uint64_t reserved;
    uint64_t free;
    uint64_t used;
};
_Static_assert(sizeof(struct nvml_memory_v2) == 40, "nvmlMemory_v2_t");
_Static_assert(offsetof(struct nvml_memory_v2, total) == 8, "nvmlMemory_v2_t.total");

struct nvml_utilization {
    uint32_t gpu;
    uint32_t memory;
};
_Static_assert(sizeof(struct nvml_utilization) == 8, "nvmlUtilization_t");

struct nvml_process {
    uint32_t pid;
    uint64_t used; /* all ones: not known */
    uint32_t instance;
    uint32_t compute;
};
_Static_assert(sizeof(struct nvml_process) == 24, "nvmlProcessInfo_t");
_Static_assert(offsetof(struct nvml_process, used) == 8, "nvmlProcessInfo_t.usedGpuMemory");
_Static_assert(offsetof(struct nvml_process, instance) == 16, "nvmlProcessInfo_t.gpuInstance");
_Static_assert(offsetof(struct nvml_process, compute) == 20, "nvmlProcessInfo_t.compute");

struct nvml_field {
    uint32_t id;
    uint32_t scope;
    int64_t timestamp;
    int64_t latency;
    int32_t type;
    int32_t code; /* of this field */
    union {
        double real;
        uint32_t u32;
        unsigned long ulong;
        uint64_t u64;
        int64_t i64;
        int32_t i32;
        uint16_t u16;
    } value;
};
_Static_assert(sizeof(struct nvml_field) == 40, "nvmlFieldValue_t");
_Static_assert(offsetof(struct nvml_field, scope) == 4, "nvmlFieldValue_t.scopeId");
_Static_assert(offsetof(struct nvml_field, timestamp) == 8, "nvmlFieldValue_t.timestamp");
_Static_assert(offsetof(struct nvml_field, latency) == 16, "nvmlFieldValue_t.latencyUsec");
_Static_assert(offsetof(struct nvml_field, type) == 24, "nvmlFieldValue_t.valueType");
_Static_assert(offsetof(struct nvml_field, code) == 28, "nvmlFieldValue_t.nvmlReturn");
_Static_assert(offsetof(struct nvml_field, value) == 32, "nvmlFieldValue_t.value");

struct nvml_event {
    nvml_device device;
    uint64_t type;
    uint64_t data;
    uint32_t instance;
    uint32_t compute;
};
_Static_assert(sizeof(struct nvml_event) == 32, "nvmlEventData_t");
_Static_assert(offsetof(struct nvml_event, type) == 8, "nvmlEventData_t.eventType");
_Static_assert(offsetof(struct nvml_event, data) == 16, "nvmlEventData_t.eventData");
_Static_assert(offsetof(struct nvml_event, instance) == 24, "nvmlEventData_t.gpuInstanceId");
_Static_assert(offsetof(struct nvml_event, compute) == 28, "nvmlEventData_t.computeInstance");

struct nvml_sram {
    uint32_t version;
    uint64_t count[11];
    uint32_t is_exceeded;
};
_Static_assert(sizeof(struct nvml_sram) == 0x68, "nvmlEccSramErrorStatus_t");
_Static_assert(offsetof(struct nvml_sram, is_exceeded) == 96, "bThresholdExceeded");

/* What NVML wants in a `version`. */
#define NVML_VERSION_OF(type, number) ((uint32_t)(sizeof(type) | (uint32_t)(number) << 24))
_Static_assert(NVML_VERSION_OF(struct nvml_temperature, 1) == 0x0100000c, "its version");
_Static_assert(NVML_VERSION_OF(struct nvml_margin, 1) == 0x01000008, "its version");
_Static_assert(NVML_VERSION_OF(struct nvml_memory_v2, 2) == 0x02000028, "its version");
_Static_assert(NVML_VERSION_OF(struct nvml_sram, 1) == 0x01000068, "its version");
