#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "wire/http_head.h"

/*
 * The body behind a head, pulled: bytes in, payload slices out, without copying. Strict chunked
 * coding (RFC 9112 7.1): hex digits only, CRLF only, sizes below 2^60; chunk extensions are
 * ignored but bounded (256 bytes a chunk, and a stream that is nearly all framing is refused),
 * trailers are dropped and bounded (4 KiB). Resumable at any byte; no allocation. Pure.
 */

enum chunk_phase {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_END
};

struct http_body {
    enum http_framing framing;
    uint64_t left; /* of the length, or of the chunk */
    /* private: */
    enum chunk_phase phase;
    uint32_t digits;        /* of the chunk size so far */
    uint32_t framing_bytes; /* extension or trailer bytes so far */
    uint64_t excess;        /* framing bytes beyond what the payload so far excuses */
    enum err failed;        /* sticky */
};

void http_body_init(struct http_body *b, enum http_framing framing, uint64_t content_length);

/*
 * Takes bytes from the front of *in.
 *   ERR_OK     *out is the next piece of payload (not empty), a slice of `in`
 *   ERR_AGAIN  `in` is used up, the body goes on
 *   ERR_EOF    the body is complete; what is left in `in` belongs to the next message
 *   ERR_SYNTAX broken coding; ERR_TOO_LARGE extensions or trailers over their limit
 * HTTP_UNTIL_EOF never returns ERR_EOF by itself: the connection's end is its end.
 */
NODISCARD enum err http_body_next(struct http_body *b, struct str *in, struct str *out);

/* True when the connection may end here without the body being cut. */
bool http_body_may_end(const struct http_body *b);

enum { CHUNK_HEAD_MAX = 20 };

/* Writes "<hex>\r\n" for a chunk of `size` bytes; returns its length (<= CHUNK_HEAD_MAX). */
size_t http_chunk_head(uint64_t size, char out[CHUNK_HEAD_MAX]);
