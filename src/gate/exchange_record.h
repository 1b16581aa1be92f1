#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gate/exchange.h"
#include "gate/exchange_trace.h"
#include "tiers/record.h"

/*
 * What is noted of an exchange while it runs, for the access log and for traces
 * (tiers/record.h), as one line at each door that it passes; and the trace that it belongs to.
 * Nobody decides by it. Where nobody wants a record and the client sent no trace, x->record is
 * NULL, and each door is a branch. Belongs to its worker's thread.
 */

struct exchange_record {
    struct exchange_trace trace;
    bool is_kept; /* else only the trace is passed on */
    bool has_ended;
    struct record draft;                                 /* its text is the exchange's */
    struct record_attempt *attempt[RECORD_ATTEMPTS_MAX]; /* of draft.attempt_count */
};

/* A request has come; and was read, or refused: `e` says so then, else NULL. */
void exchange_record_begin(struct exchange *x);
void exchange_record_read(struct exchange *x, const struct client_error *e);

/* Header lines for the next attempt, and the id of its span. */
struct str exchange_record_lines(struct exchange *x, uint64_t *span);

/* It was opened. */
void exchange_record_opened(struct exchange *x, struct attempt *a, uint64_t span);

/* It failed, or is good; and what is left to say when it is closed. */
void exchange_record_failed(const struct exchange *x, enum failure f);
void exchange_record_good(const struct exchange *x);
void exchange_record_closed(const struct attempt *a);

/* The first content for the client; a broken answer goes on; so long for a slot. */
void exchange_record_content(struct exchange *x);
void exchange_record_resumed(struct exchange *x);
void exchange_record_queued(struct exchange *x, uint64_t waited_ms);

/* Why the answer ended, where this chunk or body says so, and its usage. */
void exchange_record_finish(struct exchange *x, struct str chunk);
void exchange_record_usage(struct exchange *x, uint64_t prompt, uint64_t completion);

/* So many bytes of the answer's body for the client. */
void exchange_record_sent(struct exchange *x, const struct str *parts, size_t count);

/* How it ended for the client. */
void exchange_record_outcome(struct exchange *x, enum outcome o);

/* The exchange is about to be freed, its attempts are closed: those who want it get it. */
void exchange_record_end(struct exchange *x);

/* A request that is no exchange was answered, or refused by its head; before the answer, which
 * ends the request. `code`: of the error, NULL: none. */
void exchange_record_other(struct worker *w, struct http_conn *c, int status, const char *code);
