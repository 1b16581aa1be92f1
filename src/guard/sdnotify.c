#include "guard/sdnotify.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guard/notify_text.h"

/* An abstract name has its exact length: zeros behind it would be part of it. */
bool sdnotify_address(struct str name, struct sockaddr_un *out, socklen_t *length)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    bool is_abstract = str_starts(name, STR("@"));
    if (!is_abstract && !str_starts(name, STR("/"))) {
        return false;
    }
    if (name.len < 2 || name.len >= sizeof(out->sun_path)) {
        return false;
    }
    memcpy(out->sun_path, name.ptr, name.len);
    if (is_abstract) {
        out->sun_path[0] = '\0';
    }
    *length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name.len + (is_abstract ? 0 : 1));
    return true;
}

void sdnotify_open(struct sdnotify *n, const char **why)
{
    const char *name = getenv("NOTIFY_SOCKET");
    *n = (struct sdnotify){.fd = -1};
    *why = NULL;
    n->watchdog_ms = notify_watchdog_ms(str_from(getenv("WATCHDOG_USEC")),
                                        str_from(getenv("WATCHDOG_PID")), getpid());
    if (name) {
        n->is_open = sdnotify_address(str_from(name), &n->address, &n->length);
        *why = n->is_open ? NULL : "NOTIFY_SOCKET is neither a path nor an abstract name";
    }
    if (n->is_open) {
        n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        n->is_open = n->fd >= 0;
    }
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

void sdnotify_close(struct sdnotify *n)
{
    if (n->is_open) {
        (void)close(n->fd);
    }
    n->is_open = false;
}

void sdnotify_send(const struct sdnotify *n, struct str text)
{
    if (n->is_open && text.len > 0) {
        (void)sendto(n->fd, text.ptr, text.len, MSG_NOSIGNAL,
                     (const struct sockaddr *)(const void *)&n->address, n->length);
    }
}
