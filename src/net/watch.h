#pragma once

#include <stdbool.h>
#include <sys/epoll.h>

/*
 * Sockets that are watched for as long as they are open. Edge-triggered, for reading and
 * writing at once: an event says what the socket is now, and comes again only when something
 * new has happened to it. So whoever is told goes on until there is no more, or remembers that
 * there is; in return no system call is ever spent on changing what is watched. One thread.
 */

enum { WATCH_BATCH = 256 };

/* Embedded in its owner. */
struct fd_watch {
    void (*ready)(struct fd_watch *w, unsigned events); /* EPOLL* bits */
};

/* Of one loop. */
struct watch_set {
    int epoll;
    struct epoll_event event[WATCH_BATCH];
    int next; /* of the events taken in, the first that has not been told */
    int count;
};

void watch_set_init(struct watch_set *s);
void watch_set_fini(struct watch_set *s); /* what is still watched is forgotten */

/* `w` is told of what fd is now, unless that is nothing, and of every change from now on. */
void watch_set_add(struct watch_set *s, struct fd_watch *w, int fd);

/* For a descriptor whose changes cannot be relied upon (another epoll set): `w` is told in
 * every turn in which fd can be read. */
void watch_set_add_level(struct watch_set *s, struct fd_watch *w, int fd);

/* Before fd is closed; also when events for it have been taken in but not told. */
void watch_set_remove(struct watch_set *s, const struct fd_watch *w, int fd);

/* Takes in events; waits for the first, but not longer than wait_ms (-1: without limit). */
void watch_set_wait(struct watch_set *s, int wait_ms);

/* The last wait brought as many as it could: there may be more. */
bool watch_set_is_full(const struct watch_set *s);

/* Tells those that were taken in; callbacks may add and remove any watch. */
void watch_set_tell(struct watch_set *s);
