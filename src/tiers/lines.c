#include "tiers/lines.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "tiers/loads.h"

/* Where a backend stands. */
struct use {
    const struct tier_member *member;
    uint32_t model;
    uint32_t tier;
};

struct line {
    struct list waiters; /* under the lock */
    _Atomic uint32_t count;
};

struct lines {
    pthread_mutex_t lock;
    _Atomic uint32_t waiting; /* in all lines; changed under the lock */
    size_t model_count;
    size_t backend_count;
    struct line *line;   /* one a model */
    struct use *use;     /* by backend */
    uint32_t *first_use; /* one a backend, and one behind them */
};

/* --- life --- */

static void count_uses(struct lines *l, const struct model *m)
{
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t i = 0; i < m->tiers[t].member_count; i++) {
            l->first_use[m->tiers[t].members[i].backend->index + 1]++;
        }
    }
}

/* `at`: the next free place of each backend. */
static void put_uses(struct lines *l, const struct model *m, uint32_t *at)
{
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t i = 0; i < m->tiers[t].member_count; i++) {
            const struct tier_member *member = &m->tiers[t].members[i];
            l->use[at[member->backend->index]++] =
                (struct use){.member = member, .model = m->index, .tier = (uint32_t)t};
        }
    }
}

static void make_uses(struct lines *l, const struct catalog *c)
{
    l->first_use = mem_alloc(sizeof(*l->first_use) * (c->backend_count + 1));
    for (size_t i = 0; i < c->model_count; i++) {
        count_uses(l, &c->models[i]);
    }
    for (size_t i = 0; i < c->backend_count; i++) {
        l->first_use[i + 1] += l->first_use[i];
    }
    uint32_t *at = mem_alloc(sizeof(*at) * (c->backend_count + 1));
    memcpy(at, l->first_use, sizeof(*at) * (c->backend_count + 1));
    l->use = mem_alloc(sizeof(*l->use) * (l->first_use[c->backend_count] + 1));
    for (size_t i = 0; i < c->model_count; i++) {
        put_uses(l, &c->models[i], at);
    }
    free(at);
}

struct lines *lines_new(const struct catalog *c)
{
    struct lines *l = mem_alloc(sizeof(*l));
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    l->model_count = c->model_count;
    l->backend_count = c->backend_count;
    l->line = mem_alloc(sizeof(*l->line) * (c->model_count + 1));
    for (size_t i = 0; i < c->model_count; i++) {
        list_init(&l->line[i].waiters);
    }
    make_uses(l, c);
    return l;
}

void lines_free(struct lines **l)
{
    struct lines *gone = *l;
    *l = NULL;
    if (gone) {
        CHECK(atomic_load(&gone->waiting) == 0);
        CHECK(pthread_mutex_destroy(&gone->lock) == 0);
        free(gone->line);
        free(gone->use);
        free(gone->first_use);
        free(gone);
    }
}

static void lock_lines(struct lines *l)
{
    CHECK(pthread_mutex_lock(&l->lock) == 0);
}

static void unlock_lines(struct lines *l)
{
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
}

static struct line *line_of(const struct lines *l, uint32_t model)
{
    CHECK(model < l->model_count);
    return &l->line[model];
}

uint32_t lines_waiting(const struct lines *l, uint32_t model)
{
    return atomic_load(&line_of(l, model)->count);
}

/* --- order --- */

static bool is_before(const struct pick_query *a, const struct pick_query *b)
{
    return a->standing != b->standing ? a->standing < b->standing : a->serial < b->serial;
}

static struct waiter *waiter_at(struct list_node *n)
{
    return container_of(n, struct waiter, node);
}

/* Most are newer than those who wait: from behind. */
static void insert(struct list *waiters, struct waiter *w)
{
    struct list_node *after = waiters->ring.prev;
    while (after != &waiters->ring && is_before(&w->query, &waiter_at(after)->query)) {
        after = after->prev;
    }
    w->node.prev = after;
    w->node.next = after->next;
    after->next->prev = &w->node;
    after->next = &w->node;
    waiters->count++;
}

static void take_out(struct lines *l, struct waiter *w)
{
    struct line *line = line_of(l, w->query.model->index);
    list_remove(&line->waiters, &w->node);
    w->is_in = false;
    (void)atomic_fetch_sub(&line->count, 1);
    (void)atomic_fetch_sub(&l->waiting, 1);
}

bool lines_join(struct lines *l, struct waiter *w)
{
    struct line *line = line_of(l, w->query.model->index);
    CHECK(!w->is_in);
    lock_lines(l);
    bool has_room = w->is_owed || line->waiters.count < w->query.model->queue.max;
    if (has_room) {
        insert(&line->waiters, w);
        w->is_in = true;
        atomic_store(&w->is_granted, false);
        atomic_store(&w->is_called, false);
        (void)atomic_fetch_add(&line->count, 1);
        (void)atomic_fetch_add(&l->waiting, 1);
    }
    unlock_lines(l);
    return has_room;
}

void lines_move(struct lines *l, struct waiter *w, uint32_t tier, enum pick_kind kind)
{
    if (w->tier == tier && w->kind == kind) { /* only its own thread writes them */
        return;
    }
    lock_lines(l);
    w->tier = tier;
    w->kind = kind;
    unlock_lines(l);
}

bool lines_is_granted(const struct waiter *w)
{
    return atomic_load(&w->is_granted);
}

bool lines_take_call(struct waiter *w)
{
    return atomic_load(&w->is_called) && atomic_exchange(&w->is_called, false);
}

void lines_call(struct lines *l, uint32_t backend)
{
    CHECK(backend < l->backend_count);
    if (atomic_load(&l->waiting) == 0) {
        return;
    }
    lock_lines(l);
    for (uint32_t i = l->first_use[backend]; i < l->first_use[backend + 1]; i++) {
        list_each(&line_of(l, l->use[i].model)->waiters, n, after)
        {
            struct waiter *w = waiter_at(n);
            atomic_store(&w->is_called, true);
            w->tell(w->teller);
        }
    }
    unlock_lines(l);
}

bool lines_leave(struct lines *l, struct waiter *w, struct pick *out)
{
    lock_lines(l);
    if (w->is_in) {
        take_out(l, w);
    }
    bool is_granted = atomic_exchange(&w->is_granted, false);
    if (is_granted) {
        *out = w->grant;
    }
    unlock_lines(l);
    return is_granted;
}

/* --- how long it takes --- */

/* What is known of a tier, for one who waits at its slots. */
static uint64_t wait_at(const struct pick_query *q, uint32_t tier, uint64_t place)
{
    const struct tier *t = &q->model->tiers[tier];
    const struct loads *loads = board_loads(q->board);
    uint64_t slots = 0;
    uint64_t known = 0;
    uint64_t held = 0;
    for (size_t i = 0; i < t->member_count; i++) {
        const struct backend *b = t->members[i].backend;
        uint64_t hold_ms = loads_hold_ms(loads, b->index);
        if (b->max_concurrent > 0 && pick_may_use(q, &t->members[i])) {
            slots += b->max_concurrent;
            known += hold_ms > 0 ? b->max_concurrent : 0;
            held += hold_ms * b->max_concurrent;
        }
    }
    return known > 0 ? place * held / known / slots : UINT64_MAX;
}

/* Of those of the tier who could serve at once, the best; 0: not known of somebody; UINT64_MAX:
 * there is nobody. */
static uint64_t first_token_at(const struct pick_query *q, uint32_t tier)
{
    const struct tier *t = &q->model->tiers[tier];
    const struct loads *loads = board_loads(q->board);
    uint64_t soonest_ms = UINT64_MAX;
    for (size_t i = 0; i < t->member_count; i++) {
        uint32_t backend = t->members[i].backend->index;
        uint64_t one_ms = loads_first_token_ms(loads, backend);
        if (one_ms < soonest_ms && !loads_is_full(loads, backend) &&
            pick_may_use(q, &t->members[i])) {
            soonest_ms = one_ms;
        }
    }
    return soonest_ms;
}

/* A slot of this backend in a later tier is free now. If somebody is free between the two, it
 * was not worth to go there, and it is not worth to go further. */
static bool goes_over(const struct pick_query *q, uint32_t full, const struct use *u,
                      uint64_t place)
{
    uint32_t backend = u->member->backend->index;
    for (uint32_t t = full + 1; t < u->tier && q->model->queue.overflow; t++) {
        if (first_token_at(q, t) != UINT64_MAX) {
            return false;
        }
    }
    return q->model->queue.overflow &&
           wait_at(q, full, place) > loads_first_token_ms(board_loads(q->board), backend);
}

/* 1 …: 1 for who would be next. */
static uint64_t place_of(struct lines *l, const struct pick_query *q)
{
    struct line *line = line_of(l, q->model->index);
    uint64_t place = 1;
    if (atomic_load(&line->count) == 0) {
        return place;
    }
    lock_lines(l);
    list_each(&line->waiters, n, after)
    {
        if (!is_before(&waiter_at(n)->query, q)) {
            break;
        }
        place++;
    }
    unlock_lines(l);
    return place;
}

uint64_t lines_wait_ms(struct lines *l, const struct pick_query *q, uint32_t tier)
{
    return wait_at(q, tier, place_of(l, q));
}

enum overflow lines_overflow(struct lines *l, const struct pick_query *q, uint32_t full,
                             uint32_t next)
{
    if (!q->model->queue.overflow) {
        return OVERFLOW_WAITS;
    }
    uint64_t first_token_ms = first_token_at(q, next);
    if (first_token_ms == UINT64_MAX) {
        return OVERFLOW_NOBODY;
    }
    return wait_at(q, full, place_of(l, q)) > first_token_ms ? OVERFLOW_GOES : OVERFLOW_WAITS;
}

/* --- slots --- */

/* Better tiers than the one it waits at are always welcome. */
static bool can_use(struct waiter *w, const struct use *u, uint64_t place, uint64_t now_ms)
{
    w->query.now_ms = now_ms;
    if (!pick_may_use(&w->query, u->member) &&
        !(w->kind == PICK_RESERVE && pick_may_reserve(&w->query, u->member))) {
        return false;
    }
    return u->tier <= w->tier || goes_over(&w->query, w->tier, u, place);
}

/* The first of a model's line who can use it, none that stands behind `before` (NULL: all). */
static struct waiter *first_of(const struct lines *l, const struct use *u,
                               const struct pick_query *before, uint64_t now_ms)
{
    uint64_t place = 0;
    list_each(&line_of(l, u->model)->waiters, n, after)
    {
        struct waiter *w = waiter_at(n);
        place++;
        if (before && !is_before(&w->query, before)) {
            return NULL;
        }
        if (can_use(w, u, place, now_ms)) {
            return w;
        }
    }
    return NULL;
}

static void grant(struct lines *l, struct waiter *w, const struct use *u)
{
    take_out(l, w);
    w->grant = (struct pick){.member = u->member,
                             .tier = u->tier,
                             .kind = w->kind,
                             .has_slot = true,
                             .is_overflow = u->tier > w->tier};
    atomic_store(&w->is_granted, true);
}

/* A word for one who may be gone when it is said. */
struct word {
    void (*tell)(void *teller);
    void *teller;
};

/* Of all lines; under the lock. False: nobody can use it. */
static bool hand_over(struct lines *l, uint32_t backend, const struct pick_query *before,
                      uint64_t now_ms, struct word *word)
{
    struct waiter *best = NULL;
    const struct use *best_use = NULL;
    CHECK(backend < l->backend_count);
    for (uint32_t i = l->first_use[backend]; i < l->first_use[backend + 1]; i++) {
        struct waiter *w = first_of(l, &l->use[i], before, now_ms);
        if (w && (!best || is_before(&w->query, &best->query))) {
            best = w;
            best_use = &l->use[i];
        }
    }
    if (!best) {
        return false;
    }
    *word = (struct word){best->tell, best->teller};
    grant(l, best, best_use);
    return true;
}

void lines_give(struct lines *l, struct board *b, uint32_t backend, uint64_t now_ms)
{
    struct loads *loads = board_loads(b);
    struct word word;
    if (atomic_load(&l->waiting) == 0) {
        loads_unclaim(loads, backend);
        /* Who begins to wait now either finds it free or is seen here. */
        if (atomic_load(&l->waiting) == 0 || !loads_claim(loads, backend)) {
            return;
        }
    }
    lock_lines(l);
    bool is_taken = hand_over(l, backend, NULL, now_ms, &word);
    if (!is_taken) {
        loads_unclaim(loads, backend);
    }
    unlock_lines(l);
    if (is_taken) {
        word.tell(word.teller);
    }
}

bool lines_yield(struct lines *l, const struct pick_query *q, const struct pick *p)
{
    struct word word;
    if (!p->has_slot || atomic_load(&l->waiting) == 0) {
        return false;
    }
    lock_lines(l);
    bool is_taken = hand_over(l, p->member->backend->index, q, q->now_ms, &word);
    unlock_lines(l);
    if (is_taken) {
        word.tell(word.teller);
    }
    return is_taken;
}
