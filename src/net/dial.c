#include "net/dial.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

/*
 *     resolving → racing → over
 *
 * Racing: addresses are tried in order, each 250 ms after the one before or at once when that
 * has failed; the first that is connected (and shaken hands) wins, the others are closed.
 */

enum { STAGGER_MS = 250 };

struct entrant {
    struct dial *dial; /* its owner */
    struct conn *conn; /* NULL: failed, or not begun */
    bool is_woken;
};

struct dial {
    struct list_node node; /* in the dialer's dials */
    struct dialer *dialer; /* borrowed */
    struct loop *loop;     /* borrowed */
    struct task task;
    struct timer limit;   /* for all */
    struct timer stagger; /* until the next address */
    struct address_list list;
    struct entrant entrants[ADDRESS_MAX];
    size_t begun;   /* entrants that have been begun */
    size_t running; /* of those, not failed yet */
    enum err error; /* the most telling so far */
    bool is_racing; /* the addresses are known */
    bool is_late;   /* the limit has come up */
    bool is_over;
    void (*done)(void *owner, enum err e, struct conn *c);
    void *owner; /* borrowed */
};

static void on_resolved(struct resolver *r, enum err e)
{
    struct dialer *d = container_of(r, struct dialer, names);
    list_each(&d->dials, node, after)
    {
        struct dial *dial = container_of(node, struct dial, node);
        if (!dial->is_racing) {
            dial->error = e;
            task_ready(d->loop, &dial->task);
        }
    }
}

void dialer_init(struct dialer *d, struct loop *l, const struct upstream_conf *conf)
{
    *d = (struct dialer){.loop = l, .tls = conf->tls};
    list_init(&d->dials);
    resolver_init(&d->names, l, conf->host, conf->port, on_resolved);
}

void dialer_fini(struct dialer *d)
{
    CHECK(d->dials.count == 0);
    resolver_fini(&d->names);
}

/* Of several addresses the error of the one that got furthest is told; shortage of descriptors,
 * which is ours and not the server's, before all. */
static int rank_of(enum err e)
{
    static const int ranks[ERR_COUNT] = {
        [ERR_NO_FDS] = 5, [ERR_TLS] = 4, [ERR_RESET] = 3, [ERR_REFUSED] = 2, [ERR_TIMEOUT] = 1};
    return ranks[e];
}

static void note_failure(struct dial *d, enum err e)
{
    if (d->error == ERR_OK || rank_of(e) > rank_of(d->error)) {
        d->error = e;
    }
    d->dialer->names.is_suspect = true;
}

static void on_event(void *owner, unsigned events)
{
    (void)events;
    struct entrant *e = owner;
    e->is_woken = true;
    task_ready(e->dial->loop, &e->dial->task);
}

/* What happens between here and conn_set_owner is told again then. */
static void ignore_event(void *owner, unsigned events)
{
    (void)owner;
    (void)events;
}

/* Leaves nothing behind that could call back; the memory goes at the end of the turn. */
static void retire(struct dial *d)
{
    d->is_over = true;
    for (size_t i = 0; i < d->begun; i++) {
        conn_close(&d->entrants[i].conn);
    }
    list_remove(&d->dialer->dials, &d->node);
    task_cancel(d->loop, &d->task);
    timer_drop(d->loop, &d->limit);
    timer_drop(d->loop, &d->stagger);
    loop_free_later(d->loop, d);
}

static void finish(struct dial *d, enum err e, struct conn *c)
{
    if (e != ERR_OK && d->is_racing) {
        (void)resolver_refresh(&d->dialer->names);
    }
    retire(d);
    d->done(d->owner, e, c); /* may free the upstream */
}

/* Begins the next address. False when it failed at once. */
static bool begin_next(struct dial *d)
{
    const union socket_address *to = &d->list.at[d->begun];
    struct entrant *entrant = &d->entrants[d->begun++];
    entrant->dial = d;
    const struct conn_target target = {.address = &to->any,
                                       .address_len = socket_address_len(to),
                                       .tls = d->dialer->tls,
                                       .server_name = d->dialer->names.host};
    enum err e = conn_connect(d->loop, &target, on_event, entrant, &entrant->conn);
    if (e != ERR_OK) {
        note_failure(d, e);
        return false;
    }
    d->running++;
    timer_arm(d->loop, &d->stagger, loop_now_ms(d->loop) + STAGGER_MS);
    return true;
}

static void begin_until_one_runs(struct dial *d)
{
    while (d->begun < d->list.count && !begin_next(d)) {
    }
}

/* The winner, or NULL; those that failed are closed. */
static struct conn *judge_entrants(struct dial *d)
{
    for (size_t i = 0; i < d->begun; i++) {
        struct entrant *entrant = &d->entrants[i];
        if (!entrant->conn || !entrant->is_woken) {
            continue;
        }
        entrant->is_woken = false;
        enum err e = conn_connected(entrant->conn);
        if (e == ERR_OK) {
            struct conn *winner = entrant->conn;
            entrant->conn = NULL;
            conn_set_owner(winner, ignore_event, NULL);
            return winner;
        }
        if (e != ERR_AGAIN) {
            note_failure(d, e);
            conn_close(&entrant->conn);
            d->running--;
        }
    }
    return NULL;
}

static void race(struct dial *d)
{
    size_t before = d->running;
    struct conn *winner = judge_entrants(d);
    if (winner) {
        finish(d, ERR_OK, winner);
        return;
    }
    if (d->is_late) {
        d->dialer->names.is_suspect = true;
        finish(d, ERR_TIMEOUT, NULL);
        return;
    }
    bool has_failed = d->running < before;
    if (has_failed || !timer_is_armed(&d->stagger)) {
        begin_until_one_runs(d);
    }
    if (d->running == 0) {
        finish(d, d->error, NULL);
    }
}

static void run_dial(struct task *t)
{
    struct dial *d = container_of(t, struct dial, task);
    if (d->is_racing) {
        race(d);
        return;
    }
    if (d->error == ERR_OK && resolver_refresh(&d->dialer->names)) {
        d->list = d->dialer->names.list;
        d->is_racing = true;
        race(d);
    } else if (d->error != ERR_OK || d->is_late) {
        finish(d, ERR_DNS, NULL);
    }
}

static void on_limit(struct timer *t)
{
    struct dial *d = container_of(t, struct dial, limit);
    d->is_late = true;
    task_ready(d->loop, &d->task);
}

static void on_stagger(struct timer *t)
{
    struct dial *d = container_of(t, struct dial, stagger);
    task_ready(d->loop, &d->task);
}

struct dial *dial_start(struct upstream *u, uint64_t due_ms,
                        void (*done)(void *owner, enum err e, struct conn *c), void *owner)
{
    struct dial *d = mem_alloc(sizeof(*d));
    d->dialer = upstream_dialer(u);
    d->loop = d->dialer->loop;
    d->done = done;
    d->owner = owner;
    task_init(&d->task, run_dial);
    timer_init(&d->limit, on_limit);
    timer_init(&d->stagger, on_stagger);
    list_push_back(&d->dialer->dials, &d->node);
    timer_arm(d->loop, &d->limit, due_ms);
    task_ready(d->loop, &d->task);
    return d;
}

void dial_cancel(struct dial **d)
{
    struct dial *dead = *d;
    *d = NULL;
    if (dead && !dead->is_over) {
        retire(dead);
    }
}
