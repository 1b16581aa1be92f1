#include "net/conn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/uio.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/conn_tls.h"
#include "net/sockname.h"

enum { IOV_PER_CALL = 64, SMALL_WRITE = 4096 };

enum phase {
    PHASE_CONNECTING,
    PHASE_SHAKING_HANDS, /* as a client; a server's handshake goes on inside its first reads */
    PHASE_OPEN,
    PHASE_FAILED /* never was open */
};

/* What every read and write needs comes first, so that it lies in one line of the cache. */
struct conn {
    struct fd_watch watch;
    struct loop *loop; /* borrowed */
    void (*notify)(void *owner, unsigned events);
    void *owner; /* borrowed */
    SSL *ssl;    /* NULL: plain */
    int fd;
    enum phase phase;
    enum err read_end;      /* ERR_OK, or how reading has ended: for good */
    bool is_readable;       /* a read may give something: bytes, or its end */
    bool has_ended;         /* the peer has: behind the bytes that wait is something more */
    bool is_paused;         /* the owner does not want to read */
    bool is_blocked;        /* a write waits for room */
    bool is_told;           /* of that room, and has not written since */
    bool is_broken;         /* a write has failed: no goodbye can be said */
    bool read_wants_write;  /* TLS: reading goes on when the socket can be written */
    bool write_wants_read;  /* TLS: and the other way round */
    struct task again;      /* tells the owner of what no event will tell */
    enum err connect_error; /* with PHASE_FAILED */
    char peer[SOCKNAME_MAX];
};

static bool is_connecting(const struct conn *c)
{
    return c->phase == PHASE_CONNECTING || c->phase == PHASE_SHAKING_HANDS;
}

/* The next event comes only when something new has happened: what is left now is told so. */
static void tell_again(struct conn *c)
{
    if (c->phase == PHASE_OPEN && c->is_readable && !c->is_paused) {
        task_ready(c->loop, &c->again);
    }
}

static void run_again(struct task *t)
{
    struct conn *c = container_of(t, struct conn, again);
    if (c->is_readable && !c->is_paused) {
        c->notify(c->owner, CONN_READABLE);
    }
}

/* On loopback a socket may meet itself when nobody listens on a port that the kernel also gives
 * to those who connect: that is a refusal, and the port must be let go. */
static bool is_self_connected(const struct conn *c)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    char self[SOCKNAME_MAX];
    if (getsockname(c->fd, (struct sockaddr *)&name, &len) != 0) {
        return false;
    }
    sockname_format((struct sockaddr *)&name, len, self);
    return strcmp(self, c->peer) == 0;
}

static enum err explain_connect(int errno_value)
{
    enum err e = err_from_errno(errno_value);
    return e == ERR_IO || e == ERR_BUSY ? ERR_UNREACHABLE : e;
}

/* On an open connection only "reset" and "our own trouble" are told apart. */
static enum err explain_io(int errno_value)
{
    enum err e = err_from_errno(errno_value);
    bool is_lost = e == ERR_TIMEOUT || e == ERR_UNREACHABLE || e == ERR_REFUSED;
    return is_lost ? ERR_RESET : e;
}

static enum err end_connecting(const struct conn *c)
{
    int so_error = 0;
    socklen_t len = sizeof(so_error);
    CHECK(getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &so_error, &len) == 0);
    if (so_error != 0) {
        return explain_connect(so_error);
    }
    return is_self_connected(c) ? ERR_REFUSED : ERR_OK;
}

/* One step towards an open connection; ERR_AGAIN: wait. */
static enum err step_connecting(struct conn *c)
{
    if (c->phase == PHASE_CONNECTING) {
        enum err e = end_connecting(c);
        if (e != ERR_OK || !c->ssl) {
            return e;
        }
        c->phase = PHASE_SHAKING_HANDS;
    }
    unsigned want = 0; /* whatever it is, it will be an event */
    return conn_tls_handshake(c->ssl, &want);
}

static void go_on_connecting(struct conn *c)
{
    enum err e = step_connecting(c);
    if (e == ERR_AGAIN) {
        return;
    }
    c->phase = e == ERR_OK ? PHASE_OPEN : PHASE_FAILED;
    c->connect_error = e;
    c->is_readable =
        c->is_readable || c->ssl; /* the last of the handshake may bring more along */
    tell_again(c);
    c->notify(c->owner, CONN_WRITABLE);
}

/* What the owner is to know of these socket events. */
static unsigned translate(struct conn *c, unsigned events)
{
    bool has_ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    bool is_readable = has_ended || (events & EPOLLIN) != 0;
    bool is_writable = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    bool can_write = c->write_wants_read ? is_readable : is_writable;
    unsigned told = 0;
    c->has_ended = c->has_ended || has_ended;
    c->is_readable = c->is_readable || (c->read_wants_write ? is_writable : is_readable);
    if (c->is_readable && !c->is_paused && c->read_end == ERR_OK) {
        told |= CONN_READABLE;
    }
    if (can_write && c->is_blocked) {
        /* An owner that was told and did not write has nothing more to write. */
        c->is_blocked = !c->is_told;
        told |= c->is_told ? 0U : CONN_WRITABLE;
        c->is_told = true;
    }
    return told;
}

static void on_event(struct fd_watch *w, unsigned events)
{
    struct conn *c = container_of(w, struct conn, watch);
    unsigned told = translate(c, events);
    if (is_connecting(c)) {
        go_on_connecting(c);
    } else if (told != 0 && c->phase == PHASE_OPEN) {
        c->notify(c->owner, told);
    }
}

static struct conn *new_conn(struct loop *l, int fd,
                             void (*notify)(void *owner, unsigned events), void *owner)
{
    CHECK(notify != NULL);
    struct conn *c = mem_alloc(sizeof(*c));
    c->loop = l;
    c->fd = fd;
    c->notify = notify;
    c->owner = owner;
    c->watch.ready = on_event;
    task_init(&c->again, run_again);
    watch_set_add(loop_watches(l), &c->watch, fd);
    return c;
}

struct conn *conn_accepted(struct loop *l, int fd, SSL_CTX *tls,
                           void (*notify)(void *owner, unsigned events), void *owner)
{
    struct conn *c = new_conn(l, fd, notify, owner);
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(name);
    (void)getpeername(fd, (struct sockaddr *)&name, &len); /* gone already: its name is "?" */
    sockname_format((struct sockaddr *)&name, len, c->peer);
    c->ssl = tls ? conn_tls_new(tls, fd, NULL) : NULL;
    c->phase = PHASE_OPEN;
    return c;
}

/* A socket on its way to `to`. */
static enum err open_socket(const struct conn_target *to, int *out)
{
    int on = 1;
    int fd = socket(to->address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return explain_connect(errno);
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int rc = connect(fd, to->address, to->address_len);
    if (rc != 0 && errno != EINPROGRESS && errno != EINTR) {
        enum err e = explain_connect(errno);
        close(fd);
        return e;
    }
    *out = fd;
    return ERR_OK;
}

enum err conn_connect(struct loop *l, const struct conn_target *to,
                      void (*notify)(void *owner, unsigned events), void *owner,
                      struct conn **out)
{
    int fd = -1;
    CHECK(!to->tls || to->server_name);
    enum err e = open_socket(to, &fd);
    if (e != ERR_OK) {
        return e;
    }
    struct conn *c = new_conn(l, fd, notify, owner);
    sockname_format(to->address, to->address_len, c->peer);
    c->ssl = to->tls ? conn_tls_new(to->tls, fd, to->server_name) : NULL;
    c->phase = PHASE_CONNECTING;
    *out = c;
    return ERR_OK;
}

enum err conn_connected(struct conn *c)
{
    return is_connecting(c) ? ERR_AGAIN : c->connect_error;
}

void conn_set_owner(struct conn *c, void (*notify)(void *owner, unsigned events), void *owner)
{
    CHECK(notify != NULL);
    c->notify = notify;
    c->owner = owner;
    tell_again(c);
}

/* Less than there was room for: nothing is left (epoll(7)). */
static enum err read_plain(struct conn *c, char *dst, size_t cap, size_t *got)
{
    ssize_t n = recv(c->fd, dst, cap, 0);
    if (n < 0) {
        return explain_io(errno);
    }
    if (n == 0) {
        return ERR_EOF;
    }
    *got = (size_t)n;
    c->is_readable = *got == cap || c->has_ended;
    return ERR_OK;
}

/* Record after record, until dst is full or there is no more. */
static enum err read_tls(struct conn *c, char *dst, size_t cap, size_t *got)
{
    size_t total = 0;
    unsigned want = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && total < cap) {
        size_t n = 0;
        e = conn_tls_read(c->ssl, dst + total, cap - total, &n, &want);
        total += e == ERR_OK ? n : 0;
    }
    c->read_wants_write = e == ERR_AGAIN && want == CONN_WRITABLE;
    c->is_readable = e != ERR_AGAIN;
    if (total == 0) {
        return e;
    }
    if (e != ERR_AGAIN) {
        c->read_end = e; /* for the next read; ERR_OK goes on */
    }
    *got = total;
    return ERR_OK;
}

enum err conn_read(struct conn *c, char *dst, size_t cap, size_t *got)
{
    CHECK(cap > 0);
    if (c->phase != PHASE_OPEN) {
        return conn_connected(c);
    }
    enum err e = c->read_end;
    if (e == ERR_OK) {
        e = c->ssl ? read_tls(c, dst, cap, got) : read_plain(c, dst, cap, got);
    }
    if (e == ERR_OK) {
        tell_again(c);
        return ERR_OK;
    }
    c->is_readable = false;
    c->read_end = e == ERR_AGAIN ? ERR_OK : e;
    return e;
}

/* Fills the vector from the parts; returns how many parts were looked at. */
static size_t fill_vector(const struct str *parts, size_t count, struct msghdr *to)
{
    size_t at = 0;
    while (at < count && to->msg_iovlen < IOV_PER_CALL) {
        if (parts[at].len > 0) {
            union {
                const char *from;
                void *to;
            } base = {.from = parts[at].ptr}; /* sendmsg only reads */
            to->msg_iov[to->msg_iovlen++] =
                (struct iovec){.iov_base = base.to, .iov_len = parts[at].len};
        }
        at++;
    }
    return at;
}

static size_t vector_bytes(const struct msghdr *m)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->msg_iovlen; i++) {
        bytes += m->msg_iov[i].iov_len;
    }
    return bytes;
}

/* Small writes in pieces (a token with its chunk framing) cost less as one copy and a send than
 * as a vector that the kernel has to read piece by piece. False when they do not fit. */
static bool join_small(const struct str *parts, size_t count, char room[SMALL_WRITE],
                       size_t *size)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > SMALL_WRITE - len) {
            return false;
        }
        if (parts[i].len > 0) {
            memcpy(room + len, parts[i].ptr, parts[i].len);
        }
        len += parts[i].len;
    }
    *size = len;
    return true;
}

static enum err write_small(const struct conn *c, const char *bytes, size_t size, size_t *put)
{
    if (size == 0) {
        return ERR_OK;
    }
    ssize_t n = send(c->fd, bytes, size, MSG_NOSIGNAL);
    if (n < 0) {
        return explain_io(errno);
    }
    *put = (size_t)n;
    return *put < size ? ERR_AGAIN : ERR_OK;
}

static enum err write_plain(const struct conn *c, const struct str *parts, size_t count,
                            size_t *put)
{
    char room[SMALL_WRITE];
    size_t size = 0;
    size_t at = 0;
    if (join_small(parts, count, room, &size)) {
        return write_small(c, room, size, put);
    }
    while (at < count) {
        struct iovec vector[IOV_PER_CALL];
        struct msghdr message = {.msg_iov = vector};
        at += fill_vector(parts + at, count - at, &message);
        if (message.msg_iovlen == 0) {
            break;
        }
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n < 0) {
            return explain_io(errno);
        }
        *put += (size_t)n;
        if ((size_t)n < vector_bytes(&message)) {
            return ERR_AGAIN; /* the kernel's buffer is full: another call would only say so */
        }
    }
    return ERR_OK;
}

static enum err write_tls(struct conn *c, const struct str *parts, size_t count, size_t *put)
{
    unsigned want = 0;
    enum err e = conn_tls_write(c->ssl, parts, count, put, &want);
    c->write_wants_read = e == ERR_AGAIN && want == CONN_READABLE;
    return e;
}

enum err conn_write(struct conn *c, const struct str *parts, size_t count, size_t *put)
{
    *put = 0;
    if (c->phase != PHASE_OPEN) {
        return conn_connected(c);
    }
    enum err e = c->ssl ? write_tls(c, parts, count, put) : write_plain(c, parts, count, put);
    c->is_blocked = e == ERR_AGAIN;
    c->is_broken = e != ERR_OK && e != ERR_AGAIN;
    c->is_told = false;
    return e;
}

void conn_read_pause(struct conn *c)
{
    c->is_paused = true;
}

void conn_read_resume(struct conn *c)
{
    c->is_paused = false;
    tell_again(c);
}

bool conn_is_gone(struct conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && ((unsigned)p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

const char *conn_peer(const struct conn *c)
{
    return c->peer;
}

static bool can_say_goodbye(const struct conn *c)
{
    bool has_failed = c->is_broken || (c->read_end != ERR_OK && c->read_end != ERR_EOF);
    return c->phase == PHASE_OPEN && !has_failed;
}

void conn_shutdown_write(struct conn *c)
{
    if (c->phase != PHASE_OPEN) {
        return;
    }
    if (c->ssl && can_say_goodbye(c)) {
        conn_tls_end(c->ssl);
    }
    (void)shutdown(c->fd,
                   SHUT_WR); /* fails when the peer has gone: then there is nothing to end */
}

static void let_go(struct conn *c)
{
    task_cancel(c->loop, &c->again);
    watch_set_remove(loop_watches(c->loop), &c->watch, c->fd);
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    c->fd = -1;
    loop_free_later(c->loop, c);
}

void conn_close(struct conn **c)
{
    struct conn *dead = *c;
    *c = NULL;
    if (!dead) {
        return;
    }
    if (dead->ssl && can_say_goodbye(dead)) {
        conn_tls_end(dead->ssl);
    }
    let_go(dead);
}

void conn_abort(struct conn **c)
{
    struct conn *dead = *c;
    *c = NULL;
    if (!dead) {
        return;
    }
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(dead->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    let_go(dead);
}
