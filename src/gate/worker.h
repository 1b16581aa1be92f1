#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/rand.h"
#include "base/slab.h"
#include "gate/gateway.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/upstream.h"

/*
 * A thread that carries exchanges: one loop, its own listeners, client connections, upstream
 * pools and random numbers. It shares only the gateway (board, settings) with the others.
 */

struct worker {
    struct gateway *gateway;
    uint32_t index;
    struct loop *loop;
    struct http_server *server;
    struct upstream **upstreams; /* one a backend */
    struct rand rand;
    struct list waiting;       /* places of those that wait for a slot */
    struct list exchanges;     /* alive, those that only await their backend's end included */
    struct slab exchange_slab; /* of struct exchange */
    struct slab attempt_slab;  /* of struct attempt */

    /* private: */
    struct listener **listeners;
    size_t listener_count;
    struct timer drain_limit;
    struct post hang;
    _Atomic bool hang_pending;
    struct post turn;
    _Atomic bool turn_pending;
};

/* Makes a worker for the bound descriptors `fds` (borrowed; duplicated). It does not run yet.
 */
struct worker *worker_new(struct gateway *g, uint32_t index, const int *fds, size_t fd_count);

/* Runs until worker_drain has ended; the thread's body. */
void worker_run(struct worker *w);

/* From any thread: stop accepting, let running answers end, cut them after limit_ms, then stop.
 */
void worker_drain(struct worker *w, uint32_t limit_ms);

/* From any thread: the board says that some backend hangs, or is to be cut; exchanges that wait
 * for it move on. */
void worker_tell_hang(struct worker *w);

/* From any thread: an exchange of this worker was granted a slot. `worker`: a struct worker. */
void worker_tell_turn(void *worker);

/* After worker_run has returned. */
void worker_free(struct worker **w);
