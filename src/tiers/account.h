#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "tiers/tally.h"
#include "tiers/verdict.h"

/*
 * What became of one request, for those who keep it: the access log (ops/access_log) and traces
 * (ops/otlp). Made when it has ended, only where somebody wants it; plain values and text in
 * one piece of memory, so that it outlives the exchange. There are no prompts, answers or keys
 * in it. Pure.
 *
 * Times are microseconds after began_us, which is monotonic; wall_us is the same moment by the
 * wall clock.
 */

enum {
    ACCOUNT_ATTEMPTS_MAX = 32, /* of one exchange; more are only counted */
    ACCOUNT_FINISH_MAX = 4,    /* reasons of one answer */
    ACCOUNT_MODEL_MAX = 96,    /* bytes of what the client said; longer ones are cut */
    ACCOUNT_PATH_MAX = 96,
    ACCOUNT_METHOD_MAX = 16,
    ACCOUNT_ERROR_MAX = 64,
    ACCOUNT_TRAIL_MAX = 768,
    ACCOUNT_TEXT_MAX = 512 /* of anything else */
};

/* Of a span (wire/trace_context.h); all 0: there is none. */
struct account_ids {
    uint64_t trace_high;
    uint64_t trace_low;
    uint64_t span;
    uint64_t parent; /* of the caller; 0: none */
};

struct account_attempt {
    const struct backend *backend; /* borrowed: the catalog's */
    struct str model;              /* the name that the backend knows it by; the catalog's */
    uint64_t span;
    uint64_t began_us;
    uint64_t first_us; /* its first content; 0: none came */
    uint64_t ended_us;
    enum failure failure; /* FAILURE_ok unless it failed */
    bool is_good;         /* it ended as an answer should; neither: it was given up */
    bool resumes;         /* it went on with what another had begun */
    int status;           /* of HTTP; 0: none came */
    uint32_t tier;        /* 1 … */
    uint64_t pieces;      /* of content */
    uint64_t prompt_tokens, completion_tokens; /* 0: not told */
};

/* Where an answer that had broken went on. */
struct account_resume {
    uint64_t at_us;
    uint64_t gap_us;
};
enum { ACCOUNT_RESUMES_MAX = 8 };

struct account {
    uint64_t wall_us;
    uint64_t began_us;
    uint64_t ended_us; /* after it began */
    uint64_t first_us; /* the first content for the client; 0: none */
    uint64_t queued_us;
    struct account_ids ids; /* span 0: it is not traced */
    struct str trace_state;
    struct str request_id;
    struct str peer;
    struct str key; /* the name of the client's key; empty: none */
    struct str method;
    struct str path;
    struct str asked;          /* the model's name, as the client said */
    const struct model *model; /* borrowed: the catalog's; NULL: there is none of that name */
    const struct backend *backend; /* who answered, likewise; NULL: nobody */
    struct str served;             /* the model's name there */
    uint32_t tier;                 /* 1 …, with backend */
    int status;                    /* of HTTP; 0: nothing was sent */
    bool is_exchange;              /* a chat, even a refused one; else any other request */
    enum outcome outcome;          /* of an exchange */
    struct str error;              /* the code that the client was told; empty: none */
    struct str degraded;           /* how; empty: not */
    bool streams;
    uint32_t choices;
    uint64_t max_tokens;                       /* asked for; 0: it did not say */
    uint64_t prompt_tokens, completion_tokens; /* 0: not known */
    uint64_t bytes_in, bytes_out;              /* of the bodies */
    const char *finish[ACCOUNT_FINISH_MAX]; /* words of a fixed set, in the order they came */
    size_t finish_count;
    struct str trail;
    struct account_resume resume[ACCOUNT_RESUMES_MAX];
    uint32_t resume_count; /* more than ACCOUNT_RESUMES_MAX: the rest is only counted */
    const struct account_attempt *attempt;
    uint32_t attempt_count; /* of those at `attempt` */
    uint32_t attempts;      /* made */

    /* private: */
    struct account *next;
};

/* A copy that owns its text and attempts; what is too long is cut, never within a character.
 * free() ends it. */
struct account *account_copy(const struct account *r);

/* "stop", …; "other" for what is not known. */
const char *account_finish_word(struct str reason);
