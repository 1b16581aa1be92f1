#include "agent/gpu_report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/gpu_judge_private.h"
#include "base/check.h"
#include "base/clock.h"

static void put(json_t *object, const char *key, json_t *value)
{
    CHECK(json_object_set_new(object, key, value) == 0);
}

static void push(json_t *array, json_t *value)
{
    CHECK(json_array_append_new(array, value) == 0);
}

/* All texts are printable ASCII by now. */
static json_t *text(const char *s)
{
    json_t *v = json_string(s);
    return v ? v : json_string("?");
}

static json_t *text_or_null(const char *s)
{
    return s[0] != '\0' ? text(s) : json_null();
}

static json_t *whole(uint64_t n)
{
    return json_integer((json_int_t)(n <= INT64_MAX ? n : INT64_MAX));
}

static json_t *value(int64_t n)
{
    return n == READING_NONE ? json_null() : json_integer((json_int_t)n);
}

static json_t *age(struct moment m, uint64_t at_ms)
{
    return whole(m.mono_ms > at_ms ? m.mono_ms - at_ms : 0);
}

static json_t *date(uint64_t wall_ms)
{
    char out[25];
    clock_format(wall_ms, out);
    return json_string(out);
}

/* --- one GPU --- */

/* The table's values, each in the object of its group. */
static void put_values(json_t *gpu, const struct gpu_reading *r)
{
    for (size_t i = 0; i < READING_COUNT; i++) {
        json_t *group = json_object_get(gpu, READING_ROWS[i].group);
        if (!group) {
            group = json_object();
            put(gpu, READING_ROWS[i].group, group);
        }
        put(group, READING_ROWS[i].name, value(r->v[i]));
    }
}

static void put_shares(json_t *gpu, const struct gpu_judge *j)
{
    static const char *const names[] = {[SHARE_SW] = "sw_thermal",
                                        [SHARE_HW] = "hw_thermal",
                                        [SHARE_BRAKE] = "power_brake",
                                        [SHARE_CAP] = "power_cap"};
    json_t *shares = json_object();
    for (size_t i = 0; i < 4; i++) {
        int64_t share = j->share_per_10k[i];
        put(shares, names[i],
            share == READING_NONE ? json_null() : json_real((double)share / 10000.0));
    }
    put(json_object_get(gpu, "throttle"), "shares", shares);
}

static void put_processes(json_t *gpu, const struct gpu_reading *r)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < r->process_listed; i++) {
        json_t *o = json_object();
        put(o, "pid", whole(r->process[i].pid));
        put(o, "name", text(r->process[i].name));
        put(o, "bytes", value(r->process[i].bytes));
        push(all, o);
    }
    json_t *memory = json_object_get(gpu, "memory");
    put(memory, "processes", r->has_processes ? all : json_null());
    put(memory, "process_count", whole(r->process_count));
    if (!r->has_processes) {
        json_decref(all);
    }
}

static void put_slices(json_t *gpu, const struct gpu_reading *r)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < r->slice_count; i++) {
        json_t *o = json_object();
        put(o, "uuid", text(r->slice[i].uuid));
        put(o, "gpu_instance", value(r->slice[i].instance));
        put(o, "compute_instance", value(r->slice[i].compute));
        put(o, "total_bytes", value(r->slice[i].total_bytes));
        put(o, "used_bytes", value(r->slice[i].used_bytes));
        push(all, o);
    }
    put(json_object_get(gpu, "mig"), "slices", all);
}

static json_t *number_or_null(int64_t n)
{
    return n < 0 ? json_null() : json_integer((json_int_t)n);
}

static json_t *xid_list(const struct gpu *g)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < g->xids.count; i++) {
        const struct xid_entry *x = &g->xids.entry[i];
        json_t *o = json_object();
        put(o, "xid", whole(x->xid));
        put(o, "count", whole(x->count));
        put(o, "first", date(x->first_wall_ms));
        put(o, "last", date(x->last_wall_ms));
        put(o, "class",
            json_string(xid_class_name(xid_class_of(&g->judge.policy->xids, x->xid))));
        put(o, "action", json_string(xid_action_name(xid_action_of(x->xid))));
        put(o, "pid", number_or_null(x->pid));
        put(o, "foreign", json_boolean(x->is_foreign));
        put(o, "gpu_instance", number_or_null(x->instance));
        put(o, "compute_instance", number_or_null(x->compute));
        put(o, "text", text(x->text));
        push(all, o);
    }
    return all;
}

static json_t *ailment_list(const struct gpu_judge *j, struct moment m)
{
    json_t *all = json_array();
    for (size_t i = 0; i < AILMENT_COUNT; i++) {
        const struct ailment *a = &j->ailment[i];
        if (!a->is_active) {
            continue;
        }
        json_t *o = json_object();
        put(o, "reason", json_string(AILMENT_ROWS[i].word));
        put(o, "state", json_string(gpu_state_name(AILMENT_ROWS[i].state)));
        put(o, "since", date(gpu_wall_of(m, a->since_ms)));
        put(o, "why", text(a->why));
        push(all, o);
    }
    return all;
}

static json_t *gpu_object(const struct gpu *g, struct moment m)
{
    struct gpu_verdict v = gpu_judge_verdict(&g->judge);
    json_t *o = json_object();
    put(o, "index", g->index == UINT32_MAX ? json_null() : whole(g->index));
    put(o, "uuid", text_or_null(g->uuid));
    put(o, "name", text_or_null(g->name));
    put(o, "bdf", text_or_null(g->bdf));
    put(o, "state", json_string(gpu_state_name(v.state)));
    put(o, "reason", json_string(v.word));
    put(o, "why", text(v.why));
    put(o, "advice", json_string(gpu_advice_name(v.advice)));
    put(o, "since", date(gpu_wall_of(m, v.since_ms)));
    put(o, "age_ms", g->has_reading ? age(m, g->reading.at_ms) : json_null());
    put(o, "ailments", ailment_list(&g->judge, m));
    put_values(o, &g->reading);
    put_shares(o, &g->judge);
    put_processes(o, &g->reading);
    put_slices(o, &g->reading);
    json_t *recovery = json_object_get(o, "recovery");
    put(o, "recovery_action", json_incref(json_object_get(recovery, "action")));
    CHECK(json_object_del(o, "recovery") == 0);
    put(o, "xids", xid_list(g));
    return o;
}

/* --- the whole --- */

static json_t *agent_object(const struct gpu_report_source *s)
{
    json_t *o = json_object();
    put(o, "probe_pid", s->child.pid > 0 ? whole((uint64_t)s->child.pid) : json_null());
    put(o, "probe_starts", whole(s->child.starts));
    put(o, "probes_abandoned", whole(s->child.abandoned));
    put(o, "probe_stuck", json_boolean(s->child.is_stuck));
    put(o, "polls", whole(s->polls));
    put(o, "nvml_events", json_boolean(s->host->has_events));
    put(o, "kernel_log", json_boolean(s->has_kernel_log));
    put(o, "kernel_records", whole(s->host->records));
    put(o, "kernel_overrun", whole(s->kernel_overrun));
    put(o, "version", json_string(FALLTHROUGH_VERSION));
    return o;
}

struct str gpu_report_json(const struct gpu_report_source *s, struct moment m, struct arena *a)
{
    const struct gpu_host *h = s->host;
    json_t *o = json_object();
    json_t *gpus = json_array();
    put(o, "gpu", json_string(gpu_presence_name(h->presence)));
    put(o, "state", json_string(gpu_state_name(h->state)));
    put(o, "reason", json_string(h->word));
    put(o, "why", text(h->why));
    put(o, "since", date(gpu_wall_of(m, h->since_ms)));
    put(o, "seq", whole(h->seq));
    put(o, "age_ms", h->read_at_ms > 0 ? age(m, h->read_at_ms) : json_null());
    put(o, "late", json_boolean(h->is_late));
    put(o, "boot_id", json_stringn(str_chars(s->boot_id), s->boot_id.len));
    put(o, "driver", text_or_null(h->driver));
    for (size_t i = 0; i < h->count; i++) {
        push(gpus, gpu_object(h->gpus[i], m));
    }
    put(o, "gpus", gpus);
    put(o, "agent", agent_object(s));
    char *out = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(4));
    CHECK(out != NULL);
    struct str kept = arena_dup(a, str_from(out));
    free(out);
    json_decref(o);
    return kept;
}
