#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/catalog.h"
#include "tiers/tally.h"
#include "tiers/verdict.h"

/*
 * What is counted of backends and of the gateway's own work, for metrics and nobody else: whose
 * answers the clients got, why attempts failed and where their requests went, tokens by the
 * backends' own word, probes, and how long things took. Kept by the tally (tally_meters).
 * Every number is an atomic of its own that only grows. Any thread may call anything here.
 */

struct meters;

/* For the tally. */
struct meters *meters_new(const struct catalog *c);
void meters_free(struct meters **m);

/* --- answers --- */

/* What came of an answer that a client got, or a part of it: what other outcomes there are, no
 * backend has answered. */
enum answer_end { ANSWER_OK, ANSWER_INTERRUPTED, ANSWER_CLIENT_LEFT };
enum { ANSWER_ENDS = 3 };
enum outcome answer_end_outcome(enum answer_end e);

/* The `place`th member of the model over all its tiers, from 0. */
void meters_answer(struct meters *m, uint32_t model, uint32_t place, enum answer_end e);
uint64_t meters_answers(const struct meters *m, uint32_t model, uint32_t place,
                        enum answer_end e);

/* An attempt was not made because the model's retry budget was used up. */
void meters_over_budget(struct meters *m, uint32_t model);
uint64_t meters_over_budgets(const struct meters *m, uint32_t model);

/* --- attempts --- */

void meters_failure(struct meters *m, uint32_t backend, enum failure f);
uint64_t meters_failures(const struct meters *m, uint32_t backend, enum failure f);

/* A request went on at another backend when an attempt had failed before its first content. */
void meters_failover(struct meters *m, uint32_t from, uint32_t to);
uint64_t meters_failovers(const struct meters *m, uint32_t from, uint32_t to);

/* Tokens that the backend says an attempt had; 0: it did not say. */
void meters_usage(struct meters *m, uint32_t backend, uint64_t prompt, uint64_t completion);

struct meters_usage {
    uint64_t prompt;
    uint64_t completion;
    uint64_t answers; /* that it said it of */
};
void meters_usages(const struct meters *m, uint32_t backend, struct meters_usage *out);

/* --- times --- */

enum { METERS_BUCKETS_MAX = 18 };

enum meters_time {
    TIME_OWN,   /* of one request: what the gateway itself took */
    TIME_TOKEN, /* of one answer: from piece to piece of its content, on the average */
    TIME_PROBE  /* of one probe of the backend */
};
enum { METERS_TIMES = 3 };

struct meters_times {
    uint64_t most_us[METERS_BUCKETS_MAX]; /* inclusive bounds; UINT64_MAX: the last */
    uint64_t count[METERS_BUCKETS_MAX];   /* not cumulative */
    uint32_t bucket_count;
    uint64_t sum_us;
};

/* `worker` only keeps writers apart. */
void meters_own(struct meters *m, uint32_t worker, uint64_t took_us);

/* An answer of `pieces`, 2 or more, took so long from the first to the last. */
void meters_token(struct meters *m, uint32_t backend, uint64_t took_ms, uint64_t pieces);

void meters_probe(struct meters *m, uint32_t backend, bool is_good, uint64_t took_ms);
uint64_t meters_probes(const struct meters *m, uint32_t backend, bool is_good);

/* `backend` is not looked at for TIME_OWN, which is the sum of all workers. */
void meters_times(const struct meters *m, enum meters_time what, uint32_t backend,
                  struct meters_times *out);
