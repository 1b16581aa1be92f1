#include "ops/otlp.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_call.h"
#include "ops/span_message.h"
#include "wire/http_date.h"

enum {
    BATCH_SPANS = 512,
    BATCH_BYTES = 1 << 20, /* nothing is added to a batch that is as long */
    MESSAGE_MAX = 4 << 20, /* and one account is much less than the difference */
    EVERY_MS = 1000,
    WAKE_AT = 128, /* accounts that do not wait for that */
    HEAD_MAX = 1 << 20,
    ANSWER_MAX = 64 << 10,
    RESPONSE_HEAD_MAX = 64 << 10,
    FIRST_WAIT_MS = 1000,
    WAIT_MAX_MS = 30000,
    RETRY_AFTER_MAX_S = 300,
    TRIES_MAX = 8, /* of one batch: it may be the batch's own fault */
    IDLE_MS = 4000,
    AGE_MS = 300000
};

struct otlp {
    struct otlp_conf conf;
    struct upstream *upstream;
    struct task task;
    struct timer timer;
    struct post post;
    _Atomic bool is_posted;
    struct http_call *call; /* NULL: none runs */
    const struct http_response *head;
    struct buf answer;
    struct buf request;      /* head of the batch's request */
    struct buf message;      /* the batch */
    struct rope body;        /* the same */
    size_t spans;            /* of the batch; 0: there is none */
    unsigned tries;          /* of the batch */
    unsigned failures;       /* in a row */
    uint64_t due_ms;         /* for the answer */
    uint64_t next_ms;        /* the next batch, or try */
    bool is_warned;          /* since the last good answer */
    uint64_t end_ms;         /* of draining; 0: it does not */
    void (*done)(void *arg); /* NULL: told already */
    void *done_arg;
    _Atomic uint64_t exported;
    _Atomic uint64_t dropped;
};

static uint64_t now_of(const struct otlp *o)
{
    return loop_now_ms(o->conf.loop);
}

/* --- the batch --- */

static void fill(struct otlp *o)
{
    struct span_message m;
    struct account *r = account_queue_take(o->conf.queue);
    if (!r) {
        return;
    }
    span_message_begin(&m, &o->message, o->conf.service);
    while (r) {
        span_message_put(&m, r);
        free(r);
        bool is_full = m.spans >= BATCH_SPANS || buf_len(&o->message) >= BATCH_BYTES;
        r = is_full ? NULL : account_queue_take(o->conf.queue);
    }
    span_message_end(&m);
    CHECK(!m.p.is_cut);
    o->spans = m.spans;
    o->tries = 0;
}

static void drop_batch(struct otlp *o)
{
    buf_fini(&o->message);
    o->spans = 0;
}

static void make_head(struct otlp *o)
{
    const struct backend *c = o->conf.collector;
    buf_consume(&o->request, buf_len(&o->request));
    enum err e = buf_printf(&o->request,
                            "POST %.*s HTTP/1.1\r\nHost: %.*s\r\n"
                            "User-Agent: fallthrough/" FALLTHROUGH_VERSION "\r\n"
                            "Content-Type: application/x-protobuf\r\nContent-Length: %zu\r\n",
                            STR_FMT(c->path), STR_FMT(c->host_header), buf_len(&o->message));
    for (size_t i = 0; i < c->header_count; i++) {
        e = e ? e
              : buf_printf(&o->request, "%.*s: %.*s\r\n", STR_FMT(c->headers[i].name),
                           STR_FMT(c->headers[i].value));
    }
    e = e ? e : buf_append(&o->request, STR("\r\n"));
    CHECK(e == ERR_OK); /* settings bound every part */
}

static void on_call(void *owner)
{
    struct otlp *o = owner;
    task_ready(o->conf.loop, &o->task);
}

static void send_batch(struct otlp *o)
{
    o->tries++;
    o->due_ms = now_of(o) + o->conf.timeout_ms;
    o->head = NULL;
    make_head(o);
    rope_init(&o->body);
    rope_add(&o->body, buf_str(&o->message));
    o->call =
        http_call_open(o->conf.loop, &(struct http_call_conf){.upstream = o->upstream,
                                                              .head = buf_str(&o->request),
                                                              .body = &o->body,
                                                              .connect_due_ms = o->due_ms,
                                                              .head_max = RESPONSE_HEAD_MAX,
                                                              .notify = on_call,
                                                              .owner = o});
}

/* --- what comes of it --- */

static void warn_once(struct otlp *o, const char *message, int status, const char *why)
{
    if (!o->is_warned) {
        log_warn(message, LOG_STR("collector", o->conf.collector->url),
                 LOG_NUM("status", status), LOG_TEXT("error", why), LOG_NUM("spans", o->spans));
    }
    o->is_warned = true;
}

static void take_good(struct otlp *o, int status, uint64_t rejected)
{
    rejected = rejected < o->spans ? rejected : o->spans;
    o->exported += o->spans - rejected;
    o->dropped += rejected;
    o->failures = 0;
    bool goes_on = o->spans >= BATCH_SPANS || buf_len(&o->message) >= BATCH_BYTES;
    o->next_ms = goes_on || o->end_ms > 0 ? now_of(o) : now_of(o) + EVERY_MS;
    if (rejected > 0) {
        warn_once(o, "the collector has refused spans", status, "partial success");
    } else if (o->is_warned) {
        log_info("spans are delivered again", LOG_STR("collector", o->conf.collector->url));
        o->is_warned = false;
    }
    drop_batch(o);
}

static void lose_batch(struct otlp *o)
{
    o->dropped += o->spans;
    drop_batch(o);
}

static void try_later(struct otlp *o, uint64_t wait_ms)
{
    uint64_t most_ms = (uint64_t)FIRST_WAIT_MS << (o->failures < 5 ? o->failures : 5);
    most_ms = most_ms < WAIT_MAX_MS ? most_ms : WAIT_MAX_MS;
    o->failures++;
    o->next_ms = now_of(o) + (wait_ms > 0 ? wait_ms : most_ms);
    if (o->tries >= TRIES_MAX) {
        lose_batch(o);
    }
}

static bool may_be_tried_again(int status)
{
    return status == 429 || status == 502 || status == 503 || status == 504;
}

/* 0: it does not say. */
static uint64_t retry_after_ms(const struct http_response *head)
{
    struct str text = http_find(head->header, head->header_count, "retry-after");
    uint64_t value = 0;
    uint64_t wall_ms = clock_wall_ms();
    uint64_t most_ms = RETRY_AFTER_MAX_S * 1000ULL;
    if (str_to_u64(text, RETRY_AFTER_MAX_S, &value) == ERR_OK) {
        return value * 1000;
    }
    if (http_date_read(text, &value) != ERR_OK || value <= wall_ms) {
        return 0;
    }
    return value - wall_ms < most_ms ? value - wall_ms : most_ms;
}

/* The answer is whole. The call borrows the batch, so it ends first. */
static void judge(struct otlp *o)
{
    int status = o->head->status;
    uint64_t wait_ms = retry_after_ms(o->head);
    uint64_t rejected = span_message_rejected(buf_str(&o->answer));
    http_call_close(&o->call);
    if (status >= 200 && status < 300) {
        take_good(o, status, rejected);
    } else if (may_be_tried_again(status)) {
        warn_once(o, "spans cannot be delivered", status, "the collector asks for a pause");
        try_later(o, wait_ms);
    } else {
        warn_once(o, "spans are refused and lost", status, "the collector does not take them");
        o->next_ms = now_of(o) + EVERY_MS;
        lose_batch(o);
    }
}

static enum err read_answer(struct otlp *o)
{
    struct str piece;
    enum err e = o->head ? ERR_OK : http_call_head(o->call, &o->head);
    while (e == ERR_OK) {
        e = http_call_body(o->call, &piece);
        if (e == ERR_OK && buf_append(&o->answer, piece) != ERR_OK) {
            return ERR_TOO_LARGE;
        }
    }
    return e;
}

static void proceed(struct otlp *o)
{
    enum err e = read_answer(o);
    if (e == ERR_AGAIN && now_of(o) < o->due_ms) {
        return;
    }
    e = e == ERR_AGAIN ? ERR_TIMEOUT : e;
    if (e == ERR_EOF) {
        judge(o);
    } else {
        http_call_close(&o->call);
        warn_once(o, "spans cannot be delivered", 0, err_text(e));
        try_later(o, 0);
    }
    buf_fini(&o->answer);
}

/* --- when --- */

static void finish_draining(struct otlp *o)
{
    void (*done)(void *arg) = o->done;
    uint64_t left = o->spans;
    if (o->call) {
        http_call_close(&o->call);
    }
    struct account *r = account_queue_take(o->conf.queue);
    while (r) {
        left += 1U + r->attempt_count;
        free(r);
        r = account_queue_take(o->conf.queue);
    }
    if (left > 0) {
        log_warn("spans are lost at the end", LOG_NUM("spans", left),
                 LOG_STR("collector", o->conf.collector->url));
    }
    o->dropped += left;
    drop_batch(o);
    o->done = NULL;
    done(o->done_arg);
}

static bool has_drained(const struct otlp *o)
{
    bool is_away = !o->call && o->failures > 0;
    bool is_empty = !o->call && o->spans == 0;
    return is_away || is_empty || now_of(o) >= o->end_ms;
}

static void run(struct task *t)
{
    struct otlp *o = container_of(t, struct otlp, task);
    if (o->call) {
        proceed(o);
    }
    if (!o->call && now_of(o) >= o->next_ms) {
        if (o->spans == 0) {
            fill(o);
        }
        if (o->spans > 0) {
            send_batch(o);
        } else {
            o->next_ms = now_of(o) + EVERY_MS;
        }
    }
    if (o->done && has_drained(o)) {
        finish_draining(o);
        return;
    }
    uint64_t next_ms = o->call ? o->due_ms : o->next_ms;
    timer_arm(o->conf.loop, &o->timer, o->done && o->end_ms < next_ms ? o->end_ms : next_ms);
}

static void on_time(struct timer *timer)
{
    struct otlp *o = container_of(timer, struct otlp, timer);
    task_ready(o->conf.loop, &o->task);
}

/* Many wait: they need not wait for the second to be over. */
static void on_post(struct post *p, void *arg)
{
    struct otlp *o = arg;
    (void)p;
    atomic_store(&o->is_posted, false);
    if (o->failures == 0 && !o->call) {
        o->next_ms = now_of(o);
    }
    task_ready(o->conf.loop, &o->task);
}

static void wake(void *arg)
{
    struct otlp *o = arg;
    if (!atomic_exchange(&o->is_posted, true)) {
        loop_post(o->conf.loop, &o->post);
    }
}

/* --- life --- */

struct otlp *otlp_start(const struct otlp_conf *conf)
{
    struct otlp *o = mem_alloc(sizeof(*o));
    o->conf = *conf;
    o->upstream =
        upstream_new(conf->loop, &(struct upstream_conf){.host = conf->collector->host,
                                                         .port = conf->collector->port,
                                                         .tls = conf->tls,
                                                         .idle_max = 1,
                                                         .idle_ms = IDLE_MS,
                                                         .age_ms = AGE_MS});
    buf_init(&o->answer, ANSWER_MAX);
    buf_init(&o->request, HEAD_MAX);
    buf_init(&o->message, MESSAGE_MAX);
    task_init(&o->task, run);
    timer_init(&o->timer, on_time);
    o->post = (struct post){.run = on_post, .arg = o};
    o->next_ms = loop_now_ms(conf->loop) + EVERY_MS;
    account_queue_set_reader(conf->queue, &(struct account_reader){wake, o, WAKE_AT});
    task_ready(conf->loop, &o->task);
    return o;
}

void otlp_stop(struct otlp **o)
{
    struct otlp *gone = *o;
    *o = NULL;
    if (!gone) {
        return;
    }
    if (gone->call) {
        http_call_close(&gone->call);
    }
    task_cancel(gone->conf.loop, &gone->task);
    timer_drop(gone->conf.loop, &gone->timer);
    upstream_free(&gone->upstream);
    buf_fini(&gone->answer);
    buf_fini(&gone->request);
    buf_fini(&gone->message);
    free(gone);
}

void otlp_drain(struct otlp *o, uint32_t limit_ms, void (*done)(void *arg), void *arg)
{
    o->end_ms = now_of(o) + limit_ms;
    o->done = done;
    o->done_arg = arg;
    o->next_ms = now_of(o);
    task_ready(o->conf.loop, &o->task);
}

uint64_t otlp_exported(const struct otlp *o)
{
    return o->exported;
}

uint64_t otlp_dropped(const struct otlp *o)
{
    return o->dropped + account_queue_lost_spans(o->conf.queue);
}
