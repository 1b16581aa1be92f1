#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/http_conn_priv.h"

enum { BODY_AT_ONCE = 1 << 20, BODY_FIRST = 4096, BLANKS_MAX = 2 };

/* --- bytes that wait --- */

static void store(struct http_conn *c, struct str bytes)
{
    enum err e = buf_append(&c->in, bytes);
    CHECK(e == ERR_OK); /* reads are bounded so that they fit */
}

/* `fresh` behind what is stored: the input as one run. Nothing is copied when nothing is
 * stored. */
static struct str join_stored(struct http_conn *c, struct str fresh)
{
    if (buf_len(&c->in) == 0) {
        return fresh;
    }
    if (fresh.len > 0) {
        store(c, fresh);
    }
    return buf_str(&c->in);
}

/* `rest` is the unused tail of what join_stored gave. The scratch does not outlive this turn
 * and handlers read into it too, so the rest moves to the store; most often there is none. */
static void keep_rest(struct http_conn *c, struct str rest)
{
    size_t stored = buf_len(&c->in);
    if (stored > 0) {
        buf_consume(&c->in, stored - rest.len);
    } else if (rest.len > 0) {
        store(c, rest);
    }
    if (rest.len == 0) {
        buf_fini(&c->in);
    }
}

/* --- faults --- */

static const char *code_of(int status)
{
    switch (status) {
    case 408:
        return "request_timeout";
    case 413:
        return "request_too_large";
    case 417:
        return "expectation_failed";
    case 431:
        return "headers_too_large";
    case 501:
        return "not_implemented";
    case 503:
        return "too_many_connections";
    case 505:
        return "http_version_not_supported";
    default:
        return "bad_request";
    }
}

/* The path of a head that could not be parsed: good enough to choose the shape of an error. */
static struct str guess_path(struct str head)
{
    struct str line = str_cut(&head, '\r');
    str_cut(&line, ' ');
    struct str target = str_cut(&line, ' ');
    struct str path = str_cut(&target, '?');
    return path.len > 0 && path.ptr[0] == '/' ? path : STR("");
}

static void begin_unknown(struct http_conn *c, struct str seen)
{
    struct str path = guess_path(seen);
    c->active = http_conn_begin(c, path);
    struct http_request *r = &c->active->request;
    r->method = STR("");
    r->target = path.len > 0 ? str_of(c->active->head, path.len) : STR("");
    r->path = r->target;
    r->query = STR("");
    r->minor = 1;
    r->keep_alive = false;
    r->expect_continue = false;
    r->framing = HTTP_NO_BODY;
    r->content_length = 0;
    r->header_count = 0;
}

void http_input_fault(struct http_conn *c, const struct http_fault *fault, struct str seen)
{
    const struct http_handler *h = &c->server->handler;
    if (!c->active) {
        begin_unknown(c, seen);
    }
    c->out_state = OUT_OWED;
    c->in_state = IN_DRAIN;
    c->discarded = 0;
    c->is_closing = true;
    c->may_say_more = true;
    c->in_due_ms = TIMER_NEVER;
    http_conn_arm(c);
    buf_fini(&c->in);
    h->on_fault(h->owner, c, fault->status, code_of(fault->status), fault->why);
}

static void fault_now(struct http_conn *c, int status, const char *why)
{
    struct http_fault fault = {status, why};
    http_input_fault(c, &fault, buf_str(&c->in));
}

/* --- bodies --- */

static uint64_t body_limit(const struct http_conn *c)
{
    return c->server->limits.body_bytes;
}

/* The whole request is there; the handler may answer before this returns. */
static void hand_over(struct http_conn *c)
{
    const struct http_handler *h = &c->server->handler;
    c->in_state = IN_STORE;
    c->in_due_ms = TIMER_NEVER;
    http_conn_arm(c);
    h->on_request(h->owner, c);
}

/* Room at the end of a body of known length: all of it at once if it is small, else as it
 * comes; at last one byte more than it has. */
static size_t make_room(struct http_conn *c)
{
    const struct http_active *a = c->active;
    if (a->body_len == a->body_cap) {
        size_t size = a->body_cap > 0 ? a->body_cap * 2 : BODY_AT_ONCE;
        http_room_grow(c, size, (size_t)a->request.content_length + 1);
    }
    return a->body_cap - a->body_len;
}

/* Room for `size` more bytes of a chunked body; false when it passes the limit. */
static bool grow_body(struct http_conn *c, size_t size)
{
    const struct http_active *a = c->active;
    if (size > body_limit(c) || a->body_len > body_limit(c) - size) {
        return false;
    }
    size_t cap = a->body_cap > 0 ? a->body_cap : BODY_FIRST;
    while (cap < a->body_len + size) {
        cap *= 2;
    }
    if (cap != a->body_cap) {
        http_room_grow(c, cap, SIZE_MAX);
    }
    return true;
}

static void append_body(struct http_active *a, struct str piece)
{
    memcpy(a->body + a->body_len, piece.ptr, piece.len);
    a->body_len += piece.len;
}

/* Takes what came together with the head; returns what is left of it. */
static struct str take_early_body(struct http_conn *c, struct str bytes)
{
    struct http_active *a = c->active;
    size_t length = (size_t)a->request.content_length;
    while (bytes.len > 0 && a->body_len < length) {
        size_t room = make_room(c);
        room = room < length - a->body_len ? room : length - a->body_len;
        struct str piece = str_of(bytes.ptr, bytes.len < room ? bytes.len : room);
        append_body(a, piece);
        bytes = str_from_at(bytes, piece.len);
    }
    return bytes;
}

/* Straight into the body. A read that does not fill its room has emptied the socket, so there
 * is room for one byte behind the body: without, each request would cost a further read that
 * finds nothing. If that byte comes it is the next request's. */
static void read_body(struct http_conn *c)
{
    struct http_active *a = c->active;
    size_t length = (size_t)a->request.content_length;
    size_t room = make_room(c);
    size_t got = 0;
    enum err e = conn_read(c->conn, a->body + a->body_len, room, &got);
    if (e == ERR_OK) {
        a->body_len += got;
        if (a->body_len > length) {
            a->body_len = length;
            store(c, str_of(a->body + length, 1));
        }
        if (a->body_len == length) {
            hand_over(c);
        }
    } else if (e != ERR_AGAIN) {
        http_conn_lose(c);
    }
}

static void take_chunks(struct http_conn *c, struct str fresh)
{
    struct str bytes = join_stored(c, fresh);
    struct str piece = STR_NONE;
    enum err e = http_body_next(&c->decoder, &bytes, &piece);
    while (e == ERR_OK) {
        if (!grow_body(c, piece.len)) {
            fault_now(c, 413, "request body is too large");
            return;
        }
        append_body(c->active, piece);
        e = http_body_next(&c->decoder, &bytes, &piece);
    }
    if (e == ERR_AGAIN || e == ERR_EOF) {
        keep_rest(c, bytes);
        if (e == ERR_EOF) {
            hand_over(c);
        }
        return;
    }
    fault_now(c, 400,
              e == ERR_TOO_LARGE ? "chunk extensions or trailers are too large"
                                 : "malformed chunked coding");
}

/* --- bodies that nobody wants --- */

static void give_up_body(struct http_conn *c)
{
    c->in_state = IN_DRAIN;
    c->in_due_ms = TIMER_NEVER;
    c->is_closing = true;
    c->may_say_more = true;
    buf_fini(&c->in);
    if (c->out_state == OUT_ENDED) {
        c->out_state = OUT_LAST;
        http_conn_settle(c);
    }
}

void http_input_discard(struct http_conn *c)
{
    struct http_active *a = c->active;
    uint64_t left = a->request.content_length - a->body_len;
    bool is_known = a->request.framing == HTTP_LENGTH;
    c->discarded = 0;
    /* Who still waits for 100 Continue may send the body now, or not at all: nobody can tell.
     */
    if (c->wants_100 || (is_known && left > DISCARD_MAX)) {
        give_up_body(c);
        return;
    }
    c->in_state = IN_DISCARD;
    c->in_due_ms = loop_now_ms(c->server->loop) + DISCARD_MS;
    http_conn_arm(c);
    if (is_known) {
        http_body_init(&c->decoder, HTTP_LENGTH, left);
    }
    if (buf_len(&c->in) > 0) {
        c->events |= EV_STORED;
        task_ready(c->server->loop, &c->task);
    }
}

static void discard(struct http_conn *c, struct str fresh)
{
    struct str bytes = join_stored(c, fresh);
    struct str piece = STR_NONE;
    enum err e = ERR_OK;
    c->discarded += bytes.len;
    while (e == ERR_OK) {
        e = http_body_next(&c->decoder, &bytes, &piece);
    }
    if (e == ERR_EOF) {
        keep_rest(c, bytes);
        c->in_state = IN_STORE;
        c->in_due_ms = TIMER_NEVER;
        http_conn_arm(c);
        http_conn_settle(c);
    } else if (e != ERR_AGAIN || c->discarded > DISCARD_MAX) {
        give_up_body(c);
    } else {
        keep_rest(c, bytes);
    }
}

static void drain(struct http_conn *c, size_t size)
{
    c->discarded += size;
    if (c->discarded <= DISCARD_MAX) {
        return;
    }
    if (c->out_state == OUT_SHUT) {
        http_conn_close(c, true);
    } else {
        http_conn_pause(c);
    }
}

/* --- heads --- */

static struct str skip_blank_lines(struct http_conn *c, struct str bytes)
{
    while (c->blanks < BLANKS_MAX && str_starts(bytes, STR("\r\n"))) {
        bytes = str_from_at(bytes, 2);
        c->blanks++;
        c->scanned = 0;
    }
    return bytes;
}

static void ask_for_body(struct http_conn *c)
{
    c->in_due_ms = loop_now_ms(c->server->loop) + c->server->limits.body_ms;
    http_conn_arm(c);
    if (buf_len(&c->in) > 0) {
        c->wants_100 = false;
        take_chunks(c, STR(""));
    } else if (c->wants_100) {
        c->wants_100 = false;
        http_output_send(c, &STR("HTTP/1.1 100 Continue\r\n\r\n"), 1);
    }
}

static void tell_handler(struct http_conn *c)
{
    const struct http_handler *h = &c->server->handler;
    h->on_head(h->owner, c);
    if (c->out_state != OUT_OWED || c->is_gone) {
        return;
    }
    if (c->in_state == IN_BODY) {
        ask_for_body(c);
    } else {
        hand_over(c);
    }
}

static void begin_body(struct http_conn *c, struct str rest)
{
    struct http_active *a = c->active;
    const struct http_request *r = &a->request;
    c->in_state = IN_BODY;
    c->wants_100 = r->expect_continue;
    http_body_init(&c->decoder, r->framing, r->content_length);
    if (r->framing == HTTP_LENGTH && rest.len > 0) {
        rest = take_early_body(c, rest);
        c->wants_100 = false;
    }
    if (r->framing != HTTP_CHUNKED && a->body_len == r->content_length) {
        c->in_state = IN_STORE;
    }
    keep_rest(c, rest);
}

static void begin_request(struct http_conn *c, struct str head, struct str rest)
{
    struct http_fault fault = {400, "malformed request"};
    struct http_active *a = http_conn_begin(c, head);
    c->active = a;
    struct http_request *r = &a->request;
    if (http_request_parse(str_of(a->head, head.len), r, &fault) != ERR_OK) {
        http_conn_release(c);
        http_input_fault(c, &fault, head);
        return;
    }
    c->is_closing = !r->keep_alive;
    c->may_say_more = r->keep_alive;
    if (r->framing == HTTP_LENGTH && r->content_length > body_limit(c)) {
        fault_now(c, 413, "request body is too large");
        return;
    }
    c->out_state = OUT_OWED;
    c->in_due_ms = TIMER_NEVER;
    http_conn_arm(c);
    begin_body(c, rest);
    tell_handler(c);
}

static void await_head(struct http_conn *c, struct str part, bool is_new)
{
    keep_rest(c, part);
    if (is_new && part.len > 0) {
        c->in_due_ms = loop_now_ms(c->server->loop) + c->server->limits.header_ms;
        http_conn_arm(c);
    }
}

static void take_head(struct http_conn *c, struct str fresh)
{
    static const struct http_fault too_large = {431, "request head is too large"};
    size_t max = c->server->limits.header_bytes;
    bool is_new = fresh.len == 0 || buf_len(&c->in) == 0;
    struct str bytes = skip_blank_lines(c, join_stored(c, fresh));
    size_t len = http_head_find(bytes, &c->scanned);
    if (len > max || (len == 0 && bytes.len >= max)) {
        http_input_fault(c, &too_large, bytes);
    } else if (len == 0) {
        await_head(c, bytes, is_new);
    } else {
        c->scanned = 0;
        c->blanks = 0;
        begin_request(c, str_of(bytes.ptr, len), str_from_at(bytes, len));
    }
}

/* --- in --- */

static void take(struct http_conn *c, struct str fresh)
{
    switch (c->in_state) {
    case IN_HEAD:
        take_head(c, fresh);
        return;
    case IN_BODY:
        take_chunks(c, fresh);
        return;
    case IN_DISCARD:
        discard(c, fresh);
        return;
    case IN_STORE:
        store(c, fresh);
        return;
    case IN_DRAIN:
        drain(c, fresh.len);
        return;
    }
}

void http_input_stored(struct http_conn *c)
{
    if (buf_len(&c->in) > 0 && (c->in_state == IN_HEAD || c->in_state == IN_DISCARD)) {
        take(c, STR(""));
    }
}

/* The client has ended its side, or the connection is broken. */
static void end_input(struct http_conn *c, enum err e)
{
    bool has_to_send = c->out_state == OUT_ENDED || c->out_state == OUT_LAST;
    if (has_to_send && e == ERR_EOF) {
        /* It may still read the rest of its answer. */
        http_conn_pause(c);
        c->is_ended = true;
        c->out_state = OUT_LAST;
        http_conn_settle(c);
    } else if (c->out_state == OUT_OWED || c->out_state == OUT_BEGUN) {
        http_conn_lose(c);
    } else {
        http_conn_close(c, false);
    }
}

/* How much may be read now; 0: too much waits already. */
static size_t read_size(const struct http_conn *c)
{
    size_t stored = buf_len(&c->in);
    if (c->in_state != IN_STORE) {
        return LOOP_SCRATCH;
    }
    return stored < PIPELINE_MAX ? PIPELINE_MAX - stored : 0;
}

void http_input_read(struct http_conn *c)
{
    if (c->is_paused) {
        return;
    }
    if (c->events & EV_STORED) { /* older bytes first */
        c->events |= CONN_READABLE;
        return;
    }
    if (c->in_state == IN_BODY && c->active->request.framing == HTTP_LENGTH) {
        read_body(c);
        return;
    }
    size_t size = read_size(c);
    if (size == 0) {
        http_conn_pause(c);
        return;
    }
    char *scratch = loop_scratch(c->server->loop);
    size_t got = 0;
    enum err e = conn_read(c->conn, scratch, size, &got);
    if (e == ERR_OK) {
        take(c, str_of(scratch, got));
    } else if (e != ERR_AGAIN) {
        end_input(c, e);
    }
}

void http_input_due(struct http_conn *c)
{
    switch (c->in_state) {
    case IN_HEAD:
        if (buf_len(&c->in) == 0) {
            http_conn_close(c, false);
        } else {
            fault_now(c, 408, "request head took too long");
        }
        return;
    case IN_BODY:
        fault_now(c, 408, "request body took too long");
        return;
    case IN_DISCARD:
        give_up_body(c);
        return;
    case IN_STORE:
        return;
    case IN_DRAIN:
        /* Without a reset: what the client has not read yet of its answer still reaches it. */
        http_conn_close(c, false);
        return;
    }
}
