#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tiers/catalog.h"

/*
 * From what went wrong to what to do about it: one table. Mechanism reports a `failure`; policy
 * is read here and nowhere else. The names are contract: they stand in x-fallthrough-attempts.
 *
 * Columns: name, blame, retry bit (same backend, after back-off, only where the policy's `on`
 * has it), next, further.
 */

enum blame {
    BLAME_NONE,    /* not the backend's fault, or not to be judged by it */
    BLAME_HOLD,    /* alive, but asks to be left alone (429): for Retry-After */
    BLAME_SUSPECT, /* may be the request's own fault: probe; DOWN when more agree (500) */
    BLAME_DOWN     /* DOWN at once, until probes prove it well */
};

enum next {
    NEXT_ELSEWHERE, /* another backend */
    NEXT_CLIENT,    /* the client's own error: pass through */
    NEXT_STOP       /* nobody to answer to any more */
};

/* Whether the attempt that follows counts against the model's retry budget. */
enum further {
    FURTHER_FREE,    /* the work died with the backend, or was never begun */
    FURTHER_BUDGETED /* the backend lives and was loaded for nothing: more of it is a storm */
};

#define FAILURE_LIST(X)                                                                        \
    X(ok, NONE, 0, STOP, FREE)                                                                 \
    X(connect_refused, DOWN, 0, ELSEWHERE, FREE)                                               \
    X(connect_timeout, DOWN, 0, ELSEWHERE, FREE)                                               \
    X(unreachable, DOWN, 0, ELSEWHERE, FREE)                                                   \
    X(dns_failed, DOWN, 0, ELSEWHERE, FREE)                                                    \
    X(tls_failed, DOWN, 0, ELSEWHERE, FREE)                                                    \
    X(reset, DOWN, RETRY_ON_RESET, ELSEWHERE, FREE)  /* after any number of bytes */           \
    X(closed, DOWN, RETRY_ON_RESET, ELSEWHERE, FREE) /* end without an answer byte */          \
    X(truncated, DOWN, 0, ELSEWHERE, FREE)           /* body shorter than its framing said */  \
    X(first_token_timeout, DOWN, 0, ELSEWHERE, BUDGETED) /* silence: never repeated here */    \
    X(stall, DOWN, 0, ELSEWHERE, BUDGETED)               /* silence after content */           \
    X(too_slow, DOWN, 0, ELSEWHERE, BUDGETED) /* content, but below min_tokens_per_second */   \
    X(send_timeout, DOWN, 0, ELSEWHERE, BUDGETED)  /* accepts but does not read */             \
    X(total_timeout, NONE, 0, ELSEWHERE, BUDGETED) /* its share of the time is up */           \
    X(http_401, NONE, 0, ELSEWHERE, FREE)          /* our key for it is wrong */               \
    X(http_402, NONE, 0, ELSEWHERE, FREE)                                                      \
    X(http_403, NONE, 0, ELSEWHERE, FREE)                                                      \
    X(http_404, NONE, 0, ELSEWHERE, FREE) /* does not know the model or the path */            \
    X(http_405, NONE, 0, ELSEWHERE, FREE)                                                      \
    X(http_408, NONE, 0, ELSEWHERE, BUDGETED)                                                  \
    X(http_429, HOLD, RETRY_ON_429, ELSEWHERE, BUDGETED)                                       \
    X(http_529, HOLD, RETRY_ON_429, ELSEWHERE, BUDGETED) /* overloaded (Anthropic) */          \
    X(http_3xx, NONE, 0, ELSEWHERE, FREE)                /* redirects are never followed */    \
    X(http_500, SUSPECT, RETRY_ON_500, ELSEWHERE, BUDGETED)                                    \
    X(http_501, NONE, 0, ELSEWHERE, FREE)                                                      \
    X(http_502, DOWN, 0, ELSEWHERE, BUDGETED)                                                  \
    X(http_503, DOWN, 0, ELSEWHERE, BUDGETED)                                                  \
    X(http_504, DOWN, 0, ELSEWHERE, BUDGETED)                                                  \
    X(http_5xx, SUSPECT, 0, ELSEWHERE, BUDGETED)                                               \
    X(loading, DOWN, 0, ELSEWHERE, FREE)              /* 503 "Loading model" of llama.cpp */   \
    X(client_error, NONE, 0, CLIENT, FREE)            /* 400, 413, 422 and other 4xx */        \
    X(context_exceeded, NONE, 0, ELSEWHERE, FREE)     /* too long for it: another has room */  \
    X(error_in_body, SUSPECT, 0, ELSEWHERE, BUDGETED) /* 200 with an error object */           \
    X(error_in_stream, SUSPECT, 0, ELSEWHERE, BUDGETED)                                        \
    X(aborted, SUSPECT, 0, ELSEWHERE, BUDGETED)  /* finish_reason abort or error */            \
    X(not_json, SUSPECT, 0, ELSEWHERE, BUDGETED) /* HTML, gzip, junk */                        \
    X(empty_body, SUSPECT, 0, ELSEWHERE, BUDGETED)                                             \
    X(no_finish, SUSPECT, 0, ELSEWHERE, BUDGETED)    /* a clean end that is not an answer */   \
    X(bad_response, SUSPECT, 0, ELSEWHERE, BUDGETED) /* not HTTP */                            \
    X(seam_mismatch, NONE, 0, ELSEWHERE, FREE)       /* cannot go on where the answer broke */ \
    X(too_large, NONE, 0, ELSEWHERE, BUDGETED)       /* answer over our limit */               \
    X(unmappable, NONE, 0, ELSEWHERE, FREE) /* this type cannot express the request */         \
    X(gpu_down, NONE, 0, ELSEWHERE, FREE)   /* left: its GPU is gone or must be reset */       \
    X(disabled, NONE, 0, ELSEWHERE, FREE)   /* left: the operator has disabled it */           \
    X(no_fds, NONE, 0, ELSEWHERE, FREE)     /* our own lack of descriptors */                  \
    X(cancelled, NONE, 0, STOP, FREE)       /* the client left */

enum failure {
#define FAILURE_ENUM(name, blame, retry, next, further) FAILURE_##name,
    FAILURE_LIST(FAILURE_ENUM)
#undef FAILURE_ENUM
        FAILURE_COUNT
};

struct verdict {
    const char *name;
    enum blame blame;
    uint32_t retry_on; /* bit of enum retry_on, 0: never again at this backend */
    enum next next;
    enum further further;
};

const struct verdict *verdict_of(enum failure f);

/* True when a backend that does this a lot should look less attractive: it serves nobody,
 * whoever's fault it is. */
bool verdict_is_fruitless(enum failure f);

/* True when it took the request, keeps the connection and says nothing. */
bool verdict_is_mute(enum failure f);

/* Says nothing, or next to nothing: to ask again costs the whole deadline, and the backend may
 * still be at work. */
bool verdict_is_silence(enum failure f);

/* Counts in the breaker: the backend is blamed or suspected. Not for loading its model. */
bool verdict_is_strike(enum failure f);

/* The failure that an HTTP status of a backend means; FAILURE_ok for 200. A 2xx other than 200
 * is FAILURE_bad_response. */
enum failure failure_of_status(int status);

/* The failure that a call ended with, or broke off with (net/http_call.h). */
enum failure failure_of_call(enum err e);

/* What to do after the `tries`-th try (1 …) at one backend failed. `retry_after_ms`: what
 * the backend asked for, 0 when it did not. On RETRY_SAME, *wait_ms says after how long. */
enum retry_step { RETRY_SAME, RETRY_NEXT, RETRY_GIVE_CLIENT, RETRY_NONE };
enum retry_step verdict_next(enum failure f, const struct retry_policy *policy, uint32_t tries,
                             uint32_t retry_after_ms, uint32_t *wait_ms);
