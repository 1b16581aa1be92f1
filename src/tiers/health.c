#include "tiers/health.h"

#include <stdio.h>

#include "base/check.h"

const char *state_name(enum state s)
{
    switch (s) {
    case STATE_HEALTHY:
        return "HEALTHY";
    case STATE_DEGRADED:
        return "DEGRADED";
    case STATE_DOWN:
        return "DOWN";
    }
    BUG("no such state");
}

void cause_text(struct cause c, char *out, size_t size)
{
    const char *failure = verdict_of(c.failure)->name;
    switch (c.kind) {
    case CAUSE_STARTING:
        (void)snprintf(out, size, "not probed yet");
        return;
    case CAUSE_PROBE_OK:
        (void)snprintf(out, size, "probe answered 200");
        return;
    case CAUSE_PROBE_SLOW:
        (void)snprintf(out, size, "probe answered slowly");
        return;
    case CAUSE_PROBE_STATUS:
        (void)snprintf(out, size, "probe answered %u", (unsigned)c.status);
        return;
    case CAUSE_PROBE_FAILED:
        (void)snprintf(out, size, "probe failed: %s", failure);
        return;
    case CAUSE_LOADING:
        (void)snprintf(out, size, "loading its model");
        return;
    case CAUSE_LOADING_FAILED:
        (void)snprintf(out, size, "still loading its model, longer than loading_limit");
        return;
    case CAUSE_GUARD_STARTING:
        (void)snprintf(out, size, "its guard starts it");
        return;
    case CAUSE_TRAFFIC:
        (void)snprintf(out, size, "request failed: %s", failure);
        return;
    case CAUSE_HUNG:
        (void)snprintf(out, size, "hung: it has work and answers, but no token comes");
        return;
    case CAUSE_STOPPED:
        (void)snprintf(out, size, "not started: it is when it is needed");
        return;
    case CAUSE_RISING:
        (void)snprintf(out, size, "is being started");
        return;
    case CAUSE_RESTARTING:
        (void)snprintf(out, size, "its process has failed and is started again");
        return;
    case CAUSE_GAVE_UP:
        (void)snprintf(out, size, "its process has failed too often and was given up");
        return;
    }
    BUG("no such cause");
}

const char *cause_word(struct cause c)
{
    switch (c.kind) {
    case CAUSE_STARTING:
        return "starting";
    case CAUSE_PROBE_OK:
        return "ok";
    case CAUSE_PROBE_SLOW:
        return "slow";
    case CAUSE_PROBE_STATUS:
        return "probe_status";
    case CAUSE_PROBE_FAILED:
        return "probe_failed";
    case CAUSE_LOADING:
        return "loading";
    case CAUSE_LOADING_FAILED:
        return "loading_failed";
    case CAUSE_GUARD_STARTING:
        return "guard_starting";
    case CAUSE_TRAFFIC:
        return verdict_of(c.failure)->name;
    case CAUSE_HUNG:
        return "hung";
    case CAUSE_STOPPED:
        return "stopped";
    case CAUSE_RISING:
        return "rising";
    case CAUSE_RESTARTING:
        return "restarting";
    case CAUSE_GAVE_UP:
        return "gave_up";
    }
    BUG("no such cause");
}

bool cause_is_loading(struct cause c)
{
    return c.kind == CAUSE_LOADING || c.kind == CAUSE_GUARD_STARTING;
}

const char *state_word(enum state s, struct cause c)
{
    if (s == STATE_DOWN && cause_is_wanted(c.kind)) {
        return c.kind == CAUSE_STOPPED ? "STOPPED" : "LOADING";
    }
    return state_name(s);
}

void health_init(struct health *h, uint64_t now_ms)
{
    *h = (struct health){
        .state = STATE_HEALTHY,
        .cause = {.kind = CAUSE_STARTING},
        .since_ms = now_ms,
        .next_probe_ms = now_ms,
        .gap_until_ms = now_ms,
    };
}

/* The only place that moves the state. */
static void enter(struct health *h, enum state state, struct cause cause, uint64_t now_ms)
{
    if (state != h->state) {
        h->state = state;
        h->since_ms = now_ms;
        h->good = 0;
        h->down_probes = 0;
        h->suspect = false;
        h->suspicions = state == STATE_DOWN ? h->suspicions : 0;
        h->needs_token = h->needs_token && state == STATE_DOWN;
    }
    if (cause.kind == CAUSE_LOADING && h->cause.kind != CAUSE_LOADING) {
        h->loading_ms = now_ms;
    }
    h->cause = cause;
}

static uint64_t spacing_ms(const struct health *h, const struct health_policy *p)
{
    uint32_t run = h->state == STATE_DOWN ? h->down_probes : h->exceptions;
    if (run == 0) {
        return p->interval_ms;
    }
    uint64_t most = p->interval_ms < p->down_gap_max_ms ? p->interval_ms : p->down_gap_max_ms;
    uint64_t wait = p->down_gap_ms;
    for (uint32_t i = 1; h->good == 0 && i < run && wait < most; i++) {
        wait += wait / 2;
    }
    if (wait > most) {
        wait = most;
    }
    return wait > PROBE_GAP_MS ? wait : PROBE_GAP_MS;
}

void health_ask_probe(struct health *h, uint64_t now_ms)
{
    uint64_t at = now_ms > h->gap_until_ms ? now_ms : h->gap_until_ms;
    if (at < h->next_probe_ms) {
        h->next_probe_ms = at;
    }
}

static bool is_good(const struct probe_result *r)
{
    return r->answered && r->status == 200;
}

/* We could not ask: that says nothing about the backend. */
static bool is_our_own(const struct probe_result *r)
{
    return !r->answered && (r->failure == FAILURE_no_fds || r->failure == FAILURE_cancelled);
}

/* It was already under way when traffic blamed the backend, so it does not answer that blame.
 */
static bool is_stale(const struct health *h, const struct probe_result *r, uint64_t now_ms)
{
    uint64_t started_ms = now_ms > r->took_ms ? now_ms - r->took_ms : 0;
    return (h->state == STATE_DOWN || h->suspect) && started_ms < h->blamed_ms;
}

static void take_good(struct health *h, const struct health_policy *p,
                      const struct probe_result *r, uint64_t now_ms)
{
    h->exceptions = 0;
    h->suspect = false;
    if (h->state == STATE_DOWN) {
        h->good++;
        if (h->good < p->up_after || h->needs_token) {
            return;
        }
    }
    if (r->took_ms < p->degraded_after_ms) {
        enter(h, STATE_HEALTHY, (struct cause){.kind = CAUSE_PROBE_OK}, now_ms);
    } else {
        enter(h, STATE_DEGRADED, (struct cause){.kind = CAUSE_PROBE_SLOW}, now_ms);
    }
}

static bool is_loading_late(const struct health *h, const struct health_policy *p,
                            uint64_t now_ms)
{
    return h->cause.kind == CAUSE_LOADING_FAILED ||
           (h->cause.kind == CAUSE_LOADING && now_ms - h->loading_ms >= p->loading_limit_ms);
}

static enum cause_kind kind_of_status(const struct health *h, const struct health_policy *p,
                                      const struct probe_result *r, uint64_t now_ms)
{
    if (!r->is_loading) {
        return CAUSE_PROBE_STATUS;
    }
    return is_loading_late(h, p, now_ms) ? CAUSE_LOADING_FAILED : CAUSE_LOADING;
}

static void take_status(struct health *h, const struct health_policy *p,
                        const struct probe_result *r, uint64_t now_ms)
{
    enum cause_kind kind = kind_of_status(h, p, r, now_ms);
    h->exceptions = 0;
    h->good = 0;
    enter(h, STATE_DOWN, (struct cause){.kind = kind, .status = r->status}, now_ms);
}

static void take_exception(struct health *h, const struct health_policy *p,
                           const struct probe_result *r, uint64_t now_ms)
{
    h->exceptions++;
    h->good = 0;
    bool is_down = h->state == STATE_DOWN || h->suspect || h->exceptions >= p->down_after;
    enter(h, is_down ? STATE_DOWN : STATE_DEGRADED,
          (struct cause){.kind = CAUSE_PROBE_FAILED, .failure = r->failure}, now_ms);
}

/* Whatever its server says, or that there is none yet: the guard knows better, and gives up by
 * a time of its own. */
static void take_starting(struct health *h, uint64_t now_ms)
{
    h->exceptions = 0;
    h->good = 0;
    enter(h, STATE_DOWN, (struct cause){.kind = CAUSE_GUARD_STARTING}, now_ms);
}

static void take_probe(struct health *h, const struct health_policy *p,
                       const struct probe_result *r, uint64_t now_ms)
{
    if (is_good(r)) {
        take_good(h, p, r, now_ms);
    } else if (r->is_starting) {
        take_starting(h, now_ms);
    } else if (r->answered) {
        take_status(h, p, r, now_ms);
    } else {
        take_exception(h, p, r, now_ms);
    }
    h->down_probes += h->state == STATE_DOWN ? 1 : 0;
}

bool health_on_probe(struct health *h, const struct health_policy *p,
                     const struct probe_result *r, uint64_t now_ms)
{
    enum state state = h->state;
    enum cause_kind kind = h->cause.kind;
    if (h->is_off) {
        return false;
    }
    h->gap_until_ms = now_ms + PROBE_GAP_MS;
    if (is_good(r) && is_stale(h, r, now_ms)) {
        h->next_probe_ms = h->gap_until_ms;
        return false;
    }
    if (!is_our_own(r)) {
        take_probe(h, p, r, now_ms);
    }
    h->next_probe_ms = now_ms + spacing_ms(h, p);
    return state != h->state || kind != h->cause.kind;
}

static bool blame(struct health *h, enum failure f, uint64_t now_ms)
{
    bool was_down = h->state == STATE_DOWN;
    enum cause_kind kind = f == FAILURE_loading ? CAUSE_LOADING : CAUSE_TRAFFIC;
    if (kind == CAUSE_LOADING && h->cause.kind == CAUSE_LOADING_FAILED) {
        kind = CAUSE_LOADING_FAILED;
    }
    if (h->cause.kind != CAUSE_HUNG || !verdict_is_mute(f)) { /* that is no news of it */
        enter(h, STATE_DOWN, (struct cause){.kind = kind, .failure = f}, now_ms);
    }
    h->good = 0;
    h->blamed_ms = now_ms;
    if (!was_down) {
        health_ask_probe(h, now_ms);
    }
    return !was_down;
}

static bool suspect(struct health *h, enum failure f, uint64_t now_ms)
{
    if (h->suspicions < SUSPICIONS_DOWN) {
        h->suspicions++;
    }
    if (h->state == STATE_DOWN || h->suspicions >= SUSPICIONS_DOWN) {
        return blame(h, f, now_ms);
    }
    h->suspect = true;
    h->blamed_ms = now_ms;
    health_ask_probe(h, now_ms);
    return false;
}

bool health_on_failure(struct health *h, enum failure f, bool is_first_500, uint64_t now_ms)
{
    if (h->is_off) {
        return false;
    }
    switch (verdict_of(f)->blame) {
    case BLAME_NONE:
    case BLAME_HOLD:
        return false;
    case BLAME_SUSPECT:
        if (is_first_500) {
            return suspect(h, f, now_ms);
        }
        health_ask_probe(h, now_ms); /* it may have died of the request */
        return false;
    case BLAME_DOWN:
        return blame(h, f, now_ms);
    }
    BUG("no such blame");
}

void health_on_success(struct health *h, uint64_t now_ms)
{
    (void)now_ms;
    h->suspicions = 0;
    h->suspect = false;
}

/* --- hangs --- */

void health_need_token(struct health *h, uint64_t now_ms)
{
    h->needs_token = h->state == STATE_DOWN && !h->is_off;
    h->doubted_ms = now_ms;
}

bool health_on_hang(struct health *h, uint64_t now_ms)
{
    bool is_news = h->state != STATE_DOWN || h->cause.kind != CAUSE_HUNG;
    bool was_down = h->state == STATE_DOWN;
    if (h->is_off) {
        return false;
    }
    enter(h, STATE_DOWN, (struct cause){.kind = CAUSE_HUNG, .failure = FAILURE_stall}, now_ms);
    health_need_token(h, now_ms);
    if (!was_down) {
        h->blamed_ms = now_ms;
        health_ask_probe(h, now_ms);
    }
    return is_news;
}

bool health_waive_token(struct health *h, const struct health_policy *p, uint64_t now_ms)
{
    bool was_needed = h->needs_token;
    h->needs_token = false;
    if (!was_needed || h->state != STATE_DOWN) {
        return false;
    }
    if (h->good < p->up_after) {
        health_ask_probe(h, now_ms);
        return false;
    }
    enter(h, STATE_HEALTHY, (struct cause){.kind = CAUSE_PROBE_OK}, now_ms);
    return true;
}

bool health_on_token(struct health *h, const struct health_policy *p, uint64_t token_ms,
                     uint64_t now_ms)
{
    return token_ms > h->doubted_ms && health_waive_token(h, p, now_ms);
}

/* --- processes of our own --- */

bool health_put_off(struct health *h, enum cause_kind why, uint64_t now_ms)
{
    bool is_news = h->state != STATE_DOWN || h->cause.kind != why;
    bool is_other = is_news && h->state == STATE_DOWN;
    if (is_news) {
        enter(h, STATE_DOWN, (struct cause){.kind = why, .failure = FAILURE_connect_refused},
              now_ms);
    }
    h->since_ms = is_other ? now_ms : h->since_ms; /* people see it as another state */
    h->is_off = true;
    h->exceptions = 0;
    h->suspicions = 0;
    h->needs_token = false;
    h->next_probe_ms = UINT64_MAX;
    return is_news;
}

bool health_put_on(struct health *h, uint64_t now_ms)
{
    if (!h->is_off) {
        return false;
    }
    h->is_off = false;
    enter(h, STATE_HEALTHY, (struct cause){.kind = CAUSE_STARTING}, now_ms);
    h->next_probe_ms = now_ms;
    h->gap_until_ms = now_ms;
    return true;
}
