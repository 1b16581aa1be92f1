#include "cmd/fetch.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/conf_value.h"
#include "base/list.h"
#include "net/http_call.h"
#include "net/tls.h"
#include "wire/json_edit.h"

enum { HEAD_MAX = 64 * 1024, REQUEST_HEAD_MAX = 64 * 1024 };

/* A fetch under way. */
struct fetch {
    const struct fetch_conf *conf;
    struct fetched *out;
    struct loop *loop;
    struct upstream *upstream;
    struct http_call *call;
    struct buf request;
    struct rope body;
    struct task task;
    struct timer deadline;
    uv_poll_t stop;
    bool is_late;
    bool is_stopped;
    bool is_over;
    enum err result;
};

/* --- the request --- */

static struct str authority(const struct url *u, struct arena *a)
{
    const char *open = u->is_ipv6 ? "[" : "";
    const char *close = u->is_ipv6 ? "]" : "";
    if (!u->has_port) {
        return arena_printf(a, "%s%.*s%s", open, STR_FMT(u->host), close);
    }
    return arena_printf(a, "%s%.*s%s:%u", open, STR_FMT(u->host), close, (unsigned)u->port);
}

struct str fetch_origin(const struct url *u, struct arena *a)
{
    return arena_printf(a, "%s://%.*s", u->tls ? "https" : "http", STR_FMT(authority(u, a)));
}

static enum err put_head(struct fetch *f)
{
    const struct fetch_conf *c = f->conf;
    struct arena *a = &f->out->arena;
    const char *slash = c->url.path.len + c->target.len > 0 ? "" : "/";
    enum err e = buf_printf(&f->request, "%s %.*s%.*s%s HTTP/1.1\r\n", c->method,
                            STR_FMT(c->url.path), STR_FMT(c->target), slash);
    if (e == ERR_OK) {
        e = http_put_header(&f->request, "Host", authority(&c->url, a));
    }
    if (e == ERR_OK && c->bearer.len > 0) {
        e = http_put_header(&f->request, "Authorization",
                            arena_printf(a, "Bearer %.*s", STR_FMT(c->bearer)));
    }
    if (e == ERR_OK && c->json.len > 0) {
        e = buf_printf(&f->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                       c->json.len);
    }
    if (e == ERR_OK) {
        e = buf_append(&f->request, STR("User-Agent: fallthrough/" FALLTHROUGH_VERSION "\r\n"
                                        "Connection: close\r\n\r\n"));
    }
    return e;
}

/* --- the response --- */

static void end(struct fetch *f, enum err result)
{
    f->is_over = true;
    f->result = result;
    loop_stop(f->loop);
}

/* The head outlives the call. */
static void keep_head(struct fetched *out, const struct http_response *head)
{
    out->status = head->status;
    out->head = *head;
    for (size_t i = 0; i < head->header_count; i++) {
        out->head.header[i].name = arena_dup(&out->arena, head->header[i].name);
        out->head.header[i].value = arena_dup(&out->arena, head->header[i].value);
    }
}

static enum err take_piece(struct fetch *f, struct str piece)
{
    if (!f->conf->on_piece) {
        return buf_append(&f->out->collected, piece);
    }
    return f->conf->on_piece(f->conf->owner, piece) ? ERR_OK : ERR_EOF;
}

/* ERR_AGAIN: more will come. ERR_OK: complete. */
static enum err read_response(struct fetch *f)
{
    const struct http_response *head = NULL;
    enum err e = http_call_head(f->call, &head);
    if (e == ERR_OK && f->out->status == 0) {
        keep_head(f->out, head);
    }
    while (e == ERR_OK) {
        struct str piece;
        e = http_call_body(f->call, &piece);
        if (e == ERR_EOF) {
            return ERR_OK;
        }
        e = e == ERR_OK ? take_piece(f, piece) : e;
    }
    return e;
}

static void on_task(struct task *t)
{
    struct fetch *f = container_of(t, struct fetch, task);
    if (f->is_over) {
        return;
    }
    /* What has come is read before the deadline is held against it. */
    enum err e = f->is_stopped ? ERR_EOF : read_response(f);
    if (e == ERR_AGAIN && f->is_late) {
        e = ERR_TIMEOUT;
    }
    if (e != ERR_AGAIN) {
        end(f, e);
    }
}

static void on_call(void *owner)
{
    struct fetch *f = owner;
    task_ready(f->loop, &f->task);
}

static void on_deadline(struct timer *t)
{
    struct fetch *f = container_of(t, struct fetch, deadline);
    f->is_late = true;
    task_ready(f->loop, &f->task);
}

static void on_stop(uv_poll_t *handle, int status, int events)
{
    struct fetch *f = handle->data;
    (void)status;
    (void)events;
    f->is_stopped = true;
    task_ready(f->loop, &f->task);
}

/* --- life --- */

static void watch_stop(struct fetch *f)
{
    if (f->conf->stop_fd <= 0 ||
        uv_poll_init(loop_uv(f->loop), &f->stop, f->conf->stop_fd) != 0) {
        return;
    }
    f->stop.data = f;
    (void)uv_poll_start(&f->stop, UV_READABLE, on_stop);
}

static void explain_end(struct fetch *f, bool was_connected)
{
    struct fetched *out = f->out;
    char limit[32];
    conf_put_duration(f->conf->timeout_ms, limit, sizeof(limit));
    if (f->result == ERR_OK) {
        out->why[0] = '\0';
    } else if (f->result == ERR_TIMEOUT) {
        const char *what = out->status != 0 ? "the answer was not complete"
                           : was_connected  ? "no answer"
                                            : "no connection";
        (void)snprintf(out->why, sizeof(out->why), "%s within %s", what, limit);
    } else if (f->result == ERR_SYNTAX) {
        (void)snprintf(out->why, sizeof(out->why), "what came is not HTTP");
    } else {
        (void)snprintf(out->why, sizeof(out->why), "%s", err_text(f->result));
    }
}

static void run(struct fetch *f)
{
    uint64_t due_ms = clock_mono_ms() + f->conf->timeout_ms;
    struct http_call_conf call = {.upstream = f->upstream,
                                  .head = buf_str(&f->request),
                                  .body = f->conf->json.len > 0 ? &f->body : NULL,
                                  .connect_due_ms = due_ms,
                                  .head_max = HEAD_MAX,
                                  .notify = on_call,
                                  .owner = f};
    rope_init(&f->body);
    rope_add(&f->body, f->conf->json);
    task_init(&f->task, on_task);
    timer_init(&f->deadline, on_deadline);
    timer_arm(f->loop, &f->deadline, due_ms);
    watch_stop(f);
    f->call = http_call_open(f->loop, &call);
    loop_run(f->loop);
    explain_end(f, http_call_is_connected(f->call));
    http_call_close(&f->call);
    timer_drop(f->loop, &f->deadline);
    task_cancel(f->loop, &f->task);
}

static enum err run_on_a_loop(struct fetch *f, SSL_CTX *tls)
{
    f->loop = loop_new();
    f->upstream = upstream_new(f->loop, &(struct upstream_conf){.host = f->conf->url.host,
                                                                .port = f->conf->url.port,
                                                                .tls = tls});
    run(f);
    upstream_free(&f->upstream);
    loop_free(&f->loop);
    f->out->body = buf_str(&f->out->collected);
    return f->result;
}

static enum err refuse(struct fetched *out, enum err e, const char *why)
{
    (void)snprintf(out->why, sizeof(out->why), "%s", why);
    return e;
}

enum err fetch(const struct fetch_conf *conf, struct fetched *out)
{
    struct fetch f = {.conf = conf, .out = out};
    SSL_CTX *tls = NULL;
    const char *why = "";
    *out = (struct fetched){.status = 0};
    arena_init(&out->arena);
    buf_init(&out->collected, FETCH_BODY_MAX);
    buf_init(&f.request, REQUEST_HEAD_MAX);
    enum err e = put_head(&f);
    if (e != ERR_OK) {
        (void)refuse(out, e, "the request cannot be written: a header would be malformed");
    } else if (conf->url.tls) {
        e = tls_client_new(STR_NONE, STR_NONE, STR_NONE, &tls, &why);
        e = e == ERR_OK ? e : refuse(out, e, why);
    }
    if (e == ERR_OK) {
        e = run_on_a_loop(&f, tls);
    }
    SSL_CTX_free(tls);
    buf_fini(&f.request);
    return e;
}

struct str fetched_header(const struct fetched *f, const char *name)
{
    return http_find(f->head.header, f->head.header_count, name);
}

void fetched_fini(struct fetched *f)
{
    buf_fini(&f->collected);
    arena_fini(&f->arena);
    *f = (struct fetched){.status = 0};
}
