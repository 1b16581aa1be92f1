#include "agent/gpu_metrics.h"

#include <stdio.h>

/* A value of the readings as a metric: value * scale, with one label more or none. */
struct value_row {
    const char *metric;
    const char *label;
    const char *word;
    enum reading_key key;
    double scale;
    bool is_counter;
    const char *help; /* NULL: the same metric as the row before */
};

static const struct value_row VALUES[] = {
    {"fallthrough_gpu_temperature_celsius", "sensor", "gpu", READING_TEMP, 1, false,
     "Temperature of the GPU and of its memory."},
    {"fallthrough_gpu_temperature_celsius", "sensor", "memory", READING_TEMP_MEMORY, 1, false,
     NULL},
    {"fallthrough_gpu_temperature_limit_celsius", "limit", "slowdown", READING_LIMIT_SLOWDOWN,
     1, false, "Temperatures from which the board slows down or switches itself off."},
    {"fallthrough_gpu_temperature_limit_celsius", "limit", "shutdown", READING_LIMIT_SHUTDOWN,
     1, false, NULL},
    {"fallthrough_gpu_temperature_limit_celsius", "limit", "memory", READING_LIMIT_MEMORY, 1,
     false, NULL},
    {"fallthrough_gpu_throttled_seconds_total", "reason", "sw_thermal", READING_NS_SW_THERMAL,
     1e-9, true, "Time for which the GPU was slowed down."},
    {"fallthrough_gpu_throttled_seconds_total", "reason", "hw_thermal", READING_NS_HW_THERMAL,
     1e-9, true, NULL},
    {"fallthrough_gpu_throttled_seconds_total", "reason", "power_brake", READING_NS_POWER_BRAKE,
     1e-9, true, NULL},
    {"fallthrough_gpu_throttled_seconds_total", "reason", "power_cap", READING_NS_POWER_CAP,
     1e-9, true, NULL},
    {"fallthrough_gpu_ecc_errors_total", "kind", "corrected", READING_ECC_CORRECTED, 1, true,
     "Memory errors since the driver was loaded or the GPU reset."},
    {"fallthrough_gpu_ecc_errors_total", "kind", "uncorrected", READING_ECC_UNCORRECTED, 1,
     true, NULL},
    {"fallthrough_gpu_remapped_rows", "kind", "corrected", READING_ROWS_CORRECTED, 1, false,
     "Rows of memory replaced, by what made it needful."},
    {"fallthrough_gpu_remapped_rows", "kind", "uncorrected", READING_ROWS_UNCORRECTED, 1, false,
     NULL},
    {"fallthrough_gpu_remap_pending", NULL, NULL, READING_ROWS_PENDING, 1, false,
     "1 while a row is to be replaced at the next reset."},
    {"fallthrough_gpu_remap_failed", NULL, NULL, READING_ROWS_FAILED, 1, false,
     "1 when a row could not be replaced."},
    {"fallthrough_gpu_recovery_action", NULL, NULL, READING_RECOVERY_ACTION, 1, false,
     "What the driver asks for: 0 nothing, 1 reset, 2 reboot, 3 drain, 4 drain and reset."},
    {"fallthrough_gpu_memory_bytes", "kind", "total", READING_MEMORY_TOTAL, 1, false,
     "Memory of the GPU."},
    {"fallthrough_gpu_memory_bytes", "kind", "used", READING_MEMORY_USED, 1, false, NULL},
    {"fallthrough_gpu_memory_bytes", "kind", "free", READING_MEMORY_FREE, 1, false, NULL},
    {"fallthrough_gpu_memory_bytes", "kind", "reserved", READING_MEMORY_RESERVED, 1, false,
     NULL},
    {"fallthrough_gpu_power_watts", NULL, NULL, READING_POWER_MW, 1e-3, false,
     "What it draws."},
    {"fallthrough_gpu_power_limit_watts", NULL, NULL, READING_POWER_LIMIT_MW, 1e-3, false,
     "What it may draw."},
    {"fallthrough_gpu_energy_joules_total", NULL, NULL, READING_ENERGY_MJ, 1e-3, true,
     "What it has drawn since the driver was loaded."},
    {"fallthrough_gpu_utilization_ratio", "unit", "gpu", READING_UTIL_GPU, 1e-2, false,
     "Share of the last moments in which a kernel ran, or memory was read or written."},
    {"fallthrough_gpu_utilization_ratio", "unit", "memory", READING_UTIL_MEMORY, 1e-2, false,
     NULL},
    {"fallthrough_gpu_pcie_replays_total", NULL, NULL, READING_PCIE_REPLAYS, 1, true,
     "Packets that had to be sent over PCIe again."},
};

struct writer {
    const struct gpu_host *host;
    struct buf *out;
    enum err e; /* the first that failed */
};

static void note(struct writer *w, enum err e)
{
    w->e = w->e == ERR_OK ? e : w->e;
}

static void begin(struct writer *w, const char *name, const char *type, const char *help)
{
    note(w, buf_printf(w->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type));
}

/* Texts are tame (printable ASCII); what the format gives a meaning goes. */
static const char *label_of(const struct gpu *g, char room[UUID_MAX])
{
    const char *from = g->uuid[0] ? g->uuid : g->bdf;
    size_t n = 0;
    for (; from[n] && n < UUID_MAX - 1; n++) {
        room[n] = from[n];
        if (from[n] == '"' || from[n] == '\\') {
            room[n] = '?';
        }
    }
    room[n] = '\0';
    return room;
}

static void put_value(struct writer *w, const struct value_row *row, const struct gpu *g)
{
    char room[UUID_MAX];
    int64_t v = g->reading.v[row->key];
    if (v == READING_NONE) {
        return;
    }
    double shown = (double)v * row->scale;
    if (row->label) {
        note(w, buf_printf(w->out, "%s{gpu=\"%s\",%s=\"%s\"} %.12g\n", row->metric,
                           label_of(g, room), row->label, row->word, shown));
    } else {
        note(w, buf_printf(w->out, "%s{gpu=\"%s\"} %.12g\n", row->metric, label_of(g, room),
                           shown));
    }
}

static void put_values(struct writer *w)
{
    for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        if (VALUES[i].help) {
            begin(w, VALUES[i].metric, VALUES[i].is_counter ? "counter" : "gauge",
                  VALUES[i].help);
        }
        for (size_t g = 0; g < w->host->count; g++) {
            put_value(w, &VALUES[i], w->host->gpus[g]);
        }
    }
}

static void put_states(struct writer *w)
{
    static const char NAME[] = "fallthrough_gpu_state";
    char room[UUID_MAX];
    begin(w, NAME, "gauge", "1 for the state that the GPU is in.");
    for (size_t i = 0; i < w->host->count; i++) {
        struct gpu_verdict v = gpu_judge_verdict(&w->host->gpus[i]->judge);
        for (int s = GPU_HEALTHY; s <= GPU_DOWN; s++) {
            note(w, buf_printf(w->out, "%s{gpu=\"%s\",state=\"%s\"} %d\n", NAME,
                               label_of(w->host->gpus[i], room),
                               gpu_state_name((enum gpu_state)s), (int)v.state == s));
        }
    }
    begin(w, "fallthrough_gpu_ailment", "gauge", "1 for each ailment that the GPU has.");
    for (size_t i = 0; i < w->host->count; i++) {
        for (size_t k = 0; k < AILMENT_COUNT; k++) {
            if (w->host->gpus[i]->judge.ailment[k].is_active) {
                note(w,
                     buf_printf(w->out, "fallthrough_gpu_ailment{gpu=\"%s\",reason=\"%s\"} 1\n",
                                label_of(w->host->gpus[i], room), AILMENT_ROWS[k].word));
            }
        }
    }
}

static void put_xids(struct writer *w)
{
    char room[UUID_MAX];
    begin(w, "fallthrough_gpu_xids_total", "counter", "Xids, by number.");
    for (size_t i = 0; i < w->host->count; i++) {
        const struct xid_log *l = &w->host->gpus[i]->xids;
        for (uint32_t k = 0; k < l->count; k++) {
            note(w,
                 buf_printf(w->out, "fallthrough_gpu_xids_total{gpu=\"%s\",xid=\"%u\"} %llu\n",
                            label_of(w->host->gpus[i], room), l->entry[k].xid,
                            (unsigned long long)l->entry[k].count));
        }
    }
}

static void put_processes(struct writer *w)
{
    char room[UUID_MAX];
    begin(w, "fallthrough_gpu_process_memory_bytes", "gauge", "GPU memory by process.");
    for (size_t i = 0; i < w->host->count; i++) {
        const struct gpu_reading *r = &w->host->gpus[i]->reading;
        /* In MIG mode a process may be listed once for each slice: pids would repeat. */
        bool is_sliced = r->slice_count > 0;
        for (uint32_t k = 0; !is_sliced && k < r->process_listed; k++) {
            if (r->process[k].bytes != READING_NONE) {
                note(w,
                     buf_printf(w->out,
                                "fallthrough_gpu_process_memory_bytes{gpu=\"%s\",pid=\"%u\"} "
                                "%lld\n",
                                label_of(w->host->gpus[i], room), r->process[k].pid,
                                (long long)r->process[k].bytes));
            }
        }
    }
}

static void put_one(struct writer *w, const char *name, const char *type, const char *help,
                    double value)
{
    begin(w, name, type, help);
    note(w, buf_printf(w->out, "%s %.12g\n", name, value));
}

static void put_agent(struct writer *w, const struct gpu_report_source *s, struct moment m)
{
    const struct gpu_host *h = s->host;
    begin(w, "fallthrough_agent_sees", "gauge", "1 for what the agent sees.");
    for (int p = PRESENCE_BLIND; p <= PRESENCE_NVIDIA; p++) {
        note(w, buf_printf(w->out, "fallthrough_agent_sees{gpu=\"%s\"} %d\n",
                           gpu_presence_name((enum gpu_presence)p), (int)h->presence == p));
    }
    put_one(w, "fallthrough_agent_late", "gauge", "1 while the driver does not answer in time.",
            h->is_late ? 1 : 0);
    if (h->read_at_ms > 0) {
        put_one(w, "fallthrough_agent_reading_age_seconds", "gauge",
                "Age of the last whole reading.", (double)(m.mono_ms - h->read_at_ms) / 1000.0);
    }
    put_one(w, "fallthrough_agent_changes_total", "counter", "Changes of what is reported.",
            (double)h->seq);
    put_one(w, "fallthrough_agent_probe_starts_total", "counter",
            "Processes started to look at the GPUs.", (double)s->child.starts);
    put_one(w, "fallthrough_agent_probes_abandoned_total", "counter",
            "Of these, got stuck in the driver and left alone.", (double)s->child.abandoned);
    put_one(w, "fallthrough_agent_kernel_records_total", "counter",
            "Lines of the kernel's log about GPUs.", (double)h->records);
    put_one(w, "fallthrough_agent_kernel_overrun_total", "counter",
            "Times that lines were overwritten before they could be read.",
            (double)s->kernel_overrun);
}

enum err gpu_metrics_write(const struct gpu_report_source *s, struct moment m, struct buf *out)
{
    struct writer w = {.host = s->host, .out = out, .e = ERR_OK};
    put_agent(&w, s, m);
    put_states(&w);
    put_values(&w);
    put_xids(&w);
    put_processes(&w);
    return w.e;
}
