#include "alert/hook_pagerduty.h"

#include <inttypes.h>

#include "alert/clean.h"
#include "alert/hook_json.h"
#include "alert/wording.h"
#include "base/check.h"

static const char *severity_of(const struct alert *alert)
{
    bool is_told_as_open = alert->moment == ALERT_OPENED || alert->moment == ALERT_WORSENED;
    switch (alert->severity) {
    case SEVERITY_INFO:
        return "info";
    case SEVERITY_WARN:
        return "warning";
    case SEVERITY_ERROR:
        return is_told_as_open && alert->to[0] == '\0' ? "critical" : "error";
    }
    BUG("no such severity");
}

/* A gateway that keeps no history counts its incidents from 1 after each start: the time tells
 * them apart. Digests are one for all, and so are tests. */
static struct str dedup_key_of(const struct alert *alert, struct arena *a)
{
    struct str gateway = clean_text(a, str_from(alert->gateway));
    if (alert->incident == 0) {
        return arena_printf(a, "fallthrough/%.*s/%s", STR_FMT(gateway),
                            alert_moment_name(alert->moment));
    }
    return arena_printf(a, "fallthrough/%.*s/%" PRIu64 "/%" PRIu64, STR_FMT(gateway),
                        alert->incident, alert->opened_wall_ms);
}

/* The facts under their names, and the lines. */
static json_t *make_details(const struct alert *alert, const struct wording *w)
{
    json_t *details = json_object();
    json_t *lines = json_array();
    (void)json_object_set_new(details, "Summary", json_string(w->headline.ptr));
    for (size_t i = 0; i < w->fact_count; i++) {
        (void)json_object_set_new(details, w->facts[i].name,
                                  json_string(w->facts[i].value.ptr));
    }
    for (size_t i = 0; i < w->line_count; i++) {
        (void)json_array_append_new(lines, json_string(w->lines[i].ptr));
    }
    (void)json_object_set_new(details, w->lines_title, lines);
    (void)json_object_set_new(details, "felt", hook_json_felt(&alert->felt));
    return details;
}

static json_t *make_payload(const struct alert *alert, struct arena *a)
{
    struct wording w;
    wording_make(alert, a, &w);
    const char *component = alert->subject[0] != '\0' ? alert->subject : alert->gateway;
    return json_pack("{ss ss so so so ss ss so}", "summary", w.title.ptr, "severity",
                     severity_of(alert), "source", hook_json_text(alert->gateway, a),
                     "timestamp", hook_json_time(alert->wall_ms), "component",
                     hook_json_text(component, a), "group", "llm", "class",
                     alert_moment_name(alert->moment), "custom_details",
                     make_details(alert, &w));
}

json_t *hook_pagerduty(const struct alert *alert, struct str routing_key, struct arena *a)
{
    struct str key = clean_text(a, routing_key);
    return json_pack("{ss ss ss ss so}", "routing_key", key.ptr, "event_action",
                     alert->moment == ALERT_OVER ? "resolve" : "trigger", "dedup_key",
                     dedup_key_of(alert, a).ptr, "client", "fallthrough", "payload",
                     make_payload(alert, a));
}
