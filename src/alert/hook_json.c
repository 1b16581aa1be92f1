#include "alert/hook_json.h"

#include "alert/clean.h"
#include "alert/wording.h"
#include "base/clock.h"

enum { VERSION = 1 };

json_t *hook_json_text(const char *z, struct arena *a)
{
    return json_string(clean_text(a, str_from(z)).ptr);
}

json_t *hook_json_time(uint64_t wall_ms)
{
    char text[25];
    if (wall_ms == 0) {
        return json_null();
    }
    clock_format(wall_ms, text);
    return json_string(text);
}

json_t *hook_json_felt(const struct alert_felt *felt)
{
    return json_pack("{sI sI sI sI sI}", "requests", (json_int_t)felt->requests, "moved",
                     (json_int_t)felt->moved, "resumed", (json_int_t)felt->resumed, "degraded",
                     (json_int_t)felt->degraded, "failed", (json_int_t)felt->failed);
}

/* Who serves, or null. */
static json_t *server_of(const char *backend, uint32_t tier, struct arena *a)
{
    if (backend[0] == '\0') {
        return json_null();
    }
    return json_pack("{so so}", "backend", hook_json_text(backend, a), "tier",
                     tier > 0 ? json_integer(tier) : json_null());
}

static json_t *subject_of(const struct alert *alert, struct arena *a)
{
    if (alert->subject[0] == '\0') {
        return json_null();
    }
    return json_pack("{ss so}", "kind", alert->subject_is_model ? "model" : "backend", "name",
                     hook_json_text(alert->subject, a));
}

static json_t *lines_of(const struct wording *w)
{
    json_t *lines = json_array();
    for (size_t i = 0; i < w->line_count; i++) {
        (void)json_array_append_new(lines, json_string(w->lines[i].ptr));
    }
    return lines;
}

static json_t *incident_of(const struct alert *alert)
{
    return alert->incident > 0 ? json_integer((json_int_t)alert->incident) : json_null();
}

json_t *hook_json(const struct alert *alert, struct arena *a)
{
    struct wording w;
    wording_make(alert, a, &w);
    json_t *tree = json_pack(
        "{si sI so ss ss so so so so ss ss}", "version", (int)VERSION, "number",
        (json_int_t)alert->number, "incident", incident_of(alert), "moment",
        alert_moment_name(alert->moment), "severity", severity_name(alert->severity), "at",
        hook_json_time(alert->wall_ms), "opened_at", hook_json_time(alert->opened_wall_ms),
        "closed_at", hook_json_time(alert->closed_wall_ms), "gateway",
        hook_json_text(alert->gateway, a), "title", w.title.ptr, "text", w.headline.ptr);
    json_t *rest = json_pack(
        "{so so so so so so so sI}", "subject", subject_of(alert, a), "from",
        server_of(alert->from, alert->from_tier, a), "to",
        server_of(alert->to, alert->to_tier, a), "error", hook_json_text(alert->error, a),
        "action", hook_json_text(alert->action, a), "felt", hook_json_felt(&alert->felt),
        "lines", lines_of(&w), "lines_left_out", (json_int_t)w.lines_left_out);
    (void)json_object_update(tree, rest);
    json_decref(rest);
    return tree;
}
