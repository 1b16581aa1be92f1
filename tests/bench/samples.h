#pragma once

#include <stddef.h>
#include <stdint.h>

/* Measured times, all of them kept, so that a percentile is one that really occurred. */

struct samples {
    uint32_t *us;
    size_t count;
    size_t cap;
};

void samples_fini(struct samples *s);
void samples_add(struct samples *s, uint64_t us);

/* For percentiles; sorts in place. */
void samples_sort(struct samples *s);

/* The value below which `share` (0..1) of the sorted samples lie; 0 without samples. */
uint32_t samples_at(const struct samples *s, double share);
