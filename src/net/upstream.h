#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/str.h"
#include "net/conn.h"
#include "net/loop.h"

/*
 * One server that we send requests to, as one loop sees it: its addresses and its idle
 * connections.
 *
 * Names are resolved off the loop (libuv's thread pool), again every 30 s while used and after
 * a failed connect; meanwhile the old addresses serve. All addresses are tried: the next one
 * 250 ms after the last or at once when that failed (after RFC 8305). Idle connections are kept
 * newest first, at most `idle_max`, for `idle_ms`, and none longer than `age_ms` altogether;
 * one that becomes readable while idle is closed.
 */

struct upstream_conf {
    struct str host; /* name or literal; "unix:/path" is not for backends */
    uint16_t port;
    SSL_CTX *tls;     /* NULL: plain; the upstream takes a reference */
    size_t idle_max;  /* 0: no reuse (probes) */
    uint32_t idle_ms; /* 4000: vLLM and llama.cpp close after 5 s */
    uint32_t age_ms;  /* 300000 */
};

struct upstream;

struct upstream *upstream_new(struct loop *l, const struct upstream_conf *conf);
void upstream_free(struct upstream **u); /* closes idle connections; dials must be over */

size_t upstream_idle(const struct upstream *u);

/* An idle connection, or NULL. The caller becomes its owner. *born_ms for giving it back. */
struct conn *upstream_take(struct upstream *u, void (*notify)(void *owner, unsigned events),
                           void *owner, uint64_t *born_ms);

/* Gives a connection back for reuse (or closes it, where a limit says so). */
void upstream_give(struct upstream *u, struct conn **c, uint64_t born_ms);

/* Closes all idle connections: the server was found dead. */
void upstream_flush(struct upstream *u);

/* Connecting: resolve, try all addresses, shake hands. `done` is called once, from the loop,
 * with the connection (then the callee's; its notify is to be set with conn_set_owner) or with
 * an error: ERR_DNS (also when the name is not resolved by due_ms), ERR_REFUSED, ERR_TIMEOUT,
 * ERR_UNREACHABLE, ERR_RESET, ERR_TLS, ERR_NO_FDS. Then the dial is gone: forget the pointer.
 */
struct dial;
struct dial *dial_start(struct upstream *u, uint64_t due_ms,
                        void (*done)(void *owner, enum err e, struct conn *c), void *owner);
void dial_cancel(struct dial **d); /* no done any more */
