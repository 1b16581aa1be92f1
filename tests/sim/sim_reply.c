#include "sim_reply.h"

#include <inttypes.h>

#include "base/check.h"
#include "sim_draw.h"
#include "sim_speech.h"
#include "wire/http_head.h"

enum { WIRE_MAX = 64 << 20 };

enum framing { BY_LENGTH, BY_CHUNKS, BY_END };

/* One response being written. */
struct response {
    struct ask *ask; /* NULL: not to a chat request */
    struct rand *rand;
    struct buf wire;
    enum framing framing;
    bool says_close;
    size_t struck_at;       /* the byte from which on it is not as it should be */
    struct ask_marks marks; /* in the wire's bytes */
};

/* --- heads --- */

static void put_name(struct response *p, const char *name)
{
    if (draw_percent(p->rand, 50)) {
        for (const char *at = name; *at; at++) {
            char c = *at >= 'A' && *at <= 'Z' ? (char)(*at + 'a' - 'A') : *at;
            put(&p->wire, str_of(&c, 1));
        }
    } else {
        put(&p->wire, str_from(name));
    }
    put(&p->wire, draw_percent(p->rand, 80) ? STR(": ") : STR(":"));
}

static void put_line(struct response *p, const char *name, struct str value)
{
    put_name(p, name);
    put(&p->wire, value);
    put(&p->wire, STR("\r\n"));
}

static void put_head(struct response *p, int status, struct str type, size_t length)
{
    if (draw_percent(p->rand, 3)) {
        put(&p->wire, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    put_format(&p->wire, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    put_line(p, "Server", STR("sim"));
    if (type.len > 0) {
        put_line(p, "Content-Type", type);
    }
    if (p->framing == BY_LENGTH) {
        put_name(p, "Content-Length");
        put_format(&p->wire, "%zu\r\n", length);
    } else if (p->framing == BY_CHUNKS) {
        put_line(p, "Transfer-Encoding", STR("chunked"));
    }
    if (p->says_close || p->framing == BY_END) {
        put_line(p, "Connection", STR("close"));
    }
}

/* --- framing --- */

static void map_marks(struct ask_marks *to, const struct ask_marks *from, size_t body_end,
                      size_t wire_end, size_t piece)
{
    const size_t start = body_end - piece;
    const struct {
        size_t at;
        size_t *to;
    } marks[] = {{from->content, &to->content},
                 {from->finish_from, &to->finish_from},
                 {from->finish_to, &to->finish_to}};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (marks[i].at > start && marks[i].at <= body_end) {
            *marks[i].to = wire_end - (body_end - marks[i].at);
        }
    }
}

static void put_chunk(struct response *p, struct str piece)
{
    static const struct str extension = STR_INIT(";sim=1");
    put_format(&p->wire, draw_percent(p->rand, 80) ? "%zx" : "%zX", piece.len);
    put(&p->wire, draw_percent(p->rand, 3) ? extension : STR(""));
    put(&p->wire, STR("\r\n"));
    put(&p->wire, piece);
    put(&p->wire, STR("\r\n"));
}

/* Where the next chunk ends: with an event, or anywhere. */
static size_t chunk_end(struct response *p, const struct speech *s, size_t at, size_t *event)
{
    size_t len = buf_len(&s->body);
    if (s->event_count > 0 && draw_percent(p->rand, 80)) {
        while (*event < s->event_count && s->event_end[*event] <= at) {
            ++*event;
        }
        return *event < s->event_count ? s->event_end[*event] : len;
    }
    size_t end = at + draw_between(p->rand, 1, draw_percent(p->rand, 20) ? 8 : 400);
    return end < len ? end : len;
}

static void put_chunks(struct response *p, const struct speech *s)
{
    struct str body = buf_str(&s->body);
    size_t event = 0;
    for (size_t at = 0; at < body.len;) {
        size_t end = chunk_end(p, s, at, &event);
        put_chunk(p, str_of(body.ptr + at, end - at));
        map_marks(&p->marks, &s->marks, end, buf_len(&p->wire) - 2, end - at);
        at = end;
    }
    put(&p->wire, STR("0\r\n\r\n"));
}

static struct str type_of(const struct ask *k)
{
    if (k->type == BACKEND_OLLAMA) {
        return STR("application/x-ndjson");
    }
    return k->answers_plain ? STR("application/json") : STR("text/event-stream; charset=utf-8");
}

static void put_response(struct response *p, const struct speech *s, int status,
                         struct str type)
{
    p->framing = (enum framing)(draw_percent(p->rand, 70) ? BY_CHUNKS : rand_below(p->rand, 3));
    put_head(p, status, type, buf_len(&s->body));
    put(&p->wire, STR("\r\n"));
    if (p->framing == BY_CHUNKS) {
        put_chunks(p, s);
        return;
    }
    put(&p->wire, buf_str(&s->body));
    map_marks(&p->marks, &s->marks, buf_len(&s->body), buf_len(&p->wire), buf_len(&s->body));
}

/* --- other answers than the one asked for --- */

static int pick_status(struct rand *r, const int *from, size_t count)
{
    return from[rand_below(r, (uint32_t)count)];
}

static int status_of_fault(struct response *p)
{
    static const int client[] = {400, 413, 422, 409, 431};
    static const int server[] = {500, 500, 501, 502, 503, 504, 507};
    static const int refusals[] = {401, 402, 403, 404, 405, 408};
    static const int busy[] = {429, 429, 529};
    static const int redirects[] = {301, 302, 307};
#define PICK(list) pick_status(p->rand, list, sizeof(list) / sizeof((list)[0]))
    switch ((int)p->ask->fault) {
    case SIM_client_error:
        return PICK(client);
    case SIM_server_error:
        return PICK(server);
    case SIM_refusal:
        return PICK(refusals);
    case SIM_busy:
        return PICK(busy);
    case SIM_loading:
        return 503;
    case SIM_redirect:
        return PICK(redirects);
    default:
        return 200;
    }
#undef PICK
}

static void put_status(struct response *p, int status, struct str body)
{
    struct str type = draw_percent(p->rand, 85) ? STR("application/json") : STR("text/plain");
    p->framing = draw_percent(p->rand, 80) ? BY_LENGTH : BY_END;
    put_head(p, status, type, body.len);
    if (p->ask && status == 429 && draw_percent(p->rand, 60)) {
        static const uint32_t waits_s[] = {0, 1, 2, 30};
        uint32_t wait_s = waits_s[rand_below(p->rand, 4)];
        p->ask->retry_after_ms = wait_s * 1000;
        put_name(p, "Retry-After");
        put_format(&p->wire, "%u\r\n", wait_s);
    }
    if (status >= 300 && status < 400) {
        put_line(p, "Location", STR("http://127.0.0.1:9/elsewhere"));
    }
    put(&p->wire, STR("\r\n"));
    put(&p->wire, body);
}

static void put_error(struct response *p)
{
    struct ask *k = p->ask;
    struct buf body;
    buf_init(&body, 4096);
    k->status = k->is_refusing ? 400 : status_of_fault(p);
    if (k->fault == SIM_loading) {
        speak_error(&body, k, k->status, "Loading model");
    } else if (draw_percent(p->rand, 85)) {
        speak_error(&body, k, k->status, "no, said the script");
    }
    put_status(p, k->status, buf_str(&body));
    buf_fini(&body);
}

static void put_other_answer(struct response *p)
{
    struct ask *k = p->ask;
    switch ((int)k->fault) {
    case SIM_html:
        p->framing = BY_LENGTH;
        put_head(p, 200, STR("text/html"), 24);
        put(&p->wire, STR("\r\n<html>please log in</html>"));
        p->wire.end -= 2;
        return;
    case SIM_junk:
        put(&p->wire, draw_percent(p->rand, 50) ? STR("SSH-2.0-OpenSSH_9.2\r\n\r\n")
                                                : STR("\x16\x03\x01\x02\x00\x01\xff\r\n\r\n"));
        p->framing = BY_END;
        return;
    case SIM_empty:
        p->framing = BY_LENGTH;
        put_head(p, 200, type_of(k), 0);
        put(&p->wire, STR("\r\n"));
        return;
    default:
        put_error(p);
        return;
    }
}

/* --- faults --- */

static void spoil_framing(struct response *p, size_t at)
{
    static const struct str junk = STR_INIT("\xff\xfe\x01 this is no HTTP \xff\xff");
    p->wire.end = p->wire.start + at;
    put(&p->wire, junk);
}

static enum reply_end end_of_byte_fault(enum fault f)
{
    switch ((int)f) {
    case SIM_reset:
        return END_RESET;
    case SIM_stall:
        return END_SILENT;
    case SIM_die:
        return END_DEATH;
    default:
        return END_CLOSED;
    }
}

static size_t place_of(const struct ask *k, size_t len)
{
    return (size_t)k->where * (len + 1) / 65536;
}

static void strike_at_byte(struct response *p, struct reply_script *s)
{
    struct ask *k = p->ask;
    size_t at = place_of(k, buf_len(&p->wire));
    p->struck_at = at;
    if (k->fault != SIM_stall || at < buf_len(&p->wire)) {
        s->end = end_of_byte_fault(k->fault);
    }
    if (k->fault == SIM_bad_framing) {
        spoil_framing(p, at);
        if (p->marks.content > at) {
            p->marks.content = SIZE_MAX;
        }
    } else {
        p->wire.end = p->wire.start + at;
    }
    if (at < p->marks.finish_from) {
        k->hope = HOPE_NONE;
        p->marks.finish_from = p->marks.finish_to = SIZE_MAX;
    } else if (at < p->marks.finish_to) {
        k->hope = HOPE_SOME;
        p->marks.finish_to = SIZE_MAX;
    } else {
        k->hope = HOPE_SURE;
    }
}

/* A plain answer is whole when its framing is; a reset can only be told from an end where the
 * length was known. */
static void judge_plain(struct response *p, struct reply_script *s, size_t whole)
{
    struct ask *k = p->ask;
    bool is_short = p->struck_at < whole;
    if (k->hope == HOPE_NONE || p->marks.finish_to == SIZE_MAX) {
        return;
    }
    if (p->framing == BY_END) {
        /* Junk behind it is a part of it. */
        is_short = is_short || k->fault == SIM_bad_framing;
        k->hope = is_short ? HOPE_NONE : s->end == END_CLOSED ? HOPE_SURE : HOPE_SOME;
        p->marks.finish_from = p->marks.finish_to = is_short ? SIZE_MAX : whole;
    } else if (p->framing == BY_CHUNKS) {
        k->hope = !is_short ? HOPE_SURE : HOPE_SOME;
        p->marks.finish_to = whole;
    }
}

static void take_time(struct response *p, struct reply_script *s,
                      const struct deadlines *patience)
{
    struct ask *k = p->ask;
    uint32_t stall = patience->stall_ms;
    uint32_t first = patience->first_token_ms;
    uint32_t least = stall < first ? stall : first;
    if (k->fault == SIM_pause) {
        s->pause_at = place_of(k, buf_len(&p->wire));
        s->pause_ms = draw_between(p->rand, 1, least * 2 / 5);
    } else if (k->fault == SIM_slow) {
        s->slow_ms = draw_between(p->rand, stall / 4, stall);
        k->hope = HOPE_SOME;
    } else if (k->fault == SIM_late) {
        s->first_ms = draw_between(p->rand, first / 4, first * 3 / 2);
        k->hope = HOPE_SOME;
    }
}

/* --- pace --- */

static void draw_pace(struct reply_script *s, struct rand *r)
{
    s->pause_at = SIZE_MAX;
    s->glue_at = SIZE_MAX;
    s->first_ms = draw_percent(r, 50) ? rand_below(r, 3) : rand_below(r, 200);
    s->gap_ms = draw_percent(r, 50) ? 1 : draw_between(r, 1, 30);
}

/* In pieces of few bytes only what is short, and not more of them than anybody would wait for.
 */
static void draw_pieces(struct reply_script *s, struct rand *r)
{
    uint32_t kind = rand_below(r, 100);
    uint32_t len = (uint32_t)s->bytes.len;
    s->piece = kind < 40 ? 400 : kind < 80 ? 2000 : 1 << 24;
    if (kind < 5) {
        s->piece = len < 1000 ? 1 : len / 100;
        s->gap_ms = s->gap_ms < 3 ? s->gap_ms : 3;
    }
    if (s->piece < len / 100) {
        s->piece = len / 100; /* a huge one takes no longer than others */
    }
    if (s->slow_ms > 0 && s->piece < len / 6) {
        s->piece = len / 6 + 1;
    }
}

/* At most, where nothing stands still for ever. */
static uint32_t time_of(const struct reply_script *s)
{
    size_t pieces = 2 * s->bytes.len / s->piece + 2;
    return s->first_ms + s->pause_ms + (uint32_t)pieces * (s->gap_ms + 1);
}

/* What nobody asked for; to be taken for the answer to the next request. */
static const struct str stray =
    STR_INIT("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
             "2\r\n\r\n{}");

/* An error behind the finish_reason: who has not been given the answer yet may get another. */
static bool is_taken_back(const struct ask *k)
{
    return k->fault == SIM_error_late && !k->plan->stream;
}

struct reply_script reply_compose(struct ask *k, const struct deadlines *patience,
                                  struct rand *r, struct arena *a)
{
    struct response p = {.ask = k, .rand = r};
    struct reply_script s = {.end = END_KEPT};
    struct speech speech;
    bool is_other = k->is_refusing || fault_place(k->fault) == AT_ANSWER;
    p.marks = (struct ask_marks){SIZE_MAX, SIZE_MAX, SIZE_MAX};
    p.struck_at = SIZE_MAX;
    p.says_close = draw_percent(r, 10);
    buf_init(&p.wire, WIRE_MAX);
    draw_pace(&s, r);
    speech_init(&speech, k, r, a);
    speech_decide(k);
    k->status = 200;
    k->hope = is_other ? HOPE_NONE : HOPE_SURE;
    if (is_other) {
        put_other_answer(&p);
    } else {
        if (k->answers_plain) {
            speak_plain(&speech);
        } else {
            speak_events(&speech);
        }
        k->hope = speech.marks.finish_to == SIZE_MAX ? HOPE_NONE
                  : is_taken_back(k)                 ? HOPE_SOME
                                                     : HOPE_SURE;
        put_response(&p, &speech, 200, type_of(k));
    }
    size_t whole = buf_len(&p.wire);
    s.end = p.says_close || p.framing == BY_END ? END_CLOSED : END_KEPT;
    if (k->fault == SIM_stray && s.end == END_KEPT && !is_other) {
        /* Later it could not be told from an answer to the next request. */
        s.glue_at = whole;
        put(&p.wire, stray);
    }
    if (fault_place(k->fault) == AT_BYTE) {
        strike_at_byte(&p, &s);
    }
    if (k->answers_plain) {
        judge_plain(&p, &s, whole);
    }
    if (fault_place(k->fault) == AT_TIME) {
        take_time(&p, &s, patience);
    }
    k->marks = p.marks;
    s.bytes = arena_dup(a, buf_str(&p.wire));
    draw_pieces(&s, r);
    k->need_ms = time_of(&s);
    buf_fini(&p.wire);
    speech_fini(&speech);
    return s;
}

struct reply_script reply_small(int status, struct str body, struct rand *r, struct arena *a)
{
    struct response p = {.rand = r};
    struct reply_script s = {.pause_at = SIZE_MAX, .glue_at = SIZE_MAX, .piece = 1 << 20};
    buf_init(&p.wire, WIRE_MAX);
    put_status(&p, status, body);
    s.end = p.framing == BY_END ? END_CLOSED : END_KEPT;
    s.bytes = arena_dup(a, buf_str(&p.wire));
    buf_fini(&p.wire);
    return s;
}
