#include "sim_draw.h"

struct rand draw_stream(uint64_t seed, enum draw_lane lane, uint64_t number)
{
    struct rand r = {.state = seed};
    r.state = rand_next(&r) ^ ((uint64_t)lane + 1) * UINT64_C(0xd6e8feb86659fd93);
    r.state = rand_next(&r) ^ number * UINT64_C(0xa0761d6478bd642f);
    r.state = rand_next(&r);
    return r;
}

uint32_t draw_between(struct rand *r, uint32_t lo, uint32_t hi)
{
    return lo + rand_below(r, hi - lo + 1);
}

bool draw_percent(struct rand *r, uint32_t percent)
{
    return rand_below(r, 100) < percent;
}
