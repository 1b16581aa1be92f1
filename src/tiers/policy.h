#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/*
 * How backends and models are to be treated, as the configuration says: plain values, part of
 * the catalog (tiers/catalog.h).
 */

struct health_policy {
    uint32_t interval_ms;
    uint32_t timeout_ms;
    uint32_t degraded_after_ms; /* a 200 that took longer is DEGRADED */
    uint32_t down_after;        /* exceptions in a row */
    uint32_t up_after;          /* good probes in a row before DOWN is left */
    uint32_t hang_after_ms;     /* work and no token for so long: hung; 0: not judged */
    uint32_t loading_limit_ms;  /* loading that takes longer has failed */
    uint32_t counters_ms;       /* how often the engine's counters are read; 0: never */
    uint32_t down_gap_ms;       /* between two probes while DOWN or in doubt: at first … */
    uint32_t down_gap_max_ms;   /* … and at most; breaker_policy's trial and trial_max */
};

/* How a backend that was out of traffic comes back; see tiers/breaker.h. */
struct breaker_policy {
    uint32_t trial_ms;      /* between two trials while an outage lasts, at first */
    uint32_t trial_max_ms;  /* it grows to this */
    uint32_t dwell_ms;      /* least time from an outage's beginning to the return; 0: none */
    uint32_t slow_start_ms; /* the ramp: from a tenth of the requests to all; 0: none */
};

struct deadlines {
    uint32_t connect_ms;
    uint32_t first_token_ms;        /* from sending to the first content */
    uint32_t first_token_per_1k_ms; /* more, for each 1,000 prompt tokens (estimated) */
    uint32_t stall_ms;              /* between two pieces of content */
    uint32_t total_ms;              /* of the whole exchange */
};

enum retry_on { RETRY_ON_429 = 1, RETRY_ON_500 = 2, RETRY_ON_RESET = 4 };

struct retry_policy {
    uint32_t same_backend; /* further tries at the same backend, 0 … 5 */
    uint32_t on;           /* enum retry_on bits */
    uint32_t backoff_ms;
    uint32_t retry_after_up_to_ms; /* a longer Retry-After moves on at once */
};

/* How many attempts beyond the first a model may draw; see tiers/retry_budget.h. */
struct retry_budget_policy {
    bool is_off;            /* any number */
    uint32_t share_per_10k; /* of the exchanges: hundredths of a percent, 0 … 10,000 */
    uint32_t per_second;    /* on top of that */
};

/* A second attempt when the first token is late; see tiers/hedge.h. */
struct hedge_policy {
    bool is_on;
    uint32_t percentile; /* 1 … 99, of the backend's first tokens; 0: after_ms */
    uint32_t after_ms;
    uint32_t max_share_per_10k; /* of the exchanges: hundredths of a percent, 0 … 10,000 */
};

/* What answers when no backend can; see gate/exchange_last_resort.c. */
struct last_resort_policy {
    uint32_t cache_ms;  /* how old an identical request's answer may be; 0: none */
    struct str message; /* a fixed answer; empty: none */
};

struct degrade_policy {
    bool has_max_tokens;
    uint64_t max_tokens;
    bool has_temperature;
    double temperature;
    struct str notice; /* empty: none */
};

/* What the configuration says that a backend can take; the rest is learnt (tiers/offers.h). */
struct offer_policy {
    uint32_t context;    /* tokens; 0: to be learnt */
    uint32_t embeddings; /* width of its vectors; 0: to be learnt */
    uint32_t known;      /* enum feature bits that it tells */
    uint32_t can;        /* of these */
};

/* A backend that the gateway starts and stops itself; see tiers/demand.h. What the guard of its
 * process is told stands here too. */
enum managed_start { MANAGED_ON_DEMAND, MANAGED_ALWAYS };

struct managed_policy {
    char *const *command; /* words, ends with NULL; NULL: it is not managed */
    enum managed_start start;
    uint32_t stop_after_ms; /* a better tier has served for so long; 0: it is not stopped */
    struct str gpu;         /* one heavy start at a time of all that name the same one */
    uint64_t needs_memory;  /* bytes free on some GPU before a start; 0: any */
    struct str agent;       /* URL of the GPU agent; empty: none */
    struct str agent_token; /* secret */
    struct str output;      /* file for what it writes; empty: our standard error */
    bool wants_token;       /* up only after one */
    uint32_t start_ms;      /* from its start to the first token */
    uint32_t hang_ms;
    uint32_t term_ms, rest_ms, kill_ms; /* the ladder when it is stopped */
    uint32_t first_ms, max_ms;          /* between starts after failures */
    uint32_t give_up_restarts, give_up_within_ms;
};

/* Who of a tier's members serves next; see tiers/balance.h. */
enum load_kind { LOAD_LEAST, LOAD_ROUND_ROBIN, LOAD_WEIGHTED, LOAD_PREFIX, LOAD_SESSION };

struct load_policy {
    enum load_kind kind;
    struct str session_header; /* LOAD_SESSION: names the session; else the body's `user` */
    uint32_t prefix_bytes;     /* LOAD_PREFIX: so much of the messages' beginning */
};

/* What happens while every backend that could serve has all of its slots taken; see
 * tiers/lines.h. */
struct queue_policy {
    uint32_t max;     /* exchanges in a model's line; 0: nobody waits */
    uint32_t wait_ms; /* of one exchange, at most */
    bool overflow;    /* to the next tier, where that is faster than to wait */
};

/* How important an exchange is among those that wait. */
enum priority { PRIORITY_HIGH, PRIORITY_NORMAL, PRIORITY_LOW };

/* Whether non-streaming requests are streamed towards the backend. */
enum upstream_mode {
    UPSTREAM_AUTO, /* where the answer may be long: no max_tokens, or more than 64 */
    UPSTREAM_ALWAYS,
    UPSTREAM_NEVER
};

/* Whether a stream that breaks goes on at the next backend. */
enum resume_policy {
    RESUME_POLICY_EXACT, /* where the backend continues a half answer exactly, or repeats it
                            identically */
    RESUME_POLICY_ANY,   /* also where it only continues in its own words */
    RESUME_POLICY_OFF
};

struct stream_policy {
    enum upstream_mode upstream;
    enum resume_policy resume;
    uint32_t keep_alive_ms; /* comment on a long wait; 0: never */
    bool hold_tool_calls;   /* until each is complete */
    uint32_t calibrate_ms;  /* how often its backends' models are looked at; 0: never */
};
