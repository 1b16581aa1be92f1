#include "tiers/alert_gate.h"

#include <stdio.h>
#include <string.h>

#include "tiers/alert_words.h"

enum { QUIET_LOOK_MS = 5000 };

void alert_gate_init(struct alert_gate *g, const struct alert_channel *c, uint32_t digest_ms,
                     uint64_t now_ms)
{
    *g = (struct alert_gate){
        .channel = c, .digest_ms = digest_ms, .tokens = c->rate.burst, .filled_ms = now_ms};
}

bool quiet_hours_cover(const struct quiet_hours *q, uint32_t minute)
{
    if (q->from_min == q->to_min) {
        return false;
    }
    if (q->from_min < q->to_min) {
        return minute >= q->from_min && minute < q->to_min;
    }
    return minute >= q->from_min || minute < q->to_min;
}

static void fill(struct alert_gate *g, uint64_t now_ms)
{
    const struct alert_rate *rate = &g->channel->rate;
    if (rate->refill_ms == 0 || g->tokens >= rate->burst) {
        g->tokens = rate->burst;
        g->filled_ms = now_ms;
        return;
    }
    uint64_t more = now_ms > g->filled_ms ? (now_ms - g->filled_ms) / rate->refill_ms : 0;
    uint64_t room = rate->burst - g->tokens;
    g->tokens += (uint32_t)(more < room ? more : room);
    g->filled_ms = more < room ? g->filled_ms + more * rate->refill_ms : now_ms;
}

static bool is_silenced(const struct alert_gate *g, enum severity s, uint32_t minute)
{
    const struct quiet_hours *q = &g->channel->quiet;
    return s < q->at_least && quiet_hours_cover(q, minute);
}

/* PagerDuty and Alertmanager keep an incident open until they are told that it is over. */
static bool must_end(const struct alert_gate *g, const struct alert *a)
{
    enum alert_format f = g->channel->format;
    return a->moment == ALERT_OVER && (f == ALERT_PAGERDUTY || f == ALERT_ALERTMANAGER);
}

static void add_felt(struct alert_felt *to, const struct alert_felt *more)
{
    to->requests += more->requests;
    to->moved += more->moved;
    to->resumed += more->resumed;
    to->degraded += more->degraded;
    to->failed += more->failed;
}

/* The figures of an incident only grow: the last of it stand for all. */
static void note_felt(struct alert_gate *g, const struct alert *a)
{
    uint32_t i = 0;
    while (i < g->felt_count && g->felt_of[i] != a->incident) {
        i++;
    }
    if (i < GATE_FELT) {
        g->felt_of[i] = a->incident;
        g->felt[i] = a->felt;
        g->felt_count += i == g->felt_count ? 1 : 0;
    }
}

static void hold(struct alert_gate *g, const struct alert *a, const struct alert_clock *at)
{
    struct alert *d = &g->digest;
    char line[ALERT_LINE];
    if (g->held_ms == 0) {
        *d = (struct alert){.moment = ALERT_DIGEST, .opened_wall_ms = at->wall_ms};
        g->held_ms = at->now_ms > 0 ? at->now_ms : 1;
        g->held_for_quiet = false;
        g->felt_count = 0;
    }
    EVENT_PUT(d->gateway, str_from(a->gateway));
    d->severity = a->severity > d->severity ? a->severity : d->severity;
    alert_words_line(a, line);
    alert_words_add(d, line);
    note_felt(g, a);
}

/* The worst news must not wait for a digest because less bad ones came before. */
static bool take_reserve(struct alert_gate *g, const struct alert *a, uint64_t now_ms)
{
    bool is_worst = a->moment != ALERT_OVER && a->to[0] == '\0';
    if (!is_worst || now_ms < g->reserve_ms) {
        return false;
    }
    g->reserve_ms = now_ms + g->channel->rate.refill_ms;
    return true;
}

bool alert_gate_pass(struct alert_gate *g, const struct alert *a, const struct alert_clock *at)
{
    fill(g, at->now_ms);
    if (must_end(g, a)) {
        return true;
    }
    bool is_quiet = is_silenced(g, a->severity, at->minute);
    if (!is_quiet && g->tokens > 0) {
        g->tokens--;
        return true;
    }
    if (!is_quiet && take_reserve(g, a, at->now_ms)) {
        return true;
    }
    hold(g, a, at);
    g->held_for_quiet = g->held_for_quiet || is_quiet;
    return false;
}

/* But for the quiet hours. */
static uint64_t ready_ms(const struct alert_gate *g)
{
    uint64_t first_ms = g->digest_ms < DIGEST_FIRST_MS ? g->digest_ms : DIGEST_FIRST_MS;
    uint64_t next_ms = g->digest_told_ms > 0 ? g->digest_told_ms + g->digest_ms : 0;
    uint64_t due_ms = g->held_for_quiet ? g->held_ms : g->held_ms + first_ms;
    return due_ms > next_ms ? due_ms : next_ms;
}

bool alert_gate_digest(struct alert_gate *g, const struct alert_clock *at, bool is_end,
                       struct alert *out)
{
    bool is_due = at->now_ms >= ready_ms(g) && !is_silenced(g, g->digest.severity, at->minute);
    if (g->held_ms == 0 || !(is_due || is_end)) {
        return false;
    }
    *out = g->digest;
    out->wall_ms = at->wall_ms;
    for (uint32_t i = 0; i < g->felt_count; i++) {
        add_felt(&out->felt, &g->felt[i]);
    }
    uint32_t all = out->line_count + out->lines_left_out;
    char text[EVENT_CAUSE];
    (void)snprintf(text, sizeof(text), "%u messages that were held back", all);
    EVENT_PUT(out->error, str_from(text));
    g->held_ms = 0;
    g->digest_told_ms = at->now_ms;
    return true;
}

uint64_t alert_gate_due_ms(const struct alert_gate *g, const struct alert_clock *at)
{
    if (g->held_ms == 0) {
        return UINT64_MAX;
    }
    uint64_t due_ms = ready_ms(g);
    uint64_t look_ms = at->now_ms + QUIET_LOOK_MS;
    bool is_quiet = is_silenced(g, g->digest.severity, at->minute);
    return is_quiet && look_ms > due_ms ? look_ms : due_ms;
}
