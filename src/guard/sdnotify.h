#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

/*
 * The socket to the service manager (sd_notify(3)): a datagram each, to a path or to an
 * abstract name. Without NOTIFY_SOCKET nothing is said. What is said: guard/notify_text.
 */

/* Zeroed: nobody listens. */
struct sdnotify {
    int fd; /* valid where is_open */
    bool is_open;
    uint32_t watchdog_ms; /* how often it wants to hear of us; 0: never */
    struct sockaddr_un address;
    socklen_t length;
};

/* By NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which are taken out of the environment.
 * *why: what is wrong with them, or NULL; static. */
void sdnotify_open(struct sdnotify *n, const char **why);
void sdnotify_close(struct sdnotify *n);

/* Never blocks; what cannot be sent is lost. */
void sdnotify_send(const struct sdnotify *n, struct str text);

/* Pure: the address that `name` means. False: not one that we can send to. */
bool sdnotify_address(struct str name, struct sockaddr_un *out, socklen_t *length);
