#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sim_ask.h"
#include "sim_plan.h"
#include "tiers/health.h"
#include "wire/http_head.h"

/*
 * What happened in one episode: a few exchanges at one gateway. Scripts write it down, the
 * oracle reads it. The first thing that was wrong is kept.
 */

enum { RECORD_ASKS_MAX = 48, RECORD_EXCHANGES_MAX = 4, RECORD_SERVERS_MAX = 6 };

/* What the gateway knew of a backend when it last said something to the client. */
struct known_backend {
    enum state state;
    struct cause cause;
    uint32_t hold_ms; /* left alone for so long; 0: not */
};

struct sim_exchange {
    struct plan plan;
    struct ask asks[RECORD_ASKS_MAX];
    uint32_t ask_count;

    bool is_begun;
    uint64_t asked_ms;    /* the whole request has arrived; 0: never */
    uint64_t left_ms;     /* the client has gone; 0: never */
    uint32_t doubled;     /* times that it was asked for while somebody was at work on it */
    uint32_t counted;     /* tokens of choice 0 that a tokenizer told last */
    bool knows_prompt;    /* and one the prompt's */
    uint64_t answered_ms; /* the gateway last did something to this client's connection */
    struct known_backend known[RECORD_SERVERS_MAX];

    bool has_head;
    struct http_response head;
    struct buf body;
    bool is_complete; /* by its framing */
    bool is_over;
};

struct record {
    struct arena arena;
    struct sim_exchange exchanges[RECORD_EXCHANGES_MAX];
    uint32_t count;
    uint64_t first;      /* number of the first one */
    bool is_loud;        /* prints what happens */
    bool is_cut;         /* a drain that ran out of time cut what was open */
    uint64_t failed;     /* the exchange of the first failure */
    const char *failure; /* NULL: none */
};

/* By the number in its prompt; NULL: there is none of that number. */
struct sim_exchange *record_find(struct record *rec, uint64_t number);

/* Something is wrong that must not be. Only the first one is kept. */
void record_fail(struct record *rec, const struct sim_exchange *x, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A line about what happens, where somebody listens. */
void record_trace(const struct record *rec, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
