#pragma once

#include <stdbool.h>

#include "gate/exchange.h"
#include "llm/client_reply.h"

/*
 * What goes to the client: heads with the gateway's marks, events, whole answers, errors.
 * Nothing here decides what to say, only how it is said.
 */

/* The client's request id if it sent a sane one, else a new one; lives as long as the arena. */
struct str answer_request_id(struct worker *w, struct http_conn *c, struct arena *a);

/* A small JSON answer that needs no exchange. `extra`: further header lines. */
void answer_small(struct worker *w, struct http_conn *c, int status, struct str extra,
                  struct str body);

/* An error for a request that is no exchange (yet), in the dialect of its path. answer_fault
 * also ends the connection: for what the server itself refuses. */
void answer_refuse(struct worker *w, struct http_conn *c, const struct client_error *e,
                   struct str extra);
void answer_fault(struct worker *w, struct http_conn *c, const struct client_error *e,
                  struct str extra);

/* Queues the 200 head of a stream; it goes out with the first data. Once per exchange. */
void answer_begin_stream(struct exchange *x);

/* Sends parts of a stream as they are. `last`: adds [DONE] and the clean end, and lets the
 * client go. */
void answer_stream(struct exchange *x, const struct str *parts, size_t count, bool last);

/* A comment on a long wait; sends the head first if it has not gone out. */
void answer_keep_alive(struct exchange *x);

/* One whole JSON answer, annotated; lets the client go. */
void answer_whole(struct exchange *x, struct str body);

/* A finish chunk with the gateway's marks, as "data: …\n\n"; lives as long as the exchange. */
struct str answer_annotated_event(struct exchange *x, struct str chunk);

/* Ends a stream that needs no backend any more: this finish chunk, annotated; `last`: and
 * [DONE]. */
void answer_finish(struct exchange *x, struct str chunk, bool last);

/* x->error instead of an answer: a response when no head has
 * gone out, else an error event and a visible cut. Lets the client go. */
void answer_error(struct exchange *x);

/* Appends "backend:word" to the trail of attempts. */
void answer_note(struct exchange *x, struct str backend, const char *word);
