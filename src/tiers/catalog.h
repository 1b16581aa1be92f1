#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "tiers/policy.h"

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

struct backend_header {
    struct str name;
    struct str value; /* may be secret */
};

/* Who tells of a backend what it cannot tell itself (tiers/telemetry.h). */
enum teller { TELLER_AGENT, TELLER_DCGM, TELLER_GUARD };
enum { TELLERS = 3 };
const char *teller_name(enum teller t); /* "agent", "dcgm", "guard" */

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
    uint32_t weight; /* how much it bears, relative to the others of its tier; 0: as 1 */
    const struct backend
        *teller[TELLERS]; /* servers that are asked as it is, of which only where they are, the
                             key, tls_ca and health.interval_ms are set; NULL: nobody */
    const struct str *gpus; /* its own of the machine's, by index or UUID */
    size_t gpu_count;       /* 0: all */
    uint32_t first_serving; /* of its servings, which stand together in the catalog */
    uint32_t serving_count;
    struct managed_policy managed;
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
