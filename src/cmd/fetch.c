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
    uint64_t due_ms;
    SSL_CTX *tls;     /* NULL: plain */
    enum err refused; /* it could not be begun; out->why says why */
    bool is_late;
    bool is_stopped;
    bool is_over;
    void (*on_end)(void *arg, enum err result);
    void *arg;
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
        e = buf_append(&f->request, c->extra);
    }
    if (e == ERR_OK) {
        e = buf_append(&f->request, STR("User-Agent: fallthrough/" FALLTHROUGH_VERSION "\r\n"
                                        "Connection: close\r\n\r\n"));
    }
    return e;
}

/* --- the response --- */

static void explain_end(const struct fetch *f, enum err result, bool was_connected)
{
    struct fetched *out = f->out;
    char limit[32];
    conf_put_duration(f->conf->timeout_ms, limit, sizeof(limit));
    if (result == ERR_OK) {
        out->why[0] = '\0';
    } else if (result == ERR_TIMEOUT) {
        const char *what = out->status != 0 ? "the answer was not complete"
                           : was_connected  ? "no answer"
                                            : "no connection";
        (void)snprintf(out->why, sizeof(out->why), "%s within %s", what, limit);
    } else if (result == ERR_SYNTAX) {
        (void)snprintf(out->why, sizeof(out->why), "what came is not HTTP");
    } else {
        (void)snprintf(out->why, sizeof(out->why), "%s", err_text(result));
    }
}

static void end(struct fetch *f, enum err result)
{
    f->is_over = true;
    if (f->refused == ERR_OK) {
        explain_end(f, result, http_call_is_connected(f->call));
        f->out->body = buf_str(&f->out->collected);
    }
    f->on_end(f->arg, result);
}

/* The head outlives the call. */
static void keep_head(struct fetched *out, const struct http_response *head)
{
    out->status = head->status;
    memcpy(&out->head, head, http_response_size(head));
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
    enum err e = f->is_stopped ? ERR_EOF : f->refused != ERR_OK ? f->refused : read_response(f);
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

/* --- life --- */

/* Opens the connection. False: on_task tells what is wrong already. */
static bool open_call(struct fetch *f)
{
    const struct fetch_conf *conf = f->conf;
    const char *why = "";
    enum err e = put_head(f);
    if (e != ERR_OK) {
        why = "the request cannot be written: a header would be malformed";
    } else if (conf->url.tls) {
        e = tls_client_new(STR_NONE, STR_NONE, STR_NONE, &f->tls, &why);
    }
    if (e != ERR_OK) {
        (void)snprintf(f->out->why, sizeof(f->out->why), "%s", why);
        f->refused = e;
        return false;
    }
    f->upstream = upstream_new(
        f->loop,
        &(struct upstream_conf){.host = conf->url.host, .port = conf->url.port, .tls = f->tls});
    rope_add(&f->body, conf->json);
    f->call = http_call_open(
        f->loop, &(struct http_call_conf){.upstream = f->upstream,
                                          .head = buf_str(&f->request),
                                          .body = conf->json.len > 0 ? &f->body : NULL,
                                          .connect_due_ms = f->due_ms,
                                          .head_max = HEAD_MAX,
                                          .notify = on_call,
                                          .owner = f});
    return true;
}

struct fetch *fetch_open(struct loop *l, const struct fetch_conf *conf, struct fetched *out,
                         void (*on_end)(void *arg, enum err result), void *arg)
{
    struct fetch *f = mem_alloc(sizeof(*f));
    f->conf = conf;
    f->out = out;
    f->loop = l;
    f->on_end = on_end;
    f->arg = arg;
    f->due_ms = clock_mono_ms() + conf->timeout_ms;
    *out = (struct fetched){.status = 0};
    arena_init(&out->arena);
    buf_init(&out->collected, FETCH_BODY_MAX);
    buf_init(&f->request, REQUEST_HEAD_MAX);
    rope_init(&f->body);
    task_init(&f->task, on_task);
    timer_init(&f->deadline, on_deadline);
    if (open_call(f)) {
        timer_arm(l, &f->deadline, f->due_ms);
    } else {
        task_ready(l, &f->task);
    }
    return f;
}

void fetch_close(struct fetch **f)
{
    struct fetch *gone = *f;
    *f = NULL;
    if (!gone) {
        return;
    }
    if (gone->call) {
        http_call_close(&gone->call);
    }
    if (gone->upstream) {
        upstream_free(&gone->upstream);
    }
    timer_drop(gone->loop, &gone->deadline);
    task_cancel(gone->loop, &gone->task);
    SSL_CTX_free(gone->tls);
    buf_fini(&gone->request);
    loop_free_later(gone->loop, gone);
}

/* --- waited for --- */

/* A fetch with a loop of its own. */
struct waited {
    struct loop *loop;
    struct fetch *fetch;
    uv_poll_t stop;
    struct timer tick;
    enum err result;
};

static void on_waited(void *arg, enum err result)
{
    struct waited *w = arg;
    w->result = result;
    loop_stop(w->loop);
}

static void on_stop(uv_poll_t *handle, int status, int events)
{
    struct waited *w = handle->data;
    (void)status;
    (void)events;
    w->fetch->is_stopped = true;
    task_ready(w->loop, &w->fetch->task);
}

static void watch_stop(struct waited *w, int fd)
{
    if (fd <= 0 || uv_poll_init(loop_uv(w->loop), &w->stop, fd) != 0) {
        return;
    }
    w->stop.data = w;
    (void)uv_poll_start(&w->stop, UV_READABLE, on_stop);
}

static void on_tick(struct timer *t)
{
    struct waited *w = container_of(t, struct waited, tick);
    const struct fetch_conf *conf = w->fetch->conf;
    conf->on_tick(conf->tick_arg);
    timer_arm(w->loop, &w->tick, loop_now_ms(w->loop) + FETCH_TICK_MS);
}

enum err fetch(const struct fetch_conf *conf, struct fetched *out)
{
    struct waited w = {.loop = loop_new()};
    w.fetch = fetch_open(w.loop, conf, out, on_waited, &w);
    watch_stop(&w, conf->stop_fd);
    timer_init(&w.tick, on_tick);
    if (conf->on_tick) {
        timer_arm(w.loop, &w.tick, loop_now_ms(w.loop) + FETCH_TICK_MS);
    }
    loop_run(w.loop);
    timer_drop(w.loop, &w.tick);
    fetch_close(&w.fetch);
    loop_free(&w.loop);
    return w.result;
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
