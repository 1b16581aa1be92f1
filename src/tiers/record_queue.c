#include "tiers/record_queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

struct record_queue {
    struct record_reader reader;
    size_t room;
    pthread_mutex_t lock;
    struct record *first; /* under lock, as all below */
    struct record **end;  /* where the next one is linked */
    size_t count;
    bool is_woken;
    uint64_t lost;
    uint64_t lost_spans;
};

struct record_queue *record_queue_new(size_t room)
{
    struct record_queue *q = mem_alloc(sizeof(*q));
    q->room = room;
    q->end = &q->first;
    CHECK(pthread_mutex_init(&q->lock, NULL) == 0);
    return q;
}

void record_queue_free(struct record_queue **q)
{
    struct record_queue *gone = *q;
    *q = NULL;
    if (!gone) {
        return;
    }
    struct record *r = gone->first;
    while (r) {
        struct record *next = r->next;
        free(r);
        r = next;
    }
    CHECK(pthread_mutex_destroy(&gone->lock) == 0);
    free(gone);
}

void record_queue_set_reader(struct record_queue *q, const struct record_reader *r)
{
    q->reader = *r;
}

void record_queue_put(struct record_queue *q, struct record *r)
{
    struct record *over = NULL;
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

struct record *record_queue_take(struct record_queue *q)
{
    CHECK(pthread_mutex_lock(&q->lock) == 0);
    struct record *r = q->first;
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

static uint64_t read_count(struct record_queue *q, const uint64_t *count)
{
    CHECK(pthread_mutex_lock(&q->lock) == 0);
    uint64_t value = *count;
    CHECK(pthread_mutex_unlock(&q->lock) == 0);
    return value;
}

uint64_t record_queue_lost_spans(struct record_queue *q)
{
    return read_count(q, &q->lost_spans);
}

uint64_t record_queue_lost(struct record_queue *q)
{
    return read_count(q, &q->lost);
}
