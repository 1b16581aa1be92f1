#include "net/watch.h"

#include <errno.h>
#include <unistd.h>

#include "base/check.h"

void watch_set_init(struct watch_set *s)
{
    s->next = 0;
    s->count = 0;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(s->epoll >= 0);
}

void watch_set_fini(struct watch_set *s)
{
    close(s->epoll);
    s->epoll = -1;
}

static void add(struct watch_set *s, struct fd_watch *w, int fd, unsigned events)
{
    struct epoll_event e = {.events = events, .data = {.ptr = w}};
    CHECK(epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) == 0);
}

void watch_set_add(struct watch_set *s, struct fd_watch *w, int fd)
{
    add(s, w, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

void watch_set_add_level(struct watch_set *s, struct fd_watch *w, int fd)
{
    add(s, w, fd, EPOLLIN);
}

void watch_set_remove(struct watch_set *s, const struct fd_watch *w, int fd)
{
    /* Closing would do, unless a child process being born holds the descriptor, too. */
    CHECK(epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL) == 0);
    for (int i = s->next; i < s->count; i++) {
        if (s->event[i].data.ptr == w) {
            s->event[i].data.ptr = NULL;
        }
    }
}

void watch_set_wait(struct watch_set *s, int wait_ms)
{
    int count = epoll_wait(s->epoll, s->event, WATCH_BATCH, wait_ms);
    CHECK(count >= 0 || errno == EINTR);
    s->count = count > 0 ? count : 0;
    s->next = 0;
}

bool watch_set_is_full(const struct watch_set *s)
{
    return s->count == WATCH_BATCH;
}

void watch_set_tell(struct watch_set *s)
{
    while (s->next < s->count) {
        const struct epoll_event *e = &s->event[s->next++];
        struct fd_watch *w = e->data.ptr;
        if (w) {
            w->ready(w, e->events);
        }
    }
}
