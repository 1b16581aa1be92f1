#pragma once

#include "gate/exchange.h"
#include "gate/gateway.h"
#include "tiers/processes.h"
#include "tiers/telemetry.h"

/*
 * What the gateway tells its journal (tiers/journal.h), as one line at each door. Only things
 * that go wrong, or that end that, are told: a good request passes none of these. Any thread.
 */

/* A backend changed state, or its cause did. Nothing where it was well and is. No more than an
 * info while the operator has taken it out: he knows. */
void report_state(struct gateway *g, const struct backend *b, const struct board_change *change,
                  const char *why);

/* The operator has given this word; it has so many attempts in flight. */
void report_operator(struct gateway *g, const struct backend *b, enum operator_word word,
                     const struct backend_view *v);

/* The breaker of this member opened or closed; it does what it does for another wait_ms. */
void report_breaker(const struct gateway *g, const struct tier_member *m,
                    const struct breaker_view *v, uint64_t wait_ms);

/* The current attempt failed, and not by the client's fault; what was decided then. */
void report_failover(const struct exchange *x, enum failure f, const char *then);

/* An answer that broke goes on, by the current attempt. */
void report_resumed(const struct exchange *x);

/* The client gets x->error instead of an answer, or of its rest. Nothing where that is its own
 * fault. */
void report_unserved(const struct exchange *x);

/* The client has an answer that no backend made now. */
void report_last_resort(const struct exchange *x, enum last_resort kind);

/* So many attempts were not made since this was told last. */
void report_budget(const struct exchange *x, uint64_t refused);

/* What is told of a backend's GPUs has changed. */
void report_gpu(struct gateway *g, const struct backend *b, const struct gpu_news *n);

/* Its process is started again, or will not be, as its guard says or as we know of a managed
 * one. Nothing for any other word. */
void report_guard(struct gateway *g, const struct backend *b, const struct guard_news *n);
void report_process(struct gateway *g, const struct backend *b, const struct process_word *w);

/* Somebody came without a key, or with a wrong one. */
void report_key(const struct gateway *g, int status);
