#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"
#include "net/upstream.h"
#include "wire/http_head.h"
#include "wire/json_edit.h"

/*
 * One HTTP request to an upstream and its response, pulled step by step. The owner is told by
 * `notify` (record and ready only) that something may be had, then asks for the head, then for
 * the body:
 *
 *     dial or pooled connection → send → head (1xx skipped) → body → end
 *
 * A pooled connection that dies before the first response byte and before connect_due_ms is
 * replaced once by a fresh one, silently: the server may close idle connections at any time.
 * Back-pressure: while the owner does not ask for the body, call http_call_pause.
 */

struct http_call;

struct http_call_conf {
    struct upstream *upstream;
    struct str head; /* complete request head with its empty line; borrowed until the end of the
                        call */
    const struct rope *body; /* borrowed until the end of the call; NULL: none */
    uint64_t connect_due_ms; /* limit for dialing (and for the redial), monotonic */
    size_t head_max;         /* limit of the response head, 64 KiB */
    void (*notify)(void *owner);
    void *owner;
};

/* Never notifies before it returns. */
struct http_call *http_call_open(struct loop *l, const struct http_call_conf *conf);

/*
 * Goes as far as it can. ERR_OK: *head is the final response head (its slices live until
 * close; only http_response_size of it is there). ERR_AGAIN. Else the call has failed: ERR_DNS,
 * ERR_REFUSED, ERR_TIMEOUT (dialing), ERR_UNREACHABLE, ERR_TLS, ERR_NO_FDS, ERR_RESET,
 * ERR_CLOSED (end without a byte), ERR_TRUNCATED (end inside the head), ERR_SYNTAX,
 * ERR_TOO_LARGE. May be asked again; answers the same.
 */
NODISCARD enum err http_call_head(struct http_call *c, const struct http_response **head);

/*
 * The next piece of the body, after the head: ERR_OK (slice valid until the next read on this
 * loop; all the payload of one read is one piece), ERR_AGAIN, ERR_EOF (complete by its
 * framing), ERR_TRUNCATED (the connection ended too early), ERR_RESET, ERR_SYNTAX. An end may
 * be asked again.
 */
NODISCARD enum err http_call_body(struct http_call *c, struct str *piece);

/* Stops and restarts reading. Resuming notifies at once when there is more to ask for
 * without another event. */
void http_call_pause(struct http_call *c);
void http_call_resume(struct http_call *c);

bool http_call_is_connected(const struct http_call *c); /* dialing is over */
bool http_call_is_sent(const struct http_call *c);      /* the whole request is on its way */

/* Ends the call. The connection goes back to the pool when the response is complete and both
 * sides keep it alive; otherwise it is closed at once, which cancels the request. */
void http_call_close(struct http_call **c);
