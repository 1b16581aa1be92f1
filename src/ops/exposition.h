#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/*
 * Writes metrics in Prometheus' text format, version 0.0.4: families one after another, each
 * with its HELP and TYPE line and then its samples. Numbers are whole or decimal, never binary
 * fractions, so that what was counted is what is read. Pure; not thread-safe.
 */

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum { LABELS_MAX = 4 };

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
const char *metric_kind_name(enum metric_kind kind); /* "counter", … */

struct family {
    const char *name;
    enum metric_kind kind;
    const char *labels[LABELS_MAX + 1]; /* names, ends with NULL; a histogram's without "le" */
    const char *help;                   /* one sentence or more */
};

/* value / 10^decimals: {1500, 3} is 1.5. */
struct figure {
    uint64_t value;
    uint32_t decimals; /* 0 … 9 */
};

/*
 * Times in whole units of 10^-decimals s, sorted into buckets with inclusive upper bounds, the
 * last of which is UINT64_MAX. Bounds do not fall; buckets with equal bounds are written as
 * one.
 */
struct histogram {
    const uint64_t *most;
    const uint64_t *count; /* of each bucket alone */
    size_t bucket_count;
    uint64_t sum;
    uint32_t decimals; /* 3: ms, 6: µs */
};

struct exposition {
    struct buf out;
    bool is_cut; /* it would have become longer than allowed: do not use it */

    /* private: */
    const struct family *family;
};

void exposition_init(struct exposition *e, size_t max);
void exposition_fini(struct exposition *e);

/* The samples that follow belong to this family, which must outlive them. */
void exposition_begin(struct exposition *e, const struct family *f);

/* A sample of a counter or gauge. One value for each label of the family, any UTF-8. */
void exposition_put(struct exposition *e, const struct str *values, struct figure f);

/* A histogram in seconds: all its buckets, its sum, its count. */
void exposition_put_times(struct exposition *e, const struct str *values,
                          const struct histogram *h);
