#include "agent/nvml_read.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SENSOR_GPU = 0, PROCESSES_ASKED = 128 };
enum { LIMIT_SHUTDOWN = 0, LIMIT_SLOWDOWN = 1, LIMIT_MEMORY = 2, LIMIT_GPU = 3 };
enum { ECC_CORRECTED = 0, ECC_UNCORRECTED = 1, ECC_VOLATILE = 0, ECC_AGGREGATE = 1 };

/* One GPU being read. */
struct look {
    const struct nvml *nvml;
    nvml_device handle;
    const char *proc_root;
    struct gpu_reading *r;
    bool must_restart;
};

/* Codes that speak of the GPU and not of the one thing that was asked for, the gravest kept. */
static int weight_of(int code)
{
    static const int faults[] = {NVML_CORRUPTED_INFOROM, NVML_RESET_REQUIRED, NVML_IRQ_ISSUE,
                                 NVML_INSUFFICIENT_POWER, NVML_GPU_IS_LOST};
    for (int i = 0; i < (int)(sizeof(faults) / sizeof(faults[0])); i++) {
        if (faults[i] == code) {
            return i + 1;
        }
    }
    return 0;
}

/* A code that is not in the table may still say it in words: newer drivers. */
static int fault_in_words(const struct nvml *n, int code)
{
    const char *text = n->error_string ? n->error_string(code) : NULL;
    struct str s = str_from(text ? text : "");
    if (str_has(s, STR("GPU is lost")) || str_has(s, STR("gpu is lost"))) {
        return NVML_GPU_IS_LOST;
    }
    return str_has(s, STR("requires reset")) ? NVML_RESET_REQUIRED : code;
}

/* Takes note of a call's code; true when it gave a value. */
static bool gave(struct look *k, int code)
{
    if (code > NVML_NOT_READY && code != NVML_UNKNOWN) {
        code = fault_in_words(k->nvml, code);
    }
    if (weight_of(code) > weight_of(k->r->fault)) {
        k->r->fault = code;
    }
    if (code == NVML_UNINITIALIZED || code == NVML_VERSION_MISMATCH) {
        k->must_restart = true;
    }
    return code == NVML_SUCCESS;
}

static void set(struct look *k, enum reading_key key, uint64_t value)
{
    k->r->v[key] = value <= INT64_MAX ? (int64_t)value : READING_NONE;
}

static void read_limit(struct look *k, int kind, enum reading_key key)
{
    unsigned value = 0;
    if (gave(k, NVML_CALL(k->nvml, temperature_limit, k->handle, kind, &value)) && value > 0) {
        set(k, key, value);
    }
}

static void read_heat(struct look *k)
{
    struct nvml_temperature t = {.version = NVML_VERSION_OF(struct nvml_temperature, 1),
                                 .sensor = SENSOR_GPU};
    unsigned celsius = 0;
    if (gave(k, NVML_CALL(k->nvml, temperature_v, k->handle, &t))) {
        k->r->v[READING_TEMP] = t.temp;
    } else if (gave(k, NVML_CALL(k->nvml, temperature, k->handle, SENSOR_GPU, &celsius))) {
        set(k, READING_TEMP, celsius);
    }
    read_limit(k, LIMIT_SHUTDOWN, READING_LIMIT_SHUTDOWN);
    read_limit(k, LIMIT_SLOWDOWN, READING_LIMIT_SLOWDOWN);
    read_limit(k, LIMIT_MEMORY, READING_LIMIT_MEMORY);
    read_limit(k, LIMIT_GPU, READING_LIMIT_GPU);
    /* Boards without margins answer 0 or less. */
    struct nvml_margin m = {.version = NVML_VERSION_OF(struct nvml_margin, 1)};
    if (gave(k, NVML_CALL(k->nvml, margin, k->handle, &m)) && m.margin != 0) {
        k->r->v[READING_MARGIN] = m.margin;
    }
}

static void read_ecc_count(struct look *k, int type, int counter, enum reading_key key)
{
    unsigned long long count = 0;
    if (gave(k, NVML_CALL(k->nvml, ecc_total, k->handle, type, counter, &count))) {
        set(k, key, count);
    }
}

static void read_ecc(struct look *k)
{
    int mode = 0;
    int pending = 0;
    if (gave(k, NVML_CALL(k->nvml, ecc_mode, k->handle, &mode, &pending))) {
        k->r->v[READING_ECC_ENABLED] = mode != 0;
    }
    read_ecc_count(k, ECC_CORRECTED, ECC_VOLATILE, READING_ECC_CORRECTED);
    read_ecc_count(k, ECC_UNCORRECTED, ECC_VOLATILE, READING_ECC_UNCORRECTED);
    read_ecc_count(k, ECC_CORRECTED, ECC_AGGREGATE, READING_ECC_CORRECTED_TOTAL);
    read_ecc_count(k, ECC_UNCORRECTED, ECC_AGGREGATE, READING_ECC_UNCORRECTED_TOTAL);
    struct nvml_sram s = {.version = NVML_VERSION_OF(struct nvml_sram, 1)};
    if (gave(k, NVML_CALL(k->nvml, sram, k->handle, &s))) {
        k->r->v[READING_SRAM_EXCEEDED] = s.is_exceeded != 0;
    }
}

static void read_rows(struct look *k)
{
    unsigned row[4] = {0, 0, 0, 0};
    if (gave(k, NVML_CALL(k->nvml, rows, k->handle, &row[0], &row[1], &row[2], &row[3]))) {
        set(k, READING_ROWS_CORRECTED, row[0]);
        set(k, READING_ROWS_UNCORRECTED, row[1]);
        set(k, READING_ROWS_PENDING, row[2]);
        set(k, READING_ROWS_FAILED, row[3]);
    }
}

static void read_memory(struct look *k)
{
    struct nvml_memory_v2 v2 = {.version = NVML_VERSION_OF(struct nvml_memory_v2, 2)};
    struct nvml_memory v1 = {.total = 0};
    if (gave(k, NVML_CALL(k->nvml, memory_v2, k->handle, &v2))) {
        set(k, READING_MEMORY_TOTAL, v2.total);
        set(k, READING_MEMORY_RESERVED, v2.reserved);
        set(k, READING_MEMORY_FREE, v2.free);
        set(k, READING_MEMORY_USED, v2.used);
    } else if (gave(k, NVML_CALL(k->nvml, memory, k->handle, &v1))) {
        set(k, READING_MEMORY_TOTAL, v1.total);
        set(k, READING_MEMORY_FREE, v1.free);
        set(k, READING_MEMORY_USED, v1.used);
    }
}

static void read_power(struct look *k)
{
    unsigned mw = 0;
    unsigned long long mj = 0;
    struct nvml_utilization u = {.gpu = 0};
    if (gave(k, NVML_CALL(k->nvml, power, k->handle, &mw))) {
        set(k, READING_POWER_MW, mw);
    }
    if (gave(k, NVML_CALL(k->nvml, power_limit, k->handle, &mw))) {
        set(k, READING_POWER_LIMIT_MW, mw);
    }
    if (gave(k, NVML_CALL(k->nvml, energy, k->handle, &mj))) {
        set(k, READING_ENERGY_MJ, mj);
    }
    if (gave(k, NVML_CALL(k->nvml, utilization, k->handle, &u))) {
        set(k, READING_UTIL_GPU, u.gpu);
        set(k, READING_UTIL_MEMORY, u.memory);
    }
    unsigned long long reasons = 0;
    if (gave(k, NVML_CALL(k->nvml, reasons, k->handle, &reasons))) {
        set(k, READING_REASONS, reasons);
    }
}

/* --- fields --- */

static int64_t field_value(const struct nvml_field *f)
{
    switch (f->type) {
    case 0:
        return f->value.real > -1e15 && f->value.real < 1e15 ? (int64_t)f->value.real
                                                             : READING_NONE;
    case 1:
        return f->value.u32;
    case 2:
    case 3:
        return f->value.u64 <= INT64_MAX ? (int64_t)f->value.u64 : READING_NONE;
    case 4:
        return f->value.i64;
    case 5:
        return f->value.i32;
    case 6:
        return f->value.u16;
    default:
        return READING_NONE;
    }
}

static const struct {
    uint32_t id;
    enum reading_key key;
} FIELDS[] = {
    {NVML_FIELD_PAGES_SINGLE, READING_PAGES_SINGLE},
    {NVML_FIELD_PAGES_DOUBLE, READING_PAGES_DOUBLE},
    {NVML_FIELD_PAGES_PENDING, READING_PAGES_PENDING},
    {NVML_FIELD_POWER_CAP_NS, READING_NS_POWER_CAP},
    {NVML_FIELD_MEMORY_TEMP, READING_TEMP_MEMORY},
    {NVML_FIELD_PCIE_REPLAYS, READING_PCIE_REPLAYS},
    {NVML_FIELD_ROWS_CORRECTED, READING_ROWS_CORRECTED},
    {NVML_FIELD_ROWS_UNCORRECTED, READING_ROWS_UNCORRECTED},
    {NVML_FIELD_ROWS_PENDING, READING_ROWS_PENDING},
    {NVML_FIELD_ROWS_FAILED, READING_ROWS_FAILED},
    {NVML_FIELD_TLIMIT_SHUTDOWN, READING_MARGIN_SHUTDOWN},
    {NVML_FIELD_RECOVERY_ACTION, READING_RECOVERY_ACTION},
    {NVML_FIELD_SW_THERMAL_NS, READING_NS_SW_THERMAL},
    {NVML_FIELD_HW_THERMAL_NS, READING_NS_HW_THERMAL},
    {NVML_FIELD_POWER_BRAKE_NS, READING_NS_POWER_BRAKE},
};
enum { FIELD_COUNT = sizeof(FIELDS) / sizeof(FIELDS[0]) };

static void read_fields(struct look *k)
{
    struct nvml_field f[FIELD_COUNT];
    memset(f, 0, sizeof(f));
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        f[i].id = FIELDS[i].id;
        f[i].code = NVML_NOT_SUPPORTED;
    }
    if (!gave(k, NVML_CALL(k->nvml, fields, k->handle, FIELD_COUNT, f))) {
        return;
    }
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (gave(k, f[i].code) && k->r->v[FIELDS[i].key] == READING_NONE) {
            k->r->v[FIELDS[i].key] = field_value(&f[i]);
        }
    }
}

/* The field is where the board shuts down, below 0 on the margin's own scale; what is told is
 * how far away that is. */
static void derive_margin(struct gpu_reading *r)
{
    int64_t at = r->v[READING_MARGIN_SHUTDOWN];
    bool is_known = at != READING_NONE && at < 0 && r->v[READING_MARGIN] != READING_NONE;
    r->v[READING_MARGIN_SHUTDOWN] = is_known ? r->v[READING_MARGIN] - at : READING_NONE;
}

/* --- processes and slices --- */

static void read_process_name(const char *proc_root, uint32_t pid, char out[16])
{
    char path[256];
    char name[32];
    (void)snprintf(path, sizeof(path), "%s/%u/comm", proc_root, pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    ssize_t got = read(fd, name, sizeof(name));
    (void)close(fd);
    if (got > 0) {
        size_t len = (size_t)got - (name[got - 1] == '\n' ? 1 : 0);
        text_tame(str_of(name, len), out, 16);
    }
}

static void add_process(struct look *k, const struct nvml_process *p)
{
    struct gpu_reading *r = k->r;
    r->process_count++;
    if (r->process_listed == PROCESSES_MAX) {
        return;
    }
    struct gpu_process *to = &r->process[r->process_listed++];
    to->pid = p->pid;
    to->bytes = p->used <= INT64_MAX ? (int64_t)p->used : READING_NONE;
    read_process_name(k->proc_root, p->pid, to->name);
}

static void read_processes(struct look *k, nvml_device handle)
{
    struct nvml_process all[PROCESSES_ASKED];
    unsigned count = PROCESSES_ASKED;
    memset(all, 0, sizeof(all));
    int code = NVML_CALL(k->nvml, processes, handle, &count, all);
    if (code == NVML_INSUFFICIENT_SIZE) {
        k->r->process_count += count;
        return;
    }
    if (!gave(k, code)) {
        return;
    }
    k->r->has_processes = true;
    for (unsigned i = 0; i < count && i < PROCESSES_ASKED; i++) {
        add_process(k, &all[i]);
    }
}

static void read_slice(struct look *k, nvml_device handle)
{
    struct gpu_slice *s = &k->r->slice[k->r->slice_count++];
    struct nvml_memory m = {.total = 0};
    unsigned number = 0;
    s->instance = s->compute = s->total_bytes = s->used_bytes = READING_NONE;
    if (gave(k, NVML_CALL(k->nvml, uuid, handle, s->uuid, UUID_MAX))) {
        s->uuid[UUID_MAX - 1] = '\0';
    }
    if (gave(k, NVML_CALL(k->nvml, mig_instance, handle, &number))) {
        s->instance = number;
    }
    if (gave(k, NVML_CALL(k->nvml, mig_compute, handle, &number))) {
        s->compute = number;
    }
    if (gave(k, NVML_CALL(k->nvml, memory, handle, &m))) {
        s->total_bytes = m.total <= INT64_MAX ? (int64_t)m.total : READING_NONE;
        s->used_bytes = m.used <= INT64_MAX ? (int64_t)m.used : READING_NONE;
    }
    read_processes(k, handle);
}

/* Numbers may have holes. */
static void read_slices(struct look *k)
{
    unsigned mode = 0;
    unsigned pending = 0;
    unsigned most = 0;
    if (!gave(k, NVML_CALL(k->nvml, mig_mode, k->handle, &mode, &pending))) {
        read_processes(k, k->handle);
        return;
    }
    set(k, READING_MIG_MODE, mode);
    set(k, READING_MIG_PENDING, pending);
    if (mode == 0) {
        read_processes(k, k->handle);
        return;
    }
    if (!gave(k, NVML_CALL(k->nvml, mig_max, k->handle, &most))) {
        return;
    }
    for (unsigned i = 0; i < most && k->r->slice_count < SLICES_MAX; i++) {
        nvml_device slice = NULL;
        if (gave(k, NVML_CALL(k->nvml, mig_by_index, k->handle, i, &slice)) && slice) {
            read_slice(k, slice);
        }
    }
}

/* --- --- */

void nvml_attach(const struct nvml *n, uint32_t index, struct nvml_gpu *g)
{
    struct nvml_pci pci;
    memset(&pci, 0, sizeof(pci));
    g->index = index;
    g->handle = NULL;
    g->code = n->by_index(index, &g->handle);
    if (g->code != NVML_SUCCESS) {
        g->handle = NULL;
        return;
    }
    if (NVML_CALL(n, uuid, g->handle, g->uuid, UUID_MAX) != NVML_SUCCESS) {
        g->uuid[0] = '\0';
    }
    if (NVML_CALL(n, name, g->handle, g->name, sizeof(g->name)) != NVML_SUCCESS) {
        g->name[0] = '\0';
    }
    if (NVML_CALL(n, pci, g->handle, &pci) == NVML_SUCCESS) {
        pci.bus_id[sizeof(pci.bus_id) - 1] = '\0';
        (void)bdf_normal(str_from(pci.bus_id), g->bdf);
    }
    g->uuid[UUID_MAX - 1] = '\0';
    g->name[sizeof(g->name) - 1] = '\0';
}

bool nvml_read(const struct nvml *n, const struct nvml_gpu *g, const char *proc_root,
               struct gpu_reading *r)
{
    struct look k = {.nvml = n, .handle = g->handle, .proc_root = proc_root, .r = r};
    reading_clear(r);
    r->index = g->index;
    text_tame(str_from(g->uuid), r->uuid, sizeof(r->uuid));
    text_tame(str_from(g->bdf), r->bdf, sizeof(r->bdf));
    text_tame(str_from(g->name), r->name, sizeof(r->name));
    if (!g->handle) {
        (void)gave(&k, g->code);
        r->is_handle_lost = true;
        r->fault = g->code == NVML_UNKNOWN ? NVML_UNKNOWN : r->fault;
        return !k.must_restart;
    }
    read_heat(&k);
    read_ecc(&k);
    read_rows(&k);
    read_memory(&k);
    read_power(&k);
    read_fields(&k);
    derive_margin(r);
    read_slices(&k);
    return !k.must_restart;
}
