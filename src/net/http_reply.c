#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/http_conn_priv.h"

enum {
    PARTS_MAX = 60,    /* of one write; more go out as several chunks */
    FRAMING_PARTS = 3, /* what is queued, chunk head, chunk end */
    HEAD_ROOM = 320,   /* all that put_head writes itself */
    NUMBER_DIGITS = 20,
    LENGTH_OF_DATE = 29
};

/* --- the head --- */

/* "Sun, 06 Nov 1994 08:49:37 GMT", made once a second; the C library would use the locale. */
static struct str date_now(struct http_server *s)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint64_t now_s = clock_wall_ms() / 1000;
    if (now_s != s->date_s) {
        struct tm t = {.tm_sec = 0};
        time_t when = (time_t)now_s;
        gmtime_r(&when, &t);
        snprintf(s->date, sizeof(s->date), "%s, %02u %s %04u %02u:%02u:%02u GMT",
                 days[t.tm_wday], (unsigned)t.tm_mday % 100, months[t.tm_mon],
                 (unsigned)(t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100,
                 (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
        s->date_s = now_s;
    }
    return str_of(s->date, LENGTH_OF_DATE);
}

static char *put(char *at, struct str s)
{
    if (s.len > 0) {
        memcpy(at, s.ptr, s.len);
    }
    return at + s.len;
}

static char *put_number(char *at, uint64_t number)
{
    char digits[NUMBER_DIGITS];
    size_t start = sizeof(digits);
    do {
        digits[--start] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put(at, str_of(digits + start, sizeof(digits) - start));
}

/* How the answer ends, said in the head. */
static char *put_framing(const struct http_conn *c, const struct http_reply *r, char *at)
{
    bool has_body = r->status >= 200 && r->status != 204 && r->status != 304;
    if (has_body && !r->is_stream) {
        at = put(at, STR("Content-Length: "));
        at = put_number(at, r->length);
        at = put(at, STR("\r\n"));
    } else if (has_body && c->active->request.minor > 0) {
        at = put(at, STR("Transfer-Encoding: chunked\r\n"));
    }
    if (c->is_closing) {
        at = put(at, STR("Connection: close\r\n"));
    } else if (c->active->request.minor == 0) {
        at = put(at, STR("Connection: keep-alive\r\n"));
    }
    return at;
}

static void put_head(struct http_conn *c, const struct http_reply *r)
{
    char *room = NULL;
    struct str reason = str_from(http_reason(r->status));
    size_t size = HEAD_ROOM + reason.len + r->content_type.len + r->extra.len;
    if (buf_reserve(&c->out, size, &room) != ERR_OK) {
        http_conn_lose(c);
        return;
    }
    char *at = put(room, STR("HTTP/1.1 "));
    at = put_number(at, (uint64_t)r->status);
    at = put(at, STR(" "));
    at = put(at, reason);
    at = put(at, STR("\r\nDate: "));
    at = put(at, date_now(c->server));
    at = put(at, STR("\r\n"));
    if (r->content_type.len > 0) {
        at = put(at, STR("Content-Type: "));
        at = put(at, r->content_type);
        at = put(at, STR("\r\n"));
    }
    at = put_framing(c, r, at);
    at = put(at, r->extra);
    at = put(at, STR("\r\n"));
    CHECK((size_t)(at - room) <= size);
    buf_added(&c->out, (size_t)(at - room));
}

void http_reply_begin(struct http_conn *c, const struct http_reply *r)
{
    CHECK(c->out_state == OUT_OWED && c->active != NULL);
    const struct http_request *q = &c->active->request;
    c->out_state = OUT_BEGUN;
    c->is_silent = str_eq(q->method, STR("HEAD")) || r->status < 200 || r->status == 204 ||
                   r->status == 304;
    c->is_stream = r->is_stream;
    c->is_chunked = r->is_stream && q->minor > 0;
    c->reply_left = r->is_stream ? 0 : r->length;
    if (c->is_gone) {
        return;
    }
    if (c->in_state == IN_BODY) {
        http_input_discard(c);
    }
    if (r->close || c->server->is_draining || (r->is_stream && q->minor == 0)) {
        c->is_closing = true;
    }
    put_head(c, r);
}

/* --- sending --- */

/* Queues what comes after the first `put_bytes` bytes of the parts. */
static void queue_from(struct http_conn *c, const struct str *parts, size_t count,
                       size_t put_bytes)
{
    for (size_t i = 0; i < count; i++) {
        size_t skip = put_bytes < parts[i].len ? put_bytes : parts[i].len;
        put_bytes -= skip;
        if (skip < parts[i].len && buf_append(&c->out, str_from_at(parts[i], skip)) != ERR_OK) {
            http_conn_lose(c);
            return;
        }
    }
}

/* Writes parts, of which the first is the queue if there is one, and queues what is left. */
static void write_parts(struct http_conn *c, const struct str *parts, size_t count)
{
    size_t queued = buf_len(&c->out);
    size_t put_bytes = 0;
    enum err e = conn_write(c->conn, parts, count, &put_bytes);
    if (e == ERR_OK) {
        buf_fini(&c->out);
        c->is_blocked = false;
        if (c->out_due_ms != TIMER_NEVER) {
            c->out_due_ms = TIMER_NEVER;
            http_conn_arm(c);
        }
        return;
    }
    if (e != ERR_AGAIN) {
        http_conn_lose(c);
        return;
    }
    bool has_moved = put_bytes > 0 || c->out_due_ms == TIMER_NEVER;
    c->is_blocked = true;
    if (has_moved) {
        c->out_due_ms = loop_now_ms(c->server->loop) + c->server->limits.send_ms;
        http_conn_arm(c);
    }
    size_t from_queue = put_bytes < queued ? put_bytes : queued;
    size_t queue_parts = queued > 0 ? 1 : 0;
    buf_consume(&c->out, from_queue);
    queue_from(c, parts + queue_parts, count - queue_parts, put_bytes - from_queue);
}

void http_output_send(struct http_conn *c, const struct str *parts, size_t count)
{
    struct str all[PARTS_MAX + FRAMING_PARTS];
    if (c->is_blocked) {
        queue_from(c, parts, count, 0);
        return;
    }
    if (buf_len(&c->out) == 0) {
        if (count > 0) {
            write_parts(c, parts, count);
        }
        return;
    }
    CHECK(count < sizeof(all) / sizeof(all[0]));
    all[0] = buf_str(&c->out);
    for (size_t i = 0; i < count; i++) {
        all[i + 1] = parts[i];
    }
    write_parts(c, all, count + 1);
}

void http_output_go_on(struct http_conn *c)
{
    if (!c->is_blocked) {
        return;
    }
    c->is_blocked = false;
    http_output_send(c, NULL, 0);
    if (c->is_blocked || c->is_gone || c->out_state == OUT_CLOSED) {
        return;
    }
    if (c->out_state == OUT_BEGUN) {
        if (c->wake) {
            c->wake(c->user, HTTP_DRAINED);
        }
    } else {
        http_conn_settle(c);
    }
}

/* --- the body --- */

static uint64_t sum_of(const struct str *parts, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += parts[i].len;
    }
    return sum;
}

static struct str framing_end(const struct http_conn *c, bool has_payload, bool last)
{
    if (!c->is_chunked || c->is_silent) {
        return STR("");
    }
    if (!last) {
        return has_payload ? STR("\r\n") : STR("");
    }
    return has_payload ? STR("\r\n0\r\n\r\n") : STR("0\r\n\r\n");
}

/* A wrong length would break the framing of all that follows: our bug, never the world's. */
static void account(struct http_conn *c, uint64_t size, bool last)
{
    if (c->is_silent || c->is_stream) {
        return;
    }
    CHECK(size <= c->reply_left);
    c->reply_left -= size;
    CHECK(!last || c->reply_left == 0);
}

static void send_data(struct http_conn *c, const struct str *parts, size_t count, bool last)
{
    char chunk[CHUNK_HEAD_MAX];
    struct str all[PARTS_MAX + FRAMING_PARTS - 1];
    size_t n = 0;
    uint64_t size = sum_of(parts, count);
    bool has_payload = size > 0 && !c->is_silent;
    if (c->is_gone) {
        return;
    }
    account(c, size, last);
    if (has_payload && c->is_chunked) {
        all[n++] = str_of(chunk, http_chunk_head(size, chunk));
    }
    for (size_t i = 0; has_payload && i < count; i++) {
        all[n++] = parts[i];
    }
    struct str end = framing_end(c, has_payload, last);
    if (end.len > 0) {
        all[n++] = end;
    }
    http_output_send(c, all, n);
}

static void end_answer(struct http_conn *c)
{
    http_conn_release(c);
    if (c->is_gone) {
        http_conn_close(c, true);
    } else if (c->out_state != OUT_CLOSED) {
        c->out_state = c->is_closing || c->server->is_draining ? OUT_LAST : OUT_ENDED;
        http_conn_settle(c);
    }
}

void http_reply_data(struct http_conn *c, const struct str *parts, size_t count, bool last)
{
    CHECK(c->out_state == OUT_BEGUN);
    if (last) {
        c->wake = NULL; /* the caller is leaving */
    }
    while (count > PARTS_MAX) {
        send_data(c, parts, PARTS_MAX, false);
        parts += PARTS_MAX;
        count -= PARTS_MAX;
    }
    send_data(c, parts, count, last);
    if (last) {
        end_answer(c);
    }
}

void http_reply_flush(struct http_conn *c)
{
    if (c->out_state == OUT_BEGUN && !c->is_gone && !c->is_blocked) {
        http_output_send(c, NULL, 0);
    }
}

size_t http_reply_pending(const struct http_conn *c)
{
    return c->is_blocked ? buf_len(&c->out) : 0;
}

bool http_reply_is_begun(const struct http_conn *c)
{
    return c->out_state == OUT_BEGUN;
}

void http_reply_abort(struct http_conn *c, bool polite)
{
    CHECK(c->out_state == OUT_OWED || c->out_state == OUT_BEGUN);
    c->is_closing = true;
    c->wake = NULL;
    if (c->is_gone || !polite) {
        http_conn_release(c);
        http_conn_close(c, true);
        return;
    }
    http_reply_flush(c);
    if (c->in_state == IN_BODY) {
        c->in_state = IN_DRAIN;
        c->in_due_ms = TIMER_NEVER;
    }
    end_answer(c);
}

void http_reply_whole(struct http_conn *c, const struct http_reply *r, struct str body)
{
    struct http_reply whole = *r;
    whole.is_stream = false;
    whole.length = body.len;
    http_reply_begin(c, &whole);
    http_reply_data(c, &body, 1, true);
}
