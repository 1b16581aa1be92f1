#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "gate/attempt.h"
#include "gate/worker.h"
#include "llm/assembly.h"
#include "llm/chat_request.h"
#include "llm/client_reply.h"
#include "llm/transcript.h"
#include "net/http_server.h"
#include "tiers/fit.h"
#include "tiers/lines.h"
#include "tiers/picker.h"

/*
 * One client request and its whole answer, over however many attempts. The exchange outlives
 * its attempts: the client's request is the durable object, each try at a backend is
 * disposable.
 *
 *             ┌───────────── elsewhere ◀──────────────┐
 *             ▼                                       │
 *   start → pick → await ─── first content ──▶ relay  │ (before commit)
 *             ▲ ▲    │  └──── whole answer ──▶ finish │
 *             │ └▶ queue (all slots are taken)        │
 *             │      ├──── failed ────────────────────┤
 *           backoff ◀┘ (same backend)                 └──▶ fail
 *
 * After commit a failure leads to pick again, for a backend that can go on from the transcript;
 * what it says passes through a seam (llm/seam.h) and is relayed as if nothing had happened. An
 * answer that is collected for a client which waits for one JSON body goes on in the same way;
 * as nobody has seen it yet, it may also begin anew.
 *
 * Callbacks only set wake bits and ready the exchange; exchange_run, once a turn, moves it.
 * Steps return the next step; exchange_run is the only place that changes `step`. Belongs to
 * its worker's thread.
 */

enum wake {
    WAKE_START = 1,
    WAKE_UPSTREAM = 2, /* the call has something */
    WAKE_CLIENT = 4,   /* what was queued for the client has gone out */
    WAKE_GONE = 8,     /* the client left */
    WAKE_TIMER = 16,
    WAKE_TURN = 32 /* a slot is there for it, or it shall look again */
};

enum { BROKEN_MAX = 4 };

enum counted { COUNTED_TEXT = 1, COUNTED_PROMPT = 2 }; /* of the answer's tokens */

struct counting;         /* exchange_count.c */
struct exchange_account; /* exchange_account.h */

struct exchange;

struct step {
    const char *name;
    const struct step *(*run)(struct exchange *x); /* the next step; NULL: wait here */
};

enum answerer_kind { ANSWERER_BACKEND, ANSWERER_CACHE, ANSWERER_MESSAGE };

/* Outlives the attempt, for what is said of it. */
struct answerer {
    enum answerer_kind kind;
    const struct backend *backend; /* NULL: nobody yet, or no backend */
    uint32_t tier;                 /* 0 … */
    struct degrade_plan plan;
    const struct tier_member *member; /* with the backend */
    struct str notice;                /* of a last resort */
    uint64_t age_s;                   /* of an answer from memory */
};

/* A backend that failed while it had the request. */
struct doubtful {
    const struct backend *backend;
    uint64_t at_ms;
    bool said_so; /* an error, where others broke the connection */
};

/* In the line for a slot. */
struct place {
    struct waiter waiter;
    struct exchange *exchange;
    struct list_node node; /* in worker->waiting */
    bool is_waiting;
    uint64_t since_ms;
    uint32_t attempts;   /* as they were then */
    uint64_t look_at_ms; /* without being told */
    bool is_granted;     /* `granted` is for the next attempt */
    struct pick granted;
};

struct exchange {
    /* What every token needs lies together: with many streams, each line of the cache that it
     * touches costs a wait for memory. */
    struct worker *worker; /* borrowed */
    struct http_conn
        *client; /* borrowed; NULL once the answer is finished or the client left */
    const struct step *step;
    unsigned wake;
    unsigned reads;          /* pieces read from the backend in this turn */
    struct attempt *attempt; /* the current one, or NULL */
    struct attempt *hedge;   /* a second one that runs beside it before the first content */
    uint64_t hedge_at_ms;    /* when that is due; 0: it is not wanted */
    uint64_t due_ms;         /* of the whole exchange */
    uint64_t sent_ms;        /* when something was last sent to the client */
    uint64_t content_at_ms;  /* when its last content had come */
    uint64_t finish_by_ms;   /* all is said: how long the backend's own end is awaited */
    struct task task;        /* private, as is the timer */
    struct timer timer;
    bool keeps_transcript;
    bool is_timed;       /* what this turn takes is the gateway's own time */
    bool is_resuming;    /* broken after its beginning, and nothing new has come yet */
    bool from_the_start; /* the next attempt shall repeat the answer, not continue it */
    bool has_begun;      /* there is content: given to the client, or collected for it */
    bool is_committed;   /* content has gone out */
    uint32_t resumes;
    struct exchange_account *account; /* what is noted of it; NULL: nothing */
    struct assembly *kept; /* what a streaming client got, for the last resort; or NULL */
    struct chat_request request;
    struct transcript transcript; /* of answers that may have to go on elsewhere */

    uint64_t serial; /* for logs */
    struct str request_id;
    struct str reply_id; /* of answers whose backend gives none */
    const struct model *model;
    uint64_t started_ms;
    enum priority priority;
    bool has_affinity; /* `affinity` names its session, or its prompt's beginning */
    bool is_shed;      /* refused because there is too much to do */
    uint64_t affinity;
    struct place *place; /* NULL: it never had to wait for a slot */

    struct tried tried;
    uint32_t attempts;
    const struct backend *retry; /* the same backend again, after the back-off */
    struct pick retry_pick;
    uint32_t retry_tries; /* tries so far at that backend */
    uint64_t backoff_until_ms;
    bool is_budgeted;                   /* the next attempt counts against the retry budget */
    bool is_over_budget;                /* and there was none left for it */
    bool drew_500;                      /* this request's 500s blame nobody else */
    struct doubtful broken[BROKEN_MAX]; /* who may have died of this request */
    uint32_t broken_count;
    uint64_t death_due_ms; /* how long probes are awaited to tell; 0: not yet */
    uint32_t unmappable_count;
    struct bad_request
        unmappable;   /* last reason why a backend could not take it; status 0: none */
    struct str trail; /* "gpu1:reset,gpu2:ok" */

    bool head_sent; /* the status line has gone out (perhaps only for a keep-alive comment) */
    struct answerer by; /* who gave the content that came last */
    uint64_t broken_at_ms;
    uint32_t broken_backend;   /* index of the one that broke then */
    uint32_t left_backend;     /* index of the one whose attempt failed last … */
    bool has_left;             /* … and was left */
    uint64_t own_us;           /* the gateway's own time so far */
    struct assembly *assembly; /* non-streaming client, streaming backend */
    struct client_error error; /* what the step `fail` says */
    struct counting *counting; /* a tokenizer that is asked; NULL: none */
    unsigned counted;          /* what one was asked for since the break, or the end */
    uint64_t count_due_ms;
    uint64_t pieces; /* of content, of the attempt that ended the answer without its usage */
    bool usage_told; /* with the last finish_reason, or behind it */
    struct client_error
        too_long;       /* a backend's word that the request does not fit; status 0: none */
    struct needs needs; /* by exchange_needs */
    bool may_notice;    /* another model answers, and its conversation was not told lately */
    bool has_claimed;   /* may_notice is settled */

    /* private: */
    struct arena arena;
    struct list_node node; /* in worker->exchanges */
};

/* Begins an exchange for a complete request whose body is a chat completion. The exchange frees
 * itself when it has ended. */
void exchange_start(struct worker *w, struct http_conn *client);

/* Records a reason and readies the exchange. */
void exchange_wake(struct exchange *x, unsigned reasons);

/* Some of those that wait were granted a slot, or called to look again. */
void exchange_take_turns(struct worker *w);

/* A broken answer can be continued. Whatever failed: an attempt whose share of the time is over
 * leaves the rest for others. */
bool exchange_may_go_on(const struct exchange *x);

/* Some backend was found to hang, or its GPU to be gone: whoever waits for it no longer does.
 */
void exchange_leave_hung(struct worker *w);

/* Ends all exchanges of a worker whose loop no longer runs. */
void exchange_end_all(struct worker *w);
