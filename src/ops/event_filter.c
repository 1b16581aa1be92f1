#include "ops/event_filter.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/conf_value.h"
#include "wire/url.h"

/* A query under reading. */
struct reading {
    struct event_filter *into;
    uint64_t wall_ms;
    struct arena *arena;
};

/* "2026-11-21T05:24:02Z", with or without a fraction. */
static bool read_moment(struct str text, uint64_t *wall_ms)
{
    struct tm t = {.tm_sec = 0};
    unsigned n[6] = {0};
    int used = 0;
    char z[40];
    if (text.len >= sizeof(z) || !str_ends(text, STR("Z"))) {
        return false;
    }
    memcpy(z, text.ptr, text.len);
    z[text.len] = '\0';
    /* NOLINTNEXTLINE(cert-err34-c): each number has a width that cannot overflow. */
    if (sscanf(z, "%4u-%2u-%2uT%2u:%2u:%2u%n", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5],
               &used) != 6 ||
        n[0] < 1970 || n[1] < 1 || n[1] > 12 || (z[used] != 'Z' && z[used] != '.')) {
        return false;
    }
    t.tm_year = (int)n[0] - 1900;
    t.tm_mon = (int)n[1] - 1;
    t.tm_mday = (int)n[2];
    t.tm_hour = (int)n[3];
    t.tm_min = (int)n[4];
    t.tm_sec = (int)n[5];
    *wall_ms = (uint64_t)timegm(&t) * 1000;
    return true;
}

static bool read_time(const struct reading *r, struct str value, uint64_t *wall_ms)
{
    uint64_t ago_ms = 0;
    if (conf_duration(value, &ago_ms) == ERR_OK) {
        *wall_ms = ago_ms < r->wall_ms ? r->wall_ms - ago_ms : 0;
        return true;
    }
    return read_moment(value, wall_ms);
}

static const char *read_since(const struct reading *r, struct str value)
{
    return read_time(r, value, &r->into->since_ms)
               ? NULL
               : "since is a time such as 2h (ago) or 2026-11-21T05:24:02Z";
}

static const char *read_until(const struct reading *r, struct str value)
{
    return read_time(r, value, &r->into->until_ms)
               ? NULL
               : "until is a time such as 2h (ago) or 2026-11-21T05:24:02Z";
}

static const char *read_backend(const struct reading *r, struct str value)
{
    r->into->backend = value;
    return NULL;
}

static const char *read_model(const struct reading *r, struct str value)
{
    r->into->model = value;
    return NULL;
}

static const char *read_kind(const struct reading *r, struct str value)
{
    r->into->kind = event_kind_find(value);
    return r->into->kind != EVENT_KINDS ? NULL : "there is no such kind of event";
}

static const char *read_severity(const struct reading *r, struct str value)
{
    for (unsigned i = 0; i < SEVERITIES; i++) {
        if (str_eq(value, str_from(severity_name((enum severity)i)))) {
            r->into->severity = (enum severity)i;
            return NULL;
        }
    }
    return "severity is info, warning or error";
}

static const char *read_incident(const struct reading *r, struct str value)
{
    bool fine =
        str_to_u64(value, INT64_MAX, &r->into->incident) == ERR_OK && r->into->incident > 0;
    return fine ? NULL : "incident is a number from 1";
}

static const char *read_after(const struct reading *r, struct str value)
{
    r->into->is_forward = true;
    return str_to_u64(value, INT64_MAX, &r->into->after) == ERR_OK ? NULL
                                                                   : "after is a whole number";
}

static const char *read_limit(const struct reading *r, struct str value)
{
    uint64_t limit = 0;
    if (str_to_u64(value, EVENTS_LIMIT_MAX, &limit) != ERR_OK || limit == 0) {
        return "limit is a number from 1 to 2000";
    }
    r->into->limit = (uint32_t)limit;
    return NULL;
}

static const struct {
    const char *key;
    const char *(*read)(const struct reading *r, struct str value);
} keys[] = {{"since", read_since},       {"until", read_until}, {"backend", read_backend},
            {"model", read_model},       {"kind", read_kind},   {"severity", read_severity},
            {"incident", read_incident}, {"after", read_after}, {"limit", read_limit}};

static const char *read_pair(const struct reading *r, struct str key, struct str value)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (str_eq(key, str_from(keys[i].key))) {
            return keys[i].read(r, value);
        }
    }
    return NULL;
}

const char *event_filter_read(struct str query, uint64_t wall_ms, struct event_filter *out,
                              struct arena *a)
{
    struct reading r = {.into = out, .wall_ms = wall_ms, .arena = a};
    *out = (struct event_filter){.until_ms = UINT64_MAX,
                                 .backend = STR(""),
                                 .model = STR(""),
                                 .kind = EVENT_KINDS,
                                 .limit = EVENTS_LIMIT};
    while (query.len > 0) {
        struct str value = str_cut(&query, '&');
        struct str key = str_cut(&value, '=');
        const char *why = read_pair(&r, key, url_decode(value, true, a));
        if (why) {
            return why;
        }
    }
    return NULL;
}

static bool is_text(struct str wanted, const char *text)
{
    return wanted.len == 0 || str_eq(wanted, str_from(text));
}

bool event_filter_matches(const struct event_filter *f, const struct event *e)
{
    bool is_of_backend = is_text(f->backend, e->backend) || is_text(f->backend, e->other);
    return e->id > f->after && e->wall_ms >= f->since_ms && e->wall_ms <= f->until_ms &&
           (f->incident == 0 || e->incident == f->incident) &&
           (f->kind == EVENT_KINDS || e->kind == f->kind) && e->severity >= f->severity &&
           is_of_backend && is_text(f->model, e->model);
}
