#pragma once

#include <jansson.h>

#include "base/mem.h"
#include "ops/status.h"
#include "tiers/offers.h"
#include "tiers/pick_status.h"

/*
 * What status and explain tell in the same words, as JSON. The values that are made belong to
 * the caller until they are put somewhere, which cannot fail: memory aborts. Private to ops.
 */

enum { WHY_BYTES = 640 }; /* holds what its GPUs and its guard say, too */

json_t *tell_text(struct str s);
json_t *tell_whole(uint64_t number);
double tell_seconds(uint64_t ms);                     /* in tenths */
json_t *tell_moment(uint64_t at_ms, uint64_t now_ms); /* of the monotonic clock, as wall time */
void tell_put(json_t *object, const char *key, json_t *value); /* takes the value over */
void tell_push(json_t *array, json_t *value);                  /* likewise */
struct str tell_dump(json_t *value, struct arena *a); /* likewise; lives in the arena */

/* How a backend is judged, since when, and what led to it. */
void tell_judgement(json_t *o, const struct status_source *s, const struct backend *b,
                    const struct backend_view *v, uint64_t now_ms);

/* Why a member of a tier is usable or not: a sentence without a full stop. */
void tell_why(const struct status_source *s, const struct backend *b,
              const struct pick_prospect *p, uint64_t now_ms, char why[WHY_BYTES]);

/* The worst of what is known of it, in a word: "HEALTHY", …; "STOPPED" or "LOADING" where it is
 * started and stopped by ourselves; "DRAINING" or "DISABLED" while that is the operator's word.
 */
const char *tell_state(const struct backend_view *v);

/* All that it answers; the last TOLD_OF_MANAGED for managed backends only. */
enum { TOLD_STATES = 7, TOLD_OF_MANAGED = 2 };
extern const char *const tell_states[TOLD_STATES];

/* Why its state is what it is, with what others tell of it. */
void tell_cause(const struct status_source *s, const struct backend *b,
                const struct backend_view *v, uint64_t now_ms, char why[WHY_BYTES]);

/* What its GPUs and its guard are said to do. */
void tell_telemetry(json_t *o, const struct status_source *s, const struct backend *b,
                    uint64_t now_ms);

/* Its breaker's word, its share of the requests, and when that ends. */
void tell_prospect(json_t *o, const struct pick_prospect *p, uint64_t now_ms);

/* Its context and what it can. */
void tell_offer(json_t *o, const struct offer *offer);

/* The process of a backend that the gateway starts itself; null for others. */
json_t *tell_process(const struct status_source *s, const struct backend *b, uint64_t now_ms);

/* How a model's tiers share the load, and who waits. */
void tell_load(json_t *o, const struct status_source *s, const struct model *m);
