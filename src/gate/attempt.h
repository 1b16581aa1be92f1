#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "gate/worker.h"
#include "llm/chat_request.h"
#include "llm/dialect.h"
#include "llm/resume.h"
#include "llm/seam.h"
#include "llm/tool_hold.h"
#include "llm/transcript.h"
#include "net/http_call.h"
#include "tiers/account.h"
#include "tiers/degrade.h"
#include "tiers/flow.h"
#include "tiers/picker.h"
#include "tiers/verdict.h"
#include "wire/ndjson.h"
#include "wire/sse.h"

/*
 * One try of an exchange at one backend: the request in that backend's words, the call, and its
 * reply understood piece by piece. It judges what it sees (a `failure`) but decides nothing.
 * Closing it cancels the request at the backend.
 */

enum {
    ATTEMPT_EVENT_MAX = 1 << 20,
    ATTEMPT_WHOLE_MAX = 32 << 20,
    ATTEMPT_ERROR_MAX = 64 << 10
};

enum attempt_yield {
    YIELD_AGAIN, /* nothing more now */
    YIELD_EVENT, /* `event` holds the next one; `raw` its bytes when it may go out as it came */
    YIELD_FLUSH, /* what earlier events point to is about to go: send it first */
    YIELD_WHOLE, /* a complete plain answer is in `whole`, judged and well */
    YIELD_END,   /* a stream of events has ended (by its framing) */
    YIELD_FAILED /* `failure` says why */
};

enum reply_shape { SHAPE_UNKNOWN, SHAPE_EVENTS, SHAPE_WHOLE, SHAPE_ERROR };

struct attempt {
    /* What every token needs lies together (see struct exchange); of that, the fields without a
     * note are private. */
    struct worker *worker;
    const struct backend *backend;
    const struct dialect *dialect;
    struct http_call *call;
    struct str in; /* rest of the current piece of the body */
    bool has_piece;
    bool flushing; /* the piece is used up and its rest must be kept */
    bool is_paused;
    bool has_seam; /* it goes on with what another began */
    bool finished; /* every choice has its finish_reason */
    bool streams;  /* a stream was asked for */
    bool holds_tools;
    bool is_hung;       /* its backend was found to hang since its last content */
    bool is_cut;        /* its GPU cannot finish it, and somebody else can */
    bool is_disabled;   /* the operator has disabled its backend */
    bool may_be_silent; /* until share_due_ms: nothing is streamed, and nobody asked it to be */
    enum reply_shape shape;
    uint64_t first_content_ms; /* 0: none yet */
    uint64_t progress_ms;      /* when content last came */
    uint64_t tokens;           /* pieces of content */
    uint64_t tokens_told;      /* to the board */
    uint64_t error_due_ms;     /* how long the text of an error is waited for */
    uint64_t share_due_ms; /* the exchange's: how long the first content may be waited for */
    uint64_t connected_ms; /* 0: dialing */
    struct flow flow;      /* of them: does it crawl? */
    struct sse_decoder sse;
    struct reply reply;
    struct str raw;
    struct reply_event event;

    struct pick pick;
    struct degrade_plan plan;
    uint32_t tries; /* at this backend, this one included */
    uint32_t
        hedges; /* the model, from 1, for which it runs beside another; 0: not, or it won */
    bool is_loading; /* as it began: the backend has to load the model first, or is at it */
    uint64_t started_ms;
    struct buf whole; /* plain answer, or error body */
    int status;
    enum failure failure;
    uint32_t retry_after_ms;
    struct buf held;                 /* events before the first content, in client form */
    struct upstream_error error;     /* of client errors and error objects */
    struct account_attempt *account; /* the exchange's note of it; NULL: nobody wants one */
    uint64_t account_began_us;       /* what its times count from */

    /* private: */
    struct arena arena; /* everything that is thrown away with the attempt */
    struct rope body;
    const struct http_response *head;
    struct tool_hold hold;
    struct seam seam;
    struct buf line; /* an event that had to be put on one line */
    struct ndjson_decoder ndjson;
    uint32_t work; /* what it still means for its backend (tiers/loads.h) */
};

struct attempt_conf {
    struct worker *worker;
    struct pick pick;
    const struct chat_request *request;
    bool streams;
    bool want_usage;
    bool hold_tools; /* tool calls only when they are complete; for answers of one choice */
    uint32_t tries;
    struct str trace_lines; /* of the request's head, each after a line end */
    struct str reply_id;    /* for dialects that must name the answer */
    uint64_t connect_due_ms;
    const struct transcript
        *transcript;     /* what to go on from; NULL: a fresh answer. Outlives the attempt */
    enum resume_way way; /* with a transcript */
    struct arena *bad_arena; /* where the text of *bad is put */
    void (*notify)(void *owner);
    void *owner;
};

/* Translates the request and opens the call. ERR_UNSUPPORTED: this backend cannot express the
 * request; *bad says what. */
NODISCARD enum err attempt_open(const struct attempt_conf *conf, struct attempt **out,
                                struct bad_request *bad);

/* Moves on and says what there is. After YIELD_END, YIELD_WHOLE or YIELD_FAILED: close. */
enum attempt_yield attempt_next(struct attempt *a);

/* Events of the current piece wait to be read: they are lost when another exchange reads. */
bool attempt_has_rest(const struct attempt *a);

/* After YIELD_FLUSH, when others will read before the next attempt_next: stores what is left of
 * the piece. */
void attempt_keep(struct attempt *a);

/* Right after attempt_open: if it is not streamed, nothing is heard of it before its end,
 * however long that takes; so the board is told not to count it among those that owe a token.
 */
void attempt_allow_silence(struct attempt *a);

/* Stops and resumes reading from the backend (back-pressure). */
void attempt_pause(struct attempt *a);
void attempt_resume(struct attempt *a);

/* What the breakers are told of it: its age, and whether it is a trial. */
struct ended_attempt attempt_ended(const struct attempt *a);

/* Whether the request has gone out as a whole. */
bool attempt_is_sent(const struct attempt *a);

/* Cancels what still runs, tells the board its figures, frees. */
void attempt_close(struct attempt **a);
