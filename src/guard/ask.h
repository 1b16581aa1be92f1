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
#include "wire/url.h"

/*
 * One request to a server of the guard's (its backend, the GPU agent) and the whole answer,
 * bounded in size and time. It judges nothing. The owner asks for news every turn: the due time
 * is seen then.
 */

enum { ASK_BODY_MAX = 4 * 1024 * 1024 };

struct ask_conf {
    struct loop *loop;
    struct upstream *upstream;
    const struct url *url; /* its path is the prefix of `target` */
    struct str target;     /* "/health" */
    struct str bearer;     /* empty: none */
    struct str json;       /* to be posted; empty: GET */
    uint64_t due_ms;       /* for all of it, monotonic */
    void (*notify)(void *owner);
    void *owner;
};

/* Zeroed: closed. */
struct ask {
    int status;         /* 0: no head yet */
    bool was_connected; /* somebody took the connection */
    /* private: */
    struct http_call *call;
    struct buf body;
    struct buf request;
    struct rope rope;
    struct arena arena;
    uint64_t due_ms;
};

/* Copies what it needs. */
void ask_open(struct ask *a, const struct ask_conf *conf);

/* ERR_OK: the answer is complete. ERR_AGAIN; ERR_TIMEOUT after the due time; else why it
 * failed. */
NODISCARD enum err ask_next(struct ask *a, uint64_t now_ms);

/* What has come of the body; until close. */
struct str ask_body(const struct ask *a);

static inline bool ask_is_open(const struct ask *a)
{
    return a->call != NULL;
}

/* Cancels what still runs. */
void ask_close(struct ask *a);
