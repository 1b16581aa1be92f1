#include "alert/wording.h"

#include <inttypes.h>
#include <stdio.h>

#include "alert/clean.h"
#include "base/check.h"
#include "base/clock.h"

/* The alert's texts, clean. */
struct names {
    struct str subject, from, to, gateway;
};

/* What is the matter with who serves. */
enum course {
    COURSE_FAILOVER, /* another one serves */
    COURSE_DOWN,     /* nobody does */
    COURSE_TROUBLE   /* the same one does, or it is not known */
};

struct str wording_duration(uint64_t ms, struct arena *a)
{
    enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400 };
    uint64_t s = ms / 1000;
    if (s < 10) {
        return arena_printf(a, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
    }
    if (s < MINUTE_S) {
        return arena_printf(a, "%" PRIu64 " s", s);
    }
    if (s < HOUR_S) {
        return arena_printf(a, "%" PRIu64 " min %" PRIu64 " s", s / MINUTE_S, s % MINUTE_S);
    }
    if (s < DAY_S) {
        return arena_printf(a, "%" PRIu64 " h %" PRIu64 " min", s / HOUR_S,
                            s % HOUR_S / MINUTE_S);
    }
    return arena_printf(a, "%" PRIu64 " d %" PRIu64 " h", s / DAY_S, s % DAY_S / HOUR_S);
}

struct str wording_time(uint64_t wall_ms, struct arena *a)
{
    char text[25]; /* 2026-11-21T05:24:02.123Z */
    clock_format(wall_ms, text);
    return arena_printf(a, "%.10s %.8s UTC", text, text + 11);
}

struct str wording_felt(const struct alert_felt *felt, struct arena *a)
{
    if (felt->requests + felt->moved + felt->resumed + felt->degraded + felt->failed == 0) {
        return arena_dup(a, STR("nothing: there was no request"));
    }
    return arena_printf(a,
                        "%" PRIu64 " request%s: %" PRIu64 " moved to another backend, %" PRIu64
                        " resumed in mid-answer, %" PRIu64 " degraded, %" PRIu64 " failed",
                        felt->requests, felt->requests == 1 ? "" : "s", felt->moved,
                        felt->resumed, felt->degraded, felt->failed);
}

uint64_t wording_lasted_ms(const struct alert *alert)
{
    uint64_t end_ms = alert->closed_wall_ms > 0 ? alert->closed_wall_ms : alert->wall_ms;
    return end_ms > alert->opened_wall_ms ? end_ms - alert->opened_wall_ms : 0;
}

static enum course course_of(const struct names *n)
{
    if (n->to.len == 0) {
        return COURSE_DOWN;
    }
    return n->from.len == 0 || str_eq(n->from, n->to) ? COURSE_TROUBLE : COURSE_FAILOVER;
}

/* --- title and sentence --- */

static struct str put_course(const struct alert *alert, const struct names *n, struct arena *a)
{
    const char *worse = alert->moment == ALERT_WORSENED ? " (worse)" : "";
    switch (course_of(n)) {
    case COURSE_FAILOVER:
        return arena_printf(a, "[ALERT] LLM Failover%s: %.*s -> %.*s", worse, STR_FMT(n->from),
                            STR_FMT(n->to));
    case COURSE_DOWN:
        return arena_printf(a, "[ALERT] LLM Down%s: %.*s", worse, STR_FMT(n->subject));
    case COURSE_TROUBLE:
        return arena_printf(a, "[ALERT] LLM Trouble%s: %.*s", worse, STR_FMT(n->subject));
    }
    BUG("no such course");
}

static struct str make_title(const struct alert *alert, const struct names *n, struct arena *a)
{
    switch (alert->moment) {
    case ALERT_OPENED:
    case ALERT_WORSENED:
        return put_course(alert, n, a);
    case ALERT_OVER:
        return arena_printf(a, "[RESOLVED] LLM Failover: %.*s after %.*s", STR_FMT(n->subject),
                            STR_FMT(wording_duration(wording_lasted_ms(alert), a)));
    case ALERT_DIGEST:
        return arena_printf(a, "[DIGEST] LLM Failover: %" PRIu64 " alerts",
                            (uint64_t)alert->line_count + alert->lines_left_out);
    case ALERT_TEST:
        return arena_printf(a, "[TEST] LLM Failover: %.*s", STR_FMT(n->gateway));
    }
    BUG("no such moment");
}

static struct str say_course(const struct alert *alert, const struct names *n, struct arena *a)
{
    switch (course_of(n)) {
    case COURSE_FAILOVER:
        return arena_printf(a, "%.*s serves in place of %.*s.", STR_FMT(n->to),
                            STR_FMT(n->from));
    case COURSE_DOWN:
        return alert->subject_is_model
                   ? arena_printf(a, "Nobody can serve %.*s.", STR_FMT(n->subject))
                   : arena_printf(a, "%.*s failed, and nobody serves in its place.",
                                  STR_FMT(n->subject));
    case COURSE_TROUBLE:
        return arena_printf(a, "Something is wrong with %.*s; requests are served by %.*s.",
                            STR_FMT(n->subject), STR_FMT(n->to));
    }
    BUG("no such course");
}

static struct str make_headline(const struct alert *alert, const struct names *n,
                                struct arena *a)
{
    switch (alert->moment) {
    case ALERT_OPENED:
    case ALERT_WORSENED:
        return say_course(alert, n, a);
    case ALERT_OVER:
        return arena_printf(a, "%.*s is well again.", STR_FMT(n->subject));
    case ALERT_DIGEST:
        return arena_dup(a, STR("These were too many to be told one by one."));
    case ALERT_TEST:
        return arena_dup(a, STR("This is a test: alerts of this gateway arrive here."));
    }
    BUG("no such moment");
}

/* --- facts --- */

static void put_fact(struct wording *w, const char *name, struct str value)
{
    CHECK(w->fact_count < FACTS_MAX);
    if (value.len > 0) {
        w->facts[w->fact_count++] = (struct fact){.name = name, .value = value};
    }
}

static struct str put_tier(struct str backend, uint32_t tier, struct arena *a)
{
    return tier > 0 ? arena_printf(a, "%.*s (tier %" PRIu32 ")", STR_FMT(backend), tier)
                    : backend;
}

static void put_servers(const struct alert *alert, const struct names *n, struct arena *a,
                        struct wording *w)
{
    put_fact(w, "From",
             n->from.len > 0 ? put_tier(n->from, alert->from_tier, a) : STR("not known"));
    put_fact(w, "To", n->to.len > 0 ? put_tier(n->to, alert->to_tier, a) : STR("nobody"));
}

static void put_times(const struct alert *alert, struct arena *a, struct wording *w)
{
    struct str lasted = wording_duration(wording_lasted_ms(alert), a);
    struct str opened = wording_time(alert->opened_wall_ms, a);
    if (alert->closed_wall_ms > 0) {
        put_fact(w, "Lasted",
                 arena_printf(a, "%.*s, from %.*s to %.*s", STR_FMT(lasted), STR_FMT(opened),
                              STR_FMT(wording_time(alert->closed_wall_ms, a))));
    } else {
        put_fact(w, "Since",
                 arena_printf(a, "%.*s, for %.*s", STR_FMT(opened), STR_FMT(lasted)));
    }
}

static void put_facts(const struct alert *alert, const struct names *n, struct arena *a,
                      struct wording *w)
{
    bool is_incident = alert->moment != ALERT_DIGEST && alert->moment != ALERT_TEST;
    if (is_incident) {
        put_servers(alert, n, a, w);
    }
    put_fact(w, "Error", clean_text(a, str_from(alert->error)));
    put_fact(w, "Action", clean_text(a, str_from(alert->action)));
    if (is_incident) {
        put_times(alert, a, w);
    }
    if (alert->moment == ALERT_TEST) {
        put_fact(w, "Sent", wording_time(alert->wall_ms, a));
    } else {
        put_fact(w, "What users felt", wording_felt(&alert->felt, a));
    }
    if (is_incident && alert->incident > 0) {
        put_fact(w, "Incident",
                 arena_printf(a, "#%" PRIu64 " of %.*s", alert->incident, STR_FMT(n->subject)));
    }
    put_fact(w, "Gateway", n->gateway);
}

static void put_lines(const struct alert *alert, struct arena *a, struct wording *w)
{
    CHECK(alert->line_count <= ALERT_LINES);
    w->lines_title = alert->moment == ALERT_DIGEST ? "The newest of them" : "What happened";
    w->line_count = alert->line_count;
    w->lines_left_out = alert->lines_left_out;
    for (size_t i = 0; i < w->line_count; i++) {
        w->lines[i] = clean_text(a, str_from(alert->lines[i]));
    }
}

void wording_make(const struct alert *alert, struct arena *a, struct wording *out)
{
    const struct names n = {.subject = clean_text(a, str_from(alert->subject)),
                            .from = clean_text(a, str_from(alert->from)),
                            .to = clean_text(a, str_from(alert->to)),
                            .gateway = clean_text(a, str_from(alert->gateway))};
    *out = (struct wording){.title = make_title(alert, &n, a),
                            .headline = make_headline(alert, &n, a)};
    put_facts(alert, &n, a, out);
    put_lines(alert, a, out);
}
