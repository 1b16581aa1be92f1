#include "ops/rates.h"

#include <stdlib.h>

#include "base/mem.h"

struct rate {
    uint64_t tokens;
    double per_s;
};

struct rates {
    struct rate *rate;
    size_t count;
    uint64_t sampled_ms;
};

struct rates *rates_new(size_t backend_count)
{
    struct rates *r = mem_alloc(sizeof(*r));
    r->rate = mem_alloc(sizeof(r->rate[0]) * backend_count);
    r->count = backend_count;
    return r;
}

void rates_free(struct rates **r)
{
    if (*r) {
        free((*r)->rate);
        free(*r);
        *r = NULL;
    }
}

void rates_sample(struct rates *r, const struct board *b, uint64_t now_ms)
{
    static const double weight = 0.3; /* of the newest second: half-life about two seconds */
    double seconds = (double)(now_ms - r->sampled_ms) / 1000.0;
    for (uint32_t i = 0; i < r->count; i++) {
        struct backend_figures f;
        board_figures(b, i, &f);
        if (r->sampled_ms > 0 && seconds > 0) {
            double now = (double)(f.tokens - r->rate[i].tokens) / seconds;
            r->rate[i].per_s += weight * (now - r->rate[i].per_s);
        }
        r->rate[i].tokens = f.tokens;
    }
    r->sampled_ms = now_ms;
}

double rates_tokens_per_s(const struct rates *r, uint32_t backend)
{
    return r->rate[backend].per_s < 0.05 ? 0 : r->rate[backend].per_s;
}
