#include "ops/metrics.h"

#include "base/check.h"
#include "ops/metrics_priv.h"

static const struct metric_section *const SECTIONS[] = {
    &METRICS_REQUESTS, &METRICS_QUEUE, &METRICS_BACKENDS, &METRICS_STATES,
    &METRICS_GATEWAY,  &METRICS_TOLD,  &METRICS_PROCESS,
};

enum {
    SECTION_COUNT = sizeof(SECTIONS) / sizeof(SECTIONS[0]),
    MS_DECIMALS = 3,
    US_DECIMALS = 6
};

size_t metrics_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        count += SECTIONS[i]->count;
    }
    return count;
}

const struct metric *metrics_at(size_t index)
{
    size_t section = 0;
    while (section < SECTION_COUNT && index >= SECTIONS[section]->count) {
        index -= SECTIONS[section]->count;
        section++;
    }
    CHECK(section < SECTION_COUNT);
    return &SECTIONS[section]->rows[index];
}

bool metrics_write(const struct status_source *source, uint64_t now_ms, struct exposition *e)
{
    struct scrape s = {
        .source = source, .now_ms = now_ms, .meters = tally_meters(source->tally)};
    size_t count = metrics_count();
    process_figures_read(&s.process);
    for (size_t i = 0; i < count; i++) {
        const struct metric *m = metrics_at(i);
        exposition_begin(e, &m->family);
        m->write(e, &s);
    }
    return !e->is_cut;
}

/* --- what writers have in common --- */

void metrics_put_count(struct exposition *e, const struct str *values, uint64_t count)
{
    exposition_put(e, values, (struct figure){count, 0});
}

void metrics_put_ms(struct exposition *e, const struct str *values, uint64_t ms)
{
    exposition_put(e, values, (struct figure){ms, MS_DECIMALS});
}

void metrics_put_times(struct exposition *e, const struct scrape *s, const struct str *values,
                       enum meters_time what, uint32_t backend)
{
    struct meters_times t;
    meters_times(s->meters, what, backend, &t);
    exposition_put_times(
        e, values,
        &(struct histogram){t.most_us, t.count, t.bucket_count, t.sum_us, US_DECIMALS});
}

void metrics_put_gaps(struct exposition *e, const struct str *values,
                      const struct tally_gaps *gaps)
{
    uint64_t most_ms[TALLY_GAP_BUCKETS];
    for (uint32_t i = 0; i < TALLY_GAP_BUCKETS; i++) {
        most_ms[i] = tally_gap_most_ms(i);
    }
    exposition_put_times(e, values,
                         &(struct histogram){most_ms, gaps->count, TALLY_GAP_BUCKETS,
                                             gaps->sum_ms, MS_DECIMALS});
}
