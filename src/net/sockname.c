#include "net/sockname.h"

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

static void format_v4(const struct sockaddr *sa, char out[SOCKNAME_MAX])
{
    struct sockaddr_in in;
    char text[INET_ADDRSTRLEN] = "?";
    memcpy(&in, sa, sizeof(in));
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
    snprintf(out, SOCKNAME_MAX, "%s:%u", text, (unsigned)ntohs(in.sin_port));
}

static void format_v6(const struct sockaddr *sa, char out[SOCKNAME_MAX])
{
    struct sockaddr_in6 in;
    char text[INET6_ADDRSTRLEN] = "?";
    memcpy(&in, sa, sizeof(in));
    inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof(text));
    snprintf(out, SOCKNAME_MAX, "[%s]:%u", text, (unsigned)ntohs(in.sin6_port));
}

/* The path of an unnamed or short address is not there, or has no NUL. */
static void format_unix(const struct sockaddr *sa, socklen_t len, char out[SOCKNAME_MAX])
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(&un, sa, len < sizeof(un) ? len : sizeof(un));
    snprintf(out, SOCKNAME_MAX, "unix:%.*s", (int)sizeof(un.sun_path), un.sun_path);
}

void sockname_format(const struct sockaddr *sa, socklen_t len, char out[SOCKNAME_MAX])
{
    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        format_v4(sa, out);
    } else if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        format_v6(sa, out);
    } else if (sa->sa_family == AF_UNIX) {
        format_unix(sa, len, out);
    } else {
        snprintf(out, SOCKNAME_MAX, "?");
    }
}
