#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/str.h"
#include "wire/http_body.h"
#include "wire/http_head.h"

/*
 * Reads the input as a stream of requests and as a stream of responses, heads and bodies, once
 * whole and then split in several ways. Whatever the split, the messages, their bodies, the end
 * and its place must be the same; and what is accepted must have one framing and no byte that
 * another parser could take for something else.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES_MAX = 64 };

/* What was made of the bytes; compared between splits. */
struct reading {
    uint64_t digest; /* of all heads and payloads */
    size_t taken;    /* bytes */
    size_t messages; /* heads accepted */
    enum err end;    /* ERR_AGAIN: more is needed */
    bool may_end;    /* in the body, or between messages */
};

struct session {
    const char *data; /* all of it; only `seen` bytes have come */
    size_t seen;
    bool is_response;
    bool to_head;
    bool in_body;
    size_t scanned;
    struct http_body body;
    uint64_t length;  /* of the body, when framed by length */
    uint64_t payload; /* bytes of the body so far */
    struct reading reading;
};

static void digest_byte(struct reading *r, unsigned char byte)
{
    r->digest = (r->digest ^ byte) * 0x100000001b3U;
}

static void digest_str(struct reading *r, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        digest_byte(r, (unsigned char)s.ptr[i]);
    }
}

static void digest_number(struct reading *r, uint64_t value)
{
    for (size_t i = 0; i < 8; i++) {
        digest_byte(r, (unsigned char)(value >> (8 * i)));
    }
}

static size_t count_of(const struct http_header *h, size_t count, struct str name)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        found += str_eq_nocase(h[i].name, name) ? 1 : 0;
    }
    return found;
}

static bool is_inside(struct str part, struct str whole)
{
    return part.ptr >= whole.ptr && part.len <= whole.len &&
           (size_t)(part.ptr - whole.ptr) <= whole.len - part.len;
}

/* Every line ends in CR LF, and there is no CR, LF or other control byte but tab elsewhere. */
static void check_lines(struct str head)
{
    CHECK(str_ends(head, STR("\r\n\r\n")));
    while (head.len > 0) {
        struct str line = str_cut(&head, '\n');
        CHECK(line.len > 0 && line.ptr[line.len - 1] == '\r');
        line.len--;
        CHECK(http_value_is_safe(line));
        CHECK(line.len > 0 || head.len == 0);
    }
}

static void check_headers(struct str head, const struct http_header *h, size_t count)
{
    CHECK(count <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct str trimmed = str_trim(h[i].value);
        CHECK(is_inside(h[i].name, head) && is_inside(h[i].value, head));
        CHECK(h[i].name.len > 0 && !str_has(h[i].name, STR(" ")));
        CHECK(h[i].name.ptr[h[i].name.len] == ':');
        CHECK(h[i].name.ptr[-1] == '\n');
        CHECK(trimmed.ptr == h[i].value.ptr && trimmed.len == h[i].value.len);
    }
}

static void check_framing(const struct http_header *h, size_t count, int minor,
                          enum http_framing framing)
{
    size_t lengths = count_of(h, count, STR("content-length"));
    size_t codings = count_of(h, count, STR("transfer-encoding"));
    CHECK(lengths + codings <= 1);
    CHECK(codings == 0 || minor > 0);
    CHECK(codings == 0 ||
          str_eq_nocase(http_find(h, count, "transfer-encoding"), STR("chunked")));
    CHECK(framing != HTTP_LENGTH || lengths == 1);
    CHECK(framing != HTTP_CHUNKED || codings == 1);
    CHECK(framing != HTTP_UNTIL_EOF || lengths + codings == 0);
}

static void check_request(struct str head, const struct http_request *r)
{
    size_t hosts = count_of(r->header, r->header_count, STR("host"));
    bool has_framing = count_of(r->header, r->header_count, STR("content-length")) +
                           count_of(r->header, r->header_count, STR("transfer-encoding")) >
                       0;
    check_lines(head);
    check_headers(head, r->header, r->header_count);
    check_framing(r->header, r->header_count, r->minor, r->framing);
    CHECK(has_framing == (r->framing != HTTP_NO_BODY));
    CHECK(r->framing != HTTP_UNTIL_EOF);
    CHECK(hosts == 1 || (hosts == 0 && r->minor == 0));
    CHECK(r->method.ptr == head.ptr && r->method.len > 0);
    CHECK(is_inside(r->target, head) && r->target.len > 0);
    CHECK(!str_has(r->target, STR(" ")) && !str_has(r->target, STR("#")));
    CHECK(is_inside(r->path, r->target) || str_eq(r->path, STR("/")) ||
          str_eq(r->method, STR("CONNECT")));
    CHECK(r->path.len > 0 || str_eq(r->method, STR("CONNECT")));
    CHECK(!str_has(r->path, STR("/../")) && !str_ends(r->path, STR("/..")));
    CHECK(!r->expect_continue || r->framing != HTTP_NO_BODY);
}

static void check_response(struct str head, const struct http_response *r)
{
    check_lines(head);
    check_headers(head, r->header, r->header_count);
    check_framing(r->header, r->header_count, r->minor, r->framing);
    CHECK(r->status >= 100 && r->status <= 599 && r->status != 101);
    CHECK(r->framing != HTTP_UNTIL_EOF || !r->keep_alive);
    CHECK((r->status >= 200 && r->status != 204 && r->status != 304) ||
          r->framing == HTTP_NO_BODY);
}

static enum err read_request(struct session *s, struct str head)
{
    struct http_request r;
    struct http_fault fault;
    enum err e = http_request_parse(head, &r, &fault);
    if (e != ERR_OK) {
        CHECK(e == ERR_SYNTAX && fault.why);
        digest_number(&s->reading, (uint64_t)fault.status);
        return e;
    }
    check_request(head, &r);
    digest_number(&s->reading, (uint64_t)r.framing + (r.keep_alive ? 16 : 0));
    digest_str(&s->reading, r.path);
    http_body_init(&s->body, r.framing, r.content_length);
    s->length = r.content_length;
    return ERR_OK;
}

static enum err read_response(struct session *s, struct str head)
{
    struct http_response r;
    const char *why = NULL;
    enum err e = http_response_parse(head, s->to_head, &r, &why);
    if (e != ERR_OK) {
        CHECK(why);
        return e;
    }
    check_response(head, &r);
    digest_number(&s->reading, (uint64_t)r.framing + (r.keep_alive ? 16 : 0));
    http_body_init(&s->body, r.framing, r.content_length);
    s->length = r.content_length;
    return ERR_OK;
}

static struct str unread(const struct session *s)
{
    return str_of(s->data + s->reading.taken, s->seen - s->reading.taken);
}

static enum err read_head(struct session *s)
{
    struct str in = unread(s);
    size_t len = http_head_find(in, &s->scanned);
    CHECK(len <= in.len);
    if (len == 0) {
        return ERR_AGAIN;
    }
    struct str head = str_of(in.ptr, len);
    enum err e = s->is_response ? read_response(s, head) : read_request(s, head);
    if (e != ERR_OK) {
        return e;
    }
    digest_str(&s->reading, head);
    s->reading.taken += len;
    s->reading.messages++;
    s->payload = 0;
    s->in_body = true;
    return s->reading.messages < MESSAGES_MAX ? ERR_OK : ERR_TOO_LARGE;
}

static enum err read_body(struct session *s)
{
    struct str in = unread(s);
    struct str before = in;
    struct str out = STR_NONE;
    enum err e = http_body_next(&s->body, &in, &out);
    CHECK(is_inside(in, before));
    s->reading.taken += before.len - in.len;
    if (e == ERR_OK) {
        CHECK(out.len > 0 && is_inside(out, before));
        digest_str(&s->reading, out);
        s->payload += out.len;
    }
    if (e == ERR_EOF) {
        CHECK(s->body.framing != HTTP_LENGTH || s->payload == s->length);
        CHECK(http_body_may_end(&s->body));
        s->in_body = false;
        return ERR_OK;
    }
    return e;
}

static enum err read_on(struct session *s, size_t seen)
{
    enum err e = ERR_OK;
    s->seen = seen;
    while (e == ERR_OK) {
        e = s->in_body ? read_body(s) : read_head(s);
    }
    return e;
}

/* The next piece's length: `split` is 0 for all, else a seed; 1 gives single bytes. */
static size_t next_piece(uint64_t *split)
{
    if (*split <= 1) {
        return *split == 0 ? SIZE_MAX : 1;
    }
    *split = *split * 6364136223846793005U + 1442695040888963407U;
    return 1 + (size_t)(*split >> 59);
}

static struct reading read_all(struct session s, size_t size, uint64_t split)
{
    size_t seen = 0;
    enum err e = ERR_AGAIN;
    s.reading.digest = 0xcbf29ce484222325U;
    while (e == ERR_AGAIN && seen < size) {
        size_t piece = next_piece(&split);
        seen = piece < size - seen ? seen + piece : size;
        e = read_on(&s, seen);
    }
    s.reading.end = e;
    s.reading.may_end = s.in_body ? http_body_may_end(&s.body) : true;
    return s.reading;
}

static void compare_splits(struct session s, size_t size)
{
    static const uint64_t splits[] = {1, 2, 0x9e3779b97f4a7c15U, 0xbf58476d1ce4e5b9U};
    struct reading whole = read_all(s, size, 0);
    for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
        struct reading parts = read_all(s, size, splits[i]);
        CHECK(parts.end == whole.end);
        CHECK(parts.taken == whole.taken);
        CHECK(parts.messages == whole.messages);
        CHECK(parts.may_end == whole.may_end);
        CHECK(parts.digest == whole.digest);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session s = {.data = (const char *)data};
    compare_splits(s, size);
    s.is_response = true;
    compare_splits(s, size);
    s.to_head = true;
    compare_splits(s, size);
    return 0;
}
