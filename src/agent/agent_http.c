#include "agent/agent_http.h"

#include <stdlib.h>

#include "agent/gpu_metrics.h"
#include "agent/gpu_report.h"
#include "base/check.h"
#include "base/conf_value.h"
#include "net/listener.h"
#include "wire/http_entry.h"
#include "wire/url.h"

enum {
    KIB = 1024,
    BODY_MAX = 4 * KIB,
    CONNECTIONS_MAX = 64,
    METRICS_MAX = 4 * KIB * KIB,
    HEADER_MS = 10 * 1000,
    BODY_MS = 10 * 1000,
    IDLE_MS = 75 * 1000,
    SEND_MS = 30 * 1000
};

struct agent_http {
    struct agent_core *core;
    struct http_server *server;
    struct listener *listener;
    struct list waiters;
    _Atomic uint32_t connections;
};

/* A GET /gpu that waits for a change. */
struct waiter {
    struct list_node node; /* in its server's waiters */
    struct agent_http *http;
    struct http_conn *conn; /* borrowed until it is answered */
    struct timer end;
    struct task leave;
    bool is_gone;
};

static void reply(struct http_conn *c, struct str content_type, struct str body)
{
    http_reply_whole(c,
                     &(struct http_reply){.status = 200,
                                          .content_type = content_type,
                                          .extra = STR("Cache-Control: no-store\r\n")},
                     body);
}

static void refuse(struct http_conn *c, int status, const char *why, bool close)
{
    struct arena a;
    arena_init(&a);
    struct str body = arena_printf(&a, "{\"error\":{\"message\":\"%s\"}}", why);
    http_reply_whole(c,
                     &(struct http_reply){.status = status,
                                          .content_type = STR("application/json"),
                                          .close = close},
                     body);
    arena_fini(&a);
}

static struct gpu_report_source source_of(const struct agent_core *core)
{
    return (struct gpu_report_source){.host = &core->host,
                                      .child = gpu_child_counts(core->child),
                                      .boot_id = str_from(core->boot_id),
                                      .polls = core->polls,
                                      .has_kernel_log = core->log != NULL,
                                      .kernel_overrun =
                                          core->log ? kernel_log_overrun(core->log) : 0};
}

static void reply_gpu(struct agent_http *h, struct http_conn *c)
{
    struct arena a;
    arena_init(&a);
    struct gpu_report_source s = source_of(h->core);
    reply(c, STR("application/json"), gpu_report_json(&s, agent_core_now(h->core), &a));
    arena_fini(&a);
}

/* --- waiting --- */

static void drop_waiter(struct waiter *w)
{
    struct loop *l = w->http->core->loop;
    list_remove(&w->http->waiters, &w->node);
    timer_drop(l, &w->end);
    task_cancel(l, &w->leave);
    loop_free_later(l, w);
}

static void answer_waiter(struct waiter *w)
{
    struct http_conn *c = w->conn;
    if (w->is_gone) {
        http_reply_abort(c, false);
    } else {
        reply_gpu(w->http, c);
    }
    drop_waiter(w);
}

static void on_leave(struct task *t)
{
    answer_waiter(container_of(t, struct waiter, leave));
}

static void on_end(struct timer *t)
{
    struct waiter *w = container_of(t, struct waiter, end);
    task_ready(w->http->core->loop, &w->leave);
}

static void on_wake(void *user, unsigned what)
{
    struct waiter *w = user;
    if ((what & HTTP_GONE) != 0) {
        w->is_gone = true;
        task_ready(w->http->core->loop, &w->leave);
    }
}

static void wait_for_change(struct agent_http *h, struct http_conn *c, uint64_t wait_ms)
{
    struct loop *l = h->core->loop;
    struct waiter *w = mem_alloc(sizeof(*w));
    w->http = h;
    w->conn = c;
    timer_init(&w->end, on_end);
    task_init(&w->leave, on_leave);
    list_push_back(&h->waiters, &w->node);
    timer_arm(l, &w->end, loop_now_ms(l) + wait_ms);
    http_conn_attach(c, on_wake, w);
}

void agent_http_wake(struct agent_http *h)
{
    for (struct list_node *n = h->waiters.ring.next; n != &h->waiters.ring; n = n->next) {
        task_ready(h->core->loop, &container_of(n, struct waiter, node)->leave);
    }
}

/* --- requests --- */

static struct str query_value(struct str query, struct str name, struct arena *a)
{
    while (query.len > 0) {
        struct str value = str_cut(&query, '&');
        struct str key = str_cut(&value, '=');
        if (str_eq(key, name)) {
            return url_decode(value, true, a);
        }
    }
    return STR_NONE;
}

static void serve_gpu(struct agent_http *h, struct http_conn *c, struct arena *a)
{
    struct str query = http_conn_request(c)->query;
    struct str wait = query_value(query, STR("wait"), a);
    struct str after = query_value(query, STR("after"), a);
    uint64_t wait_ms = 0;
    uint64_t seq = 0;
    if ((wait.len > 0 && conf_duration(wait, &wait_ms) != ERR_OK) ||
        (after.len > 0 && str_to_u64(after, UINT64_MAX, &seq) != ERR_OK)) {
        refuse(c, 400, "wait is a duration (30s) and after a number", false);
        return;
    }
    if (wait_ms == 0 || (after.len > 0 && seq != h->core->host.seq)) {
        reply_gpu(h, c);
        return;
    }
    wait_for_change(h, c, wait_ms < AGENT_WAIT_MAX_MS ? wait_ms : AGENT_WAIT_MAX_MS);
}

static void serve_metrics(struct agent_http *h, struct http_conn *c, struct arena *a)
{
    struct buf out;
    struct gpu_report_source s = source_of(h->core);
    (void)a;
    buf_init(&out, METRICS_MAX);
    if (gpu_metrics_write(&s, agent_core_now(h->core), &out) == ERR_OK) {
        reply(c, STR(GPU_METRICS_CONTENT_TYPE), buf_str(&out));
    } else {
        refuse(c, 500, "more metrics than fit in one answer", false);
    }
    buf_fini(&out);
}

static void serve_health(struct agent_http *h, struct http_conn *c, struct arena *a)
{
    (void)h;
    (void)a;
    reply(c, STR("application/json"), STR("{\"status\":\"ok\"}"));
}

static void serve_clear(struct agent_http *h, struct http_conn *c, struct arena *a)
{
    struct str which = query_value(http_conn_request(c)->query, STR("gpu"), a);
    if (!gpu_host_clear(&h->core->host, which, agent_core_now(h->core))) {
        refuse(c, 404, "the query must name a GPU: /clear?gpu=UUID, BDF or all", false);
        return;
    }
    agent_core_publish(h->core);
    reply_gpu(h, c);
}

static const struct {
    struct str path;
    bool is_post;
    bool is_open; /* to all who reach it */
    void (*serve)(struct agent_http *h, struct http_conn *c, struct arena *a);
} ROUTES[] = {
    {STR_INIT("/gpu"), false, false, serve_gpu},
    {STR_INIT("/metrics"), false, false, serve_metrics},
    {STR_INIT("/health"), false, true, serve_health},
    {STR_INIT("/clear"), true, false, serve_clear},
};
enum { ROUTE_COUNT = sizeof(ROUTES) / sizeof(ROUTES[0]) };

static size_t find_route(struct str path)
{
    size_t i = 0;
    while (i < ROUTE_COUNT && !str_eq(path, ROUTES[i].path)) {
        i++;
    }
    return i;
}

/* Browsers say so of every request that crosses sites. */
static bool is_from_page(const struct http_request *q)
{
    return http_find(q->header, q->header_count, "origin").len > 0 ||
           http_find(q->header, q->header_count, "sec-fetch-site").len > 0;
}

static void on_head(void *owner, struct http_conn *c)
{
    struct agent_http *h = owner;
    const struct http_request *q = http_conn_request(c);
    struct str token = h->core->settings->token;
    size_t i = find_route(q->path);
    bool is_open = i < ROUTE_COUNT && ROUTES[i].is_open;
    bool is_post = i < ROUTE_COUNT && ROUTES[i].is_post;
    bool is_get = str_eq(q->method, STR("GET")) || str_eq(q->method, STR("HEAD"));
    if (token.len > 0 && !is_open && !http_has_token(q, token)) {
        refuse(c, 401, "missing or wrong token", false);
    } else if (token.len == 0 && !http_names_loopback(q)) {
        refuse(c, 403, "Host is not a loopback name", false);
    } else if (i == ROUTE_COUNT) {
        refuse(c, 404, "no such path: /gpu, /metrics, /health and /clear are there", false);
    } else if (is_post ? !str_eq(q->method, STR("POST")) : !is_get) {
        refuse(c, 405, is_post ? "only POST here" : "only GET here", false);
    } else if (is_post && token.len == 0 && is_from_page(q)) {
        refuse(c, 403, "not from a web page", false);
    }
}

static void on_request(void *owner, struct http_conn *c)
{
    struct agent_http *h = owner;
    struct arena a;
    size_t i = find_route(http_conn_request(c)->path);
    CHECK(i < ROUTE_COUNT);
    arena_init(&a);
    ROUTES[i].serve(h, c, &a);
    arena_fini(&a);
}

static void on_fault(void *owner, struct http_conn *c, int status, const char *code,
                     const char *why)
{
    (void)owner;
    (void)code;
    refuse(c, status, why, true);
}

static void on_accept(void *owner, int fd)
{
    struct agent_http *h = owner;
    http_server_accept(h->server, fd);
}

struct agent_http *agent_http_start(struct agent_core *core, int fd, SSL_CTX *tls)
{
    struct agent_http *h = mem_alloc(sizeof(*h));
    struct http_handler handler = {
        .owner = h, .on_head = on_head, .on_request = on_request, .on_fault = on_fault};
    struct http_limits limits = {.header_bytes = 8 * KIB,
                                 .body_bytes = BODY_MAX,
                                 .connections = CONNECTIONS_MAX,
                                 .header_ms = HEADER_MS,
                                 .body_ms = BODY_MS,
                                 .idle_ms = IDLE_MS,
                                 .send_ms = SEND_MS};
    h->core = core;
    list_init(&h->waiters);
    h->server = http_server_new(core->loop, &limits, &handler, tls, &h->connections);
    h->listener = listener_start(core->loop, fd, on_accept, h);
    return h;
}

void agent_http_stop(struct agent_http **h)
{
    struct agent_http *gone = *h;
    *h = NULL;
    listener_stop(&gone->listener);
    while (gone->waiters.count > 0) {
        answer_waiter(container_of(gone->waiters.ring.next, struct waiter, node));
    }
    http_server_cut(gone->server);
    http_server_free(&gone->server);
    free(gone);
}
