#include "net/http_call.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "net/conn.h"
#include "wire/http_body.h"

enum { INTERIM_MAX = 10 };

/* What every read of the body needs comes first: with many streams, each line of the cache that
 * it touches costs a wait for memory. */
struct http_call {
    struct loop *loop; /* borrowed */
    struct conn *conn; /* owned */
    void (*notify)(void *owner);
    void *owner; /* borrowed */
    size_t sent; /* bytes of head and body that the kernel has taken */
    size_t send_size;
    bool is_blocked;  /* CONN_WRITABLE will come */
    bool is_readable; /* something may be read */
    bool is_paused;
    bool has_stored; /* bytes of the body came with the head and wait in `in` */
    bool has_given;  /* a slice of `in`: freed at the next call */
    bool has_extra;  /* bytes behind the response */
    bool is_reused;
    bool has_answered;              /* at least one byte */
    enum err send_error;            /* ERR_OK, or why no more can be sent */
    enum err body_end;              /* ERR_AGAIN: not known yet */
    struct http_response *response; /* owned; NULL until the head is there */
    struct http_body body;

    struct http_call_conf conf;
    struct dial *dial; /* while dialing */
    uint64_t born_ms;  /* of the connection */
    struct buf in;     /* a part of the head; then what came behind it */
    size_t scanned;    /* of `in`, by http_head_find */
    unsigned interims; /* 1xx so far */
    enum err failure;  /* before the head; ERR_OK: none */
    char *head;        /* owned; what the slices of the response point into */
};

static void on_conn_event(void *owner, unsigned events)
{
    struct http_call *c = owner;
    c->is_readable = c->is_readable || (events & CONN_READABLE) != 0;
    c->is_blocked = c->is_blocked && (events & CONN_WRITABLE) == 0;
    c->notify(c->owner);
}

/* --- dialing --- */

static void on_dialed(void *owner, enum err e, struct conn *conn)
{
    struct http_call *c = owner;
    c->dial = NULL;
    c->failure = e;
    if (e == ERR_OK) {
        c->conn = conn;
        c->born_ms = loop_now_ms(c->loop);
        conn_set_owner(conn, on_conn_event, c);
        if (c->is_paused) {
            conn_read_pause(conn);
        }
    }
    c->notify(c->owner);
}

static void dial(struct http_call *c)
{
    c->dial = dial_start(c->conf.upstream, c->conf.connect_due_ms, on_dialed, c);
}

/* A server may close an idle connection while our request is on its way: nobody's fault. */
static bool may_redial(const struct http_call *c)
{
    return c->is_reused && !c->has_answered && loop_now_ms(c->loop) < c->conf.connect_due_ms;
}

static void redial(struct http_call *c)
{
    conn_close(&c->conn);
    c->is_reused = false;
    c->is_readable = false;
    c->is_blocked = false;
    c->sent = 0;
    c->send_error = ERR_OK;
    dial(c);
}

/* --- sending --- */

/* The pieces of the request from byte `skip` on. */
static size_t gather(const struct http_call *c, size_t skip, struct str *out)
{
    const struct rope *body = c->conf.body;
    size_t n = 0;
    if (skip < c->conf.head.len) {
        out[n++] = str_from_at(c->conf.head, skip);
    }
    skip -= skip < c->conf.head.len ? skip : c->conf.head.len;
    for (size_t i = 0; body && i < body->count; i++) {
        if (skip < body->piece[i].len) {
            out[n++] = str_from_at(body->piece[i], skip);
        }
        skip -= skip < body->piece[i].len ? skip : body->piece[i].len;
    }
    return n;
}

/* An error is only noted: the server may have answered before it stopped listening. */
static void go_on_sending(struct http_call *c)
{
    struct str parts[ROPE_MAX + 1];
    size_t put = 0;
    if (c->sent == c->send_size || c->is_blocked || c->send_error != ERR_OK) {
        return;
    }
    size_t count = gather(c, c->sent, parts);
    enum err e = conn_write(c->conn, parts, count, &put);
    c->sent += put;
    if (e == ERR_AGAIN) {
        c->is_blocked = true;
    } else if (e != ERR_OK) {
        c->send_error = e;
        c->is_readable = true;
    }
}

/* --- reading --- */

/* One read into the scratch; ERR_AGAIN when nothing may be there. A read that fills it leaves
 * more. */
static enum err read_some(struct http_call *c, char **at, size_t *got)
{
    if (!c->is_readable || c->is_paused) {
        return ERR_AGAIN;
    }
    *at = loop_scratch(c->loop);
    enum err e = conn_read(c->conn, *at, LOOP_SCRATCH, got);
    c->is_readable = e == ERR_OK && *got == LOOP_SCRATCH;
    if (e == ERR_AGAIN && c->send_error != ERR_OK) {
        return c->send_error;
    }
    return e;
}

/* --- the head --- */

static bool is_to_head(const struct http_call *c)
{
    return str_starts(c->conf.head, STR("HEAD "));
}

static void start_body(struct http_call *c)
{
    const struct http_response *r = c->response;
    http_body_init(&c->body, r->framing, r->content_length);
    c->body_end = ERR_AGAIN;
    c->has_stored = buf_len(&c->in) > 0;
    if (r->framing != HTTP_UNTIL_EOF && http_body_may_end(&c->body)) {
        c->body_end = ERR_EOF;
        c->has_extra = c->has_stored;
    }
}

/* A stream keeps its head as long as it runs: only the headers that there are. */
static void keep_response(struct http_call *c, const struct http_response *r)
{
    size_t size = http_response_size(r);
    c->response = memcpy(mem_resize(NULL, size), r, size);
}

/* A complete head, of an interim response or of the final one. */
static enum err take_head(struct http_call *c, struct str head)
{
    const char *why = NULL;
    struct http_response r;
    char *copy = mem_resize(NULL, head.len);
    memcpy(copy, head.ptr, head.len);
    enum err e = http_response_parse(str_of(copy, head.len), is_to_head(c), &r, &why);
    if (e == ERR_OK && r.status < 200) {
        c->interims++;
        e = r.status == 101 || c->interims > INTERIM_MAX ? ERR_SYNTAX : ERR_AGAIN;
    }
    if (e == ERR_OK) {
        keep_response(c, &r);
        c->head = copy;
        return ERR_OK;
    }
    free(copy);
    return e == ERR_AGAIN ? ERR_OK : e;
}

/* `rest` is the unused tail of `in`, or of the scratch when nothing is stored. */
static enum err keep_rest(struct http_call *c, struct str rest)
{
    size_t stored = buf_len(&c->in);
    enum err e = ERR_OK;
    if (stored > 0) {
        buf_consume(&c->in, stored - rest.len);
    } else if (rest.len > 0) {
        e = buf_append(&c->in, rest);
    }
    if (rest.len == 0) {
        buf_fini(&c->in);
    }
    return e;
}

static enum err search_head(struct http_call *c, struct str fresh)
{
    struct str bytes = fresh;
    if (buf_len(&c->in) > 0) {
        enum err e = buf_append(&c->in, fresh);
        if (e != ERR_OK) {
            return e;
        }
        bytes = buf_str(&c->in);
    }
    while (!c->response) {
        size_t len = http_head_find(bytes, &c->scanned);
        if (len > c->conf.head_max || (len == 0 && bytes.len >= c->conf.head_max)) {
            return ERR_TOO_LARGE;
        }
        if (len == 0) {
            break;
        }
        c->scanned = 0;
        enum err e = take_head(c, str_of(bytes.ptr, len));
        if (e != ERR_OK) {
            return e;
        }
        bytes = str_from_at(bytes, len);
    }
    return keep_rest(c, bytes);
}

/* What the end of the connection means before the head is complete. */
static enum err judge_early_end(struct http_call *c, enum err e)
{
    if (may_redial(c)) {
        redial(c);
        return ERR_AGAIN;
    }
    if (e != ERR_EOF) {
        return e == ERR_IO ? ERR_RESET : e;
    }
    return c->has_answered ? ERR_TRUNCATED : ERR_CLOSED;
}

/* One step towards the head; ERR_OK: go on. */
static enum err advance(struct http_call *c)
{
    char *at = NULL;
    size_t got = 0;
    if (c->dial) {
        return ERR_AGAIN;
    }
    go_on_sending(c);
    enum err e =
        c->send_error != ERR_OK && may_redial(c) ? c->send_error : read_some(c, &at, &got);
    if (e == ERR_AGAIN) {
        return ERR_AGAIN;
    }
    if (e != ERR_OK) {
        return judge_early_end(c, e);
    }
    c->has_answered = true;
    return search_head(c, str_of(at, got));
}

enum err http_call_head(struct http_call *c, const struct http_response **head)
{
    while (!c->response && c->failure == ERR_OK) {
        enum err e = advance(c);
        if (e == ERR_AGAIN) {
            return ERR_AGAIN;
        }
        c->failure = e;
        if (c->response) {
            start_body(c);
        }
    }
    if (c->failure == ERR_OK) {
        *head = c->response;
    }
    return c->failure;
}

/* --- the body --- */

/*
 * Moves the payload of one read together, in place, so that nothing of it has to wait in memory
 * that the next read overwrites. A read with one chunk in it, the common case, moves nothing.
 */
static struct str decode(struct http_call *c, char *at, size_t len)
{
    struct str in = str_of(at, len);
    struct str piece = STR_NONE;
    char *front = NULL;
    size_t size = 0;
    enum err e = http_body_next(&c->body, &in, &piece);
    while (e == ERR_OK) {
        if (!front) {
            front = at + (piece.ptr - at);
        } else {
            memmove(front + size, piece.ptr, piece.len);
        }
        size += piece.len;
        bool is_used_up = in.len == 0 && !http_body_may_end(&c->body);
        e = is_used_up ? ERR_AGAIN : http_body_next(&c->body, &in, &piece);
    }
    c->body_end = e == ERR_TOO_LARGE ? ERR_SYNTAX : e;
    c->has_extra = e == ERR_EOF && in.len > 0;
    return str_of(front, size);
}

static enum err judge_end(const struct http_call *c, enum err e)
{
    if (e != ERR_EOF) {
        return e == ERR_TLS || e == ERR_IO ? ERR_RESET : e;
    }
    return c->body.framing == HTTP_UNTIL_EOF ? ERR_EOF : ERR_TRUNCATED;
}

/* Bytes to decode: what came behind the head, then what can be read. */
static enum err fetch(struct http_call *c, char **at, size_t *got)
{
    if (c->has_given) {
        buf_fini(&c->in);
        c->has_given = false;
    }
    if (c->has_stored) {
        *at = c->in.data + c->in.start;
        *got = buf_len(&c->in);
        c->has_stored = false;
        c->has_given = true;
        return ERR_OK;
    }
    return read_some(c, at, got);
}

enum err http_call_body(struct http_call *c, struct str *piece)
{
    CHECK(c->response != NULL);
    go_on_sending(c);
    while (c->body_end == ERR_AGAIN) {
        char *at = NULL;
        size_t got = 0;
        enum err e = fetch(c, &at, &got);
        if (e == ERR_AGAIN) {
            return ERR_AGAIN;
        }
        if (e != ERR_OK) {
            c->body_end = judge_end(c, e);
            break;
        }
        struct str payload = decode(c, at, got);
        if (payload.len > 0) {
            *piece = payload;
            return ERR_OK;
        }
    }
    return c->body_end;
}

/* --- the call --- */

struct http_call *http_call_open(struct loop *l, const struct http_call_conf *conf)
{
    struct http_call *c = mem_alloc(sizeof(*c));
    c->loop = l;
    c->conf = *conf;
    c->notify = conf->notify;
    c->owner = conf->owner;
    c->send_size = conf->head.len + (conf->body ? conf->body->len : 0);
    buf_init(&c->in, conf->head_max + LOOP_SCRATCH);
    c->conn = upstream_take(conf->upstream, on_conn_event, c, &c->born_ms);
    c->is_reused = c->conn != NULL;
    if (!c->is_reused) {
        dial(c);
        return c;
    }
    go_on_sending(c);
    if (c->send_error != ERR_OK && may_redial(c)) {
        redial(c);
    }
    return c;
}

void http_call_pause(struct http_call *c)
{
    if (!c->is_paused && c->conn) {
        conn_read_pause(c->conn);
    }
    c->is_paused = true;
}

void http_call_resume(struct http_call *c)
{
    if (!c->is_paused) {
        return;
    }
    c->is_paused = false;
    if (c->conn) {
        conn_read_resume(c->conn);
    }
    bool has_news = c->response && (c->has_stored || c->body_end != ERR_AGAIN);
    if (c->is_readable || has_news) {
        c->notify(c->owner);
    }
}

bool http_call_is_connected(const struct http_call *c)
{
    return c->conn != NULL;
}

bool http_call_is_sent(const struct http_call *c)
{
    return c->conn && c->sent == c->send_size;
}

/* Anything that is not perfectly in order ends the connection: a stray byte would become the
 * head of somebody else's response. */
static bool is_reusable(const struct http_call *c)
{
    return c->response && c->response->keep_alive && c->body_end == ERR_EOF &&
           c->body.framing != HTTP_UNTIL_EOF && !c->has_extra && !c->is_readable &&
           http_call_is_sent(c);
}

void http_call_close(struct http_call **call)
{
    struct http_call *c = *call;
    *call = NULL;
    if (!c) {
        return;
    }
    dial_cancel(&c->dial);
    if (is_reusable(c)) {
        upstream_give(c->conf.upstream, &c->conn, c->born_ms);
    } else {
        conn_close(&c->conn);
    }
    buf_fini(&c->in);
    free(c->head);
    free(c->response);
    loop_free_later(c->loop, c);
}
