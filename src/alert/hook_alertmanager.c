#include "alert/hook_alertmanager.h"

#include <inttypes.h>

#include "alert/hook_json.h"
#include "alert/wording.h"
#include "base/check.h"

enum { MINUTE_MS = 60 * 1000, DAY_MS = 24 * 60 * MINUTE_MS, TEST_MS = 5 * MINUTE_MS };

static const char *name_of(enum alert_moment moment)
{
    switch (moment) {
    case ALERT_OPENED:
    case ALERT_WORSENED:
    case ALERT_OVER:
        return "LLMFailover";
    case ALERT_DIGEST:
        return "LLMFailoverDigest";
    case ALERT_TEST:
        return "LLMFailoverTest";
    }
    BUG("no such moment");
}

/* What it is known by: nothing in it changes while the incident lasts, but the severity. */
static json_t *make_labels(const struct alert *alert, enum severity severity, struct arena *a)
{
    json_t *labels = json_pack("{ss ss so ss}", "alertname", name_of(alert->moment), "job",
                               "fallthrough", "gateway", hook_json_text(alert->gateway, a),
                               "severity", severity_name(severity));
    if (alert->subject[0] != '\0') {
        (void)json_object_set_new(labels, alert->subject_is_model ? "model" : "backend",
                                  hook_json_text(alert->subject, a));
    }
    if (alert->incident > 0) {
        struct str number = arena_printf(a, "%" PRIu64, alert->incident);
        (void)json_object_set_new(labels, "incident", json_string(number.ptr));
    }
    return labels;
}

static json_t *make_annotations(const struct alert *alert, struct arena *a)
{
    struct wording w;
    wording_make(alert, a, &w);
    struct str description = w.headline;
    json_t *annotations = json_pack(
        "{ss so so so so ss}", "summary", w.title.ptr, "from", hook_json_text(alert->from, a),
        "to", hook_json_text(alert->to, a), "error", hook_json_text(alert->error, a), "action",
        hook_json_text(alert->action, a), "felt", wording_felt(&alert->felt, a).ptr);
    for (size_t i = 0; i < w.line_count; i++) {
        description = arena_printf(a, "%.*s\n%.*s", STR_FMT(description), STR_FMT(w.lines[i]));
    }
    if (w.lines_left_out > 0) {
        description = arena_printf(a, "%.*s\nand %" PRIu32 " more", STR_FMT(description),
                                   w.lines_left_out);
    }
    (void)json_object_set_new(annotations, "description", json_string(description.ptr));
    return annotations;
}

static uint64_t end_of(const struct alert *alert)
{
    switch (alert->moment) {
    case ALERT_OPENED:
    case ALERT_WORSENED:
        return alert->wall_ms + DAY_MS;
    case ALERT_OVER:
        return alert->closed_wall_ms > 0 ? alert->closed_wall_ms : alert->wall_ms;
    case ALERT_DIGEST:
    case ALERT_TEST:
        return alert->wall_ms + TEST_MS;
    }
    BUG("no such moment");
}

static json_t *make_one(const struct alert *alert, enum severity severity, uint64_t end_ms,
                        struct arena *a)
{
    uint64_t start_ms = alert->opened_wall_ms > 0 ? alert->opened_wall_ms : alert->wall_ms;
    end_ms = end_ms > start_ms ? end_ms : start_ms; /* else Alertmanager refuses it */
    return json_pack("{so so so so}", "labels", make_labels(alert, severity, a), "annotations",
                     make_annotations(alert, a), "startsAt", hook_json_time(start_ms), "endsAt",
                     hook_json_time(end_ms));
}

json_t *hook_alertmanager(const struct alert *alert, struct arena *a)
{
    json_t *all = json_array();
    (void)json_array_append_new(all, make_one(alert, alert->severity, end_of(alert), a));
    bool may_have_changed = alert->moment == ALERT_WORSENED || alert->moment == ALERT_OVER;
    for (unsigned s = SEVERITY_INFO; s < SEVERITIES && may_have_changed; s++) {
        if (s != (unsigned)alert->severity) {
            /* Before the present one began: what was told as such ends. */
            (void)json_array_append_new(all,
                                        make_one(alert, (enum severity)s, alert->wall_ms, a));
        }
    }
    return all;
}
