#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/http_call.h"
#include "net/loop.h"
#include "net/upstream.h"
#include "tiers/catalog.h"

/*
 * A request of our own to a backend, and its whole answer in memory, bounded in size and time.
 * It judges nothing. Belongs to its loop's thread.
 */

struct inquiry_conf {
    struct loop *loop;
    const struct backend *backend;
    struct upstream *upstream;
    const char *path;    /* behind the backend's path prefix */
    const char *purpose; /* goes into User-Agent */
    struct str body;     /* to be posted (copied); empty: GET */
    size_t answer_max;   /* bytes of the answer's body */
    uint64_t connect_due_ms;
    uint64_t due_ms; /* for the whole answer */
    void (*notify)(void *owner);
    void *owner;
};

/* Zeroed: closed. */
struct inquiry {
    int status; /* after ERR_OK */
    /* private: */
    struct http_call *call; /* NULL: closed */
    const struct http_response *head;
    struct buf answer;
    struct arena arena; /* of the request */
    struct rope body;
    uint64_t due_ms;
};

/* `notify` says that inquiry_next may know more; the due time is the owner's to watch. */
void inquiry_open(struct inquiry *q, const struct inquiry_conf *conf);

/* ERR_OK: the answer is complete, its body is inquiry_body. ERR_AGAIN. ERR_TIMEOUT when it is
 * not there by the due time; ERR_TOO_LARGE; else what http_call says of a call that failed. */
NODISCARD enum err inquiry_next(struct inquiry *q, uint64_t now_ms);

/* Until close. */
struct str inquiry_body(const struct inquiry *q);

static inline bool inquiry_is_open(const struct inquiry *q)
{
    return q->call != NULL;
}

/* Cancels what still runs: the connection is closed, which ends the work at the backend. */
void inquiry_close(struct inquiry *q);
