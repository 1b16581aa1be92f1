#include "gate/prober.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "net/http_call.h"
#include "net/upstream.h"
#include "tiers/meters.h"

enum { PROBE_HEAD_MAX = 16384, PROBE_BODY_MAX = 4096 };

/* One backend's probe, running or waiting for its time. */
struct probe {
    struct prober *prober;
    const struct backend *backend;
    struct upstream *upstream;
    struct http_call *call; /* NULL: waiting */
    const struct http_response *head;
    struct str request;
    struct buf body; /* of a 503: does it say that the model loads? */
    uint64_t started_ms;
    struct task task;
    struct timer timer; /* the next probe, or the running one's limit */
};

struct prober {
    struct gateway *gateway;
    struct loop *loop;
    struct probe *probes;
    size_t count;
    struct arena arena;
    struct post wake;
    _Atomic bool wake_pending;
};

static struct str make_request(struct prober *p, const struct backend *b)
{
    struct buf head;
    buf_init(&head, REQUEST_HEAD_MAX);
    enum err e = gateway_put_head(b, "GET", gateway_dialect(b)->probe_path, "probe", &head);
    e = e ? e : buf_append(&head, STR("Accept: application/json\r\nConnection: close\r\n\r\n"));
    CHECK(e == ERR_OK); /* settings bound every part */
    struct str request = arena_dup(&p->arena, buf_str(&head));
    buf_fini(&head);
    return request;
}

static void on_call(void *owner)
{
    struct probe *probe = owner;
    task_ready(probe->prober->loop, &probe->task);
}

static void on_time(struct timer *t)
{
    struct probe *probe = container_of(t, struct probe, timer);
    task_ready(probe->prober->loop, &probe->task);
}

static void begin(struct probe *probe, uint64_t now_ms)
{
    uint64_t limit_ms = now_ms + probe->backend->health.timeout_ms;
    probe->started_ms = now_ms;
    probe->head = NULL;
    probe->call = http_call_open(probe->prober->loop,
                                 &(struct http_call_conf){.upstream = probe->upstream,
                                                          .head = probe->request,
                                                          .connect_due_ms = limit_ms,
                                                          .head_max = PROBE_HEAD_MAX,
                                                          .notify = on_call,
                                                          .owner = probe});
    timer_arm(probe->prober->loop, &probe->timer, limit_ms);
}

static void await_turn(struct probe *probe)
{
    struct prober *p = probe->prober;
    timer_arm(p->loop, &probe->timer,
              board_next_probe_ms(p->gateway->board, probe->backend->index));
}

static void report(struct probe *probe, struct probe_result r)
{
    struct gateway *g = probe->prober->gateway;
    uint64_t now_ms = loop_now_ms(probe->prober->loop);
    r.took_ms = (uint32_t)(now_ms - probe->started_ms);
    http_call_close(&probe->call);
    buf_fini(&probe->body);
    meters_probe(tally_meters(g->tally), probe->backend->index,
                 r.answered && r.status >= 200 && r.status < 300, r.took_ms);
    r.is_starting = board_view(g->board, probe->backend->index, now_ms).advice.is_starting;
    struct board_change change = board_on_probe(g->board, probe->backend->index, &r, now_ms);
    change.probe_now = false; /* this prober sees to it below */
    gateway_note_change(g, probe->backend, &change);
    await_turn(probe);
}

static void report_failure(struct probe *probe, enum failure f)
{
    report(probe, (struct probe_result){.answered = false, .failure = f});
}

/* A cloud that does not list its models is reachable all the same. */
static uint16_t judged_status(const struct probe *probe, int status)
{
    bool is_listing = backend_type_is_paid(probe->backend->type);
    return is_listing && (status == 404 || status == 405) ? 200 : (uint16_t)status;
}

static void finish(struct probe *probe)
{
    bool loading =
        probe->head->status == 503 && str_has(buf_str(&probe->body), STR("Loading model"));
    report(probe, (struct probe_result){.answered = true,
                                        .status = judged_status(probe, probe->head->status),
                                        .is_loading = loading});
}

static enum failure failure_of_probe(enum err e)
{
    if (e == ERR_REFUSED) {
        return FAILURE_connect_refused;
    }
    if (e == ERR_DNS) {
        return FAILURE_dns_failed;
    }
    if (e == ERR_TLS) {
        return FAILURE_tls_failed;
    }
    if (e == ERR_TIMEOUT) {
        return FAILURE_connect_timeout;
    }
    if (e == ERR_UNREACHABLE) {
        return FAILURE_unreachable;
    }
    return e == ERR_SYNTAX || e == ERR_TOO_LARGE ? FAILURE_bad_response : FAILURE_reset;
}

/* Only a 503 is read further than its head. */
static void proceed(struct probe *probe)
{
    struct str piece;
    enum err e = probe->head ? ERR_OK : http_call_head(probe->call, &probe->head);
    if (e == ERR_AGAIN) {
        return;
    }
    if (e == ERR_NO_FDS) {
        http_call_close(&probe->call); /* our own lack says nothing about the backend */
        timer_arm(probe->prober->loop, &probe->timer, loop_now_ms(probe->prober->loop) + 1000);
        return;
    }
    if (e != ERR_OK) {
        report_failure(probe, failure_of_probe(e));
        return;
    }
    while (e == ERR_OK && probe->head->status == 503 &&
           buf_len(&probe->body) < PROBE_BODY_MAX) {
        e = http_call_body(probe->call, &piece);
        piece.len = piece.len < PROBE_BODY_MAX ? piece.len : PROBE_BODY_MAX;
        if (e == ERR_OK && buf_append(&probe->body, piece) != ERR_OK) {
            break;
        }
    }
    if (e != ERR_AGAIN) {
        finish(probe);
    }
}

static void run(struct task *t)
{
    struct probe *probe = container_of(t, struct probe, task);
    struct prober *p = probe->prober;
    uint64_t now_ms = loop_now_ms(p->loop);
    if (probe->call) {
        proceed(probe);
        if (probe->call && now_ms >= probe->started_ms + probe->backend->health.timeout_ms) {
            report_failure(probe, FAILURE_first_token_timeout);
        }
        return;
    }
    if (now_ms >= board_next_probe_ms(p->gateway->board, probe->backend->index)) {
        begin(probe, now_ms);
    } else {
        await_turn(probe);
    }
}

/* In the control thread: some backend's next probe may be due sooner than thought. */
static void on_wake(struct post *post, void *arg)
{
    struct prober *p = arg;
    (void)post;
    atomic_store(&p->wake_pending, false);
    for (size_t i = 0; i < p->count; i++) {
        if (!p->probes[i].call) {
            task_ready(p->loop, &p->probes[i].task);
        }
    }
}

static void wake(void *arg)
{
    struct prober *p = arg;
    if (!atomic_exchange(&p->wake_pending, true)) {
        loop_post(p->loop, &p->wake);
    }
}

static void init_probe(struct prober *p, size_t i)
{
    const struct backend *b = &p->gateway->settings->catalog.backends[i];
    struct probe *probe = &p->probes[i];
    probe->prober = p;
    probe->backend = b;
    probe->request = make_request(p, b);
    probe->upstream = upstream_new(
        p->loop, &(struct upstream_conf){
                     .host = b->host, .port = b->port, .tls = p->gateway->backend_tls[i]});
    buf_init(&probe->body, PROBE_BODY_MAX);
    task_init(&probe->task, run);
    timer_init(&probe->timer, on_time);
    uint64_t spread_ms = p->count > 20 ? i * 1000 / p->count : 0;
    timer_arm(p->loop, &probe->timer, loop_now_ms(p->loop) + spread_ms);
}

struct prober *prober_start(struct gateway *g, struct loop *l)
{
    struct prober *p = mem_alloc(sizeof(*p));
    p->gateway = g;
    p->loop = l;
    p->count = g->settings->catalog.backend_count;
    p->probes = mem_alloc(sizeof(p->probes[0]) * p->count);
    p->wake = (struct post){.run = on_wake, .arg = p};
    arena_init(&p->arena);
    for (size_t i = 0; i < p->count; i++) {
        init_probe(p, i);
    }
    g->wake_prober = wake;
    g->wake_arg = p;
    return p;
}

void prober_stop(struct prober **p)
{
    struct prober *gone = *p;
    *p = NULL;
    for (size_t i = 0; i < gone->count; i++) {
        struct probe *probe = &gone->probes[i];
        if (probe->call) {
            http_call_close(&probe->call);
        }
        task_cancel(gone->loop, &probe->task);
        timer_drop(gone->loop, &probe->timer);
        buf_fini(&probe->body);
        upstream_free(&probe->upstream);
    }
    arena_fini(&gone->arena);
    free(gone->probes);
    free(gone);
}
