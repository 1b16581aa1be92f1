#pragma once

#include "ops/metrics.h"
#include "tiers/meters.h"

/*
 * The parts of the table of metrics, a file a subject, and what their writers have in common.
 * For ops/metrics*.c only.
 */

struct metric_section {
    const struct metric *rows;
    size_t count;
};

extern const struct metric_section METRICS_REQUESTS; /* what the clients get */
extern const struct metric_section METRICS_QUEUE;
extern const struct metric_section METRICS_BACKENDS; /* what they do */
extern const struct metric_section METRICS_STATES;   /* how they are */
extern const struct metric_section METRICS_GATEWAY;
extern const struct metric_section METRICS_TOLD; /* to others: alerts, traces, lines */
extern const struct metric_section METRICS_PROCESS;

#define METRICS_SECTION(rows_)                                       \
    {                                                                \
        .rows = (rows_), .count = sizeof(rows_) / sizeof((rows_)[0]) \
    }

/* As a matrix of all pairs would be long with more backends, pairs appear then when they have
 * occurred. */
enum { PAIRS_ALL_MAX = 16 };

void metrics_put_count(struct exposition *e, const struct str *values, uint64_t count);
void metrics_put_ms(struct exposition *e, const struct str *values, uint64_t ms);

/* One kind of times of one backend (or TIME_OWN). */
void metrics_put_times(struct exposition *e, const struct scrape *s, const struct str *values,
                       enum meters_time what, uint32_t backend);

/* Times that the tally sorts. */
void metrics_put_gaps(struct exposition *e, const struct str *values,
                      const struct tally_gaps *gaps);
