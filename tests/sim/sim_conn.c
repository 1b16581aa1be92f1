#include "sim_conn.h"

#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "net/listener.h"
#include "sim_draw.h"
#include "sim_loop.h"

enum { ARRIVED_MAX = 64 << 20, ENDS_MAX = 64, LISTENERS_MAX = 4, STALE = 0xdd };

enum phase { PHASE_CONNECTING, PHASE_OPEN, PHASE_FAILED };

struct conn {
    struct sim_polled polled;
    struct loop *loop;
    void (*notify)(void *owner, unsigned events);
    void *owner;
    struct sim_end *peer; /* NULL: gone */
    enum phase phase;
    bool has_outcome; /* of connecting: to be told in the next poll */
    enum err connect_error;
    uint16_t port; /* connected to */
    struct sim_event outcome;
    struct buf arrived;
    enum err end;      /* behind what has arrived; ERR_OK: open */
    enum err read_end; /* told */
    size_t room;
    size_t last_read; /* stale bytes up to here may be in the reader's memory */
    bool is_write_dead;
    bool is_paused;
    bool is_blocked;
    bool is_told;
    char name[24];
};

struct listener {
    struct loop *loop;
    void (*on_accept)(void *owner, int fd);
    void *owner;
};

static struct {
    struct sim_network network;
    struct listener *listeners[LISTENERS_MAX];
    struct sim_end *accepting[ENDS_MAX]; /* by descriptor: between connect and accept */
    size_t open;
} net;

void sim_network_set(const struct sim_network *network)
{
    net.network = *network;
}

size_t sim_conns_open(void)
{
    return net.open;
}

/* --- readiness --- */

static bool can_read(const struct conn *c)
{
    bool has_news = buf_len(&c->arrived) > 0 || c->end != ERR_OK;
    return c->phase == PHASE_OPEN && !c->is_paused && c->read_end == ERR_OK && has_news;
}

static bool can_write(const struct conn *c)
{
    return c->phase == PHASE_OPEN && c->is_blocked && (c->room > 0 || c->is_write_dead);
}

static bool is_ready(struct sim_polled *p)
{
    const struct conn *c = container_of(p, struct conn, polled);
    return c->has_outcome || can_read(c) || can_write(c);
}

static void tell(struct sim_polled *p)
{
    struct conn *c = container_of(p, struct conn, polled);
    unsigned told = 0;
    if (c->has_outcome) {
        c->has_outcome = false;
        c->phase = c->connect_error == ERR_OK ? PHASE_OPEN : PHASE_FAILED;
        c->notify(c->owner, CONN_WRITABLE);
        return;
    }
    told |= can_read(c) ? CONN_READABLE : 0U;
    if (can_write(c)) {
        /* As net/conn.c: an owner that was told and did not write has nothing more to write. */
        c->is_blocked = !c->is_told;
        told |= c->is_told ? 0U : CONN_WRITABLE;
        c->is_told = true;
    }
    if (told != 0) {
        c->notify(c->owner, told);
    }
}

static struct conn *new_conn(struct loop *l, void (*notify)(void *owner, unsigned events),
                             void *owner)
{
    CHECK(notify != NULL);
    struct conn *c = mem_alloc(sizeof(*c));
    c->loop = l;
    c->notify = notify;
    c->owner = owner;
    c->room = SIM_ROOM_ALL;
    c->polled = (struct sim_polled){.is_ready = is_ready, .tell = tell};
    buf_init(&c->arrived, ARRIVED_MAX);
    sim_poll_add(l, &c->polled);
    net.open++;
    return c;
}

/* --- the beginning --- */

static void on_outcome(struct sim_event *e)
{
    struct conn *c = container_of(e, struct conn, outcome);
    c->has_outcome = true;
    if (c->connect_error == ERR_OK) {
        c->peer = net.network.open(net.network.owner, c->port);
        c->peer->conn = c;
    }
}

enum err conn_connect(struct loop *l, const struct conn_target *to,
                      void (*notify)(void *owner, unsigned events), void *owner,
                      struct conn **out)
{
    CHECK(to->address->sa_family == AF_INET && !to->tls);
    uint16_t port = ntohs(((const struct sockaddr_in *)(const void *)to->address)->sin_port);
    uint32_t after_ms = 0;
    enum err e = net.network.connect(net.network.owner, port, &after_ms);
    if (e != ERR_OK && e != ERR_AGAIN && after_ms == 0) {
        return e;
    }
    struct conn *c = new_conn(l, notify, owner);
    c->port = port;
    c->connect_error = e;
    (void)snprintf(c->name, sizeof(c->name), "127.0.0.1:%u", (unsigned)port);
    sim_event_init(&c->outcome, on_outcome);
    if (e != ERR_AGAIN) {
        sim_event_set(&c->outcome, after_ms);
    }
    *out = c;
    return ERR_OK;
}

enum err conn_connected(struct conn *c)
{
    return c->phase == PHASE_CONNECTING ? ERR_AGAIN : c->connect_error;
}

struct conn *conn_accepted(struct loop *l, int fd, SSL_CTX *tls,
                           void (*notify)(void *owner, unsigned events), void *owner)
{
    CHECK(!tls && fd >= 0 && fd < ENDS_MAX && net.accepting[fd]);
    struct conn *c = new_conn(l, notify, owner);
    c->phase = PHASE_OPEN;
    c->peer = net.accepting[fd];
    c->peer->conn = c;
    net.accepting[fd] = NULL;
    (void)snprintf(c->name, sizeof(c->name), "client:%d", fd);
    return c;
}

void conn_set_owner(struct conn *c, void (*notify)(void *owner, unsigned events), void *owner)
{
    CHECK(notify != NULL);
    c->notify = notify;
    c->owner = owner;
}

/* --- reading and writing --- */

/* What an earlier read left behind in the reader's memory is no longer his: it is spoilt, so
 * that nobody can live on it. */
static void spoil(struct conn *c, char *dst, size_t cap, size_t got)
{
    size_t stale = c->last_read < cap ? c->last_read : cap;
    if (stale > got) {
        memset(dst + got, STALE, stale - got);
    }
    c->last_read = got > c->last_read ? got : c->last_read;
}

enum err conn_read(struct conn *c, char *dst, size_t cap, size_t *got)
{
    CHECK(cap > 0);
    if (c->phase != PHASE_OPEN) {
        return conn_connected(c);
    }
    size_t there = buf_len(&c->arrived);
    if (c->read_end != ERR_OK || there == 0) {
        c->read_end = c->read_end != ERR_OK ? c->read_end : c->end;
        return c->read_end != ERR_OK ? c->read_end : ERR_AGAIN;
    }
    size_t size = there < cap ? there : cap;
    memcpy(dst, buf_str(&c->arrived).ptr, size);
    spoil(c, dst, cap, size);
    sim_loop_note_read(c->loop, dst, size);
    buf_consume(&c->arrived, size);
    *got = size;
    return ERR_OK;
}

/* Bytes for a peer that has closed are answered by a reset. */
static void lose_bytes(struct conn *c)
{
    c->is_write_dead = true;
    c->end = ERR_RESET;
}

enum err conn_write(struct conn *c, const struct str *parts, size_t count, size_t *put)
{
    *put = 0;
    if (c->phase != PHASE_OPEN) {
        return conn_connected(c);
    }
    c->is_told = false;
    c->is_blocked = false;
    if (c->is_write_dead) {
        return ERR_RESET;
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = parts[i].len < c->room ? parts[i].len : c->room;
        if (size > 0 && c->peer) {
            c->room -= size;
            c->peer->on_bytes(c->peer, str_of(parts[i].ptr, size));
        } else if (size > 0) {
            lose_bytes(c);
        }
        *put += size;
        if (size < parts[i].len) {
            c->is_blocked = true;
            return ERR_AGAIN;
        }
    }
    return ERR_OK;
}

void conn_read_pause(struct conn *c)
{
    c->is_paused = true;
}

void conn_read_resume(struct conn *c)
{
    c->is_paused = false;
}

bool conn_is_gone(struct conn *c)
{
    return c->end != ERR_OK || c->is_write_dead;
}

const char *conn_peer(const struct conn *c)
{
    return c->name;
}

/* --- the end --- */

void conn_shutdown_write(struct conn *c)
{
    if (c->phase == PHASE_OPEN && c->peer) {
        c->peer->on_end(c->peer, SIM_SHUT);
    }
}

static void let_go(struct conn *c, enum sim_end_kind kind)
{
    struct sim_end *peer = c->peer;
    sim_event_cancel(&c->outcome);
    sim_poll_remove(c->loop, &c->polled);
    buf_fini(&c->arrived);
    loop_free_later(c->loop, c);
    net.open--;
    if (peer) {
        peer->conn = NULL;
        peer->on_end(peer, kind);
    }
}

/* As the kernel does: a socket closed with bytes that nobody has read is reset. */
void conn_close(struct conn **c)
{
    struct conn *dead = *c;
    *c = NULL;
    if (dead) {
        let_go(dead, buf_len(&dead->arrived) > 0 ? SIM_RESET : SIM_CLOSED);
    }
}

void conn_abort(struct conn **c)
{
    struct conn *dead = *c;
    *c = NULL;
    if (dead) {
        let_go(dead, SIM_RESET);
    }
}

/* --- the script's side --- */

void sim_end_send(struct sim_end *e, struct str bytes)
{
    if (e->conn) {
        CHECK(e->conn->end == ERR_OK);
        enum err kept = buf_append(&e->conn->arrived, bytes);
        CHECK(kept == ERR_OK);
    }
}

void sim_end_finish(struct sim_end *e)
{
    if (e->conn && e->conn->end == ERR_OK) {
        e->conn->end = ERR_EOF;
    }
}

void sim_end_close(struct sim_end *e, bool is_reset)
{
    struct conn *c = e->conn;
    e->conn = NULL;
    if (!c) {
        return;
    }
    c->peer = NULL;
    if (is_reset || c->end == ERR_OK) {
        c->end = is_reset ? ERR_RESET : ERR_EOF;
    }
    c->is_write_dead = is_reset;
}

void sim_end_room(struct sim_end *e, size_t size)
{
    if (e->conn) {
        e->conn->room += size;
    }
}

size_t sim_end_unread(const struct sim_end *e)
{
    return e->conn ? buf_len(&e->conn->arrived) : 0;
}

void sim_end_limit(struct sim_end *e, size_t size)
{
    if (e->conn) {
        e->conn->room = size;
    }
}

/* --- listening --- */

struct listener *listener_start(struct loop *l, int fd, void (*on_accept)(void *owner, int fd),
                                void *owner)
{
    struct listener *ln = mem_alloc(sizeof(*ln));
    *ln = (struct listener){.loop = l, .on_accept = on_accept, .owner = owner};
    CHECK(fd >= 0 && fd < LISTENERS_MAX && !net.listeners[fd]);
    net.listeners[fd] = ln;
    net.open++;
    return ln;
}

void listener_take_waiting(struct listener *ln)
{
    (void)ln; /* sim_connect_to hands over at once */
}

void listener_stop(struct listener **ln)
{
    struct listener *dead = *ln;
    *ln = NULL;
    for (size_t i = 0; dead && i < LISTENERS_MAX; i++) {
        if (net.listeners[i] == dead) {
            net.listeners[i] = NULL;
            net.open--;
            free(dead);
            return;
        }
    }
}

bool sim_connect_to(struct loop *l, struct sim_end *e)
{
    int fd = 0;
    while (fd < ENDS_MAX && net.accepting[fd]) {
        fd++;
    }
    CHECK(fd < ENDS_MAX);
    for (size_t i = 0; i < LISTENERS_MAX; i++) {
        struct listener *ln = net.listeners[i];
        if (ln && ln->loop == l) {
            net.accepting[fd] = e;
            ln->on_accept(ln->owner, fd);
            CHECK(net.accepting[fd] == NULL);
            return true;
        }
    }
    return false;
}
