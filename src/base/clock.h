#pragma once

#include <stdint.h>

/*
 * The one place that asks the kernel for the time. Durations and deadlines use the monotonic
 * clock only, so that a step of the wall clock changes nothing. Any thread may call.
 */

uint64_t clock_mono_us(void); /* microseconds since an arbitrary start, never backwards */
uint64_t clock_mono_ms(void);
uint64_t
clock_wall_ms(void); /* milliseconds since 1970, UTC; for people, never for deadlines */

/* "2026-11-21T05:24:02.123Z" (RFC 3339) of a wall time; out holds at least 25 bytes. */
void clock_format(uint64_t wall_ms, char out[25]);
