#pragma once

#include <stdint.h>

#include "tiers/catalog.h"

/*
 * What has come of the clients' requests since the start: how each ended, and what became of
 * each answer that broke after its first content, and of second attempts. Only counts, never
 * judges: the board does. Every number is an atomic of its own that only grows, so that
 * counting and reading never wait. Any thread may call anything here.
 */

#define OUTCOME_LIST(X)                                                                \
    X(ok)          /* a whole answer */                                                \
    X(failed)      /* an error of ours or of the backends, and nothing of an answer */ \
    X(interrupted) /* the answer broke after its first content and could not go on */  \
    X(last_resort) /* no backend could serve: an earlier answer, or the fixed text */  \
    X(refused)     /* the request's own fault: 4xx */                                  \
    X(client_left) /* before its answer was whole */

enum outcome {
#define OUTCOME_ENUM(name) OUTCOME_##name,
    OUTCOME_LIST(OUTCOME_ENUM)
#undef OUTCOME_ENUM
        OUTCOME_COUNT
};

const char *outcome_name(enum outcome o); /* "ok", … */

/* What an OUTCOME_last_resort was answered by. */
enum last_resort { LAST_RESORT_CACHE, LAST_RESORT_MESSAGE };
enum { LAST_RESORTS = 2 };

const char *last_resort_name(enum last_resort r); /* "cache", "message" */

#define HEDGE_RESULT_LIST(X)                                             \
    X(won)     /* the second attempt had content first */                \
    X(lost)    /* it had not: it was late, failed, or the client left */ \
    X(refused) /* somebody was there for it, but there had been enough of them */

enum hedge_result {
#define HEDGE_RESULT_ENUM(name) HEDGE_##name,
    HEDGE_RESULT_LIST(HEDGE_RESULT_ENUM)
#undef HEDGE_RESULT_ENUM
        HEDGE_RESULT_COUNT
};

const char *hedge_result_name(enum hedge_result r); /* "won", … */

/* In place of a model: none was named, or none of that name is configured. In place of a
 * backend: none was needed. */
#define TALLY_NONE UINT32_MAX

struct tally;
struct meters;

/* For the models and backends of the catalog, by their index. */
struct tally *tally_new(const struct catalog *c);
void tally_free(struct tally **t);

/* What else is counted for metrics (tiers/meters.h); lives as long as it. */
struct meters *tally_meters(const struct tally *t);

/* A request has ended; once for each. */
void tally_end(struct tally *t, uint32_t model, enum outcome o);

/* Such an end, and by what. */
void tally_last_resort(struct tally *t, uint32_t model, enum last_resort r);

/* An answer that ended whole was degraded: weaker than asked for, and it said so. */
void tally_degraded(struct tally *t, uint32_t model);

/*
 * A break after the first content ended well or not; once for each, however many backends were
 * asked in between. `from` is where it broke, `to` where the answer went on after the client
 * had got nothing new for `gap_ms`. TALLY_NONE: the client had all that it may get, so nobody
 * was asked; that is no gap.
 */
void tally_resumed(struct tally *t, uint32_t from, uint32_t to, uint64_t gap_ms);
void tally_not_resumed(struct tally *t, uint32_t from);

/* What became of a second attempt, or of the wish for one. */
void tally_hedge(struct tally *t, uint32_t model, enum hedge_result r);

/* How the wait for a slot ended; with QUEUE_SERVED after so long. */
enum queue_end { QUEUE_SERVED, QUEUE_FULL, QUEUE_TIMEOUT, QUEUE_ENDS };
const char *queue_end_name(enum queue_end e); /* "served", "full", "timeout" */
void tally_queue(struct tally *t, uint32_t model, enum queue_end e, uint64_t waited_ms);

/* An attempt went to a later tier because a better one was full. */
void tally_overflow(struct tally *t, uint32_t model);

/* --- figures --- */

uint64_t tally_ends(const struct tally *t, uint32_t model, enum outcome o);
uint64_t tally_last_resorts(const struct tally *t, uint32_t model, enum last_resort r);
uint64_t tally_degraded_answers(const struct tally *t, uint32_t model);
uint64_t tally_hedges(const struct tally *t, uint32_t model, enum hedge_result r);
uint64_t tally_resumes(const struct tally *t, uint32_t from, uint32_t to);
uint64_t tally_failed_resumes(const struct tally *t, uint32_t from);

enum { TALLY_GAP_BUCKETS = 17 };

struct tally_gaps {
    uint64_t count[TALLY_GAP_BUCKETS]; /* not cumulative; each gap is in the first that fits */
    uint64_t sum_ms;
};

uint64_t tally_queue_ends(const struct tally *t, uint32_t model, enum queue_end e);
uint64_t tally_overflows(const struct tally *t, uint32_t model);

/* How long those waited that were served, in the same buckets. */
void tally_waits(const struct tally *t, uint32_t model, struct tally_gaps *out);

/* The longest gap that belongs into the bucket, 1 ms … 60 s; UINT64_MAX for the last. */
uint64_t tally_gap_most_ms(uint32_t bucket);

void tally_gaps(const struct tally *t, struct tally_gaps *out);
