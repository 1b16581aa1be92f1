#include "ops/event_ring.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

struct event_ring {
    pthread_mutex_t lock;
    uint64_t last; /* number of the newest; under lock, as all below */
    size_t count;
    uint64_t shift;
    uint64_t incident_shift;
    struct event at[EVENT_RING_ROOM]; /* by number */
};

struct event_ring *event_ring_new(void)
{
    struct event_ring *r = mem_alloc(sizeof(*r));
    CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    return r;
}

void event_ring_free(struct event_ring **r)
{
    struct event_ring *gone = *r;
    *r = NULL;
    if (gone) {
        CHECK(pthread_mutex_destroy(&gone->lock) == 0);
        free(gone);
    }
}

static void lock(struct event_ring *r)
{
    CHECK(pthread_mutex_lock(&r->lock) == 0);
}

static void unlock(struct event_ring *r)
{
    CHECK(pthread_mutex_unlock(&r->lock) == 0);
}

static struct event *at(struct event_ring *r, uint64_t id)
{
    return &r->at[id % EVENT_RING_ROOM];
}

static uint64_t first_of(const struct event_ring *r)
{
    return r->last + 1 - r->count;
}

void event_ring_push(struct event_ring *r, struct event *e)
{
    lock(r);
    e->id = ++r->last;
    e->incident += e->incident > 0 ? r->incident_shift : 0;
    *at(r, e->id) = *e;
    r->count += r->count < EVENT_RING_ROOM ? 1 : 0;
    unlock(r);
}

size_t event_ring_read(struct event_ring *r, uint64_t after, struct event *out, size_t room)
{
    size_t count = 0;
    lock(r);
    uint64_t id = after + 1 > first_of(r) ? after + 1 : first_of(r);
    for (; id <= r->last && count < room; id++) {
        out[count++] = *at(r, id);
    }
    unlock(r);
    return count;
}

static void turn_around(struct event *e, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct event kept = e[i];
        e[i] = e[count - 1 - i];
        e[count - 1 - i] = kept;
    }
}

size_t event_ring_find(struct event_ring *r, const struct event_filter *f, struct event *out)
{
    size_t count = 0;
    lock(r);
    for (size_t i = 0; i < r->count && count < f->limit; i++) {
        const struct event *e = at(r, f->is_forward ? first_of(r) + i : r->last - i);
        if (event_filter_matches(f, e)) {
            out[count++] = *e;
        }
    }
    unlock(r);
    if (!f->is_forward) {
        turn_around(out, count);
    }
    return count;
}

struct event_span event_ring_span(struct event_ring *r)
{
    lock(r);
    struct event_span span = {.first = first_of(r),
                              .last = r->last,
                              .shift = r->shift,
                              .incident_shift = r->incident_shift};
    unlock(r);
    return span;
}

void event_ring_renumber(struct event_ring *r, uint64_t last_event, uint64_t last_incident)
{
    struct event *moved = mem_alloc(sizeof(*moved) * EVENT_RING_ROOM);
    lock(r);
    size_t count = r->count;
    for (size_t i = 0; i < count; i++) {
        moved[i] = *at(r, first_of(r) + i);
    }
    r->last += last_event;
    r->shift += last_event;
    r->incident_shift += last_incident;
    for (size_t i = 0; i < count; i++) {
        moved[i].id += last_event;
        moved[i].incident += moved[i].incident > 0 ? last_incident : 0;
        *at(r, moved[i].id) = moved[i];
    }
    unlock(r);
    free(moved);
}
