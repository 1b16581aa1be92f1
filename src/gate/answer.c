#include "gate/answer.h"

#include "base/check.h"
#include "gate/exchange_account.h"
#include "gate/swap_notice.h"

enum { TRAIL_MAX = 2048, LINE_PARTS_MAX = 32, ANSWER_PARTS_MAX = 72 };

static const struct str event_start = STR_INIT("data: ");
static const struct str event_end = STR_INIT("\n\n");
static const struct str stream_end = STR_INIT("data: [DONE]\n\n");

static bool is_sane_id(struct str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!fine) {
            return false;
        }
    }
    return id.len > 0 && id.len <= 128;
}

struct str answer_request_id(struct worker *w, struct http_conn *c, struct arena *a)
{
    const struct http_request *q = http_conn_request(c);
    struct str asked = q ? http_find(q->header, q->header_count, "x-request-id") : STR_NONE;
    char digits[STR_NUMBER_MAX];
    if (is_sane_id(asked)) {
        return arena_dup(a, asked);
    }
    struct str own[] = {STR("req_"), str_hex64(rand_next(&w->rand), digits)};
    return arena_join(a, own, 2);
}

static void send_small(struct worker *w, struct http_conn *c, const struct http_reply *r,
                       struct str body)
{
    struct arena a;
    arena_init(&a);
    struct http_reply reply = *r;
    struct str lines[] = {STR("x-request-id: "), answer_request_id(w, c, &a), STR("\r\n"),
                          r->extra};
    reply.content_type = STR("application/json");
    reply.extra = arena_join(&a, lines, sizeof(lines) / sizeof(lines[0]));
    http_reply_whole(c, &reply, body);
    arena_fini(&a);
}

void answer_small(struct worker *w, struct http_conn *c, int status, struct str extra,
                  struct str body)
{
    send_small(w, c, &(struct http_reply){.status = status, .extra = extra}, body);
}

static void send_error(struct worker *w, struct http_conn *c, const struct client_error *e,
                       const struct http_reply *r)
{
    struct arena a;
    arena_init(&a);
    const struct http_request *q = http_conn_request(c);
    enum client_dialect dialect = client_dialect_of(q ? q->path : STR_NONE);
    send_small(w, c, r, client_error_body(dialect, e, &a));
    arena_fini(&a);
}

void answer_refuse(struct worker *w, struct http_conn *c, const struct client_error *e,
                   struct str extra)
{
    send_error(w, c, e, &(struct http_reply){.status = e->status, .extra = extra});
}

void answer_fault(struct worker *w, struct http_conn *c, const struct client_error *e,
                  struct str extra)
{
    send_error(w, c, e,
               &(struct http_reply){.status = e->status, .extra = extra, .close = true});
}

void answer_note(struct exchange *x, struct str backend, const char *word)
{
    struct str comma = x->trail.len > 0 ? STR(",") : STR("");
    struct str parts[] = {x->trail, comma, backend, STR(":"), str_from(word)};
    if (x->trail.len < TRAIL_MAX) { /* it is for people: a longer one ends at a whole entry */
        x->trail = arena_join(&x->arena, parts, sizeof(parts) / sizeof(parts[0]));
    }
}

/* Header lines in pieces; what they are made of is bounded and of safe characters (settings,
 * is_sane_id), so they are only joined. */
struct lines {
    struct str part[LINE_PARTS_MAX];
    size_t count;
};

static void put_line(struct lines *l, const char *name, struct str value)
{
    CHECK(l->count + 4 <= LINE_PARTS_MAX);
    l->part[l->count++] = str_from(name);
    l->part[l->count++] = STR(": ");
    l->part[l->count++] = value;
    l->part[l->count++] = STR("\r\n");
}

/* Backends have no brackets in their names, so none is mistaken for a last resort. */
static struct str answerer_name(const struct answerer *by)
{
    switch (by->kind) {
    case ANSWERER_BACKEND:
        return by->backend->name;
    case ANSWERER_CACHE:
        return STR("(cache)");
    case ANSWERER_MESSAGE:
        return STR("(message)");
    }
    BUG("no such answerer");
}

/* Lines that tell which backend answers. */
static void put_marks(const struct exchange *x, bool is_error, struct lines *l,
                      char digits[STR_NUMBER_MAX])
{
    const struct answerer *by = &x->by;
    if (x->trail.len > 0) {
        put_line(l, "x-fallthrough-attempts", x->trail);
    }
    if (is_error) {
        return;
    }
    put_line(l, "x-fallthrough-backend", answerer_name(by));
    if (by->kind != ANSWERER_BACKEND) {
        bool is_kept = by->kind == ANSWERER_CACHE;
        put_line(l, "x-fallthrough-degraded", is_kept ? STR("cache") : STR("message"));
        return;
    }
    put_line(l, "x-fallthrough-tier", str_number(by->tier + 1, digits));
    if (by->plan.is_degraded) {
        put_line(l, "x-fallthrough-degraded", str_from(degrade_words(&by->plan)));
    }
}

/* Every header line of an answer; lives as long as the exchange. */
static struct str make_lines(struct exchange *x, const struct client_error *e)
{
    struct lines l = {.count = 0};
    char tier[STR_NUMBER_MAX];
    char seconds[STR_NUMBER_MAX];
    char age[STR_NUMBER_MAX];
    put_line(&l, "x-request-id", x->request_id);
    /* A head that goes out before the first content cannot know who will answer. */
    bool is_known = e || !x->request.stream || x->is_committed;
    if (x->worker->gateway->settings->annotate != ANNOTATE_OFF && is_known) {
        put_marks(x, e != NULL, &l, tier);
    }
    if (!e && is_known && x->by.kind == ANSWERER_CACHE) {
        put_line(&l, "Age", str_number(x->by.age_s, age)); /* RFC 9111, 5.1 */
    }
    if (e && e->retry_after_s > 0) {
        put_line(&l, "Retry-After", str_number(e->retry_after_s, seconds));
    }
    bool was_tried = !x->is_shed || x->attempts > 0;
    if (e && e->status >= 500 && was_tried) {
        /* Every tier has been tried here; SDKs would only repeat the storm. */
        put_line(&l, "x-should-retry", STR("false"));
    }
    return arena_join(&x->arena, l.part, l.count);
}

/* A degraded answer carries its configured notice each time, a swapped model's only now and
 * then. */
static struct str notice_of(struct exchange *x)
{
    const struct answerer *by = &x->by;
    if (by->kind != ANSWERER_BACKEND) {
        return by->notice;
    }
    bool is_configured = by->plan.is_degraded && by->backend->degrade.notice.len > 0;
    return is_configured ? by->backend->degrade.notice : swap_notice(x);
}

static struct annotation annotation_of(struct exchange *x)
{
    const struct answerer *by = &x->by;
    if (x->worker->gateway->settings->annotate != ANNOTATE_BODY) {
        return (struct annotation){.degraded = false};
    }
    return (struct annotation){.backend = answerer_name(by),
                               .degraded = by->kind != ANSWERER_BACKEND || by->plan.is_degraded,
                               .resumed = x->resumes > 0,
                               .notice = notice_of(x)};
}

static void let_client_go(struct exchange *x)
{
    http_conn_attach(x->client, NULL, NULL);
    x->client = NULL;
}

void answer_begin_stream(struct exchange *x)
{
    if (x->head_sent) {
        return;
    }
    http_reply_begin(x->client, &(struct http_reply){.status = 200,
                                                     .content_type = STR("text/event-stream"),
                                                     .extra = make_lines(x, NULL),
                                                     .is_stream = true});
    x->head_sent = true;
}

void answer_stream(struct exchange *x, const struct str *parts, size_t count, bool last)
{
    struct str all[ANSWER_PARTS_MAX];
    struct http_conn *client = x->client;
    x->sent_ms = loop_now_ms(x->worker->loop);
    if (x->account) {
        exchange_account_sent(x, parts, count);
        exchange_account_sent(x, &stream_end, last ? 1 : 0);
    }
    if (!last) {
        http_reply_data(client, parts, count, false);
        return;
    }
    CHECK(count < ANSWER_PARTS_MAX);
    memcpy(all, parts, count * sizeof(all[0]));
    all[count++] = stream_end;
    let_client_go(x);
    http_reply_data(client, all, count, true);
}

void answer_keep_alive(struct exchange *x)
{
    struct str comment = STR(": waiting for the first token\n\n");
    answer_begin_stream(x);
    answer_stream(x, &comment, 1, false);
}

void answer_whole(struct exchange *x, struct str body)
{
    struct rope rope;
    struct annotation an = annotation_of(x);
    rope_init(&rope);
    annotate(body, &an, &x->arena, &rope);
    exchange_account_sent(x, rope.piece, rope.count);
    struct http_conn *client = x->client;
    let_client_go(x);
    http_reply_begin(client, &(struct http_reply){.status = 200,
                                                  .content_type = STR("application/json"),
                                                  .extra = make_lines(x, NULL),
                                                  .length = rope.len});
    http_reply_data(client, rope.piece, rope.count, true);
}

struct str answer_annotated_event(struct exchange *x, struct str chunk)
{
    struct arena *a = &x->arena;
    struct annotation an = annotation_of(x);
    struct rope rope;
    rope_init(&rope);
    rope_add(&rope, event_start);
    annotate(chunk, &an, a, &rope);
    rope_add(&rope, event_end);
    return rope_join(&rope, a);
}

void answer_finish(struct exchange *x, struct str chunk, bool last)
{
    struct str event = answer_annotated_event(x, chunk);
    answer_stream(x, &event, 1, last);
}

/* The stream has begun: the last event says why it ends, and the missing [DONE] and chunk end
 * show that it is cut. */
static void answer_error_event(struct exchange *x, struct str body)
{
    struct str parts[] = {event_start, body, event_end};
    struct http_conn *client = x->client;
    let_client_go(x);
    http_reply_data(client, parts, 3, false);
    http_reply_abort(client, true);
}

void answer_error(struct exchange *x)
{
    struct str body = client_error_body(CLIENT_OPENAI, &x->error, &x->arena);
    exchange_account_sent(x, &body, 1);
    if (x->head_sent) {
        answer_error_event(x, body);
        return;
    }
    struct http_conn *client = x->client;
    struct http_reply reply = {.status = x->error.status,
                               .content_type = STR("application/json"),
                               .extra = make_lines(x, &x->error)};
    let_client_go(x);
    http_reply_whole(client, &reply, body);
}
