#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/sockname.h"

enum {
    ACCEPTS_PER_TURN = 16, /* then others have their turn */
    REFUSALS_AT_ONCE = 64,
    PAUSE_MS = 100
};

struct listener {
    struct loop *loop; /* borrowed */
    struct fd_watch watch;
    struct task more; /* others have had their turn */
    int fd;           /* -1: stopped */
    int reserve;      /* given up to refuse what waits when descriptors run out; -1: given up */
    bool is_short;    /* of descriptors: an episode, logged once */
    bool is_paused;   /* until the timer */
    struct timer resume;
    void (*on_accept)(void *owner, int fd);
    void *owner; /* borrowed */
};

static const char *text_of_errno(int errno_value)
{
    const char *text = strerrordesc_np(errno_value);
    return text ? text : "unknown error";
}

static enum err fail_with_errno(const char **why)
{
    *why = text_of_errno(errno);
    return err_from_errno(errno);
}

static void set_tcp_options(int fd, int family)
{
    int on = 1;
    int off = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                     sizeof(on)); /* inherited when accepted */
    if (family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
}

static enum err bind_and_listen(int fd, const struct sockaddr *sa, socklen_t len,
                                const char **why)
{
    if (bind(fd, sa, len) != 0 || listen(fd, SOMAXCONN) != 0) {
        return fail_with_errno(why);
    }
    return ERR_OK;
}

/* SO_REUSEPORT would let a second gateway share the address silently: a bind without it tells.
 */
static enum err check_free(const struct sockaddr *sa, socklen_t len, const char **why)
{
    int on = 1;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail_with_errno(why);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    enum err e = bind(fd, sa, len) == 0 ? ERR_OK : fail_with_errno(why);
    close(fd);
    return e;
}

static enum err open_tcp(const struct sockaddr *sa, socklen_t len, int *out, const char **why)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail_with_errno(why);
    }
    set_tcp_options(fd, sa->sa_family);
    enum err e = bind_and_listen(fd, sa, len, why);
    if (e != ERR_OK) {
        close(fd);
        return e;
    }
    *out = fd;
    return ERR_OK;
}

/* All addresses: IPv6 takes IPv4 along; a kernel without IPv6 has IPv4 only. */
static enum err open_any(uint16_t port, int *out, const char **why)
{
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_addr = in6addr_any, .sin6_port = htons(port)};
    enum err e = open_tcp((struct sockaddr *)&v6, sizeof(v6), out, why);
    if (e == ERR_OK || e == ERR_BUSY || e == ERR_NO_FDS) {
        return e;
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    v4.sin_addr.s_addr = htonl(INADDR_ANY);
    return open_tcp((struct sockaddr *)&v4, sizeof(v4), out, why);
}

/* At start, before there is a loop to disturb: this may ask a name server. */
static enum err open_named(const struct address *a, int *out, const char **why)
{
    char port[8];
    char *host = mem_dup(a->host);
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    snprintf(port, sizeof(port), "%u", (unsigned)a->port);
    int rc = getaddrinfo(host, port, &hints, &found);
    free(host);
    if (rc != 0) {
        *why = gai_strerror(rc);
        return ERR_DNS;
    }
    enum err e = open_tcp(found->ai_addr, found->ai_addrlen, out, why);
    freeaddrinfo(found);
    return e;
}

/* A socket file outlives its process; one that nobody listens on is in nobody's use. */
static void remove_stale(const struct sockaddr_un *un)
{
    struct stat st;
    if (lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) != 0 && errno == ECONNREFUSED) {
        (void)unlink(un->sun_path); /* if not, bind says why */
    }
    close(fd);
}

static enum err open_unix(struct str path, int *out, const char **why)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (path.len == 0 || path.len >= sizeof(un.sun_path)) {
        *why = "the path of a unix socket has 1 to 107 bytes";
        return ERR_RANGE;
    }
    memcpy(un.sun_path, path.ptr, path.len);
    remove_stale(&un);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail_with_errno(why);
    }
    enum err e = bind_and_listen(fd, (struct sockaddr *)&un, sizeof(un), why);
    if (e != ERR_OK) {
        close(fd);
        return e;
    }
    *out = fd;
    return ERR_OK;
}

/* The address of a bound socket as bind wants it; false for unix sockets. */
static bool bound_address(int fd, struct sockaddr_storage *sa, socklen_t *len)
{
    *len = sizeof(*sa);
    return getsockname(fd, (struct sockaddr *)sa, len) == 0 && sa->ss_family != AF_UNIX;
}

enum err listen_open_alone(const struct address *a, int *fd, const char **why)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t len = 0;
    int first = -1;
    enum err e = listen_open(a, &first, why);
    if (e != ERR_OK || !bound_address(first, &sa, &len)) {
        *fd = e == ERR_OK ? first : *fd;
        return e;
    }
    close(first); /* it was needed only to know the address and its port */
    e = check_free((struct sockaddr *)&sa, len, why);
    return e == ERR_OK ? open_tcp((struct sockaddr *)&sa, len, fd, why) : e;
}

enum err listen_open(const struct address *a, int *fd, const char **why)
{
    if (a->is_unix) {
        return open_unix(a->path, fd, why);
    }
    return a->host.len == 0 ? open_any(a->port, fd, why) : open_named(a, fd, why);
}

void listen_name(int fd, char *out, size_t size)
{
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(name);
    char text[SOCKNAME_MAX];
    (void)getsockname(fd, (struct sockaddr *)&name, &len); /* unknown: "?" */
    sockname_format((struct sockaddr *)&name, len, text);
    snprintf(out, size, "%s", text);
}

static void take_reserve(struct listener *ln)
{
    if (ln->reserve < 0) {
        ln->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

/* Takes what waits with the reserve descriptor and closes it at once, so that clients are
 * refused now and do not hang until descriptors are free. */
static void refuse_waiting(struct listener *ln)
{
    if (ln->reserve >= 0) {
        close(ln->reserve);
        ln->reserve = -1;
    }
    for (int i = 0; i < REFUSALS_AT_ONCE; i++) {
        int fd = accept4(ln->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            break;
        }
        close(fd);
    }
    take_reserve(ln);
}

static void pause_accepting(struct listener *ln)
{
    ln->is_paused = true;
    timer_arm(ln->loop, &ln->resume, loop_now_ms(ln->loop) + PAUSE_MS);
}

static void resume_accepting(struct timer *t)
{
    struct listener *ln = container_of(t, struct listener, resume);
    take_reserve(ln);
    ln->is_paused = false;
    task_ready(ln->loop, &ln->more);
}

static void run_short(struct listener *ln, int errno_value)
{
    if (!ln->is_short) {
        log_warn("cannot accept connections, refusing them until this is over",
                 LOG_TEXT("reason", text_of_errno(errno_value)));
    }
    ln->is_short = true;
    refuse_waiting(ln);
    pause_accepting(ln);
}

static bool is_shortage(int errno_value)
{
    return errno_value == EMFILE || errno_value == ENFILE || errno_value == ENOBUFS ||
           errno_value == ENOMEM;
}

/* One connection; false when there is none or we cannot take it. */
static bool accept_one(struct listener *ln)
{
    int fd = accept4(ln->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        ln->is_short = false;
        ln->on_accept(ln->owner, fd);
        return true;
    }
    if (is_shortage(errno)) {
        run_short(ln, errno);
        return false;
    }
    /* Other errors are those of the connection that was to be accepted (accept(2)). */
    return errno != EAGAIN && errno != EINVAL && errno != EBADF;
}

/* No further event comes for those that wait already. */
static void accept_some(struct task *t)
{
    struct listener *ln = container_of(t, struct listener, more);
    for (int i = 0; i < ACCEPTS_PER_TURN && ln->fd >= 0 && !ln->is_paused; i++) {
        if (!accept_one(ln)) {
            return;
        }
    }
    if (ln->fd >= 0 && !ln->is_paused) {
        task_ready(ln->loop, &ln->more);
    }
}

static void on_event(struct fd_watch *w, unsigned events)
{
    struct listener *ln = container_of(w, struct listener, watch);
    (void)events;
    task_ready(ln->loop, &ln->more);
}

struct listener *listener_start(struct loop *l, int fd, void (*on_accept)(void *owner, int fd),
                                void *owner)
{
    struct listener *ln = mem_alloc(sizeof(*ln));
    ln->loop = l;
    ln->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    CHECK(ln->fd >= 0);
    ln->reserve = -1;
    take_reserve(ln);
    ln->on_accept = on_accept;
    ln->owner = owner;
    timer_init(&ln->resume, resume_accepting);
    task_init(&ln->more, accept_some);
    ln->watch.ready = on_event;
    watch_set_add(loop_watches(l), &ln->watch, ln->fd);
    return ln;
}

void listener_take_waiting(struct listener *ln)
{
    for (int i = 0; i < SOMAXCONN && ln->fd >= 0; i++) {
        if (!accept_one(ln)) {
            break;
        }
    }
}

void listener_stop(struct listener **ln)
{
    struct listener *dead = *ln;
    *ln = NULL;
    if (!dead) {
        return;
    }
    timer_drop(dead->loop, &dead->resume);
    task_cancel(dead->loop, &dead->more);
    watch_set_remove(loop_watches(dead->loop), &dead->watch, dead->fd);
    close(dead->fd);
    dead->fd = -1;
    if (dead->reserve >= 0) {
        close(dead->reserve);
    }
    loop_free_later(dead->loop, dead);
}
