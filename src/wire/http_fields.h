#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "wire/http_head.h"

/*
 * What requests and responses have in common: the version, the field lines, and the fields that
 * decide where a message ends. Only for http_head.c and http_response.c. Pure; slices of the
 * input.
 */

/* Sets *fault and returns ERR_SYNTAX. */
enum err http_refuse(struct http_fault *fault, int status, const char *why);

/* Takes `c` from the front, if it is there. */
static inline bool http_take(struct str *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != c) {
        return false;
    }
    *rest = str_from_at(*rest, 1);
    return true;
}

/* Takes "HTTP/1.x". 400 when malformed, 505 for other versions. */
NODISCARD enum err http_take_version(struct str *rest, int *minor, struct http_fault *fault);

/* Takes CR LF. */
NODISCARD enum err http_take_line_end(struct str *rest, struct http_fault *fault);

/* Splits the field lines up to the empty line, which must be the end of `rest`. header holds
 * HTTP_HEADERS_MAX; one more is refused with 431. */
NODISCARD enum err http_fields_split(struct str rest, struct http_header *header, size_t *count,
                                     struct http_fault *fault);

/* What the fields say, before it is judged whether they may. */
struct http_facts {
    bool has_length;
    uint64_t length;
    bool has_coding;  /* a Transfer-Encoding */
    bool is_chunked;  /* … and it is `chunked`, once and alone */
    int coding_fault; /* 400 or 501 when it is anything else, or 0 */
    bool close;       /* Connection: close */
    bool keep_alive;  /* Connection: keep-alive */
    size_t host_count;
    struct str host; /* the last */
    bool has_expect;
    bool expect_is_known; /* all were 100-continue */
};

/* Collects the facts and refuses what no message may have: a malformed or second
 * Content-Length, both framings, a coding that is not exactly `chunked`, any coding in
 * HTTP/1.0. */
NODISCARD enum err http_fields_judge(const struct http_header *header, size_t count, int minor,
                                     struct http_facts *out, struct http_fault *fault);

/* By version and Connection; close wins. */
bool http_facts_keep_alive(const struct http_facts *f, int minor);
