#include "tiers/journal.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* One for each event_flow. */
struct line {
    size_t first;
    size_t count;
    uint64_t serial[JOURNAL_ROOM]; /* order among both lines */
    struct event at[JOURNAL_ROOM];
};

enum { LINES = 2 };

/* Equal events that have come since one of them went through. */
struct window {
    bool is_open;
    uint64_t until_ms;
    uint32_t held;     /* 0: none since */
    struct event last; /* the last of them */
};

struct journal {
    pthread_mutex_t lock;
    void (*wake)(void *arg);
    void *wake_arg;
    uint64_t serial; /* under lock, as all below */
    uint64_t lost;
    bool is_woken;
    struct line lines[LINES];
    struct window windows[JOURNAL_WINDOWS];
};

struct journal *journal_new(void)
{
    struct journal *j = mem_alloc(sizeof(*j));
    CHECK(pthread_mutex_init(&j->lock, NULL) == 0);
    return j;
}

void journal_free(struct journal **j)
{
    struct journal *gone = *j;
    *j = NULL;
    if (gone) {
        CHECK(pthread_mutex_destroy(&gone->lock) == 0);
        free(gone);
    }
}

void journal_set_reader(struct journal *j, void (*wake)(void *arg), void *arg)
{
    j->wake = wake;
    j->wake_arg = arg;
}

static void push(struct journal *j, const struct event *e)
{
    struct line *l = &j->lines[event_row(e->kind)->flow];
    if (l->count == JOURNAL_ROOM) {
        j->lost += e->times;
        return;
    }
    size_t at = (l->first + l->count) % JOURNAL_ROOM;
    l->serial[at] = j->serial++;
    l->at[at] = *e;
    l->count++;
}

static bool is_equal(const struct event *a, const struct event *b)
{
    return a->kind == b->kind && a->severity == b->severity &&
           strcmp(a->backend, b->backend) == 0 && strcmp(a->other, b->other) == 0 &&
           strcmp(a->model, b->model) == 0 && strcmp(a->word, b->word) == 0 &&
           strcmp(a->was, b->was) == 0 && strcmp(a->cause, b->cause) == 0;
}

/* The window of events like this one, else one to open, else NULL. */
static struct window *window_for(struct journal *j, const struct event *e)
{
    struct window *unused = NULL;
    for (size_t i = 0; i < JOURNAL_WINDOWS; i++) {
        struct window *w = &j->windows[i];
        bool is_over = !w->is_open || (w->held == 0 && w->until_ms <= e->mono_ms);
        if (w->is_open && is_equal(&w->last, e)) {
            return w;
        }
        unused = is_over && !unused ? w : unused;
    }
    if (unused) {
        *unused = (struct window){.is_open = false};
    }
    return unused;
}

/* Whether it waits for more of its like. */
static bool hold_back(struct journal *j, const struct event *e)
{
    struct window *w = window_for(j, e);
    if (!w) {
        j->lost += e->times; /* too many sorts at a time */
        return true;
    }
    bool is_first = !w->is_open || (w->held == 0 && w->until_ms <= e->mono_ms);
    if (is_first) {
        *w = (struct window){
            .is_open = true, .until_ms = e->mono_ms + JOURNAL_WINDOW_MS, .last = *e};
        return false;
    }
    w->held += w->held < UINT32_MAX ? 1 : 0;
    w->last = *e;
    return true;
}

void journal_put(struct journal *j, const struct event *e)
{
    CHECK(pthread_mutex_lock(&j->lock) == 0);
    if (event_row(e->kind)->flow == EVENT_CHANGE || !hold_back(j, e)) {
        push(j, e);
    }
    bool wakes = !j->is_woken && j->wake;
    j->is_woken = true;
    CHECK(pthread_mutex_unlock(&j->lock) == 0);
    if (wakes) {
        j->wake(j->wake_arg);
    }
}

/* Those whose time is over become an event each. */
static void close_windows(struct journal *j, uint64_t now_ms)
{
    for (size_t i = 0; i < JOURNAL_WINDOWS; i++) {
        struct window *w = &j->windows[i];
        if (!w->is_open || w->until_ms > now_ms) {
            continue;
        }
        w->is_open = w->held > 0; /* a storm that goes on is told again in a while */
        w->until_ms = now_ms + JOURNAL_WINDOW_MS;
        if (w->held > 0) {
            w->last.times = w->held;
            push(j, &w->last);
            w->held = 0;
        }
    }
}

/* The line whose first event is the older one; NULL: both are empty. */
static struct line *older_line(struct journal *j)
{
    struct line *best = NULL;
    for (size_t i = 0; i < LINES; i++) {
        struct line *l = &j->lines[i];
        if (l->count > 0 && (!best || l->serial[l->first] < best->serial[best->first])) {
            best = l;
        }
    }
    return best;
}

size_t journal_take(struct journal *j, struct event *out, size_t room, uint64_t now_ms)
{
    size_t taken = 0;
    CHECK(pthread_mutex_lock(&j->lock) == 0);
    close_windows(j, now_ms);
    struct line *l = older_line(j);
    while (l && taken < room) {
        out[taken++] = l->at[l->first];
        l->first = (l->first + 1) % JOURNAL_ROOM;
        l->count--;
        l = older_line(j);
    }
    j->is_woken = l != NULL; /* who did not get all comes again */
    CHECK(pthread_mutex_unlock(&j->lock) == 0);
    return taken;
}

uint64_t journal_due_ms(struct journal *j)
{
    uint64_t due_ms = UINT64_MAX;
    CHECK(pthread_mutex_lock(&j->lock) == 0);
    for (size_t i = 0; i < JOURNAL_WINDOWS; i++) {
        const struct window *w = &j->windows[i];
        if (w->is_open && w->held > 0 && w->until_ms < due_ms) {
            due_ms = w->until_ms;
        }
    }
    CHECK(pthread_mutex_unlock(&j->lock) == 0);
    return due_ms;
}

uint64_t journal_lost(struct journal *j)
{
    CHECK(pthread_mutex_lock(&j->lock) == 0);
    uint64_t lost = j->lost;
    CHECK(pthread_mutex_unlock(&j->lock) == 0);
    return lost;
}
