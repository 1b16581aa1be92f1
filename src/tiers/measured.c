#include "tiers/measured.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };

void measured_init(struct measured *m)
{
    *m = (struct measured){.again_ms = UINT64_MAX};
}

bool measured_is_outdated(const struct measured *m, uint64_t identity)
{
    return m->is_valid && identity != 0 && identity != m->subject.identity;
}

static bool is_wanted(const struct measured *m, const struct measured_subject *now_is)
{
    return !m->is_valid || measured_is_outdated(m, now_is->identity) ||
           now_is->outages != m->subject.outages;
}

uint64_t measured_next_ms(const struct measured *m, const struct measured_subject *now_is,
                          uint64_t now_ms)
{
    uint64_t wanted_ms = is_wanted(m, now_is) ? now_ms : m->again_ms;
    return wanted_ms > m->not_before_ms ? wanted_ms : m->not_before_ms;
}

bool measured_is_due(const struct measured *m, const struct measured_subject *now_is,
                     uint64_t now_ms)
{
    return now_ms >= measured_next_ms(m, now_is, now_ms);
}

static uint64_t wait_ms(const struct measured *m, enum measured_end end)
{
    static const struct {
        uint32_t first_ms;
        uint32_t most_ms;
    } waits[] = {[MEASURED_WELL] = {0, 0},
                 [MEASURED_BADLY] = {10 * MINUTE_MS, HOUR_MS},
                 [MEASURED_UNCLEAR] = {10 * MINUTE_MS, HOUR_MS},
                 [MEASURED_FAILED] = {5 * SECOND_MS, 10 * MINUTE_MS},
                 [MEASURED_BROKE] = {MINUTE_MS, HOUR_MS}};
    uint64_t wait = waits[end].first_ms;
    for (uint32_t i = 0; i < m->waits && wait < waits[end].most_ms; i++) {
        wait *= 2;
    }
    return wait < waits[end].most_ms ? wait : waits[end].most_ms;
}

void measured_note(struct measured *m, enum measured_end end,
                   const struct measured_subject *subject, uint64_t now_ms)
{
    bool is_result = end == MEASURED_WELL || end == MEASURED_BADLY;
    uint64_t due_ms = now_ms + wait_ms(m, end);
    m->waits = end == MEASURED_WELL ? 0 : m->waits + 1;
    m->again_ms = end == MEASURED_WELL ? UINT64_MAX : due_ms;
    m->not_before_ms = is_result ? now_ms : due_ms;
    if (is_result) {
        m->is_valid = true;
        m->subject = *subject;
    }
}
