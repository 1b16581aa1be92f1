#include "gate/worker.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "gate/exchange.h"
#include "gate/routes.h"

enum { POOL_IDLE_MAX = 1024, POOL_IDLE_MS = 4000, POOL_AGE_MS = 300000 };

/* Some 4 KB for each exchange with its attempt: two megabytes at most. */
enum { SLAB_MAX = 512 };

static void on_accept(void *owner, int fd)
{
    struct worker *w = owner;
    http_server_accept(w->server, fd);
}

static void on_drain_limit(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, drain_limit);
    log_warn("drain limit reached, cutting what still runs", LOG_NUM("worker", w->index),
             LOG_NUM("connections", http_server_connections(w->server)));
    http_server_cut(w->server);
}

static void on_hang(struct post *p, void *arg)
{
    struct worker *w = arg;
    (void)p;
    atomic_store(&w->hang_pending, false);
    exchange_leave_hung(w);
}

void worker_tell_hang(struct worker *w)
{
    if (!atomic_exchange(&w->hang_pending, true)) {
        loop_post(w->loop, &w->hang);
    }
}

static void on_turn(struct post *p, void *arg)
{
    struct worker *w = arg;
    (void)p;
    atomic_store(&w->turn_pending, false);
    exchange_take_turns(w);
}

void worker_tell_turn(void *worker)
{
    struct worker *w = worker;
    if (!atomic_exchange(&w->turn_pending, true)) {
        loop_post(w->loop, &w->turn);
    }
}

struct worker *worker_new(struct gateway *g, uint32_t index, const int *fds, size_t fd_count)
{
    const struct catalog *catalog = &g->settings->catalog;
    struct worker *w = mem_alloc(sizeof(*w));
    struct http_handler handler = routes_handler(w);
    w->gateway = g;
    w->index = index;
    w->loop = loop_new();
    rand_seed(&w->rand);
    list_init(&w->exchanges);
    list_init(&w->waiting);
    slab_init(&w->exchange_slab, sizeof(struct exchange), SLAB_MAX);
    slab_init(&w->attempt_slab, sizeof(struct attempt), SLAB_MAX);
    timer_init(&w->drain_limit, on_drain_limit);
    w->hang = (struct post){.run = on_hang, .arg = w};
    w->turn = (struct post){.run = on_turn, .arg = w};
    w->server = http_server_new(w->loop, &g->settings->limits, &handler, g->listen_tls,
                                &g->connections);
    w->upstreams = mem_alloc(sizeof(w->upstreams[0]) * catalog->backend_count);
    for (size_t i = 0; i < catalog->backend_count; i++) {
        const struct backend *b = &catalog->backends[i];
        w->upstreams[i] =
            upstream_new(w->loop, &(struct upstream_conf){.host = b->host,
                                                          .port = b->port,
                                                          .tls = g->backend_tls[i],
                                                          .idle_max = POOL_IDLE_MAX,
                                                          .idle_ms = POOL_IDLE_MS,
                                                          .age_ms = POOL_AGE_MS});
    }
    w->listeners = mem_alloc(sizeof(struct listener *) * fd_count);
    w->listener_count = fd_count;
    for (size_t i = 0; i < fd_count; i++) {
        w->listeners[i] = listener_start(w->loop, fds[i], on_accept, w);
    }
    return w;
}

void worker_run(struct worker *w)
{
    loop_run(w->loop);
    exchange_end_all(w); /* those that linger: who keeps records still listens */
}

static void on_empty(void *arg)
{
    struct worker *w = arg;
    timer_drop(w->loop, &w->drain_limit);
    loop_stop(w->loop);
}

struct drain_post {
    struct post post;
    uint32_t limit_ms;
};

static void begin_drain(struct post *p, void *arg)
{
    struct worker *w = arg;
    uint32_t limit_ms = container_of(p, struct drain_post, post)->limit_ms;
    free(container_of(p, struct drain_post, post));
    for (size_t i = 0; i < w->listener_count; i++) {
        listener_take_waiting(w->listeners[i]);
        listener_stop(&w->listeners[i]);
    }
    w->listener_count = 0;
    timer_arm(w->loop, &w->drain_limit, loop_now_ms(w->loop) + limit_ms);
    http_server_drain(w->server, on_empty, w);
}

void worker_drain(struct worker *w, uint32_t limit_ms)
{
    struct drain_post *p = mem_alloc(sizeof(*p));
    p->post.run = begin_drain;
    p->post.arg = w;
    p->limit_ms = limit_ms;
    loop_post(w->loop, &p->post);
}

void worker_free(struct worker **w)
{
    struct worker *gone = *w;
    *w = NULL;
    for (size_t i = 0; i < gone->listener_count; i++) {
        listener_stop(&gone->listeners[i]);
    }
    timer_drop(gone->loop, &gone->drain_limit);
    exchange_end_all(gone); /* of one that never ran */
    http_server_free(&gone->server);
    for (size_t i = 0; i < gone->gateway->settings->catalog.backend_count; i++) {
        upstream_free(&gone->upstreams[i]);
    }
    loop_free(&gone->loop);
    slab_fini(&gone->exchange_slab);
    slab_fini(&gone->attempt_slab);
    free(gone->upstreams);
    free(gone->listeners);
    free(gone);
}
