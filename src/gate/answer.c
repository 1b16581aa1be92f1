#include "gate/answer.h"

#include "base/check.h"

enum { HEAD_LINES_MAX = 8192, ANSWER_PARTS_MAX = 72 };

static const struct str event_start = STR_INIT("data: ");
static const struct str event_end = STR_INIT("\n\n");

void answer_refuse(struct http_conn *c, const struct client_error *e, struct str extra,
                   bool close)
{
    struct arena a;
    arena_init(&a);
    const struct http_request *q = http_conn_request(c);
    enum client_dialect dialect = client_dialect_of(q ? q->path : STR_NONE);
    struct http_reply reply = {.status = e->status,
                               .content_type = STR("application/json"),
                               .extra = extra,
                               .close = close};
    http_reply_whole(c, &reply, client_error_body(dialect, e, &a));
    arena_fini(&a);
}

void answer_note(struct exchange *x, struct str backend, const char *word)
{
    const char *comma = buf_len(&x->trail) > 0 ? "," : "";
    enum err e = buf_printf(&x->trail, "%s%.*s:%s", comma, STR_FMT(backend), word);
    (void)e; /* a trail over its limit is cut at a whole entry: it is for people */
}

/* Lines that tell which backend answers; none where the operator wants none. */
static enum err put_marks(const struct exchange *x, struct buf *lines)
{
    const struct attempt *a = x->attempt;
    enum err e = ERR_OK;
    if (buf_len(&x->trail) > 0) {
        e = http_put_header(lines, "x-fallthrough-attempts", buf_str(&x->trail));
    }
    if (!a) {
        return e;
    }
    e = e ? e : http_put_header(lines, "x-fallthrough-backend", a->backend->name);
    e = e ? e : buf_printf(lines, "x-fallthrough-tier: %u\r\n", a->pick.tier + 1);
    if (a->plan.is_degraded) {
        struct str words = str_from(degrade_words(&a->plan));
        e = e ? e : http_put_header(lines, "x-fallthrough-degraded", words);
    }
    return e;
}

static void put_lines(const struct exchange *x, struct buf *lines)
{
    buf_init(lines, HEAD_LINES_MAX);
    enum err e = http_put_header(lines, "x-request-id", x->request_id);
    if (x->worker->gateway->settings->annotate != ANNOTATE_OFF) {
        e = e ? e : put_marks(x, lines);
    }
    CHECK(e == ERR_OK); /* names and trail are bounded and of safe characters */
}

static struct annotation annotation_of(const struct exchange *x)
{
    const struct attempt *a = x->attempt;
    if (x->worker->gateway->settings->annotate != ANNOTATE_BODY) {
        return (struct annotation){.degraded = false};
    }
    return (struct annotation){.backend = a->backend->name,
                               .degraded = a->plan.is_degraded,
                               .notice =
                                   a->plan.is_degraded ? a->backend->degrade.notice : STR_NONE};
}

static void let_client_go(struct exchange *x)
{
    http_conn_attach(x->client, NULL, NULL);
    x->client = NULL;
}

void answer_begin_stream(struct exchange *x)
{
    struct buf lines;
    if (x->head_sent) {
        return;
    }
    put_lines(x, &lines);
    http_reply_begin(x->client, &(struct http_reply){.status = 200,
                                                     .content_type = STR("text/event-stream"),
                                                     .extra = buf_str(&lines),
                                                     .is_stream = true});
    buf_fini(&lines);
    x->head_sent = true;
}

void answer_stream(struct exchange *x, const struct str *parts, size_t count, bool last)
{
    struct str all[ANSWER_PARTS_MAX];
    CHECK(count < ANSWER_PARTS_MAX);
    memcpy(all, parts, count * sizeof(all[0]));
    if (last) {
        all[count++] = STR("data: [DONE]\n\n");
    }
    x->sent_ms = loop_now_ms(x->worker->loop);
    struct http_conn *client = x->client;
    if (last) {
        let_client_go(x);
    }
    http_reply_data(client, all, count, last);
}

void answer_keep_alive(struct exchange *x)
{
    struct str comment = STR(": waiting for the first token\n\n");
    answer_begin_stream(x);
    answer_stream(x, &comment, 1, false);
}

void answer_whole(struct exchange *x, struct str body)
{
    struct buf lines;
    struct rope rope;
    struct annotation an = annotation_of(x);
    rope_init(&rope);
    if (an.backend.len > 0) {
        annotate(body, &an, &x->attempt->arena, &rope);
    } else {
        rope_add(&rope, body);
    }
    put_lines(x, &lines);
    struct http_conn *client = x->client;
    let_client_go(x);
    http_reply_begin(client, &(struct http_reply){.status = 200,
                                                  .content_type = STR("application/json"),
                                                  .extra = buf_str(&lines),
                                                  .length = rope.len});
    http_reply_data(client, rope.piece, rope.count, true);
    buf_fini(&lines);
}

struct str answer_annotated_event(struct exchange *x, struct str chunk)
{
    struct arena *a = &x->attempt->arena;
    struct annotation an = annotation_of(x);
    struct rope rope;
    rope_init(&rope);
    rope_add(&rope, event_start);
    if (an.backend.len > 0) {
        annotate(chunk, &an, a, &rope);
    } else {
        rope_add(&rope, chunk);
    }
    rope_add(&rope, event_end);
    struct str text = rope_join(&rope, a);
    return rope.count == 1 ? arena_dup(a, text) : text;
}

static struct str error_body(struct exchange *x)
{
    return x->error_body.len > 0 ? x->error_body
                                 : client_error_body(CLIENT_OPENAI, &x->error, &x->arena);
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
    struct buf lines;
    struct str body = error_body(x);
    if (x->head_sent) {
        answer_error_event(x, body);
        return;
    }
    put_lines(x, &lines);
    enum err e = ERR_OK;
    if (x->error.retry_after_s > 0) {
        e = buf_printf(&lines, "Retry-After: %u\r\n", x->error.retry_after_s);
    }
    if (x->error.status >= 500) {
        /* Every tier has been tried here; SDKs would only repeat the storm. */
        e = e ? e : buf_append(&lines, STR("x-should-retry: false\r\n"));
    }
    CHECK(e == ERR_OK);
    struct http_conn *client = x->client;
    struct http_reply reply = {.status = x->error.status,
                               .content_type = STR("application/json"),
                               .extra = buf_str(&lines)};
    let_client_go(x);
    http_reply_whole(client, &reply, body);
    buf_fini(&lines);
}
