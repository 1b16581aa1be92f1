#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/catalog.h"
#include "tiers/verdict.h"

/*
 * The last verdicts on each backend, for people: every attempt that failed, what was decided
 * then, and the first answer after it. Judges nothing. Equal verdicts in a row are one line
 * with a count, so that a storm does not push out what was there before it.
 *
 * One short lock per backend. An answer takes it only where the attempt before it, of the same
 * serving, failed: normal traffic costs one relaxed load. Any thread may call anything here;
 * time is an argument.
 */

enum { VERDICTS_KEPT = 10 };

struct verdict_log;

/* The catalog must outlive it. */
struct verdict_log *verdict_log_new(const struct catalog *c);
void verdict_log_free(struct verdict_log **l);

struct verdict_entry {
    uint64_t first_ms; /* of the first of `times` */
    uint64_t last_ms;
    uint32_t times;       /* equal ones in a row; stays at its greatest value */
    uint32_t serving;     /* place in the catalog */
    enum failure failure; /* FAILURE_ok: it answered */
    uint16_t status;      /* of the HTTP answer; 0: there was none */
    bool is_trial;
    const char *then; /* what was decided; static storage */
};

/* An attempt failed. Of `e` only the times are not used. */
void verdict_log_failure(struct verdict_log *l, const struct verdict_entry *e, uint64_t now_ms);

/* A whole answer. */
void verdict_log_answer(struct verdict_log *l, uint32_t serving, bool is_trial,
                        uint64_t now_ms);

/* The newest first; how many there are. */
uint32_t verdict_log_read(const struct verdict_log *l, uint32_t backend,
                          struct verdict_entry out[VERDICTS_KEPT]);
