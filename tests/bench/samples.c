#include "bench/samples.h"

#include <stdlib.h>

#include "base/check.h"

void samples_fini(struct samples *s)
{
    free(s->us);
    *s = (struct samples){.us = NULL};
}

void samples_add(struct samples *s, uint64_t us)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 4096;
        s->us = realloc(s->us, s->cap * sizeof(*s->us));
        CHECK(s->us != NULL);
    }
    s->us[s->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void samples_sort(struct samples *s)
{
    if (s->count > 0) {
        qsort(s->us, s->count, sizeof(*s->us), compare);
    }
}

uint32_t samples_at(const struct samples *s, double share)
{
    return s->count > 0 ? s->us[(size_t)(share * (double)(s->count - 1))] : 0;
}
