#include "ops/history.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ops/history_db.h"

enum {
    BATCH = 256,
    WHY_BYTES = 160,
    RETRY_MS = 1000,
    RETRY_MAX_MS = 10000,
    FORGET_MS = 60000,
    FORGET_MORE_MS = 20
};

struct history {
    struct history_conf conf;
    char *path; /* owned */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_ending;    /* under lock, as all of this paragraph */
    uint64_t poked_ms; /* when the oldest unwritten event was told; 0: none */
    struct history_query *first;
    struct history_query **end;
    uint64_t lost;
    bool is_unwritten; /* is_failing, for others */

    /* the thread's own: */
    struct history_db *db; /* NULL: not open now */
    bool has_numbers;      /* the ring goes on from the file's numbers */
    bool is_failing;
    uint64_t written; /* number of the last event in the file */
    uint64_t retry_ms;
    uint64_t retry_after_ms;
    uint64_t forget_ms;
    struct event batch[BATCH];
};

/* --- failing --- */

static void tell_failing(struct history *h, bool is_failing)
{
    h->is_failing = is_failing;
    CHECK(pthread_mutex_lock(&h->lock) == 0);
    h->is_unwritten = is_failing;
    CHECK(pthread_mutex_unlock(&h->lock) == 0);
}

static void fail(struct history *h, const char *why)
{
    if (!h->is_failing) {
        log_warn("history cannot be written; events are kept in memory until it can be",
                 LOG_TEXT("file", h->path), LOG_TEXT("reason", why));
        h->retry_after_ms = RETRY_MS;
    } else if (h->retry_after_ms * 2 <= RETRY_MAX_MS) {
        h->retry_after_ms *= 2;
    }
    tell_failing(h, true);
    h->retry_ms = clock_mono_ms() + h->retry_after_ms;
    history_db_close(&h->db);
}

static void note_fine(struct history *h)
{
    if (h->is_failing) {
        tell_failing(h, false);
        log_info("history is written again", LOG_TEXT("file", h->path),
                 LOG_NUM("lost", history_lost(h)));
    }
}

/* --- writing --- */

static bool open_db(struct history *h)
{
    struct history_last last = {.event = 0};
    char why[WHY_BYTES] = "";
    if (history_db_open(h->path, &h->db, &last, why, sizeof(why)) != ERR_OK) {
        fail(h, why);
        return false;
    }
    if (!h->has_numbers) {
        event_ring_renumber(h->conf.ring, last.event, last.incident);
        h->written = last.event;
        h->has_numbers = true;
    } else if (last.event > h->written) {
        h->written = last.event; /* what was thought to have failed had not */
    }
    return true;
}

static void count_lost(struct history *h, uint64_t from)
{
    CHECK(pthread_mutex_lock(&h->lock) == 0);
    h->lost += from - h->written - 1;
    CHECK(pthread_mutex_unlock(&h->lock) == 0);
}

/* All that is in the ring. */
static void write_new(struct history *h)
{
    size_t count = event_ring_read(h->conf.ring, h->written, h->batch, BATCH);
    while (count > 0) {
        if (history_db_write(h->db, h->batch, count) != ERR_OK) {
            fail(h, history_db_why(h->db));
            return;
        }
        if (h->batch[0].id > h->written + 1) {
            count_lost(h, h->batch[0].id);
        }
        h->written = h->batch[count - 1].id;
        note_fine(h);
        count = event_ring_read(h->conf.ring, h->written, h->batch, BATCH);
    }
    note_fine(h);
}

static void forget(struct history *h, uint64_t now_ms)
{
    uint64_t wall_ms = clock_wall_ms();
    uint64_t before_ms = wall_ms > h->conf.keep_ms ? wall_ms - h->conf.keep_ms : 0;
    bool more = false;
    if (history_db_forget(h->db, before_ms, h->conf.max_bytes, &more) != ERR_OK) {
        fail(h, history_db_why(h->db));
        return;
    }
    h->forget_ms = now_ms + (more ? FORGET_MORE_MS : FORGET_MS);
}

/* --- questions --- */

static struct history_query *next_query(struct history *h)
{
    CHECK(pthread_mutex_lock(&h->lock) == 0);
    struct history_query *q = h->first;
    if (q) {
        h->first = q->next;
        h->end = h->first ? h->end : &h->first;
    }
    CHECK(pthread_mutex_unlock(&h->lock) == 0);
    return q;
}

static void answer(struct history *h, struct history_query *q)
{
    q->events = mem_alloc(sizeof(q->events[0]) * q->filter.limit);
    q->is_from_memory =
        !h->db || history_db_find(h->db, &q->filter, q->events, &q->count) != ERR_OK;
    if (q->is_from_memory) {
        q->count = event_ring_find(h->conf.ring, &q->filter, q->events);
    }
    loop_post(h->conf.loop, &q->done);
}

/* --- the thread --- */

static void wait_until(struct history *h, uint64_t due_ms)
{
    struct timespec at = {.tv_sec = (time_t)(due_ms / 1000),
                          .tv_nsec = (long)(due_ms % 1000) * 1000000L};
    int e = pthread_cond_timedwait(&h->changed, &h->lock, &at);
    CHECK(e == 0 || e == ETIMEDOUT);
}

/* When there is something to do without being told. */
static uint64_t due_ms(const struct history *h)
{
    if (!h->db) {
        return h->retry_ms;
    }
    uint64_t write_ms = h->poked_ms > 0 ? h->poked_ms + HISTORY_BATCH_MS : UINT64_MAX;
    return write_ms < h->forget_ms ? write_ms : h->forget_ms;
}

/* True when it is to end. */
static bool wait_for_work(struct history *h)
{
    CHECK(pthread_mutex_lock(&h->lock) == 0);
    while (!h->is_ending && !h->first && clock_mono_ms() < due_ms(h)) {
        wait_until(h, due_ms(h));
    }
    bool is_ending = h->is_ending;
    h->poked_ms = 0;
    CHECK(pthread_mutex_unlock(&h->lock) == 0);
    return is_ending;
}

static void work(struct history *h, bool is_last)
{
    uint64_t now_ms = clock_mono_ms();
    if (!h->db && (is_last || now_ms >= h->retry_ms) && !open_db(h)) {
        now_ms = clock_mono_ms();
    }
    if (h->db) {
        write_new(h);
    }
    struct history_query *q = is_last ? NULL : next_query(h);
    while (q) {
        answer(h, q);
        q = next_query(h);
    }
    if (h->db && !is_last && now_ms >= h->forget_ms) {
        forget(h, now_ms);
    }
}

static void *run(void *arg)
{
    struct history *h = arg;
    bool is_ending = false;
    while (!is_ending) {
        is_ending = wait_for_work(h);
        work(h, is_ending);
    }
    history_db_close(&h->db);
    return NULL;
}

/* --- life --- */

struct history *history_start(const struct history_conf *conf)
{
    struct history *h = mem_alloc(sizeof(*h));
    pthread_condattr_t monotonic;
    h->conf = *conf;
    h->path = mem_dup(conf->path);
    h->end = &h->first;
    CHECK(pthread_mutex_init(&h->lock, NULL) == 0);
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&h->changed, &monotonic) == 0);
    CHECK(pthread_condattr_destroy(&monotonic) == 0);
    CHECK(pthread_create(&h->thread, NULL, run, h) == 0);
    return h;
}

void history_stop(struct history **h)
{
    struct history *gone = *h;
    *h = NULL;
    if (!gone) {
        return;
    }
    CHECK(pthread_mutex_lock(&gone->lock) == 0);
    gone->is_ending = true;
    CHECK(pthread_cond_signal(&gone->changed) == 0);
    CHECK(pthread_mutex_unlock(&gone->lock) == 0);
    CHECK(pthread_join(gone->thread, NULL) == 0);
    CHECK(pthread_cond_destroy(&gone->changed) == 0);
    CHECK(pthread_mutex_destroy(&gone->lock) == 0);
    free(gone->path);
    free(gone);
}

void history_poke(struct history *h)
{
    CHECK(pthread_mutex_lock(&h->lock) == 0);
    if (h->poked_ms == 0) {
        h->poked_ms = clock_mono_ms();
        CHECK(pthread_cond_signal(&h->changed) == 0);
    }
    CHECK(pthread_mutex_unlock(&h->lock) == 0);
}

void history_ask(struct history *h, struct history_query *q)
{
    q->next = NULL;
    CHECK(pthread_mutex_lock(&h->lock) == 0);
    *h->end = q;
    h->end = &q->next;
    CHECK(pthread_cond_signal(&h->changed) == 0);
    CHECK(pthread_mutex_unlock(&h->lock) == 0);
}

uint64_t history_lost(struct history *h)
{
    CHECK(pthread_mutex_lock(&h->lock) == 0);
    uint64_t lost = h->lost;
    CHECK(pthread_mutex_unlock(&h->lock) == 0);
    return lost;
}

bool history_is_written(struct history *h)
{
    CHECK(pthread_mutex_lock(&h->lock) == 0);
    bool is_unwritten = h->is_unwritten;
    CHECK(pthread_mutex_unlock(&h->lock) == 0);
    return !is_unwritten;
}
