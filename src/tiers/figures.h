#pragma once

#include <stdint.h>

/*
 * What is counted of a backend for status and metrics, and the arithmetic of first-token times.
 * Pure.
 */

enum { FIRST_TOKEN_BUCKETS = 32 };

struct backend_figures {
    uint64_t attempts;
    uint64_t failures;
    uint64_t tokens;                           /* pieces of content relayed */
    uint64_t first_token[FIRST_TOKEN_BUCKETS]; /* count by time: bucket i is below 2^(i/2) ms */
    uint64_t first_token_sum_ms;
};

/* The bucket that a first token after so long is counted in. */
uint32_t figures_bucket_of(uint64_t took_ms);

/* The longest time, in the whole ms that are counted, that belongs into the bucket of first
 * tokens or one below it: the inclusive bound that Prometheus wants. UINT64_MAX for the last.
 */
uint64_t board_first_token_most_ms(uint32_t bucket);

/* Upper bound in ms of the bucket in which the given share (0 … 1) of first tokens lies; 0 for
 * none. */
uint64_t figures_first_token_ms(const struct backend_figures *f, double share);
