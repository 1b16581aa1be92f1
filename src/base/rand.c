#include "base/rand.h"

#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"

void rand_seed(struct rand *r)
{
    if (getrandom(&r->state, sizeof(r->state), GRND_NONBLOCK) != (ssize_t)sizeof(r->state)) {
        r->state = clock_mono_us();
    }
}

uint64_t rand_next(struct rand *r)
{
    r->state += 0x9e3779b97f4a7c15U;
    uint64_t z = r->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

uint32_t rand_below(struct rand *r, uint32_t below)
{
    CHECK(below > 0);
    return (uint32_t)(((rand_next(r) >> 32) * below) >> 32);
}
