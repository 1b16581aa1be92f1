#include "guard/pulse.h"

enum { PROBES_WITHOUT_DOUBT = 2 };

void pulse_start(struct pulse *p, uint32_t hang_ms, uint64_t now_ms)
{
    *p = (struct pulse){.hang_ms = hang_ms, .probe_due_ms = now_ms + hang_ms};
}

static void begin_doubt(struct pulse *p, uint64_t now_ms)
{
    if (p->doubt_ms == 0) {
        p->doubt_ms = now_ms;
    }
}

void pulse_on_counters(struct pulse *p, const struct pulse_counters *c, uint64_t now_ms)
{
    bool has_moved = !p->has_counters || c->progress != p->progress;
    p->has_counters = true;
    p->progress = c->progress;
    p->may_prefill = c->may_prefill;
    p->is_patient = c->may_prefill && c->is_computing;
    p->is_silent = false;
    if (has_moved || c->in_flight == 0) {
        p->doubt_ms = 0;
    } else {
        begin_doubt(p, now_ms);
    }
    if (has_moved) {
        p->still_ms = now_ms;
        /* Figures that move outweigh a probe that waits behind a full batch. */
        p->failed = 0;
    }
}

void pulse_on_silence(struct pulse *p, bool is_computing, uint64_t now_ms)
{
    if (p->has_counters) {
        p->is_patient = p->may_prefill && is_computing;
        p->is_silent = true;
        begin_doubt(p, now_ms);
    }
}

void pulse_on_health(struct pulse *p, bool is_well, uint64_t now_ms)
{
    if (is_well) {
        p->unwell_ms = 0;
    } else if (p->unwell_ms == 0) {
        p->unwell_ms = now_ms;
    }
}

static bool is_over(uint64_t since_ms, uint64_t limit_ms, uint64_t now_ms)
{
    return since_ms != 0 && now_ms >= since_ms + limit_ms;
}

static bool is_in_doubt(const struct pulse *p, uint64_t now_ms)
{
    uint64_t limit_ms = (uint64_t)p->hang_ms * (p->is_patient ? PULSE_PREFILL_FACTOR : 1);
    return is_over(p->doubt_ms, limit_ms, now_ms) || is_over(p->unwell_ms, p->hang_ms, now_ms);
}

/* Nothing speaks for it: there are no figures, or they have not moved for long. */
static bool is_quiet(const struct pulse *p, uint64_t now_ms)
{
    return !p->has_counters || now_ms >= p->still_ms + (uint64_t)p->hang_ms * PULSE_IDLE_FACTOR;
}

void pulse_accuse(struct pulse *p)
{
    p->is_accused = true;
}

bool pulse_wants_token(struct pulse *p, uint64_t now_ms)
{
    if (p->hang_ms == 0 || p->is_probing || p->is_hung) {
        return false;
    }
    bool is_due = now_ms >= p->probe_due_ms && is_quiet(p, now_ms);
    p->is_probing = is_due || p->is_accused || is_in_doubt(p, now_ms);
    return p->is_probing;
}

/* The doubt begins anew: it was unfounded, or nothing could be learnt. */
static void begin_again(struct pulse *p, uint64_t now_ms)
{
    p->doubt_ms = p->doubt_ms != 0 ? now_ms : 0;
    p->unwell_ms = p->unwell_ms != 0 ? now_ms : 0;
    p->probe_due_ms = now_ms + p->hang_ms;
}

void pulse_on_token(struct pulse *p, enum pulse_token t, uint64_t now_ms)
{
    p->is_probing = false;
    if (t == PULSE_TOKEN_NONE) {
        p->failed++;
        /* It may have begun to move while the probe waited. */
        bool is_confirmed = p->is_accused || is_in_doubt(p, now_ms);
        bool is_mute = p->failed >= PROBES_WITHOUT_DOUBT && is_quiet(p, now_ms);
        p->is_hung = is_confirmed || is_mute;
    } else {
        p->failed = 0;
        p->still_ms = now_ms;
    }
    if (!p->is_hung) {
        p->is_accused = false;
        begin_again(p, now_ms);
    }
}

const char *pulse_doubt(const struct pulse *p)
{
    if (p->doubt_ms != 0 && p->is_silent) {
        return "its counters are not answered any more";
    }
    if (p->doubt_ms != 0) {
        return "work in flight, but no token comes";
    }
    if (p->unwell_ms != 0) {
        return "its health page does not answer 200";
    }
    if (p->is_accused) {
        return "a GPU of it is down";
    }
    return p->failed > 0 ? "it makes no token" : "";
}
