#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A libnvidia-ml for tests, written after nvml.h and not after src/agent/nvml_abi.h. At every
 * call it reads the file that $FAKE_NVML names, lines of key=value, so that a test changes what
 * a running agent sees by renaming a new file over it:
 *
 *     count=2                          temp=83              gpu1.temp=91
 *     nvmlDeviceGetTemperature.ret=15  ret=3                gpu1.nvmlDeviceGetUUID.ret=999
 *     nvmlInit_v2.hang=1               nvmlDeviceGetMemoryInfo.delay_ms=7000
 *     field230=1                       gpu0.pids=1234:1000,77:5      xids=0:79,0:48
 *
 * `xids` are GPU:XID pairs that nvmlEventSetWait_v2 gives out, each once, when `xid_seq` has a
 * value that it has not seen yet. -DFAKE_OLD leaves out what an old driver has not.
 */

typedef int R;
typedef struct nvmlDevice_st *D;
typedef struct nvmlEventSet_st *S;

enum { TEXT_MAX = 16384, GPUS = 32, SLICES = 8 };

static struct nvmlDevice_st {
    int gpu;
    int slice; /* -1: the GPU itself */
} devices[GPUS][SLICES + 1];
static struct nvmlEventSet_st {
    long long seen;
    int given;
} events;

static const char *read_state(void)
{
    static _Thread_local char text[TEXT_MAX];
    const char *path = getenv("FAKE_NVML");
    FILE *f = path ? fopen(path, "r") : NULL;
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f) {
        (void)fclose(f);
    }
    text[n] = '\0';
    return text;
}

/* The text after "key=" at the start of a line, up to its end; false when there is none. */
static bool find(const char *key, char *out, size_t size)
{
    const char *line = read_state();
    size_t len = strlen(key);
    while (*line) {
        const char *end = strchr(line, '\n');
        size_t line_len = end ? (size_t)(end - line) : strlen(line);
        if (strncmp(line, key, len) == 0 && line[len] == '=') {
            size_t n = line_len - len - 1;
            n = n < size ? n : size - 1;
            memcpy(out, line + len + 1, n);
            out[n] = '\0';
            return true;
        }
        line += line_len + (end ? 1 : 0);
    }
    return false;
}

static bool find_number(const char *key, long long *out)
{
    char text[64];
    if (!find(key, text, sizeof(text))) {
        return false;
    }
    *out = strtoll(text, NULL, 0);
    return true;
}

static bool gpu_number(D d, const char *key, long long *out)
{
    char name[192];
    (void)snprintf(name, sizeof(name), "gpu%d.%s", d ? d->gpu : 0, key);
    return (d && find_number(name, out)) || find_number(key, out);
}

static long long number(D d, const char *key, long long otherwise)
{
    long long v = otherwise;
    return gpu_number(d, key, &v) ? v : otherwise;
}

/* What is to happen before the answer, and its code. */
static R pre(D d, const char *function)
{
    char key[160];
    (void)snprintf(key, sizeof(key), "%s.hang", function);
    while (number(d, key, 0)) {
        (void)usleep(20 * 1000); /* until the file says otherwise */
    }
    (void)snprintf(key, sizeof(key), "%s.delay_ms", function);
    (void)usleep((unsigned)(1000 * number(d, key, 0)));
    (void)snprintf(key, sizeof(key), "%s.ret", function);
    return (R)number(d, key, number(d, "ret", 0));
}

#define PRE(d)              \
    R r = pre(d, __func__); \
    if (r != 0) {           \
        return r;           \
    }

R nvmlInit_v2(void);
R nvmlInit_v2(void)
{
    PRE(NULL)
    return 0;
}

R nvmlShutdown(void);
R nvmlShutdown(void)
{
    return 0;
}

const char *nvmlErrorString(R code);
const char *nvmlErrorString(R code)
{
    return code == 888 ? "The GPU requires reset" : "an error";
}

R nvmlSystemGetDriverVersion(char *out, unsigned size);
R nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    PRE(NULL)
    (void)snprintf(out, size, "550.54.15");
    return 0;
}

R nvmlDeviceGetCount_v2(unsigned *n);
R nvmlDeviceGetCount_v2(unsigned *n)
{
    PRE(NULL)
    *n = (unsigned)number(NULL, "count", 1);
    return 0;
}

R nvmlDeviceGetHandleByIndex_v2(unsigned i, D *out);
R nvmlDeviceGetHandleByIndex_v2(unsigned i, D *out)
{
    if (i >= GPUS) {
        return 2;
    }
    devices[i][SLICES] = (struct nvmlDevice_st){.gpu = (int)i, .slice = -1};
    PRE(&devices[i][SLICES])
    *out = &devices[i][SLICES];
    return 0;
}

struct pci {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
};
R nvmlDeviceGetPciInfo_v3(D d, struct pci *p);
R nvmlDeviceGetPciInfo_v3(D d, struct pci *p)
{
    PRE(d)
    p->bus = 0x18u + (unsigned)d->gpu;
    (void)snprintf(p->bus_id, sizeof(p->bus_id), "00000000:%02X:00.0", p->bus);
    return 0;
}

R nvmlDeviceGetUUID(D d, char *out, unsigned size);
R nvmlDeviceGetUUID(D d, char *out, unsigned size)
{
    PRE(d)
    if (d->slice >= 0) {
        (void)snprintf(out, size, "MIG-00000000-0000-0000-0000-%06d%06d", d->gpu, d->slice);
    } else {
        (void)snprintf(out, size, "GPU-00000000-0000-0000-0000-%012d", d->gpu);
    }
    return 0;
}

R nvmlDeviceGetName(D d, char *out, unsigned size);
R nvmlDeviceGetName(D d, char *out, unsigned size)
{
    char name[96];
    PRE(d)
    (void)snprintf(out, size, "%s", find("name", name, sizeof(name)) ? name : "Fake H100");
    return 0;
}

static R answer_temperature(D d, unsigned *out)
{
    *out = (unsigned)number(d, "temp", 50);
    return 0;
}

R nvmlDeviceGetTemperature(D d, int sensor, unsigned *out);
R nvmlDeviceGetTemperature(D d, int sensor, unsigned *out)
{
    PRE(d)
    return sensor == 0 ? answer_temperature(d, out) : 2;
}

R nvmlDeviceGetTemperatureThreshold(D d, int kind, unsigned *out);
R nvmlDeviceGetTemperatureThreshold(D d, int kind, unsigned *out)
{
    static const unsigned limits[] = {95, 90, 105, 87};
    PRE(d)
    if (kind < 0 || kind > 3) {
        return 2;
    }
    *out = limits[kind];
    return 0;
}

#ifndef FAKE_OLD
R nvmlDeviceGetTemperatureV(D d, unsigned *t);
R nvmlDeviceGetTemperatureV(D d, unsigned *t)
{
    PRE(d)
    return t[0] == 0x0100000c ? answer_temperature(d, &t[2]) : 25;
}

R nvmlDeviceGetMarginTemperature(D d, int *m);
R nvmlDeviceGetMarginTemperature(D d, int *m)
{
    PRE(d)
    m[1] = (int)number(d, "margin", 0);
    return m[0] == 0x01000008 ? 0 : 25;
}

R nvmlDeviceGetCurrentClocksEventReasons(D d, unsigned long long *out);
R nvmlDeviceGetCurrentClocksEventReasons(D d, unsigned long long *out)
{
    PRE(d)
    *out = (unsigned long long)number(d, "throttle", 0);
    return 0;
}

R nvmlDeviceGetMemoryInfo_v2(D d, void *out);
R nvmlDeviceGetMemoryInfo_v2(D d, void *out)
{
    struct {
        unsigned version;
        unsigned long long total, reserved, free, used;
    } m;
    PRE(d)
    memcpy(&m, out, sizeof(m));
    if (m.version != 0x02000028) {
        return 25;
    }
    m.total = (unsigned long long)number(d, "memory_total", 80LL << 30);
    m.reserved = 1 << 20;
    m.used = (unsigned long long)number(d, "memory_used", 1LL << 30);
    m.free = m.total - m.used - m.reserved;
    memcpy(out, &m, sizeof(m));
    return 0;
}

R nvmlDeviceGetMigMode(D d, unsigned *current, unsigned *pending);
R nvmlDeviceGetMigMode(D d, unsigned *current, unsigned *pending)
{
    PRE(d)
    *current = *pending = (unsigned)number(d, "mig", 0);
    return 0;
}

R nvmlDeviceGetMaxMigDeviceCount(D d, unsigned *n);
R nvmlDeviceGetMaxMigDeviceCount(D d, unsigned *n)
{
    PRE(d)
    *n = 7;
    return 0;
}

/* Slices 0 and 2, with a hole between them. */
R nvmlDeviceGetMigDeviceHandleByIndex(D d, unsigned i, D *out);
R nvmlDeviceGetMigDeviceHandleByIndex(D d, unsigned i, D *out)
{
    PRE(d)
    if (i != 0 && i != 2) {
        return 6;
    }
    devices[d->gpu][i] = (struct nvmlDevice_st){.gpu = d->gpu, .slice = (int)i};
    *out = &devices[d->gpu][i];
    return 0;
}

R nvmlDeviceGetGpuInstanceId(D d, unsigned *out);
R nvmlDeviceGetGpuInstanceId(D d, unsigned *out)
{
    PRE(d)
    *out = (unsigned)d->slice + 5;
    return 0;
}

R nvmlDeviceGetComputeInstanceId(D d, unsigned *out);
R nvmlDeviceGetComputeInstanceId(D d, unsigned *out)
{
    PRE(d)
    *out = 1;
    return 0;
}
#else
R nvmlDeviceGetCurrentClocksThrottleReasons(D d, unsigned long long *out);
R nvmlDeviceGetCurrentClocksThrottleReasons(D d, unsigned long long *out)
{
    PRE(d)
    *out = (unsigned long long)number(d, "throttle", 0);
    return 0;
}
#endif

R nvmlDeviceGetMemoryInfo(D d, unsigned long long *m);
R nvmlDeviceGetMemoryInfo(D d, unsigned long long *m)
{
    PRE(d)
    m[0] = (unsigned long long)number(d, "memory_total", 80LL << 30);
    m[2] = (unsigned long long)number(d, "memory_used", 1LL << 30);
    m[1] = m[0] - m[2];
    return 0;
}

R nvmlDeviceGetEccMode(D d, int *current, int *pending);
R nvmlDeviceGetEccMode(D d, int *current, int *pending)
{
    PRE(d)
    *current = *pending = 1;
    return 0;
}

R nvmlDeviceGetTotalEccErrors(D d, int type, int counter, unsigned long long *out);
R nvmlDeviceGetTotalEccErrors(D d, int type, int counter, unsigned long long *out)
{
    PRE(d)
    (void)counter;
    *out = (unsigned long long)number(d, type == 1 ? "ecc_uncorrected" : "ecc_corrected", 0);
    return 0;
}

R nvmlDeviceGetRemappedRows(D d, unsigned *c, unsigned *u, unsigned *pending, unsigned *failed);
R nvmlDeviceGetRemappedRows(D d, unsigned *c, unsigned *u, unsigned *pending, unsigned *failed)
{
    PRE(d)
    *c = (unsigned)number(d, "rows_corrected", 0);
    *u = (unsigned)number(d, "rows_uncorrected", 0);
    *pending = (unsigned)number(d, "rows_pending", 0);
    *failed = (unsigned)number(d, "rows_failed", 0);
    return 0;
}

R nvmlDeviceGetUtilizationRates(D d, unsigned *u);
R nvmlDeviceGetUtilizationRates(D d, unsigned *u)
{
    PRE(d)
    if (number(d, "mig", 0)) {
        return 3;
    }
    u[0] = (unsigned)number(d, "util", 90);
    u[1] = 40;
    return 0;
}

R nvmlDeviceGetPowerUsage(D d, unsigned *mw);
R nvmlDeviceGetPowerUsage(D d, unsigned *mw)
{
    PRE(d)
    *mw = (unsigned)number(d, "power", 350500);
    return 0;
}

R nvmlDeviceGetEnforcedPowerLimit(D d, unsigned *mw);
R nvmlDeviceGetEnforcedPowerLimit(D d, unsigned *mw)
{
    PRE(d)
    *mw = 700000;
    return 0;
}

R nvmlDeviceGetTotalEnergyConsumption(D d, unsigned long long *mj);
R nvmlDeviceGetTotalEnergyConsumption(D d, unsigned long long *mj)
{
    PRE(d)
    *mj = (unsigned long long)number(d, "energy", 1000000);
    return 0;
}

struct process {
    unsigned pid;
    unsigned long long used;
    unsigned gi, ci;
};

/* pids=PID:BYTES,PID:BYTES */
static unsigned list_processes(D d, struct process *out, unsigned room)
{
    char key[32];
    char text[512];
    unsigned n = 0;
    (void)snprintf(key, sizeof(key), "gpu%d.pids", d->gpu);
    if (d->slice > 0 || (!find(key, text, sizeof(text)) && !find("pids", text, sizeof(text)))) {
        return 0;
    }
    char *rest = text;
    char *one = strsep(&rest, ",");
    while (one) {
        char *bytes = strchr(one, ':');
        if (n < room) {
            out[n] = (struct process){.pid = (unsigned)strtoul(one, NULL, 10),
                                      .used = bytes ? strtoull(bytes + 1, NULL, 10) : ~0ull,
                                      .gi = ~0u,
                                      .ci = ~0u};
        }
        n++;
        one = strsep(&rest, ",");
    }
    return n;
}

R nvmlDeviceGetComputeRunningProcesses_v3(D d, unsigned *n, struct process *out);
R nvmlDeviceGetComputeRunningProcesses_v3(D d, unsigned *n, struct process *out)
{
    PRE(d)
    unsigned room = *n;
    *n = list_processes(d, out, room);
    return *n > room ? 7 : 0;
}

struct field {
    unsigned id, scope;
    long long timestamp, latency;
    int type;
    R code;
    union {
        unsigned u;
        unsigned long long ull;
        long long ll;
        int i;
    } value;
};

R nvmlDeviceGetFieldValues(D d, int n, struct field *f);
R nvmlDeviceGetFieldValues(D d, int n, struct field *f)
{
    PRE(d)
    for (int i = 0; i < n; i++) {
        char key[32];
        long long v = 0;
        (void)snprintf(key, sizeof(key), "field%u", f[i].id);
        f[i].code = gpu_number(d, key, &v) ? 0 : 3;
        f[i].type = v < 0 ? 4 : f[i].id >= 269 ? 3 : 1;
        f[i].value.ull = 0;
        if (f[i].type == 1) {
            f[i].value.u = (unsigned)v;
        } else {
            f[i].value.ll = v;
        }
    }
    return 0;
}

/* --- events --- */

struct event {
    D device;
    unsigned long long type, data;
    unsigned gi, ci;
};

R nvmlEventSetCreate(S *out);
R nvmlEventSetCreate(S *out)
{
    PRE(NULL)
    events.seen = number(NULL, "xid_seq", 0);
    *out = &events;
    return 0;
}

R nvmlEventSetFree(S s);
R nvmlEventSetFree(S s)
{
    (void)s;
    return 0;
}

R nvmlDeviceGetSupportedEventTypes(D d, unsigned long long *out);
R nvmlDeviceGetSupportedEventTypes(D d, unsigned long long *out)
{
    PRE(d)
    *out = 0x1b;
    return 0;
}

R nvmlDeviceRegisterEvents(D d, unsigned long long mask, S s);
R nvmlDeviceRegisterEvents(D d, unsigned long long mask, S s)
{
    PRE(d)
    (void)s;
    return (mask & ~0x1bull) != 0 ? 3 : 0; /* an unsupported bit registers nothing */
}

/* The given'th of "0:79,1:48" into *e; false when there are no more. */
static bool nth_xid(int given, struct event *e)
{
    char text[256];
    char *rest = text;
    if (!find("xids", text, sizeof(text))) {
        return false;
    }
    char *one = strsep(&rest, ",");
    for (int i = 0; one && i < given; i++) {
        one = strsep(&rest, ",");
    }
    const char *xid = one ? strchr(one, ':') : NULL;
    long gpu = one ? strtol(one, NULL, 10) : 0;
    if (!xid || gpu < 0 || gpu >= GPUS) {
        return false;
    }
    *e = (struct event){.device = &devices[gpu][SLICES],
                        .type = 8,
                        .data = strtoull(xid + 1, NULL, 10),
                        .gi = (unsigned)number(NULL, "xid_gi", -1),
                        .ci = (unsigned)number(NULL, "xid_ci", -1)};
    return true;
}

R nvmlEventSetWait_v2(S s, struct event *e, unsigned timeout_ms);
R nvmlEventSetWait_v2(S s, struct event *e, unsigned timeout_ms)
{
    PRE(NULL)
    for (unsigned waited = 0;; waited += 20) {
        long long seq = number(NULL, "xid_seq", 0);
        if (seq != s->seen && nth_xid(s->given, e)) {
            s->given++;
            return 0;
        }
        if (seq != s->seen) {
            s->seen = seq;
            s->given = 0;
        }
        if (waited >= timeout_ms) {
            return 10;
        }
        (void)usleep(20 * 1000);
    }
}
