#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "bench/sockets.h"

/*
 * A backend that answers as vLLM does and costs as little as it can, so that the gateway
 * between it and the load is what is measured. All answers are made once at the start; a client
 * is only a place in one of them:
 *
 *      answer  head+role | token | token | … | token | finish, [DONE], end
 *                        ^sent           ^allowed: grows by one step each time the client is
 * due
 *
 *   mock_backend [--port P] [--tokens N] [--rate TOKENS_PER_SECOND] [--stamped]
 *                                                                  (rate 0: all at once)
 *
 * --stamped: each token's text is "@" and the microsecond of the monotonic clock when it was
 * sent, so that whoever reads it knows how long it was under way. A request to go on with a
 * half answer (continue_final_message) gets the rest of it, so that a resumed answer has
 * exactly the tokens of an undisturbed one.
 *
 * Prints "listening PORT" and runs until it is killed.
 */

enum {
    BATCH = 256,
    READ_BYTES = 16384,
    REQUEST_MAX = 64 << 20,
    ANSWER_MAX = 256 << 20,
    TOKENS_MAX = 100000,
    STAMP_DIGITS = 16,
    STAMP_LEN = 1 + STAMP_DIGITS,
    STEP_MAX = 1024 /* bytes of one token's chunk */
};

static const char *const WORDS[] = {" the",  " gateway", " falls", " through", " to",  " a",
                                    " tier", " that",    " still", " answers", ".\\n", " So"};
enum { WORD_COUNT = sizeof(WORDS) / sizeof(WORDS[0]) };

static const char *const HEAD =
    "HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 03:15:26 GMT\r\nserver: uvicorn\r\n";

/* What is sent for one kind of request: its bytes, and the places up to which they may go out.
 */
struct answer {
    struct buf bytes;
    size_t *step_ends;
    size_t step_count;
    size_t stamp_at; /* of the stamp's digits in each token's chunk; 0: there is none */
};

struct mock {
    int epoll;
    int listener;
    uint64_t interval_us; /* between two steps; 0: all at once */
    struct answer stream, plain, health, missing;
    struct list due; /* in the order of due_us: the interval is the same for all */
};

struct client {
    struct mock *mock;
    int fd;
    struct buf in;
    const struct answer *answer; /* NULL: waits for a request */
    size_t step;                 /* steps allowed so far */
    size_t sent;
    size_t skipped; /* tokens of the answer that the request has already; 0: none, or skipped */
    uint64_t due_us;
    struct list_node due_node;
};

/* --- The answers --- */

static void put(struct answer *a, const char *text)
{
    CHECK(buf_append(&a->bytes, str_from(text)) == ERR_OK);
}

static void end_step(struct answer *a)
{
    a->step_ends[a->step_count++] = buf_len(&a->bytes);
}

static void answer_init(struct answer *a, size_t steps)
{
    *a = (struct answer){.step_ends = calloc(steps, sizeof(size_t))};
    CHECK(a->step_ends != NULL);
    buf_init(&a->bytes, ANSWER_MAX);
}

static void put_event(struct answer *a, const char *json)
{
    CHECK(buf_printf(&a->bytes, "%zx\r\ndata: %s\n\n\r\n", strlen(json) + 8, json) == ERR_OK);
}

static void put_chunk(struct answer *a, const char *delta, const char *finish)
{
    char json[512];
    int len =
        snprintf(json, sizeof(json),
                 "{\"id\":\"chatcmpl-a6fb944e89c3c827\",\"object\":\"chat.completion.chunk\","
                 "\"created\":1795230927,\"model\":\"llama-3.1-8b\",\"choices\":[{\"index\":0,"
                 "\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s,\"token_ids\":null}]}",
                 delta, finish);
    CHECK(len > 0 && (size_t)len < sizeof(json));
    put_event(a, json);
}

static void find_stamp(struct answer *a)
{
    struct str chunk = str_from_at(buf_str(&a->bytes), a->step_ends[0]);
    const char *at = memchr(chunk.ptr, '@', chunk.len);
    CHECK(at != NULL);
    a->stamp_at = (size_t)(at - chunk.ptr) + 1;
}

static void make_stream(struct answer *a, size_t tokens, bool is_stamped)
{
    answer_init(a, tokens + 2);
    put(a, HEAD);
    put(a,
        "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n");
    put_chunk(a, "\"role\":\"assistant\",\"content\":\"\"", "null");
    end_step(a);
    for (size_t i = 0; i < tokens; i++) {
        char delta[64];
        snprintf(delta, sizeof(delta), "\"content\":\"%s\"",
                 is_stamped ? "@0000000000000000" : WORDS[i % WORD_COUNT]);
        put_chunk(a, delta, "null");
        end_step(a);
    }
    if (is_stamped && tokens > 0) {
        find_stamp(a);
    }
    put_chunk(a, "", "\"stop\"");
    put_event(a, "[DONE]");
    put(a, "0\r\n\r\n");
    end_step(a);
}

static void make_plain(struct answer *a)
{
    static const char *const BODY =
        "{\"id\":\"chatcmpl-a6fb944e89c3c827\",\"object\":\"chat.completion\",\"created\":"
        "1795230927,"
        "\"model\":\"llama-3.1-8b\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
        "\"assistant\","
        "\"content\":\"The gateway falls through to a tier that still "
        "answers.\",\"refusal\":null,"
        "\"annotations\":null,\"audio\":null,\"function_call\":null,\"reasoning\":null},"
        "\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null,\"token_ids\":null,"
        "\"routed_experts\":null}],\"service_tier\":null,\"system_fingerprint\":"
        "\"vllm-0.32.0-b94b8c2b\",\"usage\":{\"prompt_tokens\":213,\"total_tokens\":224,"
        "\"completion_tokens\":11,\"prompt_tokens_details\":null,\"completion_tokens_details\":"
        "null},"
        "\"prompt_logprobs\":null,\"prompt_token_ids\":null,\"prompt_text\":null,"
        "\"kv_transfer_params\":null,\"ec_transfer_params\":null,\"metrics\":null}";
    answer_init(a, 1);
    put(a, HEAD);
    CHECK(buf_printf(&a->bytes,
                     "content-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                     strlen(BODY), BODY) == ERR_OK);
    end_step(a);
}

static void make_empty(struct answer *a, const char *head)
{
    answer_init(a, 1);
    put(a, head);
    put(a, "content-length: 0\r\n\r\n");
    end_step(a);
}

/* --- Clients --- */

static void drop(struct client *c)
{
    if (list_is_linked(&c->due_node)) {
        list_remove(&c->mock->due, &c->due_node);
    }
    close(c->fd);
    buf_fini(&c->in);
    free(c);
}

static void wait_for_step(struct client *c, uint64_t due_us)
{
    c->due_us = due_us;
    list_push_back(&c->mock->due, &c->due_node);
}

/* Sends a token's chunk with the time in it, from a copy: the answer is shared by all. */
static ssize_t send_stamped(const struct client *c, const char *chunk, size_t len)
{
    char copy[STEP_MAX];
    char digits[STAMP_DIGITS + 1];
    CHECK(len <= sizeof(copy));
    memcpy(copy, chunk, len);
    snprintf(digits, sizeof(digits), "%0*" PRIu64, STAMP_DIGITS, clock_mono_us());
    memcpy(copy + c->answer->stamp_at, digits, STAMP_DIGITS);
    return send(c->fd, copy, len, MSG_NOSIGNAL);
}

/* Where the answer begins that a resumed one starts with: head and role, then the rest. */
static void skip_given(struct client *c)
{
    if (c->skipped > 0 && c->sent == c->answer->step_ends[0]) {
        c->sent = c->answer->step_ends[c->skipped];
        c->skipped = 0;
    }
}

/* Sends what is allowed. False when the client is gone. */
static bool send_allowed(struct client *c)
{
    const struct answer *a = c->answer;
    size_t allowed = a->step_ends[c->step - 1];
    while (c->sent < allowed) {
        const char *from = buf_str(&a->bytes).ptr + c->sent;
        size_t end = c->skipped > 0 ? a->step_ends[0] : allowed;
        bool is_token = a->stamp_at > 0 && c->step > 1 && c->step < a->step_count &&
                        c->sent == a->step_ends[c->step - 2];
        ssize_t n = is_token ? send_stamped(c, from, end - c->sent)
                             : send(c->fd, from, end - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN;
        }
        c->sent += (size_t)n;
        skip_given(c);
    }
    if (c->step == a->step_count) {
        c->answer = NULL;
    }
    return true;
}

/* `given`: tokens that the request has already. */
static void begin_answer(struct client *c, const struct answer *a, size_t given)
{
    bool is_paced = a->step_count > 1 && c->mock->interval_us > 0;
    c->answer = a;
    c->sent = 0;
    c->skipped = given;
    c->step = is_paced ? 1 + given : a->step_count;
    if (is_paced) {
        wait_for_step(c, clock_mono_us() + c->mock->interval_us);
    }
}

static size_t find_length(struct str head)
{
    while (head.len > 0) {
        struct str line = str_cut(&head, '\n');
        if (str_starts_nocase(line, STR("content-length:"))) {
            uint64_t n;
            struct str value = str_from_at(line, sizeof("content-length:") - 1);
            value.len -= value.len > 0 && value.ptr[value.len - 1] == '\r';
            return str_to_u64(str_trim(value), REQUEST_MAX, &n) == ERR_OK ? (size_t)n
                                                                          : SIZE_MAX;
        }
    }
    return 0;
}

static const struct answer *choose(const struct mock *m, struct str head, struct str body)
{
    if (str_starts(head, STR("GET /health "))) {
        return &m->health;
    }
    if (!str_starts(head, STR("POST /v1/chat/completions "))) {
        return &m->missing;
    }
    bool wants_stream =
        str_has(body, STR("\"stream\":true")) || str_has(body, STR("\"stream\": true"));
    return wants_stream ? &m->stream : &m->plain;
}

/* Tokens of the half answer that is to be continued; 0 when none is. */
static size_t count_given(const struct mock *m, struct str body)
{
    static const char MARK[] = "{\"role\":\"assistant\",\"content\":\"";
    size_t count = 0;
    size_t len = 0;
    if (!str_has(body, STR("\"continue_final_message\":true"))) {
        return 0;
    }
    const char *at = memmem(body.ptr, body.len, MARK, sizeof(MARK) - 1);
    if (!at) {
        return 0;
    }
    struct str text = str_from_at(body, (size_t)(at - body.ptr) + sizeof(MARK) - 1);
    while (len < text.len && text.ptr[len] != '"') {
        len += text.ptr[len] == '\\' ? 2 : 1;
    }
    for (size_t seen = 0; seen < len && count + 2 < m->stream.step_count; count++) {
        seen += m->stream.stamp_at > 0 ? STAMP_LEN : strlen(WORDS[count % WORD_COUNT]);
    }
    return count;
}

/* Begins the answer to a request that has come whole. False when it makes no sense. */
static bool take_request(struct client *c)
{
    struct str in = buf_str(&c->in);
    const char *blank = in.len > 0 ? memmem(in.ptr, in.len, "\r\n\r\n", 4) : NULL;
    if (!blank) {
        return true;
    }
    struct str head = str_of(in.ptr, (size_t)(blank - in.ptr) + 2);
    size_t length = find_length(head);
    if (length == SIZE_MAX) {
        return false;
    }
    struct str body = str_from_at(in, head.len + 2);
    if (body.len < length) {
        return true;
    }
    body.len = length;
    const struct answer *a = choose(c->mock, head, body);
    begin_answer(c, a, a == &c->mock->stream ? count_given(c->mock, body) : 0);
    buf_consume(&c->in, head.len + 2 + length);
    return true;
}

/* Reads what has come, and the end behind it if there is one. False when the client is gone. */
static bool read_all(struct client *c, bool has_ended)
{
    for (;;) {
        char *room;
        if (buf_reserve(&c->in, READ_BYTES, &room) != ERR_OK) {
            return false;
        }
        ssize_t n = recv(c->fd, room, READ_BYTES, 0);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        buf_added(&c->in, (size_t)n);
        if (n < READ_BYTES && !has_ended) {
            return true;
        }
    }
}

static bool serve(struct client *c)
{
    for (;;) {
        if (c->answer && !send_allowed(c)) {
            return false;
        }
        if (c->answer) {
            return true;
        }
        if (!take_request(c)) {
            return false;
        }
        if (!c->answer) {
            return true;
        }
    }
}

static void accept_all(struct mock *m)
{
    for (int fd = socket_accept(m->listener); fd >= 0; fd = socket_accept(m->listener)) {
        struct client *c = calloc(1, sizeof(*c));
        CHECK(c != NULL);
        c->mock = m;
        c->fd = fd;
        buf_init(&c->in, REQUEST_MAX);
        socket_watch(m->epoll, fd, c);
    }
}

static void run_due(struct mock *m)
{
    uint64_t now_us = clock_mono_us();
    while (m->due.count > 0) {
        struct client *c = container_of(list_first(&m->due), struct client, due_node);
        if (c->due_us > now_us) {
            return;
        }
        list_remove(&m->due, &c->due_node);
        c->step++;
        if (c->step < c->answer->step_count) {
            wait_for_step(c, c->due_us + m->interval_us);
        }
        if (!serve(c)) {
            drop(c);
        }
    }
}

static void poll_once(struct mock *m)
{
    struct epoll_event events[BATCH];
    struct timespec wait = {0};
    struct timespec *limit = NULL;
    if (m->due.count > 0) {
        struct client *c = container_of(list_first(&m->due), struct client, due_node);
        uint64_t now_us = clock_mono_us();
        uint64_t left_us = c->due_us > now_us ? c->due_us - now_us : 0;
        wait.tv_sec = (time_t)(left_us / 1000000);
        wait.tv_nsec = (long)(left_us % 1000000 * 1000);
        limit = &wait;
    }
    int n = epoll_pwait2(m->epoll, events, BATCH, limit, NULL);
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        unsigned what = events[i].events;
        if (!c) {
            accept_all(m);
        } else if (((what & EPOLLIN) && !read_all(c, what & EPOLLRDHUP)) || !serve(c)) {
            drop(c);
        }
    }
    run_due(m);
}

struct options {
    uint16_t port;
    uint64_t tokens;
    uint64_t rate;
    bool is_stamped;
};

static void read_options(int argc, char **argv, struct options *o)
{
    static const struct option LIST[] = {{"port", required_argument, NULL, 'p'},
                                         {"tokens", required_argument, NULL, 't'},
                                         {"rate", required_argument, NULL, 'r'},
                                         {"stamped", no_argument, NULL, 's'},
                                         {NULL, 0, NULL, 0}};
    for (;;) {
        switch (getopt_long(argc, argv, "", LIST, NULL)) {
        case -1:
            return;
        case 'p':
            o->port = (uint16_t)number_option("port", optarg, UINT16_MAX);
            break;
        case 't':
            o->tokens = number_option("tokens", optarg, TOKENS_MAX);
            break;
        case 'r':
            o->rate = number_option("rate", optarg, 1000000);
            break;
        case 's':
            o->is_stamped = true;
            break;
        default:
            errx(2, "usage: mock_backend [--port P] [--tokens N] [--rate TOKENS_PER_SECOND] "
                    "[--stamped]");
        }
    }
}

int main(int argc, char **argv)
{
    struct options o = {.tokens = 100, .rate = 50};
    read_options(argc, argv, &o);
    struct mock m = {.interval_us = o.rate > 0 ? 1000000 / o.rate : 0};
    list_init(&m.due);
    make_stream(&m.stream, (size_t)o.tokens, o.is_stamped);
    make_plain(&m.plain);
    make_empty(&m.health, HEAD);
    make_empty(&m.missing, "HTTP/1.1 404 Not Found\r\n");
    m.epoll = epoll_create1(EPOLL_CLOEXEC);
    m.listener = socket_listen(&o.port);
    socket_watch(m.epoll, m.listener, NULL);
    printf("listening %u\n", o.port);
    fflush(stdout);
    for (;;) {
        poll_once(&m);
    }
}
