#include "ops/tell.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "tiers/balance.h"
#include "tiers/lines.h"
#include "tiers/loads.h"

enum { CAUSE_SHOWN = WHY_BYTES - 60 }; /* within a sentence */

json_t *tell_text(struct str s)
{
    json_t *v = json_stringn(s.ptr ? s.ptr : "", s.len);
    return v ? v : json_string("?"); /* not UTF-8: cannot come from a checked configuration */
}

void tell_put(json_t *object, const char *key, json_t *value)
{
    CHECK(json_object_set_new(object, key, value) == 0);
}

void tell_push(json_t *array, json_t *value)
{
    CHECK(json_array_append_new(array, value) == 0);
}

struct str tell_dump(json_t *value, struct arena *a)
{
    char *out = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(4));
    CHECK(out != NULL);
    struct str kept = arena_dup(a, str_from(out));
    free(out);
    json_decref(value);
    return kept;
}

json_t *tell_whole(uint64_t number)
{
    return json_integer((json_int_t)number);
}

double tell_seconds(uint64_t ms)
{
    uint64_t tenths = ms / 100;
    return (double)tenths / 10.0;
}

/* --- judgement --- */

json_t *tell_moment(uint64_t at_ms, uint64_t now_ms)
{
    char out[25];
    uint64_t ago_ms = now_ms > at_ms ? now_ms - at_ms : 0;
    clock_format(clock_wall_ms() - ago_ms, out);
    return json_string(out);
}

static json_t *verdict_object(const struct status_source *s, const struct verdict_entry *e,
                              uint64_t now_ms)
{
    json_t *o = json_object();
    tell_put(o, "at", tell_moment(e->last_ms, now_ms));
    tell_put(o, "ago_s",
             json_real(tell_seconds(now_ms > e->last_ms ? now_ms - e->last_ms : 0)));
    tell_put(o, "first", tell_moment(e->first_ms, now_ms));
    tell_put(o, "times", tell_whole(e->times));
    tell_put(o, "model", tell_text(s->catalog->servings[e->serving].model));
    tell_put(o, "verdict", json_string(verdict_of(e->failure)->name));
    tell_put(o, "status", e->status > 0 ? tell_whole(e->status) : json_null());
    tell_put(o, "then", json_string(e->then));
    tell_put(o, "trial", json_boolean(e->is_trial));
    return o;
}

static json_t *verdicts_array(const struct status_source *s, const struct backend *b,
                              uint64_t now_ms)
{
    struct verdict_entry last[VERDICTS_KEPT];
    uint32_t count = verdict_log_read(s->verdicts, b->index, last);
    json_t *all = json_array();
    for (uint32_t i = 0; i < count; i++) {
        tell_push(all, verdict_object(s, &last[i], now_ms));
    }
    return all;
}

/* Which of the two the advice comes from. */
static bool is_of_gpus(const struct telemetry_view *told, struct advice a)
{
    return told->gpu.counsel == a.counsel;
}

static const char *told_word(const struct telemetry_view *told, struct advice a,
                             uint64_t *since_ms)
{
    static const char *const words[GUARD_WORDS] = {
        [GUARD_SAYS_UNKNOWN] = "guard_unknown",
        [GUARD_SAYS_READY] = "guard_ready",
        [GUARD_SAYS_STARTING] = "guard_starting",
        [GUARD_SAYS_LOADING] = "guard_loading",
        [GUARD_SAYS_STOPPING] = "guard_stopping",
        [GUARD_SAYS_RESTARTING] = "guard_restarting",
        [GUARD_SAYS_NEEDS_RESET] = "guard_needs_reset",
        [GUARD_SAYS_GAVE_UP] = "guard_gave_up",
        [GUARD_SAYS_UNKILLABLE] = "guard_unkillable"};
    bool is_gpu = is_of_gpus(told, a);
    *since_ms = is_gpu ? told->gpu_since_ms : told->guard_since_ms;
    return is_gpu ? told->gpu.reason : words[told->guard.word];
}

/* null: nobody tells. */
static json_t *gpu_object(const struct backend *b, const struct telemetry_view *told,
                          uint64_t now_ms)
{
    json_t *o = json_object();
    uint64_t since_ms = told->gpu_since_ms;
    if (!b->teller[TELLER_AGENT] && !b->teller[TELLER_DCGM]) {
        json_decref(o);
        return json_null();
    }
    tell_put(o, "state", json_string(gpu_health_name(told->gpu.health)));
    tell_put(o, "reason", json_string(told->gpu.reason));
    tell_put(o, "why", json_string(told->gpu.why));
    tell_put(o, "counsel", json_string(counsel_name(told->gpu.counsel)));
    tell_put(o, "for_s",
             since_ms > 0 ? json_real(tell_seconds(now_ms - since_ms)) : json_null());
    return o;
}

static json_t *guard_object(const struct backend *b, const struct telemetry_view *told,
                            uint64_t now_ms)
{
    json_t *o = json_object();
    uint64_t since_ms = told->guard_since_ms;
    if (!b->teller[TELLER_GUARD]) {
        json_decref(o);
        return json_null();
    }
    tell_put(o, "state", json_string(guard_word_name(told->guard.word)));
    tell_put(o, "reason", json_string(told->guard.why));
    tell_put(o, "for_s",
             since_ms > 0 ? json_real(tell_seconds(now_ms - since_ms)) : json_null());
    return o;
}

void tell_telemetry(json_t *o, const struct status_source *s, const struct backend *b,
                    uint64_t now_ms)
{
    struct telemetry_view told;
    telemetry_read(board_telemetry(s->board), b->index, &told);
    tell_put(o, "gpu", gpu_object(b, &told, now_ms));
    tell_put(o, "guard", guard_object(b, &told, now_ms));
}

const char *const tell_states[TOLD_STATES] = {"HEALTHY",  "DEGRADED", "DOWN",   "DRAINING",
                                              "DISABLED", "STOPPED",  "LOADING"};

const char *tell_state(const struct backend_view *v)
{
    const char *ordered = operator_word_state(v->operator.word);
    if (ordered) {
        return ordered;
    }
    enum state told = board_told_state(v); /* others may know worse than its probes */
    return told != v->state ? state_name(told) : state_word(v->state, v->cause);
}

/* "drained by the operator since 2026-…Z, 3 in flight; HEALTHY: ", or nothing. */
static int say_order(const struct backend_view *v, uint64_t now_ms, char why[WHY_BYTES])
{
    char since[25];
    uint64_t since_ms = v->operator.since_ms;
    why[0] = '\0';
    if (v->operator.word == OPERATOR_NONE) {
        return 0;
    }
    clock_format(clock_wall_ms() - (now_ms > since_ms ? now_ms - since_ms : 0), since);
    return snprintf(why, WHY_BYTES, "%s by the operator since %s, %u in flight; %s: ",
                    operator_word_deed(v->operator.word), since, v->in_flight,
                    state_word(v->state, v->cause));
}

void tell_cause(const struct status_source *s, const struct backend *b,
                const struct backend_view *v, uint64_t now_ms, char why[WHY_BYTES])
{
    char cause[96];
    struct telemetry_view told;
    telemetry_read(board_telemetry(s->board), b->index, &told);
    cause_text(v->cause, cause, sizeof(cause));
    bool is_off = b->managed.command && cause_is_off(v->cause.kind);
    int len = say_order(v, now_ms, why);
    len += snprintf(why + len, WHY_BYTES - (size_t)len, "%s%s%s", cause, is_off ? ": " : "",
                    is_off ? processes_of(s->processes, b->index)->why : "");
    len = len < WHY_BYTES ? len : WHY_BYTES - 1;
    if (told.gpu.health >= GPUS_DEGRADED) {
        len += snprintf(why + len, WHY_BYTES - (size_t)len, "; GPU %s: %s, %s",
                        gpu_health_name(told.gpu.health), told.gpu.reason, told.gpu.why);
    }
    if (told.guard.word > GUARD_SAYS_READY) {
        (void)snprintf(why + len, WHY_BYTES - (size_t)len, "; guard %s: %s",
                       guard_word_name(told.guard.word), told.guard.why);
    }
}

/* The same keys for status and explain: how the backend is judged, since when, and what led to
 * it. */
void tell_judgement(json_t *o, const struct status_source *s, const struct backend *b,
                    const struct backend_view *v, uint64_t now_ms)
{
    struct telemetry_view told;
    telemetry_read(board_telemetry(s->board), b->index, &told);
    uint64_t since_ms = v->since_ms;
    const char *reason = cause_word(v->cause);
    const char *ordered = operator_word_name(v->operator.word);
    if (ordered) {
        reason = ordered;
        since_ms = v->operator.since_ms;
    } else if (board_told_state(v) != v->state) { /* others know worse than its probes */
        reason = told_word(&told, v->advice, &since_ms);
    }
    tell_put(o, "state", json_string(tell_state(v)));
    tell_put(o, "reason", json_string(reason));
    tell_put(o, "since", tell_moment(since_ms, now_ms));
    tell_put(o, "for_s", json_real(tell_seconds(now_ms > since_ms ? now_ms - since_ms : 0)));
    tell_put(o, "operator", ordered ? json_string(ordered) : json_null());
    tell_put(o, "operator_since", ordered ? tell_moment(since_ms, now_ms) : json_null());
    tell_put(
        o, "held_for_s",
        json_real(v->hold_until_ms > now_ms ? tell_seconds(v->hold_until_ms - now_ms) : 0));
    tell_put(o, "verdicts", verdicts_array(s, b, now_ms));
}

/* --- why a member of a tier is usable or not --- */

/* When that changes by itself; 0: nobody knows. */
static uint64_t until_ms_of(const struct pick_prospect *p)
{
    switch (p->status) {
    case PICK_HELD:
        return p->backend.hold_until_ms;
    case PICK_RAMP:
    case PICK_DWELL:
    case PICK_OPEN:
        return p->breaker.until_ms;
    case PICK_USABLE:
    case PICK_DOWN:
    case PICK_STOPPED:
    case PICK_RISING:
    case PICK_FULL:
    case PICK_DRAINED:
    case PICK_DRAINING:
    case PICK_DISABLED:
    case PICK_TRIED:
    case PICK_TOO_LONG:
    case PICK_INCAPABLE:
        return 0;
    }
    BUG("no such pick status");
}

static json_t *until_s(uint64_t until_ms, uint64_t now_ms)
{
    if (until_ms == 0) {
        return json_null();
    }
    return json_real(until_ms > now_ms ? tell_seconds(until_ms - now_ms) : 0);
}

static void say_open(const struct breaker_view *c, char why[WHY_BYTES])
{
    const char *then = c->is_half_open  ? "a trial is under way"
                       : c->wants_trial ? "the next request is its trial"
                                        : "until a trial is answered";
    const char *reason =
        c->reason == FAILURE_ok ? "the backend was DOWN" : verdict_of(c->reason)->name;
    (void)snprintf(why, WHY_BYTES, "breaker open: %s; %s", reason, then);
}

/* One sentence without a full stop about why it stands as it does, whatever is needed. */
void tell_why(const struct status_source *s, const struct backend *b,
              const struct pick_prospect *p, uint64_t now_ms, char why[WHY_BYTES])
{
    char cause[WHY_BYTES];
    tell_cause(s, b, &p->backend, now_ms, cause);
    switch (p->bare) {
    case PICK_USABLE:
    case PICK_STOPPED:
    case PICK_RISING:
    case PICK_TRIED:
    case PICK_TOO_LONG: /* of needs: say_fit */
    case PICK_INCAPABLE:
        (void)snprintf(why, WHY_BYTES, "%s: %.*s", tell_state(&p->backend), CAUSE_SHOWN, cause);
        return;
    case PICK_DRAINING:
    case PICK_DISABLED:
        (void)snprintf(why, WHY_BYTES, "%s", cause); /* which begins with that */
        return;
    case PICK_DRAINED:
        (void)snprintf(why, WHY_BYTES, "drained, serves only where nobody else can: %.*s",
                       CAUSE_SHOWN, cause);
        return;
    case PICK_RAMP:
        (void)snprintf(why, WHY_BYTES, "returns slowly: %s",
                       p->breaker.is_proving ? "one request at a time until one is answered"
                                             : "gets a share of the requests");
        return;
    case PICK_DWELL:
        (void)snprintf(why, WHY_BYTES, "well again, but its outage is too recent");
        return;
    case PICK_OPEN:
        say_open(&p->breaker, why);
        return;
    case PICK_DOWN:
        (void)snprintf(why, WHY_BYTES, "DOWN: %.*s; until %s", CAUSE_SHOWN, cause,
                       p->backend.needs_token ? "it makes a token" : "probes prove it well");
        return;
    case PICK_HELD:
        (void)snprintf(why, WHY_BYTES, "asked to be left alone (Retry-After)");
        return;
    case PICK_FULL:
        (void)snprintf(why, WHY_BYTES, "full: %u of %u slots are taken", p->slots,
                       p->max_concurrent);
        return;
    }
    BUG("no such pick status");
}

static json_t *number_or_null(uint32_t number)
{
    return number > 0 ? tell_whole(number) : json_null();
}

/* null: not known. */
static json_t *capabilities_object(const struct offer *offer)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < FEATURES; i++) {
        enum feature f = feature_at(i);
        bool is_known = (offer->known & f) != 0;
        tell_put(o, feature_name(f),
                 is_known ? json_boolean((offer->can & f) != 0) : json_null());
    }
    tell_put(o, "embeddings", number_or_null(offer->embeddings));
    return o;
}

/* The same keys for status and explain. */
void tell_offer(json_t *o, const struct offer *offer)
{
    tell_put(o, "context", number_or_null(offer->context));
    tell_put(o, "capabilities", capabilities_object(offer));
}

/* The same keys for status and explain. */
void tell_prospect(json_t *o, const struct pick_prospect *p, uint64_t now_ms)
{
    tell_put(o, "until_s", until_s(until_ms_of(p), now_ms));
    tell_put(o, "breaker", json_string(breaker_view_word(&p->breaker)));
    tell_put(o, "share", tell_whole(p->breaker.share));
    tell_put(o, "relapses", tell_whole(p->breaker.relapses));
}

json_t *tell_process(const struct status_source *s, const struct backend *b, uint64_t now_ms)
{
    const struct process_word *w = processes_of(s->processes, b->index);
    if (!b->managed.command) {
        return json_null();
    }
    json_t *o = json_object();
    tell_put(o, "state", json_string(process_state_name(w->state)));
    tell_put(o, "why", json_string(w->why));
    tell_put(o, "for_s",
             json_real(tell_seconds(now_ms > w->since_ms ? now_ms - w->since_ms : 0)));
    tell_put(o, "starts", tell_whole(w->starts));
    tell_put(o, "restarts", tell_whole(w->restarts));
    tell_put(o, "pid", number_or_null(w->pid));
    tell_put(o, "stops_in_s", until_s(w->stop_ms, now_ms));
    return o;
}

/* The same keys for status and explain. */
void tell_load(json_t *o, const struct status_source *s, const struct model *m)
{
    tell_put(o, "policy", json_string(load_kind_name(m->load.kind)));
    tell_put(o, "waiting",
             tell_whole(lines_waiting(loads_lines(board_loads(s->board)), m->index)));
    tell_put(o, "queue", tell_whole(m->queue.max));
}
