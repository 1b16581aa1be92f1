#include "agent/gpu_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/nvml_abi.h"
#include "base/mem.h"

enum { MISSING_POLLS = 2 };

const char *gpu_presence_name(enum gpu_presence p)
{
    static const char *const names[] = {
        [PRESENCE_BLIND] = "blind", [PRESENCE_NONE] = "none", [PRESENCE_NVIDIA] = "nvidia"};
    return names[p];
}

uint64_t gpu_wall_of(struct moment m, uint64_t mono_ms)
{
    uint64_t ago = m.mono_ms - mono_ms;
    return ago < m.wall_ms ? m.wall_ms - ago : 0;
}

void gpu_host_init(struct gpu_host *h, const struct gpu_policy *policy, struct moment m)
{
    memset(h, 0, sizeof(*h));
    h->policy = policy;
    h->since_ms = m.mono_ms;
    h->word = "starting";
    (void)snprintf(h->presence_why, sizeof(h->presence_why), "no reading yet");
}

void gpu_host_fini(struct gpu_host *h)
{
    for (size_t i = 0; i < h->count; i++) {
        free(h->gpus[i]);
        h->gpus[i] = NULL;
    }
    h->count = 0;
}

static void copy_text(char *to, const char *from, size_t size)
{
    text_tame(str_from(from), to, size);
}

static bool is_same(const char *a, const char *b)
{
    return a[0] != '\0' && strcmp(a, b) == 0;
}

static struct gpu *find_gpu(struct gpu_host *h, const char *uuid, const char *bdf)
{
    for (size_t i = 0; i < h->count; i++) {
        if (is_same(uuid, h->gpus[i]->uuid)) {
            return h->gpus[i];
        }
    }
    for (size_t i = 0; i < h->count; i++) {
        bool may_be = uuid[0] == '\0' || h->gpus[i]->uuid[0] == '\0';
        if (may_be && is_same(bdf, h->gpus[i]->bdf)) {
            return h->gpus[i];
        }
    }
    return NULL;
}

struct gpu *gpu_host_gpu(struct gpu_host *h, const char *uuid, const char *bdf, struct moment m)
{
    struct gpu *g = find_gpu(h, uuid, bdf);
    if (!g && h->count < GPUS_MAX && (uuid[0] != '\0' || bdf[0] != '\0')) {
        g = mem_alloc(sizeof(*g));
        h->gpus[h->count++] = g;
        g->index = UINT32_MAX;
        reading_clear(&g->reading);
        gpu_judge_init(&g->judge, h->policy, m.mono_ms);
    }
    if (g && uuid[0] != '\0' && g->uuid[0] == '\0') {
        copy_text(g->uuid, uuid, sizeof(g->uuid));
    }
    if (g && bdf[0] != '\0' && !is_same(bdf, g->bdf)) {
        copy_text(g->bdf, bdf, sizeof(g->bdf));
    }
    return g;
}

static void set_presence(struct gpu_host *h, enum gpu_presence p, const char *why)
{
    h->presence = p;
    copy_text(h->presence_why, why, sizeof(h->presence_why));
}

void gpu_host_blind(struct gpu_host *h, const char *why, struct moment m)
{
    (void)m;
    if (h->presence == PRESENCE_NVIDIA) {
        set_presence(h, PRESENCE_BLIND, why);
    }
}

void gpu_host_hello(struct gpu_host *h, const struct gpu_hello *hello, struct moment m)
{
    (void)m;
    copy_text(h->driver, hello->driver, sizeof(h->driver));
    h->has_events = hello->has_events;
    if (hello->init == NVML_SUCCESS && hello->count > 0) {
        set_presence(h, PRESENCE_NVIDIA, "");
    } else if (hello->has_device || h->count > 0) {
        set_presence(h, PRESENCE_BLIND, hello->why[0] ? hello->why : "NVML lists no GPU");
    } else {
        set_presence(h, PRESENCE_NONE, hello->why);
    }
}

/* What a GPU is called of which nothing is known but NVML's index. */
static void name_by_index(uint32_t index, char out[UUID_MAX])
{
    (void)snprintf(out, UUID_MAX, "index-%u", index);
}

/* It has told its name: what was noted under its index goes. */
static void forget_index(struct gpu_host *h, uint32_t index)
{
    char name[UUID_MAX];
    name_by_index(index, name);
    for (size_t i = 0; i < h->count; i++) {
        if (strcmp(h->gpus[i]->uuid, name) == 0) {
            free(h->gpus[i]);
            h->gpus[i] = h->gpus[--h->count];
            return;
        }
    }
}

static struct gpu *gpu_of_reading(struct gpu_host *h, const struct gpu_reading *r,
                                  struct moment m)
{
    char name[UUID_MAX];
    if (r->uuid[0] != '\0' || r->bdf[0] != '\0') {
        forget_index(h, r->index);
        return gpu_host_gpu(h, r->uuid, r->bdf, m);
    }
    name_by_index(r->index, name);
    return gpu_host_gpu(h, name, "", m);
}

void gpu_host_reading(struct gpu_host *h, const struct gpu_reading *r, struct moment m)
{
    struct gpu *g = gpu_of_reading(h, r, m);
    if (!g) {
        return;
    }
    g->index = r->index;
    g->was_read = true;
    g->missing_polls = 0;
    if (r->name[0] != '\0') {
        copy_text(g->name, r->name, sizeof(g->name));
    }
    g->reading = *r;
    g->has_reading = true;
    int64_t ecc_before = g->judge.ecc_seen;
    gpu_judge_reading(&g->judge, r, m.mono_ms);
    h->is_dirty = h->is_dirty || g->judge.ecc_seen != ecc_before;
}

void gpu_host_done(struct gpu_host *h, uint64_t took_ms, struct moment m)
{
    bool is_on_time = took_ms < h->policy->late_after_ms;
    h->read_at_ms = m.mono_ms;
    h->on_time = is_on_time ? h->on_time + 1 : 0;
    if (h->on_time >= h->policy->on_time) {
        h->is_late = false;
    } else if (!is_on_time) {
        h->is_late = true;
    }
    for (size_t i = 0; i < h->count; i++) {
        struct gpu *g = h->gpus[i];
        gpu_judge_on_time(&g->judge, h->on_time, m.mono_ms);
        g->missing_polls = g->was_read ? 0 : g->missing_polls + 1;
        g->was_read = false;
        if (g->missing_polls >= MISSING_POLLS && g->has_reading) {
            gpu_judge_enter(&g->judge, AILMENT_LOST, "NVML does not list it any more",
                            m.mono_ms);
        }
    }
}

void gpu_host_late(struct gpu_host *h, uint64_t waited_ms, struct moment m)
{
    if (waited_ms < h->policy->late_after_ms) {
        return;
    }
    h->is_late = true;
    h->on_time = 0;
    for (size_t i = 0; i < h->count; i++) {
        gpu_judge_late(&h->gpus[i]->judge, waited_ms, m.mono_ms);
    }
}

/* --- Xids --- */

/* True when it is known that the process has no memory on this GPU. */
static bool is_foreign(const struct gpu *g, int64_t pid)
{
    const struct gpu_reading *r = &g->reading;
    if (pid < 0 || !g->has_reading || !r->has_processes ||
        r->process_listed != r->process_count) {
        return false;
    }
    for (uint32_t i = 0; i < r->process_listed; i++) {
        if ((int64_t)r->process[i].pid == pid) {
            return false;
        }
    }
    return true;
}

static void add_xid(struct gpu_host *h, struct gpu *g, const struct xid_event *e,
                    struct moment m)
{
    struct xid_entry *entry = NULL;
    bool is_new = xid_log_add(&g->xids, e, h->policy->dedupe_ms, m.mono_ms, &entry);
    bool foreign = is_foreign(g, e->pid);
    entry->is_foreign = e->pid >= 0 ? foreign : entry->is_foreign;
    gpu_judge_xid(&g->judge, e, is_new, foreign, m.mono_ms);
    h->is_dirty = true;
}

static int64_t number_or_none(uint32_t n)
{
    return n == UINT32_MAX ? -1 : (int64_t)n;
}

void gpu_host_event(struct gpu_host *h, const struct gpu_event *e, struct moment m)
{
    struct gpu *g = gpu_host_gpu(h, e->uuid, e->bdf, m);
    if (!g) {
        return;
    }
    if (e->type == NVML_EVENT_XID) {
        struct xid_event x = {.xid = e->data <= UINT32_MAX ? (uint32_t)e->data : UINT32_MAX,
                              .source = XID_FROM_NVML,
                              .pid = -1,
                              .instance = number_or_none(e->instance),
                              .compute = number_or_none(e->compute),
                              .action = -1,
                              .text = "",
                              .wall_ms = m.wall_ms};
        add_xid(h, g, &x, m);
    } else if (e->type == NVML_EVENT_UNAVAILABLE) {
        gpu_judge_enter(&g->judge, AILMENT_RESET, "NVML: the GPU has become unavailable",
                        m.mono_ms);
    }
}

static void record_xid(struct gpu_host *h, const struct kernel_record *r, uint64_t wall_ms,
                       bool is_history, struct moment m)
{
    struct gpu *g = gpu_host_gpu(h, "", r->bdf, m);
    if (!g) {
        return;
    }
    struct xid_event e = {.xid = r->xid,
                          .source = XID_FROM_KERNEL,
                          .pid = r->pid,
                          .instance = r->instance,
                          .compute = r->compute,
                          .action = r->action,
                          .is_fatal = r->is_fatal,
                          .is_history = is_history,
                          .text = r->text,
                          .wall_ms = wall_ms};
    add_xid(h, g, &e, m);
}

static void record_all(struct gpu_host *h, const struct kernel_record *r, bool is_history,
                       struct moment m)
{
    for (size_t i = 0; i < h->count; i++) {
        struct gpu_judge *j = &h->gpus[i]->judge;
        if (r->kind == KERNEL_SWITCH && r->is_fatal) {
            gpu_judge_enter(j, AILMENT_SWITCH, r->text, m.mono_ms);
        } else if (r->kind == KERNEL_GSP && !is_history) {
            gpu_judge_gsp(j, m.mono_ms);
        }
    }
}

void gpu_host_record(struct gpu_host *h, const struct kernel_record *r, uint64_t wall_ms,
                     bool is_history, struct moment m)
{
    struct gpu *g = NULL;
    h->kernel_seq = r->seq > h->kernel_seq ? r->seq : h->kernel_seq;
    h->records += r->kind != KERNEL_OTHER;
    switch (r->kind) {
    case KERNEL_OTHER:
        break;
    case KERNEL_XID:
        record_xid(h, r, wall_ms, is_history, m);
        break;
    case KERNEL_LOST:
        g = gpu_host_gpu(h, "", r->bdf, m);
        if (g) {
            gpu_judge_enter(&g->judge, AILMENT_LOST, r->text, m.mono_ms);
        }
        break;
    case KERNEL_IDENTITY:
        (void)gpu_host_gpu(h, r->uuid, r->bdf, m);
        break;
    case KERNEL_GSP:
    case KERNEL_SWITCH:
        record_all(h, r, is_history, m);
        break;
    }
}

/* --- the whole --- */

void gpu_host_tick(struct gpu_host *h, struct moment m)
{
    for (size_t i = 0; i < h->count; i++) {
        gpu_judge_tick(&h->gpus[i]->judge, m.mono_ms);
    }
}

bool gpu_host_clear(struct gpu_host *h, struct str which, struct moment m)
{
    bool found = false;
    for (size_t i = 0; i < h->count; i++) {
        struct gpu *g = h->gpus[i];
        if (str_eq(which, STR("all")) || str_eq(which, str_from(g->uuid)) ||
            str_eq(which, str_from(g->bdf))) {
            (void)gpu_judge_clear(&g->judge, m.mono_ms);
            found = which.len > 0;
        }
    }
    h->is_dirty = h->is_dirty || found;
    return found;
}

static uint64_t mix(uint64_t print, uint64_t value)
{
    return (print ^ value) * 1099511628211u;
}

/* Two of the same are the same to whoever acts on it. */
static uint64_t fingerprint(const struct gpu_host *h)
{
    uint64_t print = mix(14695981039346656037u, (uint64_t)h->presence * 2 + h->is_late);
    for (size_t i = 0; i < h->count; i++) {
        struct gpu_verdict v = gpu_judge_verdict(&h->gpus[i]->judge);
        print = mix(print, str_hash(str_from(h->gpus[i]->uuid)));
        print = mix(print, (uint64_t)v.reason << 8 | (uint64_t)v.advice);
    }
    return print;
}

static void sum_up(struct gpu_host *h, struct moment m)
{
    enum gpu_state worst = GPU_HEALTHY;
    h->word = h->presence == PRESENCE_NONE    ? "no_gpu"
              : h->presence == PRESENCE_BLIND ? "blind"
                                              : "ok";
    copy_text(h->why, h->presence_why, sizeof(h->why));
    for (size_t i = 0; i < h->count; i++) {
        struct gpu_verdict v = gpu_judge_verdict(&h->gpus[i]->judge);
        if (v.state > worst) {
            worst = v.state;
            h->word = v.word;
            copy_text(h->why, v.why, sizeof(h->why));
        }
    }
    if (worst != h->state) {
        h->state = worst;
        h->since_ms = m.mono_ms;
    }
}

bool gpu_host_publish(struct gpu_host *h, struct moment m)
{
    uint64_t print = fingerprint(h);
    sum_up(h, m);
    if (print == h->print && h->seq > 0) {
        return false;
    }
    h->print = print;
    h->seq++;
    h->is_dirty = true;
    return true;
}
