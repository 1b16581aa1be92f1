#include "wire/http_head.h"

#include "base/check.h"
#include "wire/authority.h"
#include "wire/http_chars.h"
#include "wire/http_fields.h"

/* The end of an empty line that begins at `at`, or 0. A line may end in a bare LF here: such a
 * head is refused by the parser, not waited for. */
static size_t empty_line_end(struct str in, size_t at)
{
    if (at < in.len && in.ptr[at] == '\n') {
        return at + 1;
    }
    bool is_crlf = at + 1 < in.len && in.ptr[at] == '\r' && in.ptr[at + 1] == '\n';
    return is_crlf ? at + 2 : 0;
}

static bool may_become_empty_line(struct str in, size_t at)
{
    return at == in.len || (at + 1 == in.len && in.ptr[at] == '\r');
}

size_t http_head_find(struct str in, size_t *scanned)
{
    CHECK(*scanned <= in.len);
    size_t at = *scanned;
    size_t end = empty_line_end(in, 0);
    while (end == 0) {
        const char *lf = at < in.len ? memchr(in.ptr + at, '\n', in.len - at) : NULL;
        if (!lf) {
            *scanned = in.len;
            return 0;
        }
        at = (size_t)(lf - in.ptr) + 1;
        end = empty_line_end(in, at);
        if (end == 0 && may_become_empty_line(in, at)) {
            *scanned = at - 1;
            return 0;
        }
    }
    *scanned = 0;
    return end;
}

static enum err take_request_line(struct str *rest, struct http_request *out,
                                  struct http_fault *fault)
{
    out->method = str_of(rest->ptr, http_class_span(*rest, HTTP_TOKEN));
    *rest = str_from_at(*rest, out->method.len);
    if (out->method.len == 0 || !http_take(rest, ' ')) {
        return http_refuse(fault, 400, "method is missing or malformed");
    }
    out->target = str_of(rest->ptr, http_class_span(*rest, HTTP_TARGET));
    *rest = str_from_at(*rest, out->target.len);
    if (out->target.len == 0 ||
        (rest->len > 0 && rest->ptr[0] != ' ' && rest->ptr[0] != '\r')) {
        return http_refuse(fault, 400, "request target is missing or malformed");
    }
    if (!http_take(rest, ' ')) {
        return http_refuse(fault, 400, "HTTP version is missing or malformed");
    }
    enum err e = http_take_version(rest, &out->minor, fault);
    return e == ERR_OK ? http_take_line_end(rest, fault) : e;
}

static const char *find_byte(struct str s, char c)
{
    return s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
}

/* Every '%' stands before two hex digits and, in a path, encodes no control byte. */
static bool escapes_are_sane(struct str s, bool is_path)
{
    const char *percent = find_byte(s, '%');
    while (percent) {
        s = str_from_at(s, (size_t)(percent - s.ptr) + 1);
        if (s.len < 2 || !http_is(s.ptr[0], HTTP_HEX) || !http_is(s.ptr[1], HTTP_HEX)) {
            return false;
        }
        unsigned byte = http_hex_value(s.ptr[0]) * 16 + http_hex_value(s.ptr[1]);
        if (is_path && (byte < 0x20 || byte == 0x7f)) {
            return false;
        }
        percent = find_byte(s, '%');
    }
    return true;
}

/* "." or "..", in clear or escaped. */
static bool is_dot_segment(struct str s)
{
    size_t dots = 0;
    while (s.len > 0) {
        bool is_escaped = str_starts_nocase(s, STR("%2e"));
        if (!is_escaped && s.ptr[0] != '.') {
            return false;
        }
        s = str_from_at(s, is_escaped ? 3 : 1);
        dots++;
    }
    return dots == 1 || dots == 2;
}

static bool has_dot_segment(struct str path)
{
    while (path.len > 0) {
        if (is_dot_segment(str_cut(&path, '/'))) {
            return true;
        }
    }
    return false;
}

static enum err split_path(struct str text, struct http_request *out, struct http_fault *fault)
{
    struct str rest = text;
    struct str path = str_cut(&rest, '?');
    if (!escapes_are_sane(path, true) || !escapes_are_sane(rest, false)) {
        return http_refuse(fault, 400, "malformed escape in the request target");
    }
    if (has_dot_segment(path)) {
        return http_refuse(fault, 400, "dot segment in the request target");
    }
    out->path = path.len > 0 ? path : STR("/");
    out->query = rest;
    return ERR_OK;
}

/* A target's own authority, of absolute and authority form. */
struct target_authority {
    bool is_present;
    struct authority authority;
    uint16_t default_port;
};

static enum err take_authority(struct str text, struct target_authority *out,
                               struct http_fault *fault)
{
    const char *why = NULL;
    if (authority_parse(text, &out->authority, &why) != ERR_OK ||
        out->authority.host.len == 0) {
        return http_refuse(fault, 400, "malformed authority in the request target");
    }
    out->is_present = true;
    return ERR_OK;
}

static enum err split_absolute(struct http_request *out, struct target_authority *authority,
                               struct http_fault *fault)
{
    bool is_http = str_starts_nocase(out->target, STR("http://"));
    if (!is_http && !str_starts_nocase(out->target, STR("https://"))) {
        return http_refuse(fault, 400, "request target has none of the known forms");
    }
    struct str text = str_from_at(out->target, is_http ? 7 : 8);
    size_t len = 0;
    while (len < text.len && text.ptr[len] != '/' && text.ptr[len] != '?') {
        len++;
    }
    authority->default_port = is_http ? 80 : 443;
    enum err e = take_authority(str_of(text.ptr, len), authority, fault);
    return e == ERR_OK ? split_path(str_from_at(text, len), out, fault) : e;
}

static enum err split_connect(const struct http_request *out,
                              struct target_authority *authority, struct http_fault *fault)
{
    enum err e = take_authority(out->target, authority, fault);
    if (e == ERR_OK && authority->authority.port == 0) {
        return http_refuse(fault, 400, "CONNECT needs host:port");
    }
    return e;
}

static enum err split_target(struct http_request *out, struct target_authority *authority,
                             struct http_fault *fault)
{
    if (str_eq(out->method, STR("CONNECT"))) {
        return split_connect(out, authority, fault);
    }
    if (out->target.ptr[0] == '/') {
        return split_path(out->target, out, fault);
    }
    if (str_eq(out->target, STR("*"))) {
        out->path = out->target;
        return str_eq(out->method, STR("OPTIONS"))
                   ? ERR_OK
                   : http_refuse(fault, 400, "asterisk form is for OPTIONS only");
    }
    return split_absolute(out, authority, fault);
}

static bool is_same_authority(const struct authority *host, const struct target_authority *t)
{
    uint16_t host_port = host->has_port ? host->port : t->default_port;
    uint16_t target_port = t->authority.has_port ? t->authority.port : t->default_port;
    return host->is_ipv6 == t->authority.is_ipv6 && host_port == target_port &&
           str_eq_nocase(host->host, t->authority.host);
}

/* RFC 9112 3.2: exactly one in HTTP/1.1. A Host that differs from the target's own authority is
 * refused rather than overruled (3.2.2): somebody before us may have read the other one. */
static enum err judge_host(const struct http_facts *facts, int minor,
                           const struct target_authority *target, struct http_fault *fault)
{
    struct authority host;
    const char *why = NULL;
    if (facts->host_count == 0) {
        return minor == 0 ? ERR_OK : http_refuse(fault, 400, "Host is missing");
    }
    if (facts->host_count > 1) {
        return http_refuse(fault, 400, "Host is given twice");
    }
    if (authority_parse(facts->host, &host, &why) != ERR_OK || host.host.len == 0) {
        return http_refuse(fault, 400, "Host is malformed");
    }
    if (target->is_present && !is_same_authority(&host, target)) {
        return http_refuse(fault, 400, "Host differs from the request target");
    }
    return ERR_OK;
}

static void set_framing(struct http_request *out, const struct http_facts *facts)
{
    out->content_length = facts->length;
    if (facts->is_chunked) {
        out->framing = HTTP_CHUNKED;
    } else if (facts->has_length) {
        out->framing = HTTP_LENGTH;
    }
}

static enum err judge_request(struct http_request *out, const struct target_authority *target,
                              struct http_fault *fault)
{
    struct http_facts facts;
    enum err e = http_fields_judge(out->header, out->header_count, out->minor, &facts, fault);
    if (e == ERR_OK) {
        e = judge_host(&facts, out->minor, target, fault);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (facts.has_expect && !facts.expect_is_known) {
        return http_refuse(fault, 417, "Expect is not 100-continue");
    }
    set_framing(out, &facts);
    out->keep_alive =
        http_facts_keep_alive(&facts, out->minor) && !str_eq(out->method, STR("CONNECT"));
    /* RFC 9110 10.1.1: ignored from HTTP/1.0; and nobody waits where no body comes. */
    out->expect_continue = facts.has_expect && out->minor > 0 &&
                           (out->framing == HTTP_CHUNKED || out->content_length > 0);
    return ERR_OK;
}

/* Not by a compound literal: the 3 KB of headers need no clearing. */
static void clear_request(struct http_request *out)
{
    out->method = STR("");
    out->target = STR("");
    out->path = STR("");
    out->query = STR("");
    out->minor = 1;
    out->keep_alive = false;
    out->expect_continue = false;
    out->framing = HTTP_NO_BODY;
    out->content_length = 0;
    out->header_count = 0;
}

enum err http_request_parse(struct str head, struct http_request *out, struct http_fault *fault)
{
    struct target_authority authority = {.is_present = false};
    struct str rest = head;
    clear_request(out);
    enum err e = take_request_line(&rest, out, fault);
    if (e == ERR_OK) {
        e = split_target(out, &authority, fault);
    }
    if (e == ERR_OK) {
        e = http_fields_split(rest, out->header, &out->header_count, fault);
    }
    return e == ERR_OK ? judge_request(out, &authority, fault) : e;
}

struct str http_find(const struct http_header *headers, size_t count, const char *name)
{
    struct str wanted = str_from(name);
    for (size_t i = 0; i < count; i++) {
        if (headers[i].name.len == wanted.len && str_eq_nocase(headers[i].name, wanted)) {
            return headers[i].value;
        }
    }
    return STR_NONE;
}

bool http_value_is_safe(struct str s)
{
    return http_text_span(s) == s.len;
}

enum err http_put_header(struct buf *out, const char *name, struct str value)
{
    struct str parts[] = {str_from(name), STR(": "), value, STR("\r\n")};
    char *room = NULL;
    if (!http_is_token(parts[0]) || !http_value_is_safe(value)) {
        return ERR_SYNTAX;
    }
    size_t size = parts[0].len + value.len + 4;
    enum err e = buf_reserve(out, size, &room);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].len > 0) {
            memcpy(room, parts[i].ptr, parts[i].len);
            room += parts[i].len;
        }
    }
    buf_added(out, size);
    return ERR_OK;
}
