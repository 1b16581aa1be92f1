#include "wire/http_body.h"

#include <string.h>

#include "base/check.h"
#include "wire/http_chars.h"

enum {
    DIGITS_MAX = 15, /* sizes below 2^60 */
    EXTENSION_MAX = 256,
    TRAILER_MAX = 4096,
    /* A chunk may cost this much framing, and twice its payload, before it counts as excess. */
    CHUNK_ALLOWANCE = 16,
    EXCESS_MAX = 16 * 1024
};

void http_body_init(struct http_body *b, enum http_framing framing, uint64_t content_length)
{
    *b = (struct http_body){.framing = framing, .phase = CHUNK_SIZE};
    if (framing == HTTP_LENGTH) {
        b->left = content_length;
    }
}

static enum err take_size(struct http_body *b, char c)
{
    if (http_is(c, HTTP_HEX) && b->digits < DIGITS_MAX) {
        b->left = b->left * 16 + http_hex_value(c);
        b->digits++;
        return ERR_OK;
    }
    if (b->digits == 0 || (c != '\r' && c != ';')) {
        return ERR_SYNTAX;
    }
    b->phase = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
    return ERR_OK;
}

static bool is_text(char c)
{
    return http_text_span(str_of(&c, 1)) == 1;
}

static enum err take_extension(struct http_body *b, char c)
{
    if (c == '\r') {
        b->phase = CHUNK_SIZE_LF;
        return ERR_OK;
    }
    if (!is_text(c)) {
        return ERR_SYNTAX;
    }
    b->framing_bytes++;
    return b->framing_bytes > EXTENSION_MAX ? ERR_TOO_LARGE : ERR_OK;
}

/* At the end of a size line: who sends mostly framing wants to keep us busy, not to send. */
static enum err judge_excess(struct http_body *b)
{
    uint64_t cost = (uint64_t)b->digits + b->framing_bytes + sizeof("\r\n\r\n") - 1;
    uint64_t earned = CHUNK_ALLOWANCE + 2 * b->left;
    b->excess += cost;
    b->excess -= b->excess < earned ? b->excess : earned;
    return b->excess > EXCESS_MAX ? ERR_TOO_LARGE : ERR_OK;
}

static enum err take_size_end(struct http_body *b, char c)
{
    if (c != '\n') {
        return ERR_SYNTAX;
    }
    enum err e = judge_excess(b);
    b->phase = b->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START;
    b->digits = 0;
    b->framing_bytes = 0;
    return e;
}

/* A trailer line is dropped, but must be a field line: what has no colon may be a request to
 * somebody else. */
static enum err take_trailer(struct http_body *b, char c)
{
    b->framing_bytes++;
    if (b->framing_bytes > TRAILER_MAX) {
        return ERR_TOO_LARGE;
    }
    if (b->phase == CHUNK_TRAILER_VALUE) {
        if (c == '\r') {
            b->phase = CHUNK_TRAILER_LF;
        }
        return c == '\r' || is_text(c) ? ERR_OK : ERR_SYNTAX;
    }
    if (http_is(c, HTTP_TOKEN)) {
        b->phase = CHUNK_TRAILER_NAME;
        return ERR_OK;
    }
    bool is_end = c == '\r' && b->phase == CHUNK_TRAILER_START;
    bool is_colon = c == ':' && b->phase == CHUNK_TRAILER_NAME;
    b->phase = is_end ? CHUNK_END_LF : CHUNK_TRAILER_VALUE;
    return is_end || is_colon ? ERR_OK : ERR_SYNTAX;
}

static enum err expect(struct http_body *b, char c, char wanted, enum chunk_phase next)
{
    b->phase = next;
    return c == wanted ? ERR_OK : ERR_SYNTAX;
}

static enum err take_framing(struct http_body *b, char c)
{
    switch (b->phase) {
    case CHUNK_SIZE:
        return take_size(b, c);
    case CHUNK_EXTENSION:
        return take_extension(b, c);
    case CHUNK_SIZE_LF:
        return take_size_end(b, c);
    case CHUNK_DATA_CR:
        return expect(b, c, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return expect(b, c, '\n', CHUNK_SIZE);
    case CHUNK_TRAILER_START:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
        return take_trailer(b, c);
    case CHUNK_TRAILER_LF:
        return expect(b, c, '\n', CHUNK_TRAILER_START);
    case CHUNK_END_LF:
        return expect(b, c, '\n', CHUNK_END);
    case CHUNK_DATA:
    case CHUNK_END:
        break;
    }
    BUG("no framing is expected in this phase");
}

/* A whole size line without extension at once. False when it is not all there or looks
 * otherwise: then nothing is taken, and byte by byte it will be seen what it is. */
static bool take_size_line(struct http_body *b, struct str *in)
{
    uint64_t size = 0;
    uint32_t digits = 0;
    while (digits < DIGITS_MAX && digits < in->len && http_is(in->ptr[digits], HTTP_HEX)) {
        size = size * 16 + http_hex_value(in->ptr[digits]);
        digits++;
    }
    struct str rest = str_of(in->ptr + digits, in->len - digits);
    if (b->digits > 0 || digits == 0 || rest.len < 2 || memcmp(rest.ptr, "\r\n", 2) != 0) {
        return false;
    }
    *in = str_of(rest.ptr + 2, rest.len - 2);
    b->left = size;
    b->digits = digits;
    b->failed = take_size_end(b, '\n');
    return true;
}

static void take_payload(struct str *in, uint64_t max, struct str *out)
{
    *out = str_of(in->ptr, in->len < max ? in->len : (size_t)max);
    *in = str_from_at(*in, out->len);
}

/* Behind a chunk, with its line end where that has come along. */
static void end_payload(struct http_body *b, struct str *in)
{
    b->phase = CHUNK_DATA_CR;
    if (in->len >= 2 && memcmp(in->ptr, "\r\n", 2) == 0) {
        b->phase = CHUNK_SIZE;
        *in = str_of(in->ptr + 2, in->len - 2);
    }
}

static enum err next_chunked(struct http_body *b, struct str *in, struct str *out)
{
    while (b->failed == ERR_OK && b->phase != CHUNK_END && in->len > 0) {
        if (b->phase == CHUNK_DATA) {
            take_payload(in, b->left, out);
            b->left -= out->len;
            if (b->left == 0) {
                end_payload(b, in);
            }
            return ERR_OK;
        }
        if (b->phase != CHUNK_SIZE || !take_size_line(b, in)) {
            b->failed = take_framing(b, in->ptr[0]);
            *in = str_from_at(*in, 1);
        }
    }
    if (b->failed != ERR_OK) {
        return b->failed;
    }
    return b->phase == CHUNK_END ? ERR_EOF : ERR_AGAIN;
}

static enum err next_plain(struct http_body *b, struct str *in, struct str *out)
{
    if (in->len == 0) {
        return ERR_AGAIN;
    }
    if (b->framing == HTTP_UNTIL_EOF) {
        take_payload(in, in->len, out);
        return ERR_OK;
    }
    take_payload(in, b->left, out);
    b->left -= out->len;
    return ERR_OK;
}

enum err http_body_next(struct http_body *b, struct str *in, struct str *out)
{
    if (b->framing == HTTP_CHUNKED) {
        return next_chunked(b, in, out);
    }
    return http_body_may_end(b) && b->framing != HTTP_UNTIL_EOF ? ERR_EOF
                                                                : next_plain(b, in, out);
}

bool http_body_may_end(const struct http_body *b)
{
    if (b->framing == HTTP_CHUNKED) {
        return b->phase == CHUNK_END && b->failed == ERR_OK;
    }
    return b->left == 0;
}

size_t http_chunk_head(uint64_t size, char out[CHUNK_HEAD_MAX])
{
    size_t digits = 1;
    while (digits < 16 && size >> (4 * digits) != 0) {
        digits++;
    }
    for (size_t i = 0; i < digits; i++) {
        out[i] = "0123456789abcdef"[(size >> (4 * (digits - 1 - i))) & 15];
    }
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
