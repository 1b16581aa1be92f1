#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000U + (uint64_t)ts.tv_nsec / 1000U;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000U;
}

uint64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000U;
}

void clock_format(uint64_t wall_ms, char out[25])
{
    time_t seconds = (time_t)(wall_ms / 1000U);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t len = strftime(out, 25, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, 25 - len, ".%03uZ", (unsigned)(wall_ms % 1000U));
}
