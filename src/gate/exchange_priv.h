#pragma once

#include "gate/exchange.h"

/*
 * The steps of an exchange and what they share; for exchange*.c and relay.c only.
 */

extern const struct step step_pick;    /* choose a backend, open an attempt */
extern const struct step step_backoff; /* wait before the same backend again */
extern const struct step step_await;   /* until the first content, or the whole answer */
extern const struct step step_relay;   /* committed: pass on what comes */
extern const struct step
    step_linger;                    /* the client has all; await the backend's end, for reuse */
extern const struct step step_fail; /* say the error */
extern const struct step step_done;

static inline uint64_t exchange_now(const struct exchange *x)
{
    return loop_now_ms(x->worker->loop);
}

/* Takes in the failure of the current attempt, drops it, and says where to go: one door. */
const struct step *exchange_next_after(struct exchange *x, enum failure f);

/* The same for a failure after commit: on at the next backend that can, or an honest end. */
const struct step *exchange_interrupt(struct exchange *x, enum failure f);

/* How this backend may go on with the answer that the client has half of; RESUME_NEVER: not by
 * policy or not at all. */
enum resume_way exchange_resume_way(struct exchange *x, const struct backend *b);

/* What a client is told whose stream cannot go on. */
struct client_error exchange_interrupted(void);

/*
 * Query of death: a request under which two backends died is not sent to a third. Where it is
 * not clear yet whether they died, their probes are awaited once. The step that this asks for,
 * or NULL to go on.
 */
const struct step *exchange_spare_third(struct exchange *x);

/* Counts the attempt as good, tells the board. */
void exchange_succeed(struct exchange *x);

/* When the current attempt runs out of patience, and as what failure. */
uint64_t exchange_attempt_due(const struct exchange *x, enum failure *as);

/* Steps of relay.c, before and after commit. */
const struct step *relay_await(struct exchange *x);
const struct step *relay_run(struct exchange *x);
const struct step *relay_linger(struct exchange *x);
