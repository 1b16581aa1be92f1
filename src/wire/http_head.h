#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Heads of HTTP/1.1 messages, strictly by RFC 9112: what is doubtful is refused, so that no
 * other parser behind or before us can read the same bytes differently. Slices of the input;
 * nothing is allocated. Pure; any thread.
 *
 * Refused: bare LF or CR, obs-fold, space before a colon or at the start of a header, empty
 * names, NUL or control bytes, more than one space in the request line, an HTTP version other
 * than 1.x (505), both Content-Length and Transfer-Encoding, Content-Length that is not all
 * digits, is over INT64_MAX or is given twice (even alike, or in a list), Transfer-Encoding in
 * HTTP/1.0 or other than exactly `chunked` (501 where it is a well-formed list of other
 * codings), an Expect other than 100-continue (417), more than HTTP_HEADERS_MAX headers (431).
 * In requests also: a missing (HTTP/1.1), doubled or malformed Host, one that differs from the
 * target's own, targets with bytes that RFC 3986 does not allow, dot segments or escaped
 * control bytes in the path.
 */

enum { HTTP_HEADERS_MAX = 100 };

struct http_header {
    struct str name;
    struct str value; /* without white space around it */
};

enum http_framing {
    HTTP_NO_BODY,
    HTTP_LENGTH, /* content_length bytes */
    HTTP_CHUNKED,
    HTTP_UNTIL_EOF, /* responses only */
};

struct http_request {
    struct str method; /* as sent; case matters */
    struct str target; /* as sent */
    struct str path;   /* without query, at least "/"; "*" for asterisk-form; "" for CONNECT */
    struct str query;  /* without '?' */
    int minor;         /* HTTP/1.minor */
    bool keep_alive;   /* by version and Connection; false for CONNECT */
    bool expect_continue; /* the client waits for a 100; only with a body, not in HTTP/1.0 */
    enum http_framing framing;
    uint64_t content_length;
    struct http_header header[HTTP_HEADERS_MAX];
    size_t header_count;
};

struct http_response {
    int status;
    int minor;
    bool keep_alive;
    enum http_framing framing;
    uint64_t content_length;
    size_t header_count;
    struct http_header header[HTTP_HEADERS_MAX];
};

/* A copy of the response, headers not given left out, is this long: whoever keeps many saves
 * most of 3 KB. */
static inline size_t http_response_size(const struct http_response *r)
{
    return offsetof(struct http_response, header) + r->header_count * sizeof(r->header[0]);
}

/* What is wrong, for the client's error and the log. */
struct http_fault {
    int status; /* 400, 417, 431, 501, 505 */
    const char *why;
};

/*
 * Length in bytes of the head at the front of `in` up to and including its empty line, or 0
 * when it is not complete yet. *scanned (start with 0) remembers how far was looked, so that a
 * head that comes byte by byte is not searched again from its beginning; it is set back to 0
 * when the head is found. Never reads past `in`. An empty line may end in a bare LF here, so
 * that the parser refuses it.
 */
size_t http_head_find(struct str in, size_t *scanned);

/* Parses a complete head (from http_head_find). ERR_OK, or ERR_SYNTAX with *fault; then of
 * *out only method, target, path and query hold: what was understood of them, else empty. The
 * caller skips empty lines (CRLF) before a request line, at most two (RFC 9112 2.2). */
NODISCARD enum err http_request_parse(struct str head, struct http_request *out,
                                      struct http_fault *fault);

/*
 * Parses a response head. `to_head`: it answers a HEAD request (no body follows).
 * 1xx, 204 and 304 have no body (9112 6.3). 101 is refused: nobody here asks for an upgrade.
 * Both Content-Length and Transfer-Encoding: refused. Content-Encoding other than identity is
 * not judged here. ERR_SYNTAX, or ERR_TOO_LARGE for too many headers; *why says what is wrong.
 */
NODISCARD enum err http_response_parse(struct str head, bool to_head, struct http_response *out,
                                       const char **why);

/* Value of the first header of that name (any case), or STR_NONE. */
struct str http_find(const struct http_header *headers, size_t count, const char *name);

/* "OK", "Service Unavailable"; "Unknown" for those not listed. */
const char *http_reason(int status);

/* True when s can stand as a field value: no control bytes but tab. What we write comes through
 * here. */
bool http_value_is_safe(struct str s);

/* Appends "Name: value\r\n". ERR_SYNTAX for a name that is no token or an unsafe value,
 * ERR_TOO_LARGE; then nothing is appended. */
NODISCARD enum err http_put_header(struct buf *out, const char *name, struct str value);
