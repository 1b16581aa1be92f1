#include "net/upstream.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/dial.h"

/* A connection that waits for its next request. */
struct idle {
    struct list_node node; /* in the upstream's idle, newest first */
    struct upstream *upstream;
    struct conn *conn;
    uint64_t born_ms;
    uint64_t due_ms; /* closed then */
    bool is_woken;   /* became readable: its end, or bytes that nobody asked for */
};

struct upstream {
    struct loop *loop; /* borrowed */
    struct dialer dialer;
    size_t idle_max;
    uint32_t idle_ms;
    uint32_t age_ms;
    struct list idle;
    struct task sweep;
    struct timer expiry; /* of the first that is due, at the latest */
};

static void drop(struct idle *i)
{
    list_remove(&i->upstream->idle, &i->node);
    conn_close(&i->conn);
    free(i);
}

/* TLS may have something to say that concerns only itself (session tickets); anything else ends
 * it. */
static bool is_quiet(struct idle *i)
{
    char unasked[64];
    size_t got = 0;
    i->is_woken = false;
    return conn_read(i->conn, unasked, sizeof(unasked), &got) == ERR_AGAIN;
}

static bool is_fit(struct idle *i)
{
    return loop_now_ms(i->upstream->loop) < i->due_ms && (!i->is_woken || is_quiet(i));
}

static void run_sweep(struct task *t)
{
    struct upstream *u = container_of(t, struct upstream, sweep);
    uint64_t first_ms = TIMER_NEVER;
    list_each(&u->idle, node, after)
    {
        struct idle *i = container_of(node, struct idle, node);
        if (!is_fit(i)) {
            drop(i);
        } else if (i->due_ms < first_ms) {
            first_ms = i->due_ms;
        }
    }
    timer_arm(u->loop, &u->expiry, first_ms);
}

static void on_expiry(struct timer *t)
{
    struct upstream *u = container_of(t, struct upstream, expiry);
    task_ready(u->loop, &u->sweep);
}

static void on_idle_event(void *owner, unsigned events)
{
    (void)events;
    struct idle *i = owner;
    i->is_woken = true;
    task_ready(i->upstream->loop, &i->upstream->sweep);
}

struct upstream *upstream_new(struct loop *l, const struct upstream_conf *conf)
{
    struct upstream *u = mem_alloc(sizeof(*u));
    u->loop = l;
    u->idle_max = conf->idle_max;
    u->idle_ms = conf->idle_ms;
    u->age_ms = conf->age_ms;
    list_init(&u->idle);
    task_init(&u->sweep, run_sweep);
    timer_init(&u->expiry, on_expiry);
    dialer_init(&u->dialer, l, conf);
    if (conf->tls) {
        CHECK(SSL_CTX_up_ref(conf->tls) == 1);
    }
    return u;
}

void upstream_free(struct upstream **u)
{
    struct upstream *dead = *u;
    *u = NULL;
    if (!dead) {
        return;
    }
    upstream_flush(dead);
    task_cancel(dead->loop, &dead->sweep);
    timer_drop(dead->loop, &dead->expiry);
    SSL_CTX_free(dead->dialer.tls);
    dialer_fini(&dead->dialer);
    loop_free_later(dead->loop, dead);
}

struct dialer *upstream_dialer(struct upstream *u)
{
    return &u->dialer;
}

size_t upstream_idle(const struct upstream *u)
{
    return u->idle.count;
}

struct conn *upstream_take(struct upstream *u, void (*notify)(void *owner, unsigned events),
                           void *owner, uint64_t *born_ms)
{
    list_each(&u->idle, node, after)
    {
        struct idle *i = container_of(node, struct idle, node);
        if (!is_fit(i)) {
            drop(i);
            continue;
        }
        struct conn *c = i->conn;
        *born_ms = i->born_ms;
        list_remove(&u->idle, &i->node);
        free(i);
        conn_set_owner(c, notify, owner);
        return c;
    }
    return NULL;
}

static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static void keep(struct upstream *u, struct conn *c, uint64_t born_ms, uint64_t due_ms)
{
    struct idle *i = mem_alloc(sizeof(*i));
    *i = (struct idle){.upstream = u, .conn = c, .born_ms = born_ms, .due_ms = due_ms};
    list_push_front(&u->idle, &i->node);
    conn_set_owner(c, on_idle_event, i);
    conn_read_resume(c);
    if (!timer_is_armed(&u->expiry) || due_ms < u->expiry.due_ms) {
        timer_arm(u->loop, &u->expiry, due_ms);
    }
}

void upstream_give(struct upstream *u, struct conn **c, uint64_t born_ms)
{
    struct conn *given = *c;
    *c = NULL;
    uint64_t now_ms = loop_now_ms(u->loop);
    uint64_t due_ms = earlier(now_ms + u->idle_ms, born_ms + u->age_ms);
    if (u->idle_max == 0 || due_ms <= now_ms) {
        conn_close(&given);
        return;
    }
    if (u->idle.count >= u->idle_max) {
        drop(container_of(list_last(&u->idle), struct idle, node));
    }
    keep(u, given, born_ms, due_ms);
}

void upstream_flush(struct upstream *u)
{
    for (struct list_node *n = list_first(&u->idle); n; n = list_first(&u->idle)) {
        drop(container_of(n, struct idle, node));
    }
}
