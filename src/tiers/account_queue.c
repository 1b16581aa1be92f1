#include "tiers/account_queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

struct account_queue {
    struct account_reader reader;
    size_t room;
    pthread_mutex_t lock;
    struct account *first; /* under lock, as all below */
    struct account **end;  /* where the next one is linked */
    size_t count;
    bool is_woken;
    uint64_t lost;
    uint64_t lost_spans;
};

struct account_queue *account_queue_new(size_t room)
{
    struct account_queue *q = mem_alloc(sizeof(*q));
    q->room = room;
    q->end = &q->first;
    CHECK(pthread_mutex_init(&q->lock, NULL) == 0);
    return q;
}

void account_queue_free(struct account_queue **q)
{
    struct account_queue *gone = *q;
    *q = NULL;
    if (!gone) {
        return;
    }
    struct account *r = gone->first;
    while (r) {
        struct account *next = r->next;
        free(r);
        r = next;
    }
    CHECK(pthread_mutex_destroy(&gone->lock) == 0);
    free(gone);
}

void account_queue_set_reader(struct account_queue *q, const struct account_reader *r)
{
    q->reader = *r;
}

void account_queue_put(struct account_queue *q, struct account *r)
{
    struct account *over = NULL;
    CHECK(pthread_mutex_lock(&q->lock) == 0);
    if (q->count == q->room) {
        over = r;
        q->lost++;
        q->lost_spans += 1U + r->attempt_count;
    } else {
        *q->end = r;
        q->end = &r->next;
        q->count++;
    }
    bool wakes = !q->is_woken && q->reader.wake && q->count >= q->reader.at_count;
    q->is_woken = q->is_woken || wakes;
    CHECK(pthread_mutex_unlock(&q->lock) == 0);
    free(over);
    if (wakes) {
        q->reader.wake(q->reader.arg);
    }
}

struct account *account_queue_take(struct account_queue *q)
{
    CHECK(pthread_mutex_lock(&q->lock) == 0);
    struct account *r = q->first;
    if (r) {
        q->first = r->next;
        q->end = q->first ? q->end : &q->first;
        q->count--;
        r->next = NULL;
    } else {
        q->is_woken = false;
    }
    CHECK(pthread_mutex_unlock(&q->lock) == 0);
    return r;
}

static uint64_t read_count(struct account_queue *q, const uint64_t *count)
{
    CHECK(pthread_mutex_lock(&q->lock) == 0);
    uint64_t value = *count;
    CHECK(pthread_mutex_unlock(&q->lock) == 0);
    return value;
}

uint64_t account_queue_lost_spans(struct account_queue *q)
{
    return read_count(q, &q->lost_spans);
}

uint64_t account_queue_lost(struct account_queue *q)
{
    return read_count(q, &q->lost);
}
