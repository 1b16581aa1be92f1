#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * What one look at the GPUs gives, and how the child that looks sends it to the agent: frames
 * of fixed structs over a socket between two runs of one program file. Numbers that a GPU or
 * a driver does not have are READING_NONE, never 0. Pure.
 *
 *     HELLO  GPU GPU … DONE   [EVENT …]   GPU GPU … DONE   …
 */

enum {
    GPUS_MAX = 32,
    PROCESSES_MAX = 32,
    SLICES_MAX = 8,
    UUID_MAX = 80,
    BDF_MAX = 20,
    FRAMES_MAX = 1 << 20 /* bytes that may wait to be read */
};

#define READING_NONE INT64_MIN

/* Enum, group and name in the JSON answer. */
#define READING_LIST(X)                                    \
    X(TEMP, "temperature", "gpu_c")                        \
    X(TEMP_MEMORY, "temperature", "memory_c")              \
    X(LIMIT_SLOWDOWN, "temperature", "slowdown_c")         \
    X(LIMIT_SHUTDOWN, "temperature", "shutdown_c")         \
    X(LIMIT_MEMORY, "temperature", "memory_max_c")         \
    X(LIMIT_GPU, "temperature", "gpu_max_c")               \
    X(MARGIN, "temperature", "margin_c")                   \
    X(MARGIN_SHUTDOWN, "temperature", "shutdown_margin_c") \
    X(REASONS, "throttle", "reasons")                      \
    X(NS_SW_THERMAL, "throttle", "sw_thermal_ns")          \
    X(NS_HW_THERMAL, "throttle", "hw_thermal_ns")          \
    X(NS_POWER_BRAKE, "throttle", "power_brake_ns")        \
    X(NS_POWER_CAP, "throttle", "power_cap_ns")            \
    X(ECC_ENABLED, "ecc", "enabled")                       \
    X(ECC_CORRECTED, "ecc", "corrected")                   \
    X(ECC_UNCORRECTED, "ecc", "uncorrected")               \
    X(ECC_CORRECTED_TOTAL, "ecc", "corrected_total")       \
    X(ECC_UNCORRECTED_TOTAL, "ecc", "uncorrected_total")   \
    X(SRAM_EXCEEDED, "ecc", "sram_threshold_exceeded")     \
    X(ROWS_CORRECTED, "rows", "corrected")                 \
    X(ROWS_UNCORRECTED, "rows", "uncorrected")             \
    X(ROWS_PENDING, "rows", "pending")                     \
    X(ROWS_FAILED, "rows", "failed")                       \
    X(PAGES_SINGLE, "rows", "pages_retired_single")        \
    X(PAGES_DOUBLE, "rows", "pages_retired_double")        \
    X(PAGES_PENDING, "rows", "pages_pending")              \
    X(RECOVERY_ACTION, "recovery", "action")               \
    X(MEMORY_TOTAL, "memory", "total_bytes")               \
    X(MEMORY_USED, "memory", "used_bytes")                 \
    X(MEMORY_FREE, "memory", "free_bytes")                 \
    X(MEMORY_RESERVED, "memory", "reserved_bytes")         \
    X(POWER_MW, "power", "draw_mw")                        \
    X(POWER_LIMIT_MW, "power", "limit_mw")                 \
    X(ENERGY_MJ, "energy", "total_mj")                     \
    X(UTIL_GPU, "utilisation", "gpu_percent")              \
    X(UTIL_MEMORY, "utilisation", "memory_percent")        \
    X(PCIE_REPLAYS, "pcie", "replays")                     \
    X(MIG_MODE, "mig", "mode")                             \
    X(MIG_PENDING, "mig", "pending")

enum reading_key {
#define READING_ENUM(name, group, key) READING_##name,
    READING_LIST(READING_ENUM)
#undef READING_ENUM
        READING_COUNT
};

struct reading_row {
    const char *group;
    const char *name;
};
extern const struct reading_row READING_ROWS[READING_COUNT];

struct gpu_process {
    uint32_t pid;
    int64_t bytes; /* READING_NONE: the driver does not say */
    char name[16]; /* printable ASCII; its owner may have chosen it */
};

/* A MIG slice. */
struct gpu_slice {
    char uuid[UUID_MAX];
    int64_t instance; /* the GPU instance's number, as Xids name it */
    int64_t compute;
    int64_t total_bytes;
    int64_t used_bytes;
};

struct gpu_reading {
    uint64_t at_ms; /* monotonic, the same clock in all processes */
    uint32_t index; /* NVML's */
    char uuid[UUID_MAX];
    char bdf[BDF_MAX]; /* as bdf_normal writes it; empty: not known */
    char name[96];
    int32_t fault;           /* NVML code that speaks of the GPU itself (nvml_abi.h), or 0 */
    bool is_handle_lost;     /* the fault came from the asking for its handle */
    bool is_gone;            /* sysfs: no such device, or it answers all ones */
    uint32_t process_count;  /* all of them */
    uint32_t process_listed; /* of these, in `process` */
    bool has_processes;      /* the list could be read */
    uint32_t slice_count;
    struct gpu_process process[PROCESSES_MAX];
    struct gpu_slice slice[SLICES_MAX];
    int64_t v[READING_COUNT];
};

/* All values READING_NONE, all texts empty. */
void reading_clear(struct gpu_reading *r);

/* How the child found things. */
struct gpu_hello {
    bool has_library;
    bool has_events;
    bool has_device; /* sysfs lists an NVIDIA GPU */
    int32_t init;    /* NVML's code */
    uint32_t count;  /* GPUs, by NVML */
    char driver[80];
    char why[128]; /* what failed, for people; printable ASCII */
};

struct gpu_event {
    char bdf[BDF_MAX];
    char uuid[UUID_MAX];
    uint64_t type; /* NVML's bit */
    uint64_t data; /* the Xid */
    uint32_t instance;
    uint32_t compute; /* UINT32_MAX: none */
};

enum frame_kind { FRAME_HELLO = 1, FRAME_GPU, FRAME_EVENT, FRAME_DONE };

struct frame {
    uint32_t magic;
    uint32_t kind; /* enum frame_kind */
    union {
        struct gpu_hello hello;
        struct gpu_reading gpu;
        struct gpu_event event;
        uint32_t gpu_count; /* DONE: frames of GPUs in this poll */
    } of;
};

/* Bytes of a frame of that kind as it goes over the socket; 0 for no kind. */
size_t frame_size(uint32_t kind);
void frame_begin(struct frame *f, enum frame_kind kind); /* zeroed but for its head */

/* Takes the next frame from the front of b. ERR_AGAIN; ERR_SYNTAX when this is none. Texts end
 * in NUL and counts are within their arrays afterwards, whatever came. */
NODISCARD enum err frame_next(struct buf *b, struct frame *out);

/*
 * PCI addresses in any of their spellings (0000:18:00, 00000000:18:00.0, PCI:0000:18:00) as
 * "0000:18:00", lower case, without the function. False: none at the start of s.
 */
bool bdf_normal(struct str s, char out[BDF_MAX]);

/* Copies s as printable ASCII, '?' for the rest, cut to size - 1. */
void text_tame(struct str s, char *out, size_t size);
