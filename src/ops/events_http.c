#include "ops/events_http.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "ops/event_json.h"
#include "ops/tell.h"

enum { STEP = 64, REPLAY = 500, PING_MS = 15000, STEP_BYTES = 1 << 20 };

struct events_http {
    struct loop *loop;
    struct chronicle *chronicle; /* borrowed */
    struct list readers;
    size_t live_count;
    struct timer ping;
    struct event step[STEP];
};

/* One answer. */
struct reader {
    struct events_http *http;
    struct http_conn *conn; /* NULL: it is over, and only the question is awaited */
    struct arena arena;     /* the filter's texts */
    struct event_filter filter;
    struct history_query query;
    bool is_asked;
    bool is_live;
    bool is_gone;
    uint64_t cursor;      /* live: the last event that was looked at */
    uint64_t shift;       /* of the ring, that the cursor knows of */
    uint64_t asked_first; /* the ring's oldest when it was asked */
    struct task task;
    struct list_node node;
};

/* --- life of a reader --- */

static void free_reader(struct reader *r)
{
    struct events_http *h = r->http;
    CHECK(!r->is_asked && !r->conn);
    h->live_count -= r->is_live ? 1 : 0;
    list_remove(&h->readers, &r->node);
    task_cancel(h->loop, &r->task);
    arena_fini(&r->arena);
    loop_free_later(h->loop, r);
}

static void end_if_gone(struct reader *r)
{
    if (r->is_gone && r->conn) {
        struct http_conn *conn = r->conn;
        r->conn = NULL;
        http_reply_abort(conn, false);
    }
    if (!r->conn && !r->is_asked) {
        free_reader(r);
    }
}

/* --- JSON --- */

static void reply_json(struct reader *r)
{
    struct chronicle *c = r->http->chronicle;
    struct http_conn *conn = r->conn;
    json_t *o = json_object();
    json_t *events = json_array();
    for (size_t i = 0; i < r->query.count; i++) {
        tell_push(events, event_json(&r->query.events[i]));
    }
    tell_put(o, "events", events);
    tell_put(o, "last", tell_whole(r->cursor));
    tell_put(o, "from", json_string(r->query.is_from_memory ? "memory" : "history"));
    tell_put(o, "lost", tell_whole(chronicle_lost(c)));
    tell_put(o, "open_incidents", tell_whole(chronicle_open_incidents(c)));
    struct str body = tell_dump(o, &r->arena);
    r->conn = NULL;
    http_conn_attach(conn, NULL, NULL);
    http_reply_whole(conn,
                     &(struct http_reply){.status = 200,
                                          .content_type = STR("application/json"),
                                          .extra = STR("Cache-Control: no-store\r\n")},
                     body);
}

/* --- live --- */

static bool append_event(struct buf *out, const struct event *e)
{
    struct arena a;
    arena_init(&a);
    struct str json = tell_dump(event_json(e), &a);
    enum err failed =
        buf_printf(out, "id: %llu\nevent: %s\ndata: %.*s\n\n", (unsigned long long)e->id,
                   event_row(e->kind)->name, STR_FMT(json));
    arena_fini(&a);
    return failed == ERR_OK;
}

static void send_events(struct reader *r, const struct event *e, size_t count)
{
    struct buf out;
    buf_init(&out, STEP_BYTES);
    for (size_t i = 0; i < count; i++) {
        if (event_filter_matches(&r->filter, &e[i])) {
            CHECK(append_event(&out, &e[i])); /* an event is below 4 KiB */
        }
    }
    if (buf_len(&out) > 0) {
        struct str part = buf_str(&out);
        http_reply_data(r->conn, &part, 1, false);
    }
    buf_fini(&out);
}

static void ask(struct reader *r, uint64_t ring_first)
{
    r->query.filter = r->filter;
    r->query.filter.after = r->cursor;
    r->query.filter.limit = REPLAY;
    r->query.filter.is_forward = true;
    r->asked_first = ring_first;
    r->is_asked = true;
    chronicle_ask(r->http->chronicle, &r->query);
}

/* All numbers may have moved on, with those of the file (event_ring_renumber). */
static void follow_numbers(struct reader *r, const struct event_span *span)
{
    r->cursor += span->shift - r->shift;
    r->shift = span->shift;
}

/* From the ring what it has, from the history what is older, while the client keeps up: a few
 * at a time, so that the thread has time for others. */
static void pump(struct reader *r)
{
    struct events_http *h = r->http;
    struct event_ring *ring = chronicle_ring(h->chronicle);
    struct event_span span = event_ring_span(ring);
    if (r->is_asked || http_reply_pending(r->conn) > 0) {
        return;
    }
    follow_numbers(r, &span);
    if (r->cursor + 1 < span.first && chronicle_has_history(h->chronicle)) {
        ask(r, span.first);
        return;
    }
    size_t count = event_ring_read(ring, r->cursor, h->step, STEP);
    send_events(r, h->step, count);
    if (count > 0) {
        r->cursor = h->step[count - 1].id;
        task_ready(h->loop, &r->task); /* perhaps there is more */
    }
}

/* What was older than the ring. */
static void take_replay(struct reader *r)
{
    size_t count = r->query.count;
    for (size_t i = 0; i < count; i += STEP) {
        send_events(r, r->query.events + i, count - i < STEP ? count - i : STEP);
    }
    if (count > 0) {
        r->cursor = r->query.events[count - 1].id;
    }
    if (count < REPLAY && r->cursor + 1 < r->asked_first) {
        r->cursor = r->asked_first - 1;
    }
}

/* --- being told --- */

static void on_answer(struct post *p, void *arg)
{
    struct reader *r = arg;
    (void)p;
    r->is_asked = false;
    if (r->conn && !r->is_gone) {
        if (r->is_live) {
            take_replay(r);
        } else {
            reply_json(r);
        }
    }
    free(r->query.events);
    r->query.events = NULL;
    task_ready(r->http->loop, &r->task);
}

static void run(struct task *t)
{
    struct reader *r = container_of(t, struct reader, task);
    if (r->conn && !r->is_gone && r->is_live) {
        pump(r);
    }
    end_if_gone(r);
}

static void on_conn(void *user, unsigned what)
{
    struct reader *r = user;
    r->is_gone = r->is_gone || (what & HTTP_GONE) != 0;
    task_ready(r->http->loop, &r->task);
}

static void on_new(void *arg)
{
    struct events_http *h = arg;
    list_each(&h->readers, node, after)
    {
        struct reader *r = container_of(node, struct reader, node);
        if (r->is_live) {
            task_ready(h->loop, &r->task);
        }
    }
}

static void on_ping(struct timer *t)
{
    struct events_http *h = container_of(t, struct events_http, ping);
    struct str ping = STR(": still here\n\n");
    list_each(&h->readers, node, after)
    {
        struct reader *r = container_of(node, struct reader, node);
        if (r->is_live && r->conn && !r->is_gone && http_reply_pending(r->conn) == 0) {
            http_reply_data(r->conn, &ping, 1, false);
        }
    }
    timer_arm(h->loop, &h->ping, loop_now_ms(h->loop) + PING_MS);
}

/* --- requests --- */

static bool wants_stream(const struct http_request *q)
{
    struct str accept = http_find(q->header, q->header_count, "accept");
    return str_has(accept, STR("text/event-stream")) || str_has(q->query, STR("stream=true"));
}

/* Where a live reader begins. */
static void set_cursor(struct reader *r, const struct http_request *q)
{
    struct event_span span = event_ring_span(chronicle_ring(r->http->chronicle));
    struct str last = http_find(q->header, q->header_count, "last-event-id");
    uint64_t after = r->filter.after;
    bool is_after = r->filter.is_forward;
    if (last.len > 0 && str_to_u64(last, INT64_MAX, &after) == ERR_OK) {
        is_after = true;
    }
    r->shift = span.shift;
    r->filter.after = 0;
    if (is_after) {
        r->cursor = after <= span.last ? after : 0; /* else of another count */
    } else {
        r->cursor = r->filter.since_ms > 0 ? 0 : span.last;
    }
}

static struct reader *make_reader(struct events_http *h)
{
    struct reader *r = mem_alloc(sizeof(*r));
    r->http = h;
    r->query.done = (struct post){.run = on_answer, .arg = r};
    arena_init(&r->arena);
    task_init(&r->task, run);
    list_push_back(&h->readers, &r->node);
    return r;
}

static void begin_live(struct reader *r)
{
    struct http_reply head = {.status = 200,
                              .content_type = STR("text/event-stream"),
                              .extra = STR("Cache-Control: no-store\r\n"),
                              .is_stream = true};
    struct str hello = STR(": events\n\n");
    r->is_live = true;
    r->http->live_count++;
    set_cursor(r, http_conn_request(r->conn));
    http_reply_begin(r->conn, &head);
    http_reply_data(r->conn, &hello, 1, false);
    task_ready(r->http->loop, &r->task);
}

const char *events_http_serve(struct events_http *h, struct http_conn *c)
{
    const struct http_request *q = http_conn_request(c);
    bool is_live = wants_stream(q);
    struct reader *r = make_reader(h);
    const char *why = event_filter_read(q->query, clock_wall_ms(), &r->filter, &r->arena);
    if (!why && is_live && h->live_count >= LIVE_READERS_MAX) {
        why = "too many live readers";
    }
    if (why) {
        free_reader(r);
        return why;
    }
    r->conn = c;
    http_conn_attach(c, on_conn, r);
    if (is_live) {
        begin_live(r);
    } else {
        r->cursor = event_ring_span(chronicle_ring(h->chronicle)).last;
        r->query.filter = r->filter;
        r->is_asked = true;
        chronicle_ask(h->chronicle, &r->query);
    }
    return NULL;
}

struct events_http *events_http_start(struct loop *l, struct chronicle *c)
{
    struct events_http *h = mem_alloc(sizeof(*h));
    h->loop = l;
    h->chronicle = c;
    list_init(&h->readers);
    timer_init(&h->ping, on_ping);
    timer_arm(l, &h->ping, loop_now_ms(l) + PING_MS);
    chronicle_set_reader(c, on_new, h);
    return h;
}

void events_http_stop(struct events_http **h)
{
    struct events_http *gone = *h;
    *h = NULL;
    timer_drop(gone->loop, &gone->ping);
    list_each(&gone->readers, node, after)
    {
        struct reader *r = container_of(node, struct reader, node);
        r->is_gone = true;
        r->is_asked = false; /* the history has ended */
        free(r->query.events);
        r->query.events = NULL;
        end_if_gone(r);
    }
    free(gone);
}
