#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "bench/answer.h"
#include "bench/samples.h"
#include "bench/sockets.h"

/*
 * The load: N connections, each of which asks again as soon as it has its whole answer; or,
 * with --rate, requests at fixed times whatever the answers take, whose latency counts from the
 * time when they were due, so that a slow path cannot slow the load down and look fast. Every
 * answer is checked. Prints one line of JSON; exit 0 when there was no error.
 */

static const char *const USAGE =
    "usage: load --port P [--connections N] [--requests M | --seconds S] [--stream]\n"
    "            [--body FILE | --body-bytes N] [--model NAME] [--events N] [--ramp-ms MS]\n"
    "            [--rate R] [--stamped] [--header LINE]...\n"
    "  --stream      ask for streams; N connections hold N streams open all the time\n"
    "  --events N    a stream must have exactly so many events (role, tokens, finish, [DONE])\n"
    "  --ramp-ms MS  the connections begin spread over this time, so that they keep out of "
    "step\n"
    "  --rate R      so many requests a second, over at most N connections\n"
    "  --stamped     the mock's tokens have the time in them: how long they were under way";

enum {
    BATCH = 256,
    READ_BYTES = 65536,
    REQUEST_MAX = 64 << 20,
    ERRORS_MAX = 100,    /* then the path is broken and more of it says nothing new */
    STUCK_US = 30000000, /* no answer for so long ends the run */
    STAMP_DIGITS = 16
};

struct options {
    uint16_t port;
    uint64_t connections;
    uint64_t requests; /* 0: until the time is over */
    uint64_t seconds;
    uint64_t body_bytes;
    uint64_t events;
    uint64_t ramp_ms;
    uint64_t rate; /* 0: each connection as fast as it can */
    bool is_stream;
    bool is_stamped;
    const char *body_file;
    struct buf headers; /* more lines for the head of each request */
    const char *model;
};

struct flow {
    int fd;         /* -1: not connected */
    bool is_busy;   /* a request is under way */
    size_t sent;    /* bytes of the request */
    bool has_begun; /* the first byte of the answer has come */
    bool has_token; /* its second event has come: the first one has only the role */
    uint64_t start_us;
    uint64_t read_us;  /* the last time that something came */
    uint64_t pause_us; /* the longest time within the answer in which nothing came */
    struct answer answer;
};

struct load {
    const struct options *options;
    int epoll;
    struct buf request;
    struct flow *flows;
    struct flow **idle; /* --rate: connections that have no request under way */
    size_t idle_count;
    size_t started; /* flows that have begun (ramp) */
    size_t busy;
    uint64_t begin_us, stop_us, last_us; /* last_us: the latest answer */
    uint64_t launched, whole, errors, reconnects, events;
    struct samples latency, first_byte, first_token, pause, token_delay;
};

/* --- The request --- */

static void put(struct buf *b, const char *text)
{
    CHECK(buf_append(b, str_from(text)) == ERR_OK);
}

static void read_body(struct buf *body, const char *path)
{
    FILE *f = fopen(path, "rb");
    char part[4096];
    if (!f) {
        err(2, "%s", path);
    }
    for (size_t n = fread(part, 1, sizeof(part), f); n > 0;
         n = fread(part, 1, sizeof(part), f)) {
        if (buf_append(body, str_of(part, n)) != ERR_OK) {
            errx(2, "%s is too long", path);
        }
    }
    fclose(f);
}

/* A chat whose last message is as long as needed for the wanted size. */
static void make_body(struct buf *body, const struct options *o)
{
    static const char TEXT[] =
        "Please explain how a gateway keeps an answer going when a backend "
        "fails in the middle of it. ";
    CHECK(buf_printf(body,
                     "{\"model\":\"%s\",%s\"temperature\":0.7,\"max_tokens\":256,\"messages\":["
                     "{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},"
                     "{\"role\":\"user\",\"content\":\"",
                     o->model, o->is_stream ? "\"stream\":true," : "") == ERR_OK);
    for (size_t i = 0; buf_len(body) + 4 < o->body_bytes; i++) {
        CHECK(buf_append(body, str_of(&TEXT[i % (sizeof(TEXT) - 1)], 1)) == ERR_OK);
    }
    put(body, "\"}]}");
}

static void make_request(struct buf *request, const struct options *o)
{
    struct buf body;
    buf_init(&body, REQUEST_MAX);
    buf_init(request, REQUEST_MAX);
    if (o->body_file) {
        read_body(&body, o->body_file);
    } else {
        make_body(&body, o);
    }
    CHECK(buf_printf(request,
                     "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                     "User-Agent: bench-load\r\nAccept: application/json\r\n"
                     "Authorization: Bearer sk-bench\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n",
                     o->port, buf_len(&body)) == ERR_OK);
    CHECK(buf_append(request, buf_str(&o->headers)) == ERR_OK);
    put(request, "\r\n");
    CHECK(buf_append(request, buf_str(&body)) == ERR_OK);
    buf_fini(&body);
}

/* --- One connection --- */

static void send_request(struct load *l, struct flow *f)
{
    struct str rest = str_from_at(buf_str(&l->request), f->sent);
    while (f->is_busy && rest.len > 0) {
        ssize_t n = send(f->fd, rest.ptr, rest.len, MSG_NOSIGNAL);
        if (n < 0) {
            return; /* EAGAIN: goes on when it is writable; a broken connection shows when it is
                       read */
        }
        f->sent += (size_t)n;
        rest = str_from_at(rest, (size_t)n);
    }
}

static bool may_launch(const struct load *l)
{
    return l->errors < ERRORS_MAX &&
           (l->options->requests > 0 ? l->launched < l->options->requests
                                     : clock_mono_us() < l->stop_us);
}

static void disconnect(struct flow *f)
{
    if (f->fd >= 0) {
        close(f->fd);
        f->fd = -1;
    }
}

static void count_error(struct load *l, const char *why)
{
    if (l->errors == 0) {
        fprintf(stderr, "load: first error: %s\n", why);
    }
    l->errors++;
}

static bool connect_flow(struct load *l, struct flow *f)
{
    f->fd = socket_connect(l->options->port);
    if (f->fd < 0) {
        count_error(l, strerror(errno));
        return false;
    }
    socket_watch(l->epoll, f->fd, f);
    return true;
}

/* When the next request is due by the rate. */
static uint64_t next_due_us(const struct load *l)
{
    return l->begin_us + l->launched * 1000000 / l->options->rate;
}

static void launch(struct load *l, struct flow *f)
{
    if (f->fd < 0 && !connect_flow(l, f)) {
        return;
    }
    answer_init(&f->answer);
    f->is_busy = true;
    f->sent = 0;
    f->has_begun = false;
    f->has_token = false;
    f->start_us = l->options->rate > 0 ? next_due_us(l) : clock_mono_us();
    f->read_us = 0;
    f->pause_us = 0;
    l->busy++;
    l->launched++;
    send_request(l, f);
}

/* The answer has ended, well (fault NULL) or not; the next request follows at once. */
static void end_answer(struct load *l, struct flow *f, const char *fault)
{
    uint64_t now_us = clock_mono_us();
    f->is_busy = false;
    l->busy--;
    l->last_us = now_us;
    if (fault) {
        count_error(l, fault);
        disconnect(f);
    } else {
        l->whole++;
        l->events += f->answer.events;
        samples_add(&l->latency, now_us - f->start_us);
        if (l->options->is_stream) {
            samples_add(&l->pause, f->pause_us);
        }
        if (f->answer.is_closing) {
            l->reconnects++;
            disconnect(f);
        }
    }
    if (l->options->rate > 0) {
        l->idle[l->idle_count++] = f;
    } else if (may_launch(l)) {
        launch(l, f);
    }
}

/* A stamp that was cut by the end of a read is left out. */
static void read_stamps(struct load *l, struct str bytes, uint64_t now_us)
{
    for (;;) {
        const char *at = bytes.len > 0 ? memmem(bytes.ptr, bytes.len, "\"@", 2) : NULL;
        if (!at) {
            return;
        }
        bytes = str_from_at(bytes, (size_t)(at - bytes.ptr) + 2);
        uint64_t sent_us;
        if (bytes.len >= STAMP_DIGITS &&
            str_to_u64(str_of(bytes.ptr, STAMP_DIGITS), now_us, &sent_us) == ERR_OK) {
            samples_add(&l->token_delay, now_us - sent_us);
        }
    }
}

static void note_time(struct load *l, struct flow *f, struct str bytes)
{
    uint64_t now_us = clock_mono_us();
    if (f->read_us > 0 && now_us - f->read_us > f->pause_us) {
        f->pause_us = now_us - f->read_us;
    }
    f->read_us = now_us;
    if (l->options->is_stamped) {
        read_stamps(l, bytes, now_us);
    }
}

static void take(struct load *l, struct flow *f, struct str bytes)
{
    const struct options *o = l->options;
    if (o->is_stream) {
        note_time(l, f, bytes);
    }
    if (!f->has_begun) {
        f->has_begun = true;
        samples_add(&l->first_byte, clock_mono_us() - f->start_us);
    }
    enum err e = answer_feed(&f->answer, bytes);
    if (!f->has_token && f->answer.events > 1) {
        f->has_token = true;
        samples_add(&l->first_token, clock_mono_us() - f->start_us);
    }
    if (e == ERR_OK) {
        end_answer(l, f, answer_fault(&f->answer, o->is_stream, o->events));
    } else if (e != ERR_AGAIN) {
        end_answer(l, f, "the framing of the answer is broken");
    }
}

/* The server closed: an error in an answer, else only a connection to make anew. */
static void lose(struct load *l, struct flow *f)
{
    if (f->is_busy) {
        end_answer(l, f, "the connection ended within an answer");
        return;
    }
    l->reconnects++;
    disconnect(f);
}

static void read_all(struct load *l, struct flow *f, bool has_ended)
{
    static char room[READ_BYTES];
    for (;;) {
        int fd = f->fd;
        ssize_t n = recv(fd, room, sizeof(room), 0);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN) {
                lose(l, f);
            }
            return;
        }
        if (!f->is_busy) {
            count_error(l, "bytes that belong to no answer");
            disconnect(f);
            return;
        }
        take(l, f, str_of(room, (size_t)n));
        bool is_other = f->fd != fd;
        if (is_other || ((size_t)n < sizeof(room) && !has_ended)) {
            return;
        }
    }
}

/* --- The run --- */

/* Sends the requests that are due, as far as there are free connections. Microseconds until the
 * next one; -1: there is none, or an answer must come first. */
static int64_t begin_due(struct load *l)
{
    while (l->idle_count > 0 && may_launch(l)) {
        uint64_t due_us = next_due_us(l);
        uint64_t now_us = clock_mono_us();
        if (due_us > now_us) {
            return (int64_t)(due_us - now_us);
        }
        struct flow *f = l->idle[--l->idle_count];
        launch(l, f);
        if (!f->is_busy) {
            l->idle[l->idle_count++] = f;
        }
    }
    return -1;
}

/* Begins the connections whose time in the ramp has come. Microseconds until the next one, or
 * -1. */
static int64_t begin_flows(struct load *l)
{
    const struct options *o = l->options;
    if (o->rate > 0) {
        return begin_due(l);
    }
    uint64_t past_us = clock_mono_us() - l->begin_us;
    while (l->started < o->connections) {
        uint64_t due_us = o->ramp_ms * 1000 * l->started / o->connections;
        if (due_us > past_us) {
            return (int64_t)(due_us - past_us);
        }
        struct flow *f = &l->flows[l->started++];
        if (may_launch(l)) {
            launch(l, f);
        }
    }
    return -1;
}

static void take_event(struct load *l, struct flow *f, unsigned what)
{
    if (f->fd >= 0 && (what & EPOLLOUT)) {
        send_request(l, f);
    }
    if (f->fd >= 0 && (what & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        read_all(l, f, what & EPOLLRDHUP);
    }
}

static void run(struct load *l)
{
    struct epoll_event events[BATCH];
    for (;;) {
        int64_t wait_us = begin_flows(l);
        if (l->busy == 0 && wait_us < 0) {
            return;
        }
        int64_t limit_us = wait_us < 0 ? STUCK_US : wait_us;
        struct timespec limit = {.tv_sec = (time_t)(limit_us / 1000000),
                                 .tv_nsec = (long)(limit_us % 1000000 * 1000)};
        int n = epoll_pwait2(l->epoll, events, BATCH, &limit, NULL);
        if (n == 0 && wait_us < 0) {
            count_error(l, "no answer for 30 seconds");
            return;
        }
        for (int i = 0; i < n; i++) {
            take_event(l, events[i].data.ptr, events[i].events);
        }
    }
}

/* --rate: all connections are there before the first request is due. */
static void connect_all(struct load *l)
{
    for (size_t i = 0; i < l->options->connections; i++) {
        if (connect_flow(l, &l->flows[i])) {
            l->idle[l->idle_count++] = &l->flows[i];
        }
    }
}

static void print_times(const char *name, struct samples *s)
{
    samples_sort(s);
    printf("\"%s\":{\"p50\":%" PRIu32 ",\"p99\":%" PRIu32 ",\"p999\":%" PRIu32 "},", name,
           samples_at(s, 0.5), samples_at(s, 0.99), samples_at(s, 0.999));
}

static void report(struct load *l)
{
    double seconds = (double)(l->last_us - l->begin_us) * 1e-6;
    printf("{\"requests\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"seconds\":%.3f,", l->whole,
           l->errors, seconds);
    print_times("latency_us", &l->latency);
    print_times("first_byte_us", &l->first_byte);
    print_times("first_token_us", &l->first_token);
    print_times("pause_us", &l->pause);
    print_times("token_delay_us", &l->token_delay);
    printf("\"tokens\":%" PRIu64 ",\"reconnects\":%" PRIu64 "}\n", l->events, l->reconnects);
}

static void load_fini(struct load *l)
{
    for (size_t i = 0; i < l->options->connections; i++) {
        disconnect(&l->flows[i]);
    }
    free(l->flows);
    free(l->idle);
    close(l->epoll);
    buf_fini(&l->request);
    samples_fini(&l->latency);
    samples_fini(&l->first_byte);
    samples_fini(&l->first_token);
    samples_fini(&l->pause);
    samples_fini(&l->token_delay);
}

static void take_option(int which, struct options *o)
{
    switch (which) {
    case 'p':
        o->port = (uint16_t)number_option("port", optarg, UINT16_MAX);
        break;
    case 'c':
        o->connections = number_option("connections", optarg, 10000);
        break;
    case 'n':
        o->requests = number_option("requests", optarg, 1000000000);
        break;
    case 's':
        o->seconds = number_option("seconds", optarg, 3600);
        break;
    case 'b':
        o->body_bytes = number_option("body-bytes", optarg, REQUEST_MAX / 2);
        break;
    case 'f':
        o->body_file = optarg;
        break;
    case 'h':
        put(&o->headers, optarg);
        put(&o->headers, "\r\n");
        break;
    case 'm':
        o->model = optarg;
        break;
    case 'e':
        o->events = number_option("events", optarg, UINT32_MAX);
        break;
    case 'r':
        o->ramp_ms = number_option("ramp-ms", optarg, 60000);
        break;
    case 'R':
        o->rate = number_option("rate", optarg, 1000000);
        break;
    case 'S':
        o->is_stream = true;
        break;
    case 'T':
        o->is_stamped = true;
        break;
    default:
        errx(2, "%s", USAGE);
    }
}

static void read_options(int argc, char **argv, struct options *o)
{
    static const struct option LIST[] = {{"port", required_argument, NULL, 'p'},
                                         {"connections", required_argument, NULL, 'c'},
                                         {"requests", required_argument, NULL, 'n'},
                                         {"seconds", required_argument, NULL, 's'},
                                         {"body-bytes", required_argument, NULL, 'b'},
                                         {"body", required_argument, NULL, 'f'},
                                         {"header", required_argument, NULL, 'h'},
                                         {"model", required_argument, NULL, 'm'},
                                         {"events", required_argument, NULL, 'e'},
                                         {"ramp-ms", required_argument, NULL, 'r'},
                                         {"rate", required_argument, NULL, 'R'},
                                         {"stream", no_argument, NULL, 'S'},
                                         {"stamped", no_argument, NULL, 'T'},
                                         {NULL, 0, NULL, 0}};
    for (int which = getopt_long(argc, argv, "", LIST, NULL); which != -1;
         which = getopt_long(argc, argv, "", LIST, NULL)) {
        take_option(which, o);
    }
    if (o->port == 0 || o->connections == 0) {
        errx(2, "%s", USAGE);
    }
}

int main(int argc, char **argv)
{
    struct options o = {.connections = 1, .seconds = 3, .body_bytes = 1200, .model = "m"};
    buf_init(&o.headers, REQUEST_MAX);
    read_options(argc, argv, &o);
    struct load l = {.options = &o, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    l.flows = calloc(o.connections, sizeof(struct flow));
    l.idle = calloc(o.connections, sizeof(struct flow *));
    CHECK(l.flows != NULL && l.idle != NULL);
    for (size_t i = 0; i < o.connections; i++) {
        l.flows[i].fd = -1;
    }
    make_request(&l.request, &o);
    (void)prctl(PR_SET_TIMERSLACK, 1); /* requests of a rate go out when they are due */
    if (o.rate > 0) {
        connect_all(&l);
    }
    l.begin_us = clock_mono_us();
    l.last_us = l.begin_us;
    l.stop_us = l.begin_us + o.seconds * 1000000;
    run(&l);
    report(&l);
    load_fini(&l);
    buf_fini(&o.headers);
    return l.errors == 0 && l.whole > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
