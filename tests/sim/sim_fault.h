#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"

/*
 * What can go wrong with one request at one backend. One table: name, how often (weight), and
 * where it strikes.
 */

enum fault_place {
    AT_NOTHING,
    AT_BYTE,   /* of the response, head and framing included */
    AT_EVENT,  /* of the stream; in plain answers something like it */
    AT_ANSWER, /* the whole response is another one */
    AT_TIME,   /* nothing is wrong but how long it takes */
    AT_END     /* behind the answer, which is whole */
};

#define FAULT_LIST(X)                                                           \
    X(none, 0, NOTHING)                                                         \
    X(reset, 16, BYTE)                                                          \
    X(close, 16, BYTE)         /* ends without the end of its framing */        \
    X(stall, 8, BYTE)          /* silence for ever */                           \
    X(die, 5, BYTE)            /* reset, and refuses connections for a while */ \
    X(bad_framing, 4, BYTE)    /* what follows is no HTTP */                    \
    X(error_event, 8, EVENT)   /* an error object in the stream */              \
    X(abort, 4, EVENT)         /* finish_reason abort or error */               \
    X(no_finish, 5, EVENT)     /* a clean end without a finish_reason */        \
    X(done_early, 3, EVENT)    /* [DONE] without a finish_reason */             \
    X(bad_event, 6, EVENT)     /* an event that is no JSON */                   \
    X(error_late, 3, EVENT)    /* an error object behind the finish_reason */   \
    X(empty, 2, ANSWER)        /* 200 and nothing */                            \
    X(html, 2, ANSWER)         /* 200 and a login page */                       \
    X(junk, 2, ANSWER)         /* no HTTP at all */                             \
    X(error_body, 3, ANSWER)   /* 200 and an error object */                    \
    X(client_error, 3, ANSWER) /* 400, 413, 422: the client's own */            \
    X(server_error, 7, ANSWER) /* 5xx */                                        \
    X(refusal, 3, ANSWER)      /* 401, 403, 404 … */                          \
    X(busy, 4, ANSWER)         /* 429, 529 */                                   \
    X(loading, 2, ANSWER)      /* 503 Loading model */                          \
    X(redirect, 1, ANSWER)                                                      \
    X(pause, 4, TIME) /* a silence that is short enough */                      \
    X(slow, 3, TIME)  /* long silences, over and over */                        \
    X(late, 3, TIME)  /* the first byte takes long */                           \
    X(stray, 4, END)  /* further bytes, and the connection stays open */

enum fault {
#define FAULT_ENUM(name, weight, place) SIM_##name,
    FAULT_LIST(FAULT_ENUM)
#undef FAULT_ENUM
        SIM_FAULTS
};

const char *fault_name(enum fault f);
enum fault_place fault_place(enum fault f);

/* Anything but none, by weight. */
enum fault fault_draw(struct rand *r);
