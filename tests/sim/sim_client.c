#include "sim_client.h"

#include <inttypes.h>

#include "base/check.h"
#include "sim_draw.h"
#include "sim_text.h"
#include "wire/http_head.h"

enum {
    ANSWER_MAX = 64 << 20,
    THINK_MAX_MS = 400,
    THINK_LONG_MS = 30000,
    NAP_MAX_MS = 15000,
    PILE_MAX = 300000,
    WAIT_MAX_MS = 100
};

/* --- the end of an exchange --- */

static void plan_next(struct client *c)
{
    if (c->next == c->count) {
        return;
    }
    uint32_t kind = rand_below(c->rand, 100);
    uint32_t after_ms = kind < 30   ? 0
                        : kind < 90 ? rand_below(c->rand, THINK_MAX_MS)
                                    : rand_below(c->rand, THINK_LONG_MS);
    sim_event_set(&c->send, after_ms);
}

static void close_connection(struct client *c, bool is_reset)
{
    c->is_open = false;
    sim_event_cancel(&c->read);
    sim_event_cancel(&c->send);
    buf_fini(&c->unread);
    sim_end_close(&c->end, is_reset);
}

static void end_exchange(struct client *c)
{
    struct sim_exchange *x = c->now;
    c->now = NULL;
    x->is_over = true;
    buf_fini(&c->request);
    buf_fini(&c->head);
    c->judge(c->owner, x);
    if (c->is_open && (x->left_ms > 0 || (x->has_head && !x->head.keep_alive))) {
        close_connection(c, false);
    }
    plan_next(c);
}

/* --- leaving --- */

static void leave(struct client *c)
{
    struct sim_exchange *x = c->now;
    x->left_ms = sim_now_ms();
    record_trace(c->record, "client leaves exchange %" PRIu64 " after %zu bytes",
                 x->plan.number, c->taken);
    if (x->plan.leaving == LEAVE_HALF) {
        sim_event_cancel(&c->send);
        sim_end_finish(&c->end);
        return; /* and waits for what the gateway does */
    }
    close_connection(c, x->plan.leaving == LEAVE_RESET);
    end_exchange(c);
}

static bool wants_to_leave(const struct client *c)
{
    const struct plan *p = &c->now->plan;
    bool is_in_answer = p->leaving != LEAVE_NOT && p->leaving != LEAVE_BEFORE;
    return is_in_answer && c->now->left_ms == 0 && c->now->asked_ms > 0 &&
           c->taken >= p->leave_after;
}

/* --- reading the answer --- */

static void take_body(struct client *c, struct str *bytes)
{
    struct sim_exchange *x = c->now;
    struct str piece;
    enum err e = http_body_next(&c->decoder, bytes, &piece);
    while (e == ERR_OK) {
        put(&x->body, piece);
        e = http_body_next(&c->decoder, bytes, &piece);
    }
    x->is_complete = e == ERR_EOF;
    if (e != ERR_EOF && e != ERR_AGAIN) {
        record_fail(c->record, x, "the answer's framing is broken: %s", err_text(e));
    }
}

/* Takes a head from the front; false when it is not whole yet. */
static bool take_head(struct client *c, struct str *bytes)
{
    struct sim_exchange *x = c->now;
    const char *why = "";
    size_t scanned = 0;
    put(&c->head, *bytes);
    struct str all = buf_str(&c->head);
    size_t before = all.len - bytes->len;
    size_t len = http_head_find(all, &scanned);
    *bytes = str_from_at(*bytes, len > 0 ? len - before : bytes->len);
    if (len == 0) {
        return false;
    }
    struct str head = arena_dup(&c->record->arena, str_of(all.ptr, len));
    buf_fini(&c->head);
    if (http_response_parse(head, false, &x->head, &why) != ERR_OK) {
        record_fail(c->record, x, "the answer's head is malformed: %s", why);
        return false;
    }
    if (x->head.status >= 200) {
        x->has_head = true;
        http_body_init(&c->decoder, x->head.framing, x->head.content_length);
        x->is_complete = x->head.framing == HTTP_NO_BODY ||
                         (x->head.framing == HTTP_LENGTH && x->head.content_length == 0);
    }
    return true;
}

static void take(struct client *c, struct str bytes)
{
    while (bytes.len > 0 && !c->now->has_head && take_head(c, &bytes)) {
    }
    if (bytes.len > 0 && c->now->has_head && !c->now->is_complete) {
        take_body(c, &bytes);
    }
    if (bytes.len > 0 && c->now->is_complete) {
        record_fail(c->record, c->now, "bytes behind the end of the answer");
    }
}

static void schedule_read(struct client *c)
{
    bool is_slow = c->now && c->now->plan.is_slow;
    if (sim_event_is_set(&c->read)) {
        return;
    }
    uint32_t after_ms = is_slow ? draw_between(c->rand, 10, 400) : rand_below(c->rand, 3);
    if (is_slow && draw_percent(c->rand, 8)) {
        after_ms = rand_below(c->rand, NAP_MAX_MS);
    }
    sim_event_set(&c->read, after_ms);
}

/* Everything that was written has been read, and then the gateway closed. */
static void see_end(struct client *c)
{
    c->is_open = false;
    sim_end_close(&c->end, false);
    sim_event_cancel(&c->send);
    if (c->now) {
        end_exchange(c);
    }
}

static size_t read_size(struct client *c)
{
    size_t there = buf_len(&c->unread);
    if (!c->now || !c->now->plan.is_slow) {
        return there;
    }
    uint32_t most = c->now->plan.capacity;
    size_t size = draw_between(c->rand, 1 + most / 4, most);
    return size < there ? size : there;
}

/* What this client does not read is not to pile up in the gateway. */
static void check_pile(struct client *c)
{
    const struct sim_exchange *x = c->now;
    const struct ask *k = x && x->ask_count > 0 ? &x->asks[x->ask_count - 1] : NULL;
    if (!k || !x->plan.stream || k->answers_plain) {
        return;
    }
    size_t read = servers_read(c->servers, k);
    size_t written = c->taken + buf_len(&c->unread);
    if (read > written + PILE_MAX) {
        record_fail(c->record, x, "%zu bytes were read for a client that took %zu", read,
                    written);
    }
}

void client_check_waiting(struct client *c)
{
    const struct sim_exchange *x = c->now;
    const struct ask *k = x && x->ask_count > 0 ? &x->asks[x->ask_count - 1] : NULL;
    bool is_idle = k && buf_len(&c->unread) == 0 && c->read_ms < sim_now_ms();
    size_t unread = is_idle ? servers_unread(c->servers, k) : 0;
    size_t read = is_idle ? servers_read(c->servers, k) : 0;
    if (unread > 0 && c->waits_for == k && c->waits_since == c->read_ms &&
        c->waits_at == read) {
        record_fail(c->record, x, "%zu bytes of a backend are not read for a client that waits",
                    unread);
    }
    c->waits_for = unread > 0 ? k : NULL;
    c->waits_since = c->read_ms;
    c->waits_at = read;
}

static void on_read(struct sim_event *e)
{
    struct client *c = container_of(e, struct client, read);
    check_pile(c);
    c->read_ms = sim_now_ms();
    size_t size = read_size(c);
    if (c->now) {
        c->taken += size;
        take(c, str_of(buf_str(&c->unread).ptr, size));
    } else if (size > 0) {
        record_fail(c->record, NULL, "the gateway says something that nobody asked for");
    }
    buf_consume(&c->unread, size);
    sim_end_room(&c->end, size);
    if (c->now && c->now->is_complete && buf_len(&c->unread) == 0) {
        end_exchange(c);
    } else if (c->now && wants_to_leave(c)) {
        leave(c);
    }
    if (c->is_open && (buf_len(&c->unread) > 0 || c->is_ended)) {
        if (buf_len(&c->unread) == 0) {
            see_end(c);
        } else {
            schedule_read(c);
        }
    }
}

/* --- what the gateway does --- */

static void note_known(struct client *c)
{
    const struct board *board = c->worker->gateway->board;
    uint64_t now_ms = sim_now_ms();
    if (!c->now) {
        return;
    }
    c->now->answered_ms = now_ms;
    for (uint32_t i = 0; i < c->servers->count; i++) {
        struct backend_view v = board_view(board, i, now_ms);
        bool is_held = v.hold_until_ms > now_ms;
        c->now->known[i] = (struct known_backend){
            .state = v.state,
            .cause = v.cause,
            .hold_ms = is_held ? (uint32_t)(v.hold_until_ms - now_ms) : 0};
    }
}

static void on_bytes(struct sim_end *e, struct str bytes)
{
    struct client *c = container_of(e, struct client, end);
    note_known(c);
    put(&c->unread, bytes);
    schedule_read(c);
}

/* A reset may overtake what the client has not read yet. */
static void on_end(struct sim_end *e, enum sim_end_kind kind)
{
    struct client *c = container_of(e, struct client, end);
    note_known(c);
    c->is_ended = true;
    if (kind == SIM_RESET && draw_percent(c->rand, 50)) {
        buf_fini(&c->unread);
    }
    schedule_read(c);
}

/* --- asking --- */

static void put_request_head(struct client *c, bool is_chunked)
{
    const struct plan *p = &c->now->plan;
    struct buf *out = &c->request;
    put(out, STR("POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n"
                 "Content-Type: application/json\r\n"));
    if (p->request_id.len > 0) {
        put_format(out, "x-request-id: %.*s\r\n", STR_FMT(p->request_id));
    }
    if (draw_percent(c->rand, 3)) {
        put(out, STR("Expect: 100-continue\r\n"));
    }
    if (is_chunked) {
        put(out, STR("Transfer-Encoding: chunked\r\n\r\n"));
    } else {
        put_format(out, "Content-Length: %zu\r\n\r\n", p->body.len);
    }
}

static void write_request(struct client *c)
{
    struct str body = c->now->plan.body;
    bool is_chunked = draw_percent(c->rand, 10);
    put_request_head(c, is_chunked);
    if (!is_chunked) {
        put(&c->request, body);
        return;
    }
    while (body.len > 0) {
        size_t size = draw_between(c->rand, 1, 2000);
        size = size < body.len ? size : body.len;
        put_format(&c->request, "%zx\r\n", size);
        put(&c->request, str_of(body.ptr, size));
        put(&c->request, STR("\r\n"));
        body = str_from_at(body, size);
    }
    put(&c->request, STR("0\r\n\r\n"));
}

static bool reach_gateway(struct client *c)
{
    if (c->is_open && c->end.conn && !c->is_ended) {
        return true;
    }
    sim_end_close(&c->end, false);
    sim_event_cancel(&c->read);
    c->is_ended = false;
    buf_fini(&c->unread);
    c->is_open = sim_connect_to(c->worker->loop, &c->end);
    return c->is_open;
}

/* The gateway drains and takes no one any more. */
static void give_up(struct client *c)
{
    record_trace(c->record, "nobody listens any more");
    while (c->next < c->count) {
        c->queue[c->next++]->is_over = true;
    }
}

static void begin(struct client *c)
{
    if (!reach_gateway(c)) {
        give_up(c);
        return;
    }
    struct sim_exchange *x = c->queue[c->next++];
    c->now = x;
    c->taken = 0;
    x->is_begun = true;
    record_trace(
        c->record, "client asks exchange %" PRIu64 ": %.*s", x->plan.number,
        STR_FMT(str_of(x->plan.body.ptr, x->plan.body.len < 700 ? x->plan.body.len : 700)));
    sim_end_limit(&c->end, x->plan.capacity);
    write_request(c);
    sim_event_set(&c->send, 0);
}

static size_t send_size(struct client *c)
{
    size_t left = buf_len(&c->request);
    const struct plan *p = &c->now->plan;
    size_t size = draw_percent(c->rand, 70) ? left : draw_between(c->rand, 1, (uint32_t)left);
    size_t most = left > p->leave_after ? left - p->leave_after : 0;
    return p->leaving == LEAVE_BEFORE && size > most ? most : size;
}

static void go_on_sending(struct client *c)
{
    size_t size = send_size(c);
    sim_end_send(&c->end, str_of(buf_str(&c->request).ptr, size));
    buf_consume(&c->request, size);
    if (buf_len(&c->request) == 0) {
        c->now->asked_ms = sim_now_ms();
        if (wants_to_leave(c)) {
            leave(c);
        }
        return;
    }
    if (c->now->plan.leaving == LEAVE_BEFORE && size == 0) {
        leave(c);
        return;
    }
    sim_event_set(&c->send, rand_below(c->rand, 30));
}

static void on_send(struct sim_event *e)
{
    struct client *c = container_of(e, struct client, send);
    if (!c->now) {
        begin(c);
    } else {
        go_on_sending(c);
    }
}

/* --- life --- */

void client_init(struct client *c, struct record *rec, const struct servers *servers,
                 struct worker *w, struct rand *r)
{
    *c = (struct client){.record = rec, .servers = servers, .worker = w, .rand = r};
    c->end = (struct sim_end){.on_bytes = on_bytes, .on_end = on_end};
    sim_event_init(&c->send, on_send);
    sim_event_init(&c->read, on_read);
    buf_init(&c->request, ANSWER_MAX);
    buf_init(&c->unread, ANSWER_MAX);
    buf_init(&c->head, ANSWER_MAX);
}

void client_start(struct client *c, uint32_t after_ms)
{
    if (c->count > 0) {
        sim_event_set(&c->send, after_ms);
    }
}

bool client_is_done(const struct client *c)
{
    return !c->now && c->next == c->count;
}

void client_stop(struct client *c)
{
    if (c->is_open) {
        close_connection(c, false);
    }
    buf_fini(&c->request);
    buf_fini(&c->unread);
    buf_fini(&c->head);
    sim_event_cancel(&c->send);
    sim_event_cancel(&c->read);
}
