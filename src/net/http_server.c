#include "net/http_server.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/http_conn_priv.h"

enum { SPARE_MAX = 32 };

static void on_conn_event(void *owner, unsigned events)
{
    struct http_conn *c = owner;
    c->events |= events;
    task_ready(c->server->loop, &c->task);
}

static void on_due(struct timer *t)
{
    on_conn_event(container_of(t, struct http_conn, timer), EV_DUE);
}

void http_conn_arm(struct http_conn *c)
{
    uint64_t due = c->in_due_ms < c->out_due_ms ? c->in_due_ms : c->out_due_ms;
    timer_arm(c->server->loop, &c->timer, due);
}

void http_conn_pause(struct http_conn *c)
{
    if (!c->is_paused && c->conn) {
        conn_read_pause(c->conn);
    }
    c->is_paused = true;
}

void http_conn_resume(struct http_conn *c)
{
    if (c->is_paused && c->conn && !c->is_ended) {
        conn_read_resume(c->conn);
        c->is_paused = false;
    }
}

/* --- requests --- */

struct http_active *http_conn_begin(struct http_conn *c, struct str head)
{
    struct http_server *s = c->server;
    struct http_active *a = s->spare;
    if (a) {
        s->spare = a->next;
        s->spare_count--;
    } else {
        a = mem_resize(NULL, sizeof(*a));
    }
    a->next = NULL;
    a->head = NULL;
    if (head.len > 0) {
        a->head = mem_resize(NULL, head.len);
        memcpy(a->head, head.ptr, head.len);
    }
    a->body = NULL;
    a->body_len = 0;
    a->body_cap = 0;
    a->block.ptr = NULL;
    return a;
}

static void free_active(struct http_server *s, struct http_active *a)
{
    free(a->head);
    http_room_free(s, a);
    if (s->spare_count >= SPARE_MAX) {
        free(a);
        return;
    }
    a->next = s->spare;
    s->spare = a;
    s->spare_count++;
}

void http_conn_release(struct http_conn *c)
{
    c->wake = NULL;
    c->user = NULL;
    if (c->active) {
        free_active(c->server, c->active);
        c->active = NULL;
    }
}

/* --- the end of a connection --- */

static void count_down(struct http_server *s)
{
    atomic_fetch_sub_explicit(s->count, 1, memory_order_relaxed);
    if (s->conns.count == 0 && s->on_empty) {
        task_ready(s->loop, &s->empty_task);
    }
}

static void say_empty(struct task *t)
{
    struct http_server *s = container_of(t, struct http_server, empty_task);
    void (*on_empty)(void *arg) = s->on_empty;
    if (s->conns.count == 0 && on_empty) {
        s->on_empty = NULL;
        on_empty(s->empty_arg);
    }
}

void http_conn_close(struct http_conn *c, bool reset)
{
    if (c->out_state == OUT_CLOSED) {
        return;
    }
    struct http_server *s = c->server;
    c->out_state = OUT_CLOSED;
    if (c->conn && reset) {
        conn_abort(&c->conn);
    } else if (c->conn) {
        conn_close(&c->conn);
    }
    task_cancel(s->loop, &c->task);
    timer_drop(s->loop, &c->timer);
    http_conn_release(c);
    buf_fini(&c->in);
    buf_fini(&c->out);
    list_remove(&s->conns, &c->node);
    loop_free_later(s->loop, c);
    count_down(s);
}

static bool is_answering(const struct http_conn *c)
{
    bool is_owed = c->out_state == OUT_OWED || c->out_state == OUT_BEGUN;
    return is_owed && (c->in_state != IN_BODY || c->wake);
}

void http_conn_lose(struct http_conn *c)
{
    if (!is_answering(c)) {
        http_conn_close(c, true);
        return;
    }
    if (c->is_gone) {
        return;
    }
    c->is_gone = true;
    c->in_due_ms = TIMER_NEVER;
    c->out_due_ms = TIMER_NEVER;
    http_conn_arm(c);
    http_conn_pause(c);
    buf_fini(&c->in);
    buf_fini(&c->out);
    if (c->wake) {
        c->wake(c->user, HTTP_GONE);
    }
}

/* An answer that the client has not read yet would be lost in the reset that follows when a
 * socket with unread bytes is closed, or when bytes come later. So sending ends first; then we
 * wait. */
static void end_connection(struct http_conn *c)
{
    bool may_be_unread = c->in_state != IN_STORE || buf_len(&c->in) > 0 || c->may_say_more;
    if (c->is_ended || !may_be_unread) {
        http_conn_close(c, false);
        return;
    }
    c->out_state = OUT_SHUT;
    c->in_state = IN_DRAIN;
    c->discarded = 0;
    c->in_due_ms = loop_now_ms(c->server->loop) + LINGER_MS;
    c->out_due_ms = TIMER_NEVER;
    buf_fini(&c->in);
    conn_shutdown_write(c->conn);
    http_conn_resume(c);
    http_conn_arm(c);
}

static void next_request(struct http_conn *c)
{
    if (c->is_ended) {
        http_conn_close(c, false);
        return;
    }
    c->out_state = OUT_IDLE;
    c->in_state = IN_HEAD;
    c->in_due_ms = loop_now_ms(c->server->loop) + c->server->limits.idle_ms;
    http_conn_arm(c);
    http_conn_resume(c);
    if (buf_len(&c->in) > 0) {
        on_conn_event(c, EV_STORED);
    }
}

void http_conn_settle(struct http_conn *c)
{
    if (buf_len(&c->out) > 0) {
        return;
    }
    if (c->out_state == OUT_LAST) {
        end_connection(c);
    } else if (c->out_state == OUT_ENDED && c->in_state == IN_STORE) {
        next_request(c);
    }
}

/* --- work --- */

static void check_dues(struct http_conn *c)
{
    uint64_t now = loop_now_ms(c->server->loop);
    if (now >= c->out_due_ms) {
        http_conn_lose(c);
        return;
    }
    if (now >= c->in_due_ms) {
        c->in_due_ms = TIMER_NEVER;
        http_input_due(c);
    }
    if (c->out_state != OUT_CLOSED) {
        http_conn_arm(c);
    }
}

static bool is_idle(const struct http_conn *c)
{
    return c->out_state == OUT_IDLE && buf_len(&c->in) == 0;
}

static bool is_alive(const struct http_conn *c)
{
    return c->out_state != OUT_CLOSED && !c->is_gone;
}

static void work(struct task *t)
{
    static const struct http_fault crowded = {503, "too many connections"};
    struct http_conn *c = container_of(t, struct http_conn, task);
    unsigned events = c->events;
    c->events = 0;
    if (is_alive(c) && (events & EV_REFUSE)) {
        http_input_fault(c, &crowded, STR(""));
    }
    if (is_alive(c) && (events & CONN_WRITABLE)) {
        http_output_go_on(c);
    }
    if (is_alive(c) && (events & EV_STORED)) {
        http_input_stored(c);
    }
    if (is_alive(c) && (events & CONN_READABLE)) {
        http_input_read(c);
    }
    if (is_alive(c) && (events & EV_DUE)) {
        check_dues(c);
    }
    if (c->server->is_draining && is_idle(c)) {
        http_conn_close(c, false);
    }
}

/* --- the server --- */

struct http_server *http_server_new(struct loop *l, const struct http_limits *limits,
                                    const struct http_handler *handler, SSL_CTX *tls,
                                    _Atomic uint32_t *connection_count)
{
    struct http_server *s = mem_alloc(sizeof(*s));
    s->loop = l;
    s->limits = *limits;
    s->handler = *handler;
    s->tls = tls;
    s->count = connection_count;
    list_init(&s->conns);
    task_init(&s->empty_task, say_empty);
    http_room_init(s);
    return s;
}

void http_server_free(struct http_server **server)
{
    struct http_server *s = *server;
    *server = NULL;
    if (!s) {
        return;
    }
    CHECK(s->conns.count == 0);
    while (s->spare) {
        struct http_active *a = s->spare;
        s->spare = a->next;
        free(a);
    }
    http_room_fini(s);
    task_cancel(s->loop, &s->empty_task);
    loop_free_later(s->loop, s);
}

void http_server_accept(struct http_server *s, int fd)
{
    uint64_t limit = s->limits.connections;
    uint64_t before = atomic_fetch_add_explicit(s->count, 1, memory_order_relaxed);
    if (before >= limit + limit / 8 + 16) {
        atomic_fetch_sub_explicit(s->count, 1, memory_order_relaxed);
        close(fd);
        return;
    }
    struct http_conn *c = mem_alloc(sizeof(*c));
    c->server = s;
    c->in_due_ms = loop_now_ms(s->loop) + s->limits.idle_ms;
    c->out_due_ms = TIMER_NEVER;
    c->may_say_more = true;
    buf_init(&c->in, s->limits.header_bytes + LOOP_SCRATCH + PIPELINE_MAX);
    buf_init(&c->out, HTTP_QUEUE_MAX);
    task_init(&c->task, work);
    timer_init(&c->timer, on_due);
    list_push_back(&s->conns, &c->node);
    c->conn = conn_accepted(s->loop, fd, s->tls, on_conn_event, c);
    http_conn_arm(c);
    if (before >= limit) {
        on_conn_event(c, EV_REFUSE);
    }
}

void http_server_drain(struct http_server *s, void (*on_empty)(void *arg), void *arg)
{
    s->is_draining = true;
    s->on_empty = on_empty;
    s->empty_arg = arg;
    if (s->conns.count == 0) {
        say_empty(&s->empty_task);
        return;
    }
    /* A request that has just arrived at an idle connection is read before that would be
     * closed. */
    list_each(&s->conns, node, after)
    {
        on_conn_event(container_of(node, struct http_conn, node), CONN_READABLE);
    }
}

void http_server_cut(struct http_server *s)
{
    list_each(&s->conns, node, after)
    {
        struct http_conn *c = container_of(node, struct http_conn, node);
        if (c->conn) {
            conn_abort(&c->conn);
        }
        http_conn_lose(c);
    }
}

size_t http_server_connections(const struct http_server *s)
{
    return s->conns.count;
}

/* --- the request --- */

const struct http_request *http_conn_request(const struct http_conn *c)
{
    CHECK(c->active != NULL);
    return &c->active->request;
}

struct str http_conn_body(const struct http_conn *c)
{
    CHECK(c->active != NULL);
    return c->active->body ? str_of(c->active->body, c->active->body_len) : STR("");
}

const char *http_conn_peer(const struct http_conn *c)
{
    return c->conn ? conn_peer(c->conn) : "";
}

void http_conn_attach(struct http_conn *c, void (*wake)(void *user, unsigned what), void *user)
{
    c->wake = wake;
    c->user = user;
    if (wake && c->is_gone) {
        wake(user, HTTP_GONE);
    }
}
