#include "guard/incident.h"

#include <sys/wait.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "wire/json.h"

enum { JSON_MAX = 4 * 1024 * 1024, TIME_SIZE = 25 };

static void put(struct buf *b, struct str s)
{
    CHECK(buf_append(b, s) == ERR_OK); /* everything in it is bounded */
}

static void put_key(struct buf *b, const char *key)
{
    if (buf_str(b).ptr[buf_len(b) - 1] != '{') {
        put(b, STR(","));
    }
    put(b, STR("\""));
    put(b, str_from(key));
    put(b, STR("\":"));
}

static void put_text(struct buf *b, const char *key, struct str text, struct arena *a)
{
    put_key(b, key);
    put(b, json_quote(a, text));
}

static void put_number(struct buf *b, const char *key, uint64_t value)
{
    char room[STR_NUMBER_MAX];
    put_key(b, key);
    put(b, str_number(value, room));
}

static void put_time(struct buf *b, const char *key, uint64_t wall_ms, struct arena *a)
{
    char text[TIME_SIZE];
    clock_format(wall_ms, text);
    put_text(b, key, str_from(text), a);
}

static void put_bool(struct buf *b, const char *key, bool value)
{
    put_key(b, key);
    put(b, value ? STR("true") : STR("false"));
}

static void put_lines(struct buf *b, const struct log_ring *r, struct arena *a)
{
    put_key(b, "lines");
    put(b, STR("["));
    for (size_t i = 0; i < log_ring_count(r); i++) {
        put(b, i > 0 ? STR(",") : STR(""));
        put(b, json_quote(a, log_ring_at(r, i)));
    }
    put(b, STR("]"));
}

static void put_incident(struct buf *b, const struct incident *i, struct arena *a)
{
    put_key(b, "incident");
    if (!i->is_there) {
        put(b, STR("null"));
        return;
    }
    put(b, STR("{"));
    put_text(b, "cause", str_from(cause_name(i->cause)), a);
    put_text(b, "reason", str_from(i->why), a);
    put_time(b, "at", i->at_wall_ms, a);
    put_number(b, "pid", (uint64_t)i->pid);
    if (i->has_ended && WIFEXITED(i->wait_status)) {
        put_number(b, "exit_status", (uint64_t)WEXITSTATUS(i->wait_status));
    } else if (i->has_ended && WIFSIGNALED(i->wait_status)) {
        put_number(b, "signal", (uint64_t)WTERMSIG(i->wait_status));
    }
    put_lines(b, &i->lines, a);
    put(b, STR("}"));
}

static void put_restarts(struct buf *b, const struct guard_view *v)
{
    put_key(b, "restarts");
    put(b, STR("{"));
    put_number(b, "total", v->plan->restarts.total);
    put_number(b, "recent", v->recent);
    put_number(b, "limit", v->limit);
    put(b, STR("}"));
}

static void put_state(struct buf *b, const struct guard_view *v, struct arena *a)
{
    const struct plan *p = v->plan;
    uint64_t age_ms = v->now_ms - p->since_ms;
    put_text(b, "state", str_from(plan_state_name(p->state)), a);
    put_text(b, "reason", str_from(p->why), a);
    put_time(b, "since", v->now_wall_ms - age_ms, a);
    put_number(b, "for_ms", age_ms);
    put_bool(b, "ready", p->state == PLAN_READY);
    if (p->state == PLAN_BACKOFF) {
        put_number(b, "next_start_ms", p->due_ms > v->now_ms ? p->due_ms - v->now_ms : 0);
    }
    if (v->pid > 0) {
        put_number(b, "pid", (uint64_t)v->pid);
    }
}

struct str guard_json(const struct guard_view *v, struct arena *a)
{
    struct buf b;
    buf_init(&b, JSON_MAX);
    put(&b, STR("{"));
    put_text(&b, "version", STR(FALLTHROUGH_VERSION), a);
    put_state(&b, v, a);
    put_text(&b, "backend", str_from(v->backend), a);
    put_text(&b, "type", str_from(v->type), a);
    put_text(&b, "program", str_from(v->program), a);
    put_restarts(&b, v);
    put_number(&b, "oom_step", v->plan->oom_step);
    put_number(&b, "oom_steps", v->plan->policy.oom_steps);
    put_text(&b, "cgroup", str_from(v->cgroup ? v->cgroup : ""), a);
    if (!v->cgroup) {
        put_text(&b, "no_cgroup", str_from(v->no_cgroup), a);
    }
    put_number(&b, "output_dropped_bytes", v->dropped);
    put_incident(&b, v->incident, a);
    put(&b, STR("}\n"));
    struct str out = arena_dup(a, buf_str(&b));
    buf_fini(&b);
    return out;
}
