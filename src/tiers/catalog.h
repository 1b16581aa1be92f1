#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/*
 * What the configuration says about backends and models, as plain values. Made once by
 * gate/settings, never changed afterwards, shared by all threads; all text lives as long as it.
 */

enum backend_type {
    BACKEND_VLLM,
    BACKEND_OLLAMA,
    BACKEND_LLAMACPP,
    BACKEND_OPENAI,
    BACKEND_ANTHROPIC
};
enum { BACKEND_TYPES = 5 };

const char *backend_type_name(enum backend_type type); /* "vllm", "ollama", … */

/* Whoever asks it pays by the token: nothing is asked that no client asked for. */
bool backend_type_is_paid(enum backend_type type);

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

/* Who of a tier's members serves next; see tiers/balance.h. */
enum load_kind { LOAD_LEAST, LOAD_ROUND_ROBIN, LOAD_WEIGHTED, LOAD_PREFIX, LOAD_SESSION };

const char *load_kind_name(enum load_kind kind); /* "least_load", … */

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

struct backend_header {
    struct str name;
    struct str value; /* may be secret */
};

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

struct backend {
    uint32_t index; /* place in the catalog */
    struct str name;
    enum backend_type type;
    struct str url; /* as configured, for people */
    bool tls;
    struct str host;        /* to resolve; IPv6 literals without brackets */
    struct str host_header; /* "host:port" as it goes into Host */
    uint16_t port;
    struct str path;    /* prefix before the API path, "" or "/x" */
    struct str api_key; /* secret; empty: none */
    const struct backend_header *headers;
    size_t header_count;
    struct str tls_ca, tls_cert,
        tls_key; /* PEM files; empty: the system's CAs, no client certificate */
    struct health_policy health;
    struct breaker_policy breaker;
    struct deadlines deadlines;
    double min_tokens_per_second; /* a stream below it for 10 s has stalled; 0: not judged */
    struct retry_policy retry;
    struct degrade_policy degrade;
    struct offer_policy offer;
    uint32_t max_concurrent; /* attempts at once, of all workers together; 0: any number */
    uint32_t weight;        /* how much it bears, relative to the others of its tier; 0: as 1 */
    uint32_t first_serving; /* of its servings, which stand together in the catalog */
    uint32_t serving_count;
};

/* A backend and one model that it serves. What is learnt of the two (can it resume, is the
 * model loaded) holds for every model's tier that has them. */
struct serving {
    uint32_t index; /* place in the catalog */
    const struct backend *backend;
    struct str model;      /* the name that this backend knows it by */
    bool may_resume;       /* some model with it resumes, and wants it calibrated */
    uint32_t calibrate_ms; /* the shortest of its models'; 0: never */
};

struct tier_member {
    const struct backend *backend;
    struct str model; /* the name that this backend knows it by */
    uint32_t serving; /* its place in the catalog */
};

struct tier {
    const struct tier_member *members;
    size_t member_count;
};

struct model {
    uint32_t index;
    struct str name;
    const struct str *aliases; /* without "*" */
    size_t alias_count;
    bool is_wildcard; /* claims every name that no model claims */
    const struct tier *tiers;
    size_t tier_count;
    struct retry_budget_policy retry_budget;
    struct hedge_policy hedge;
    struct last_resort_policy last_resort;
    struct stream_policy streams;
    struct load_policy load;
    struct queue_policy queue;
    bool may_panic; /* while nobody is usable, the least bad is tried within a budget */
};

struct catalog {
    const struct backend *backends;
    size_t backend_count;
    const struct model *models;
    size_t model_count;
    const struct serving *servings; /* by backend */
    size_t serving_count;
};

/* By name or alias, else the wildcard model, else NULL. */
const struct model *catalog_find_model(const struct catalog *c, struct str name);

/* NULL when there is none of that name. */
const struct backend *catalog_find_backend(const struct catalog *c, struct str name);
