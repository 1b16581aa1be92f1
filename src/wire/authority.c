#include "wire/authority.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "wire/http_chars.h"

enum { HOST_MAX = 253 };

static bool is_ipv6_literal(struct str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.ptr, '\0', s.len)) {
        return false;
    }
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &ignored) == 1;
}

/* Leaves what follows the closing bracket in *rest. */
static enum err take_literal(struct str *rest, struct authority *out, const char **why)
{
    *rest = str_from_at(*rest, 1);
    const char *close = memchr(rest->ptr, ']', rest->len);
    struct str host = str_of(rest->ptr, close ? (size_t)(close - rest->ptr) : 0);
    if (!is_ipv6_literal(host)) {
        *why = "malformed IPv6 address";
        return ERR_SYNTAX;
    }
    out->host = host;
    out->is_ipv6 = true;
    *rest = str_from_at(*rest, host.len + 1);
    return ERR_OK;
}

static enum err take_name(struct str *rest, struct authority *out, const char **why)
{
    size_t len = http_class_span(*rest, HTTP_HOST);
    if (len > HOST_MAX) {
        *why = "host name is too long";
        return ERR_SYNTAX;
    }
    out->host = str_of(rest->ptr, len);
    *rest = str_from_at(*rest, len);
    return ERR_OK;
}

static enum err take_port(struct str rest, struct authority *out, const char **why)
{
    uint64_t port = 0;
    if (rest.ptr[0] != ':') {
        *why = "malformed host";
        return ERR_SYNTAX;
    }
    enum err e = str_to_u64(str_from_at(rest, 1), UINT16_MAX, &port);
    if (e != ERR_OK) {
        *why = e == ERR_RANGE ? "port is out of range" : "malformed port";
        return e;
    }
    out->has_port = true;
    out->port = (uint16_t)port;
    return ERR_OK;
}

enum err authority_parse(struct str text, struct authority *out, const char **why)
{
    struct authority a = {.host = STR("")};
    struct str rest = text;
    bool is_literal = text.len > 0 && text.ptr[0] == '[';
    enum err e = is_literal ? take_literal(&rest, &a, why) : take_name(&rest, &a, why);
    if (e == ERR_OK && rest.len > 0) {
        e = take_port(rest, &a, why);
    }
    if (e == ERR_OK) {
        *out = a;
    }
    return e;
}
