#include "wire/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "wire/authority.h"
#include "wire/http_chars.h"

static enum err refuse(enum err e, const char **why, const char *text)
{
    *why = text;
    return e;
}

static enum err take_scheme(struct str *rest, struct url *out, const char **why)
{
    out->tls = str_starts_nocase(*rest, STR("https://"));
    if (out->tls || str_starts_nocase(*rest, STR("http://"))) {
        *rest = str_from_at(*rest, out->tls ? 8 : 7);
        return ERR_OK;
    }
    return str_has(*rest, STR("://"))
               ? refuse(ERR_UNSUPPORTED, why, "scheme is neither http nor https")
               : refuse(ERR_SYNTAX, why, "scheme is missing (http:// or https://)");
}

static enum err judge_path(struct str path, const char **why)
{
    if (path.len > 0 && memchr(path.ptr, '?', path.len)) {
        return refuse(ERR_SYNTAX, why, "query is not allowed");
    }
    if (path.len > 0 && memchr(path.ptr, '#', path.len)) {
        return refuse(ERR_SYNTAX, why, "fragment is not allowed");
    }
    if (http_class_span(path, HTTP_TARGET) != path.len) {
        return refuse(ERR_SYNTAX, why, "malformed path");
    }
    return ERR_OK;
}

static enum err take_host(struct str text, struct url *out, const char **why)
{
    struct authority a;
    if (text.len > 0 && memchr(text.ptr, '@', text.len)) {
        return refuse(ERR_SYNTAX, why, "user info is not allowed");
    }
    enum err e = authority_parse(text, &a, why);
    if (e != ERR_OK) {
        return e;
    }
    if (a.host.len == 0) {
        return refuse(ERR_SYNTAX, why, "host is missing");
    }
    if (a.has_port && a.port == 0) {
        return refuse(ERR_RANGE, why, "port is out of range");
    }
    out->host = a.host;
    out->is_ipv6 = a.is_ipv6;
    out->has_port = a.has_port;
    out->port = a.has_port ? a.port : (out->tls ? 443 : 80);
    return ERR_OK;
}

enum err url_parse(struct str text, struct url *out, const char **why)
{
    struct url u = {.path = STR("")};
    struct str rest = text;
    size_t len = 0;
    enum err e = take_scheme(&rest, &u, why);
    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?' &&
           rest.ptr[len] != '#') {
        len++;
    }
    u.path = str_from_at(rest, len);
    while (u.path.len > 0 && u.path.ptr[u.path.len - 1] == '/') {
        u.path.len--;
    }
    if (e == ERR_OK) {
        e = take_host(str_of(rest.ptr, len), &u, why);
    }
    if (e == ERR_OK) {
        e = judge_path(u.path, why);
    }
    if (e == ERR_OK) {
        *out = u;
    }
    return e;
}

static enum err parse_unix(struct str path, struct address *out, const char **why)
{
    struct sockaddr_un socket_address;
    if (path.len == 0 || path.ptr[0] != '/' || memchr(path.ptr, '\0', path.len)) {
        return refuse(ERR_SYNTAX, why, "unix: needs an absolute path");
    }
    if (path.len >= sizeof(socket_address.sun_path)) {
        return refuse(ERR_RANGE, why, "path is too long for a unix socket");
    }
    *out = (struct address){.is_unix = true, .host = STR(""), .path = path};
    return ERR_OK;
}

enum err address_parse(struct str text, struct address *out, const char **why)
{
    struct authority a;
    if (str_starts(text, STR("unix:"))) {
        return parse_unix(str_from_at(text, 5), out, why);
    }
    enum err e = authority_parse(text, &a, why);
    if (e != ERR_OK) {
        return e;
    }
    if (!a.has_port) {
        return refuse(ERR_SYNTAX, why, "port is missing (host:port)");
    }
    *out =
        (struct address){.host = a.host, .is_ipv6 = a.is_ipv6, .port = a.port, .path = STR("")};
    return ERR_OK;
}

static bool is_loopback_ipv6(const char *text)
{
    struct in6_addr a;
    return inet_pton(AF_INET6, text, &a) == 1 && IN6_IS_ADDR_LOOPBACK(&a);
}

static bool is_loopback_ipv4(const char *text)
{
    struct in_addr a;
    return inet_pton(AF_INET, text, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

bool address_is_loopback(const struct address *a)
{
    char text[INET6_ADDRSTRLEN];
    if (a->is_unix || str_eq_nocase(a->host, STR("localhost"))) {
        return true;
    }
    if (a->host.len >= sizeof(text) || a->host.len == 0) {
        return false;
    }
    memcpy(text, a->host.ptr, a->host.len);
    text[a->host.len] = '\0';
    return a->is_ipv6 ? is_loopback_ipv6(text) : is_loopback_ipv4(text);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that an escape at the front of s stands for, or -1. */
static int escaped_byte(struct str s)
{
    if (s.len < 3 || s.ptr[0] != '%' || hex_digit(s.ptr[1]) < 0 || hex_digit(s.ptr[2]) < 0) {
        return -1;
    }
    return hex_digit(s.ptr[1]) * 16 + hex_digit(s.ptr[2]);
}

struct str url_decode(struct str s, bool is_query, struct arena *a)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t len = 0;
    while (s.len > 0) {
        int byte = escaped_byte(s);
        if (byte >= 0) {
            out[len++] = (char)byte;
        } else {
            out[len++] = is_query && s.ptr[0] == '+' ? ' ' : s.ptr[0];
        }
        s = str_from_at(s, byte >= 0 ? 3 : 1);
    }
    return str_of(out, len);
}
