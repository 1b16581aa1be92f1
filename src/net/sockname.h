#pragma once

#include <stddef.h>

#include <sys/socket.h>

/* Socket addresses as text for people: "127.0.0.1:80", "[::1]:80", "unix:/path". */

enum { SOCKNAME_MAX = 128 };

void sockname_format(const struct sockaddr *sa, socklen_t len, char out[SOCKNAME_MAX]);
