#include "guard/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

struct parent {
    struct loop *loop;
    int fd;
    struct fd_watch watch;
    void (*notify)(void *owner);
    void *owner;
    bool is_gone;
    enum guard_turn turn;
    size_t told_len;
    char told[GUARD_LINE_MAX];
};

static void take_packet(struct parent *p, struct str packet)
{
    if (p->turn == GUARD_TURN_WANTED && str_eq(packet, STR(GUARD_LINE_GO))) {
        p->turn = GUARD_TURN_HELD;
    }
}

static void on_ready(struct fd_watch *w, unsigned events)
{
    struct parent *p = container_of(w, struct parent, watch);
    char room[GUARD_LINE_MAX];
    (void)events;
    ssize_t got = recv(p->fd, room, sizeof(room), MSG_DONTWAIT);
    while (got > 0) {
        take_packet(p, str_of(room, (size_t)got));
        got = recv(p->fd, room, sizeof(room), MSG_DONTWAIT);
    }
    p->is_gone = p->is_gone || got == 0 || (errno != EAGAIN && errno != EINTR);
    p->notify(p->owner);
}

static bool is_packet_socket(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

struct parent *parent_open(struct loop *l, int fd, void (*notify)(void *owner), void *owner)
{
    if (!is_packet_socket(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return NULL;
    }
    struct parent *p = mem_alloc(sizeof(*p));
    p->loop = l;
    p->fd = fd;
    p->notify = notify;
    p->owner = owner;
    p->watch.ready = on_ready;
    watch_set_add(loop_watches(l), &p->watch, fd);
    return p;
}

void parent_close(struct parent **p)
{
    if (*p) {
        watch_set_remove(loop_watches((*p)->loop), &(*p)->watch, (*p)->fd);
        (void)close((*p)->fd);
        free(*p);
        *p = NULL;
    }
}

bool parent_is_gone(const struct parent *p)
{
    return p->is_gone;
}

enum guard_turn parent_turn(const struct parent *p)
{
    return p->turn;
}

void parent_want_turn(struct parent *p)
{
    if (p->turn == GUARD_TURN_NONE) {
        p->turn = GUARD_TURN_WANTED;
    }
}

void parent_end_turn(struct parent *p)
{
    p->turn = GUARD_TURN_NONE;
}

void parent_tell(struct parent *p, struct guard_line line)
{
    char text[GUARD_LINE_MAX];
    line.turn = p->turn;
    size_t len = guard_line_write(&line, text);
    if (len == p->told_len && memcmp(text, p->told, len) == 0) {
        return;
    }
    /* One that does not fit now is told with the next turn. */
    if (send(p->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len) {
        memcpy(p->told, text, len);
        p->told_len = len;
    }
}
