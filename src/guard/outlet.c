#include "guard/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

enum { PIECE = 4096 /* at most PIPE_BUF: such a write never blocks a pipe that has room */ };

struct outlet {
    struct outlet_conf conf;
    uv_poll_t *handle; /* NULL: closed; freed by its close callback */
    int fd;
    struct buf queue;
    struct line_maker maker;
    uint64_t bytes;
    uint64_t dropped;
};

struct outlet *outlet_new(const struct outlet_conf *conf)
{
    struct outlet *o = mem_alloc(sizeof(*o));
    o->conf = *conf;
    o->fd = -1;
    buf_init(&o->queue, OUTLET_QUEUE);
    return o;
}

static bool can_write(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

void outlet_flush(struct outlet *o)
{
    while (buf_len(&o->queue) > 0 && can_write(o->conf.to_fd)) {
        struct str all = buf_str(&o->queue);
        ssize_t n = write(o->conf.to_fd, all.ptr, all.len < PIECE ? all.len : PIECE);
        if (n <= 0) {
            /* Nobody will ever read it. */
            bool is_lost = n < 0 && errno != EAGAIN && errno != EINTR;
            o->dropped += is_lost ? all.len : 0;
            buf_consume(&o->queue, is_lost ? all.len : 0);
            return;
        }
        buf_consume(&o->queue, (size_t)n);
    }
}

static void take(struct outlet *o, struct str bytes)
{
    o->bytes += bytes.len;
    line_maker_feed(&o->maker, bytes, o->conf.on_line, o->conf.owner);
    if (buf_append(&o->queue, bytes) != ERR_OK) {
        o->dropped += bytes.len;
    }
    outlet_flush(o);
}

enum piece { PIECE_CAME, PIECE_NOT_YET, PIECE_NEVER };

static enum piece read_some(struct outlet *o)
{
    char piece[PIECE];
    ssize_t n = read(o->fd, piece, sizeof(piece));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return PIECE_NOT_YET;
    }
    if (n <= 0) {
        return PIECE_NEVER;
    }
    take(o, str_of(piece, (size_t)n));
    return PIECE_CAME;
}

static void on_handle_closed(uv_handle_t *h)
{
    free(h);
}

static void close_pipe(struct outlet *o)
{
    if (o->handle) {
        uv_close((uv_handle_t *)o->handle, on_handle_closed);
        (void)close(o->fd);
        o->handle = NULL;
        o->fd = -1;
        line_maker_end(&o->maker, o->conf.on_line, o->conf.owner);
    }
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct outlet *o = h->data;
    (void)events;
    /* One piece a turn: a flood of output holds up nothing else. */
    if (status != 0 || read_some(o) == PIECE_NEVER) {
        close_pipe(o);
    }
}

bool outlet_open(struct outlet *o, int *fd)
{
    int ends[2];
    CHECK(!o->handle);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    o->fd = ends[0];
    *fd = ends[1];
    o->handle = mem_alloc(sizeof(*o->handle));
    o->handle->data = o;
    CHECK(uv_poll_init(loop_uv(o->conf.loop), o->handle, o->fd) == 0);
    CHECK(uv_poll_start(o->handle, UV_READABLE, on_readable) == 0);
    return true;
}

void outlet_close(struct outlet *o)
{
    /* A grandchild may hold the other end and go on writing: as much as a pipe holds. */
    for (size_t i = 0; o->handle && i < OUTLET_QUEUE / PIECE; i++) {
        if (read_some(o) != PIECE_CAME) {
            break;
        }
    }
    close_pipe(o);
}

uint64_t outlet_bytes(const struct outlet *o)
{
    return o->bytes;
}

uint64_t outlet_dropped(const struct outlet *o)
{
    return o->dropped;
}

void outlet_free(struct outlet **o)
{
    outlet_close(*o);
    outlet_flush(*o);
    buf_fini(&(*o)->queue);
    free(*o);
    *o = NULL;
}
