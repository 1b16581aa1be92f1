#pragma once

#include "gate/exchange.h"

/*
 * The steps of an exchange and what they share; for exchange*.c, await.c, relay.c and linger.c
 * only.
 */

enum { FINISH_GRACE_MS = 1000 }; /* between the finish reason and [DONE] */

extern const struct step step_pick;    /* choose a backend, open an attempt */
extern const struct step step_queue;   /* wait for a slot */
extern const struct step step_backoff; /* wait before the same backend again */
extern const struct step step_await;   /* until the first content, or the whole answer */
extern const struct step step_relay;   /* committed: pass on what comes */
extern const struct step
    step_linger; /* the client has all; await the backend's end, for reuse */
extern const struct step step_count; /* a tokenizer counts */
extern const struct step step_usage; /* the last word where the backend's was lost */
extern const struct step step_fail;  /* say the error */
extern const struct step step_done;

static inline uint64_t exchange_now(const struct exchange *x)
{
    return loop_now_ms(x->worker->loop);
}

/* What it asks the picker for. */
struct pick_query exchange_query(struct exchange *x);

/* Who serves next, and which try there it is. False: nobody, or p->is_full: exchange_queue. */
bool exchange_choose(struct exchange *x, struct pick *p, uint32_t *tries);

/* Waits for a slot of those that p says are full. */
const struct step *exchange_queue(struct exchange *x, const struct pick *p);
const struct step *queue_run(struct exchange *x);
uint64_t queue_due_ms(const struct exchange *x);

/* Out of the line; a slot that was granted goes to the next. */
void exchange_leave_queue(struct exchange *x);

/* Takes in the failure of the current attempt, drops it, and says where to go: one door. */
const struct step *exchange_next_after(struct exchange *x, enum failure f);

/* The same for a failure after commit: on at the next backend that can, or an honest end. */
const struct step *exchange_interrupt(struct exchange *x, enum failure f);

/* How this backend may go on with the answer that the client has half of; RESUME_NEVER: not by
 * policy or not at all. */
enum resume_way exchange_resume_way(struct exchange *x, const struct tier_member *m);

/* What a client is told whose stream cannot go on. */
struct client_error exchange_interrupted(void);

/*
 * Query of death: a request under which two backends died is not sent to a third. Where it is
 * not clear yet whether they died, their probes are awaited once. The step that this asks for,
 * or NULL to go on.
 */
const struct step *exchange_spare_third(struct exchange *x);

/* Whether the retry budget has room for the attempt that is about to be made, where it needs
 * any; takes it. A backend that is well gets it all the same: a hang of one is no brown-out of
 * the others. False: x->error says so. */
bool exchange_may_attempt(struct exchange *x, const struct backend *at);

/* The current attempt ends well: counts it, tells the board. */
void exchange_note_good(struct exchange *x);

/* The client is about to have a whole answer. */
void exchange_note_whole(struct exchange *x);

/* Both. */
void exchange_succeed(struct exchange *x);

/* When patience with this attempt ends, and as what failure. */
uint64_t exchange_attempt_due(const struct exchange *x, const struct attempt *a,
                              enum failure *as);

/* Opens an attempt of this exchange. False: that backend cannot express the request. */
bool exchange_make_attempt(struct exchange *x, const struct pick *p, uint32_t tries,
                           enum resume_way way, struct attempt **out);

/* --- what the request needs (exchange_needs.c) --- */

/* From the request that was read. */
void exchange_set_needs(struct exchange *x);

/* As they are now: a resume's prompt has what was given, too. */
const struct needs *exchange_needs(struct exchange *x);

/* Takes in the backend's word that its context is too short. */
void exchange_note_refusal(struct exchange *x);

/* A whole answer: how long its prompt's tokens were. */
void exchange_note_prompt(struct exchange *x);

/* Whether no backend of the model can do what is asked for, whatever its state: the client's
 * own error is in x->unmappable then. */
bool exchange_is_impossible(struct exchange *x);

/* True after so many reads in one turn: the others have theirs, and this exchange is woken
 * again. A backend that floods must not keep a worker. */
bool exchange_turn_is_over(struct exchange *x);

/* A comment for a streaming client that has waited long. */
void exchange_keep_client(struct exchange *x);

/* --- the answer so far (exchange_answer.c) --- */

/* Keeps an event from before the first content until we know that there will be an answer. */
void exchange_hold_event(struct exchange *x);

/* The first content has come: what was held is part of the answer now. */
enum failure exchange_begin_answer(struct exchange *x);

/* The current event is about to be the client's. */
void exchange_note_given(struct exchange *x);

/* The same for a client that waits for one JSON body: the event becomes part of it. */
enum failure exchange_collect_event(struct exchange *x);

/* Nobody has seen it yet, and another backend begins anew. */
void exchange_forget_answer(struct exchange *x);

/* Names the current attempt's backend as the one that answers. */
void exchange_now_answers(struct exchange *x);

/* All tokens that were asked for are there: ends the answer without a backend. */
const struct step *exchange_end_by_length(struct exchange *x);

/* --- how many tokens that is (exchange_count.c) --- */

/* Asks a backend that has the tokenizer, once: the step that waits for it and then goes on with
 * `next`. NULL: it is known, nobody can tell, or it was asked already. */
const struct step *exchange_count(struct exchange *x, enum counted what,
                                  const struct step *next);
uint64_t exchange_count_due_ms(const struct exchange *x); /* in the step `count` */
void exchange_stop_counting(struct exchange *x);
const struct step *count_run(struct exchange *x);

/* The answer is whole, but what the client is to know of its usage has not come with it. */
bool exchange_lacks_usage(const struct exchange *x);

/* Ends it with a usage of our own; everything else must have been sent or collected. */
const struct step *exchange_end_with_usage(struct exchange *x);
const struct step *usage_run(struct exchange *x);

/* --- when no backend can answer (exchange_last_resort.c) --- */

/* A stream begins: what the client gets is kept for later, where the model wants that. Then
 * each chunk that it gets, and its good end. Nothing happens where answers are not kept. */
void last_resort_listen(struct exchange *x);
void last_resort_hear(struct exchange *x, struct str chunk);
void last_resort_keep_heard(struct exchange *x);

/* The same for an answer that is one body; while the client's request is there still. */
void last_resort_keep(struct exchange *x, struct str body);

/* Instead of x->error, if that says that all backends are unavailable: an earlier answer or the
 * fixed text. False: there is none. */
bool last_resort_answer(struct exchange *x);

/* --- steps of await.c, relay.c and linger.c --- */

const struct step *await_run(struct exchange *x);
const struct step *await_attempt(struct exchange *x); /* what the current attempt has */
const struct step *relay_run(struct exchange *x);
const struct step *linger_run(struct exchange *x);

/* The first content of a stream has come, and goes out. */
const struct step *relay_commit(struct exchange *x);

/* A plain answer for a client that asked for a stream: the same, as chunks. */
const struct step *relay_whole(struct exchange *x, struct str body);

/* --- the second attempt when the first token is late (exchange_hedge.c) --- */

/* The first attempt was opened: says when its first token will be late. */
void hedge_plan(struct exchange *x);
uint64_t hedge_due_ms(const struct exchange *x); /* what it waits for; UINT64_MAX: nothing */

/* Begins the second attempt when it is due, and takes in what it has. As await_attempt. */
const struct step *hedge_await(struct exchange *x);

/* The current attempt has content: the other one is cancelled. */
void hedge_settle(struct exchange *x);

/* The current attempt failed while the other runs: drops it. */
const struct step *hedge_go_on(struct exchange *x);

/* Awaits the end of an attempt whose client has everything. */
const struct step *exchange_linger(struct exchange *x);

/* After commit: true while the client has not taken what was sent. Nothing is read for it then,
 * and its slowness is not the backend's silence. One that is to go on with a broken answer is
 * asked all the same, and heard up to its first content, or its time would pass before it has
 * begun. */
bool relay_client_is_behind(const struct exchange *x);
