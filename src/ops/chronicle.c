#include "ops/chronicle.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tiers/incidents.h"

enum { TAKE = 64 };

struct chronicle {
    struct chronicle_conf conf;
    struct event_ring *ring;
    struct incidents *incidents;
    struct history *history; /* NULL: in memory only */
    void (*on_new)(void *arg);
    void *reader;
    void (*on_event)(void *arg, const struct event *e); /* NULL: nobody */
    void *tapper;
    uint64_t told_lost; /* of the journal's */
    struct timer timer;
    struct post woken;
    struct event batch[TAKE];
};

/* Before it is pushed, which renumbers its incident. */
static void show(struct chronicle *c, const struct event *e)
{
    if (c->on_event) {
        c->on_event(c->tapper, e);
    }
}

static void keep(struct chronicle *c, struct event *e)
{
    incidents_take(c->incidents, e);
    show(c, e);
    event_ring_push(c->ring, e);
}

static bool take_events(struct chronicle *c, uint64_t now_ms)
{
    bool has_any = false;
    size_t count = TAKE;
    while (count == TAKE) {
        count = journal_take(c->conf.journal, c->batch, TAKE, now_ms);
        for (size_t i = 0; i < count; i++) {
            keep(c, &c->batch[i]);
        }
        has_any = has_any || count > 0;
    }
    return has_any;
}

static bool close_incidents(struct chronicle *c, uint64_t now_ms)
{
    struct event e;
    bool has_any = false;
    while (incidents_close(c->incidents, clock_wall_ms(), now_ms, &e)) {
        show(c, &e);
        event_ring_push(c->ring, &e);
        has_any = true;
    }
    return has_any;
}

static bool tell_lost(struct chronicle *c, uint64_t now_ms)
{
    uint64_t lost = journal_lost(c->conf.journal);
    if (lost == c->told_lost) {
        return false;
    }
    struct event e = event_of(EVENT_KIND_lost, clock_wall_ms(), now_ms);
    e.numbers[0] = (int64_t)(lost - c->told_lost);
    EVENT_PUT(e.cause, STR("more at a time than there is room for"));
    c->told_lost = lost;
    keep(c, &e);
    return true;
}

static void take_all(struct chronicle *c, uint64_t now_ms)
{
    bool has_new = take_events(c, now_ms);
    has_new = tell_lost(c, now_ms) || has_new;
    has_new = close_incidents(c, now_ms) || has_new;
    if (has_new && c->history) {
        history_poke(c->history);
    }
    if (has_new) {
        show(c, NULL);
    }
    if (has_new && c->on_new) {
        c->on_new(c->reader);
    }
}

static void turn(struct chronicle *c)
{
    take_all(c, clock_mono_ms());
    uint64_t held_ms = journal_due_ms(c->conf.journal);
    uint64_t close_ms = incidents_due_ms(c->incidents);
    timer_arm(c->conf.loop, &c->timer, held_ms < close_ms ? held_ms : close_ms);
}

static void on_time(struct timer *t)
{
    turn(container_of(t, struct chronicle, timer));
}

static void on_woken(struct post *p, void *arg)
{
    (void)p;
    turn(arg);
}

/* Any thread; the journal calls it once until all is taken. */
static void wake(void *arg)
{
    struct chronicle *c = arg;
    loop_post(c->conf.loop, &c->woken);
}

static void tell_gateway(struct chronicle *c, const char *word)
{
    struct event e = event_of(EVENT_KIND_gateway, clock_wall_ms(), clock_mono_ms());
    e.numbers[0] = c->conf.workers;
    EVENT_PUT(e.word, str_from(word));
    EVENT_PUT(e.cause, STR("version " FALLTHROUGH_VERSION));
    journal_put(c->conf.journal, &e);
}

struct chronicle *chronicle_start(const struct chronicle_conf *conf)
{
    struct chronicle *c = mem_alloc(sizeof(*c));
    c->conf = *conf;
    c->ring = event_ring_new();
    c->incidents = incidents_new(conf->catalog, conf->settle_ms);
    c->woken = (struct post){.run = on_woken, .arg = c};
    timer_init(&c->timer, on_time);
    if (conf->path.len > 0) {
        c->history = history_start(&(struct history_conf){.path = conf->path,
                                                          .keep_ms = conf->keep_ms,
                                                          .max_bytes = conf->max_bytes,
                                                          .ring = c->ring,
                                                          .loop = conf->loop});
    }
    journal_set_reader(conf->journal, wake, c);
    tell_gateway(c, "started");
    return c;
}

void chronicle_stop(struct chronicle **c)
{
    struct chronicle *gone = *c;
    *c = NULL;
    gone->on_new = NULL;
    journal_set_reader(gone->conf.journal, NULL, NULL);
    tell_gateway(gone, "stopped");
    take_all(gone, UINT64_MAX - JOURNAL_WINDOW_MS); /* what was held back too */
    history_stop(&gone->history);
    timer_drop(gone->conf.loop, &gone->timer);
    incidents_free(&gone->incidents);
    event_ring_free(&gone->ring);
    free(gone);
}

void chronicle_set_reader(struct chronicle *c, void (*on_new)(void *arg), void *arg)
{
    c->on_new = on_new;
    c->reader = arg;
}

void chronicle_set_tap(struct chronicle *c, void (*on_event)(void *arg, const struct event *e),
                       void *arg)
{
    c->on_event = on_event;
    c->tapper = arg;
}

struct event_ring *chronicle_ring(struct chronicle *c)
{
    return c->ring;
}

bool chronicle_has_history(const struct chronicle *c)
{
    return c->history != NULL;
}

bool chronicle_is_written(const struct chronicle *c)
{
    return !c->history || history_is_written(c->history);
}

void chronicle_ask(struct chronicle *c, struct history_query *q)
{
    if (c->history) {
        history_ask(c->history, q);
        return;
    }
    q->events = mem_alloc(sizeof(q->events[0]) * q->filter.limit);
    q->count = event_ring_find(c->ring, &q->filter, q->events);
    q->is_from_memory = true;
    loop_post(c->conf.loop, &q->done);
}

uint64_t chronicle_lost(struct chronicle *c)
{
    return journal_lost(c->conf.journal) + (c->history ? history_lost(c->history) : 0);
}

uint32_t chronicle_open_incidents(const struct chronicle *c)
{
    return incidents_open(c->incidents);
}
