#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim_fault.h"
#include "sim_plan.h"
#include "tiers/catalog.h"

/*
 * One request of the gateway at one backend, as the backend saw it, and what the script made of
 * it: the record that the oracle judges by.
 */

/* Whether an answer by this script can be whole. */
enum hope {
    HOPE_NONE, /* it breaks before every choice has its finish_reason */
    HOPE_SOME, /* depends on where bytes were cut, or on patience */
    HOPE_SURE  /* it is whole, and in time */
};

/* Offsets in the bytes of a response; SIZE_MAX: never. */
struct ask_marks {
    size_t content;     /* the first event with content is complete */
    size_t finish_from; /* the last finish_reason has been said … */
    size_t finish_to;   /* … and its event is complete */
};

struct ask {
    const struct plan *plan;
    uint32_t backend;
    enum backend_type type;
    struct str model; /* that was asked for */
    bool streams;
    bool wants_usage;
    bool continues; /* a half answer came along */
    uint32_t from;  /* tokens of choice 0 that it had */
    bool has_limit;
    uint64_t limit; /* tokens that may be made */

    enum fault fault;
    uint32_t where;     /* of the fault: 0 … 65535 of the whole */
    bool is_refusing;   /* answers 400 because it cannot continue */
    bool is_echoing;    /* repeats what came along */
    bool answers_plain; /* one JSON body */
    int status;
    uint32_t retry_after_ms; /* that it asked for */
    uint32_t to;             /* tokens of choice 0 there are after it */
    const char *finish;      /* finish_reason of choice 0 */
    struct ask_marks marks;
    enum hope hope;
    uint32_t need_ms; /* that its script takes */

    uint64_t at_ms;
    uint64_t over_ms;  /* the response or the connection has ended; 0: not yet */
    size_t sent;       /* bytes of the response that have gone out */
    bool is_killed;    /* the connection was broken by something else than its own fault */
    bool is_cancelled; /* the gateway has closed before the response was over */
    bool is_repeated;  /* a pooled connection broke without an answer byte: redialed silently */
};

/* Content of it may have reached the client. */
static inline bool ask_has_spoken(const struct ask *k)
{
    return k->sent >= k->marks.content;
}

static inline bool ask_may_have_finished(const struct ask *k)
{
    return k->sent >= k->marks.finish_from;
}

static inline bool ask_has_finished(const struct ask *k)
{
    return k->sent >= k->marks.finish_to;
}
