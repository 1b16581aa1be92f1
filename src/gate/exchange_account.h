#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gate/exchange.h"
#include "gate/exchange_trace.h"
#include "tiers/account.h"

/*
 * What is noted of an exchange while it runs, for the access log and for traces
 * (tiers/account.h), as one line at each door that it passes; and the trace that it belongs to.
 * Nobody decides by it. Where nobody wants a account and the client sent no trace, x->account
 * is NULL, and each door is a branch. Belongs to its worker's thread.
 */

struct exchange_account {
    struct exchange_trace trace;
    bool is_kept; /* else only the trace is passed on */
    bool has_ended;
    struct account draft;                                  /* its text is the exchange's */
    struct account_attempt *attempt[ACCOUNT_ATTEMPTS_MAX]; /* of draft.attempt_count */
};

/* A request has come; and was read, or refused: `e` says so then, else NULL. */
void exchange_account_begin(struct exchange *x);
void exchange_account_read(struct exchange *x, const struct client_error *e);

/* Header lines for the next attempt, and the id of its span. */
struct str exchange_account_lines(struct exchange *x, uint64_t *span);

/* It was opened. */
void exchange_account_opened(struct exchange *x, struct attempt *a, uint64_t span);

/* It failed, or is good; and what is left to say when it is closed. */
void exchange_account_failed(const struct exchange *x, enum failure f);
void exchange_account_good(const struct exchange *x);
void exchange_account_closed(const struct attempt *a);

/* The first content for the client; a broken answer goes on; so long for a slot. */
void exchange_account_content(struct exchange *x);
void exchange_account_resumed(struct exchange *x);
void exchange_account_queued(struct exchange *x, uint64_t waited_ms);

/* Why the answer ended, where this chunk or body says so, and its usage. */
void exchange_account_finish(struct exchange *x, struct str chunk);
void exchange_account_usage(struct exchange *x, uint64_t prompt, uint64_t completion);

/* So many bytes of the answer's body for the client. */
void exchange_account_sent(struct exchange *x, const struct str *parts, size_t count);

/* How it ended for the client. */
void exchange_account_outcome(struct exchange *x, enum outcome o);

/* The exchange is about to be freed, its attempts are closed: those who want it get it. */
void exchange_account_end(struct exchange *x);

/* A request that is no exchange was answered, or refused by its head; before the answer, which
 * ends the request. `code`: of the error, NULL: none. */
void exchange_account_other(struct worker *w, struct http_conn *c, int status,
                            const char *code);
