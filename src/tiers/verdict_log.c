#include "tiers/verdict_log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* Of one backend. */
struct ring {
    pthread_mutex_t lock;
    uint32_t count; /* under lock, as all below */
    uint32_t next;  /* where the next one goes */
    struct verdict_entry at[VERDICTS_KEPT];
};

struct verdict_log {
    const struct catalog *catalog; /* borrowed */
    struct ring *rings;            /* one a backend */
    atomic_bool *has_failed;       /* one a serving: its last verdict was a failure */
};

struct verdict_log *verdict_log_new(const struct catalog *c)
{
    struct verdict_log *l = mem_alloc(sizeof(*l));
    l->catalog = c;
    l->rings = mem_alloc(sizeof(l->rings[0]) * (c->backend_count + 1));
    l->has_failed = mem_alloc(sizeof(l->has_failed[0]) * (c->serving_count + 1));
    for (size_t i = 0; i < c->backend_count; i++) {
        CHECK(pthread_mutex_init(&l->rings[i].lock, NULL) == 0);
    }
    return l;
}

void verdict_log_free(struct verdict_log **l)
{
    struct verdict_log *gone = *l;
    *l = NULL;
    if (!gone) {
        return;
    }
    for (size_t i = 0; i < gone->catalog->backend_count; i++) {
        CHECK(pthread_mutex_destroy(&gone->rings[i].lock) == 0);
    }
    free(gone->rings);
    free(gone->has_failed);
    free(gone);
}

static bool is_same(const struct verdict_entry *a, const struct verdict_entry *b)
{
    return a->serving == b->serving && a->failure == b->failure && a->status == b->status &&
           a->is_trial == b->is_trial && strcmp(a->then, b->then) == 0;
}

static struct ring *ring_of(const struct verdict_log *l, uint32_t serving)
{
    CHECK(serving < l->catalog->serving_count);
    return &l->rings[l->catalog->servings[serving].backend->index];
}

/* The `back`-th from the end, from 1. */
static struct verdict_entry *entry_at(struct ring *r, uint32_t back)
{
    return &r->at[(r->next + VERDICTS_KEPT - back) % VERDICTS_KEPT];
}

/* Under the lock. */
static void push(struct ring *r, const struct verdict_entry *e, uint64_t now_ms)
{
    struct verdict_entry *last = entry_at(r, 1);
    if (r->count > 0 && is_same(last, e)) {
        last->last_ms = now_ms;
        last->times += last->times < UINT32_MAX ? 1 : 0;
        return;
    }
    struct verdict_entry *to = &r->at[r->next];
    *to = *e;
    to->first_ms = now_ms;
    to->last_ms = now_ms;
    to->times = 1;
    r->next = (r->next + 1) % VERDICTS_KEPT;
    r->count += r->count < VERDICTS_KEPT ? 1 : 0;
}

void verdict_log_failure(struct verdict_log *l, const struct verdict_entry *e, uint64_t now_ms)
{
    struct ring *r = ring_of(l, e->serving);
    CHECK(pthread_mutex_lock(&r->lock) == 0);
    push(r, e, now_ms);
    /* The client's own error says that the backend works. */
    if (verdict_of(e->failure)->next != NEXT_CLIENT) {
        atomic_store_explicit(&l->has_failed[e->serving], true, memory_order_relaxed);
    }
    CHECK(pthread_mutex_unlock(&r->lock) == 0);
}

void verdict_log_answer(struct verdict_log *l, uint32_t serving, bool is_trial, uint64_t now_ms)
{
    struct ring *r = ring_of(l, serving);
    if (!atomic_load_explicit(&l->has_failed[serving], memory_order_relaxed)) {
        return;
    }
    CHECK(pthread_mutex_lock(&r->lock) == 0);
    if (atomic_exchange_explicit(&l->has_failed[serving], false, memory_order_relaxed)) {
        push(r,
             &(struct verdict_entry){.serving = serving,
                                     .failure = FAILURE_ok,
                                     .status = 200,
                                     .is_trial = is_trial,
                                     .then = "answered"},
             now_ms);
    }
    CHECK(pthread_mutex_unlock(&r->lock) == 0);
}

uint32_t verdict_log_read(const struct verdict_log *l, uint32_t backend,
                          struct verdict_entry out[VERDICTS_KEPT])
{
    CHECK(backend < l->catalog->backend_count);
    struct ring *r = &l->rings[backend];
    CHECK(pthread_mutex_lock(&r->lock) == 0);
    uint32_t count = r->count;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = *entry_at(r, i + 1);
    }
    CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return count;
}
