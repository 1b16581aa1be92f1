#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "wire/http_body.h"

#define assert_text(got, want) assert_true(str_eq((got), STR(want)))

/* What a whole input came to. */
struct outcome {
    enum err end; /* ERR_AGAIN: more is needed */
    size_t taken; /* bytes of the input */
    struct buf payload;
};

/* Feeds one piece from a copy that ends where the piece ends. */
static enum err feed(struct http_body *b, struct str piece, struct outcome *o)
{
    char *copy = malloc(piece.len > 0 ? piece.len : 1);
    memcpy(copy, piece.ptr, piece.len);
    struct str in = str_of(copy, piece.len);
    struct str out = STR_NONE;
    enum err e = http_body_next(b, &in, &out);
    while (e == ERR_OK) {
        assert_true(out.len > 0);
        assert_int_equal(buf_append(&o->payload, out), ERR_OK);
        e = http_body_next(b, &in, &out);
    }
    o->taken += piece.len - in.len;
    free(copy);
    return e;
}

/* Feeds `text` in pieces of `step` bytes until it ends. */
static void decode(struct http_body b, struct str text, size_t step, struct outcome *o)
{
    *o = (struct outcome){.end = ERR_AGAIN};
    buf_init(&o->payload, 1 << 20);
    struct str rest = text;
    do {
        struct str piece = str_of(rest.ptr, rest.len < step ? rest.len : step);
        o->end = feed(&b, piece, o);
        rest = str_from_at(rest, piece.len);
    } while (o->end == ERR_AGAIN && rest.len > 0);
    assert_int_equal(http_body_may_end(&b), o->end == ERR_EOF);
}

static struct http_body chunked(void)
{
    struct http_body b;
    http_body_init(&b, HTTP_CHUNKED, 0);
    return b;
}

static enum err end_of_chunked(struct str text)
{
    struct outcome whole;
    struct outcome bytes;
    decode(chunked(), text, text.len + 1, &whole);
    decode(chunked(), text, 1, &bytes);
    assert_int_equal(whole.end, bytes.end);
    assert_int_equal(whole.taken, bytes.taken);
    assert_true(str_eq(buf_str(&whole.payload), buf_str(&bytes.payload)));
    enum err end = whole.end;
    buf_fini(&whole.payload);
    buf_fini(&bytes.payload);
    return end;
}

static void decodes_chunks_however_they_are_split(void **state)
{
    (void)state;
    struct str text =
        STR("5\r\nhello\r\n1;a=b\r\n \r\n00B;x=\"y\"\r\nto the wor\r\r\n1\r\n\n\r\n"
            "0;last\r\nX: y\r\nExpires: never \r\n\r\nGET / HTTP/1.1");
    for (size_t step = 1; step <= text.len; step++) {
        struct outcome o;
        decode(chunked(), text, step, &o);
        assert_int_equal(o.end, ERR_EOF);
        assert_text(buf_str(&o.payload), "hello to the wor\r\n");
        assert_int_equal(o.taken, text.len - 14);
        buf_fini(&o.payload);
    }
}

static void an_empty_chunked_body_ends_at_once(void **state)
{
    (void)state;
    assert_int_equal(end_of_chunked(STR("0\r\n\r\n")), ERR_EOF);
    assert_int_equal(end_of_chunked(STR("000\r\n\r\n")), ERR_EOF);
}

static void says_the_end_again(void **state)
{
    (void)state;
    struct http_body b = chunked();
    struct str in = STR("0\r\n\r\nrest");
    struct str out;
    assert_int_equal(http_body_next(&b, &in, &out), ERR_EOF);
    assert_int_equal(http_body_next(&b, &in, &out), ERR_EOF);
    assert_text(in, "rest");
}

static void every_cut_of_a_chunked_body_is_incomplete(void **state)
{
    (void)state;
    struct str text = STR("3;e\r\nabc\r\n0\r\nA: b\r\n\r\n");
    for (size_t len = 0; len < text.len; len++) {
        assert_int_equal(end_of_chunked(str_of(text.ptr, len)), ERR_AGAIN);
    }
    assert_int_equal(end_of_chunked(text), ERR_EOF);
}

static void refuses_broken_chunks(void **state)
{
    (void)state;
    static const struct str texts[] = {
        STR_INIT("\r\n"),
        STR_INIT("\n"),
        STR_INIT(";a\r\n"),
        STR_INIT("0x5\r\nhello\r\n"),
        STR_INIT("+5\r\nhello\r\n"),
        STR_INIT("-5\r\nhello\r\n"),
        STR_INIT(" 5\r\nhello\r\n"),
        STR_INIT("5 \r\nhello\r\n"),
        STR_INIT("5\t;a\r\nhello\r\n"),
        STR_INIT("5h\r\nhello\r\n"),
        STR_INIT("g\r\nhello\r\n"),
        STR_INIT("5_0\r\nhello\r\n"),
        STR_INIT("5,\r\nhello\r\n"),
        STR_INIT("5\0\r\nhello\r\n"),
        STR_INIT("\xef\xbc\x95\r\nhello\r\n"),
        STR_INIT("5\nhello\r\n"),
        STR_INIT("5\rhello\r\n"),
        STR_INIT("5\r\r\nhello\r\n"),
        STR_INIT("5\r\nhello0\r\n\r\n"),
        STR_INIT("5\r\nhelloXY0\r\n\r\n"),
        STR_INIT("5\r\nhello\n0\r\n\r\n"),
        STR_INIT("5\r\nhello\r0\r\n\r\n"),
        STR_INIT("5\r\nhello\rX0\r\n\r\n"),
        STR_INIT("5\r\nhello\r\n\r\n0\r\n\r\n"),
        STR_INIT("5;a\nhello\r\n"),
        STR_INIT("5;a\rb\r\nhello\r\n"),
        STR_INIT("5;\"\n\"\r\nhello\r\n"),
        STR_INIT("5;a\0\r\nhello\r\n"),
        STR_INIT("10000000000000000\r\n"),
        STR_INIT("1000000000000000\r\n"),
        STR_INIT("fffffffffffffffff\r\n"),
        STR_INIT("0000000000000005\r\n"),
        STR_INIT("0\r\n\n"),
        STR_INIT("0\n\r\n"),
        STR_INIT("0\r\n\r\r\n"),
        STR_INIT("0\r\nX\r\n\r\n"),
        STR_INIT("0\r\nGET / HTTP/1.1\r\n\r\n"),
        STR_INIT("0\r\n: x\r\n\r\n"),
        STR_INIT("0\r\nX : y\r\n\r\n"),
        STR_INIT("0\r\n X: y\r\n\r\n"),
        STR_INIT("0\r\nX: y\r\n z\r\n\r\n"),
        STR_INIT("0\r\nX: y\nZ: z\r\n\r\n"),
        STR_INIT("0\r\nX: y\rZ: z\r\n\r\n"),
        STR_INIT("0\r\nX: \0\r\n\r\n"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (end_of_chunked(texts[i]) != ERR_SYNTAX) {
            fail_msg("accepted: %.*s", STR_FMT(texts[i]));
        }
    }
}

static void stays_broken(void **state)
{
    (void)state;
    struct http_body b = chunked();
    struct str in = STR("x\r\n");
    struct str out;
    assert_int_equal(http_body_next(&b, &in, &out), ERR_SYNTAX);
    in = STR("0\r\n\r\n");
    assert_int_equal(http_body_next(&b, &in, &out), ERR_SYNTAX);
    assert_false(http_body_may_end(&b));
}

static void takes_sizes_below_2_to_the_60(void **state)
{
    (void)state;
    struct http_body b = chunked();
    struct str in = STR("fffffffffffffff\r\nx");
    struct str out;
    assert_int_equal(http_body_next(&b, &in, &out), ERR_OK);
    assert_text(out, "x");
    assert_true(b.left == ((uint64_t)1 << 60) - 2);
    assert_int_equal(http_body_next(&b, &in, &out), ERR_AGAIN);
}

/* "1;xxxx\r\n" with `size` bytes behind the semicolon, or a trailer of `size` bytes in all. */
static enum err end_of_padded(const char *front, size_t size, const char *back)
{
    char *text = malloc(size + 64);
    int len = snprintf(text, size + 64, "%s%0*d%s", front, (int)size, 0, back);
    enum err e = end_of_chunked(str_of(text, (size_t)len));
    free(text);
    return e;
}

static void bounds_chunk_extensions(void **state)
{
    (void)state;
    assert_int_equal(end_of_padded("1;", 256, "\r\nx\r\n0\r\n\r\n"), ERR_EOF);
    assert_int_equal(end_of_padded("1;", 257, "\r\nx\r\n0\r\n\r\n"), ERR_TOO_LARGE);
    assert_int_equal(end_of_padded("0;", 257, ""), ERR_TOO_LARGE);
}

static void bounds_trailers(void **state)
{
    (void)state;
    assert_int_equal(end_of_padded("0\r\nX:", 4092, "\r\n\r\n"), ERR_EOF);
    assert_int_equal(end_of_padded("0\r\nX:", 4093, "\r\n\r\n"), ERR_TOO_LARGE);
    assert_int_equal(end_of_padded("0\r\nX:", 4088, "\r\nY: z\r\n\r\n"), ERR_TOO_LARGE);
    assert_int_equal(end_of_padded("0\r\n", 5000, ""), ERR_TOO_LARGE);
}

/* Repeats `chunk` until the decoder has had enough; returns the bytes of payload until then. */
static size_t payload_until_refused(struct str chunk, size_t repeats)
{
    struct http_body b = chunked();
    struct outcome o = {.end = ERR_AGAIN};
    buf_init(&o.payload, 1 << 20);
    for (size_t i = 0; i < repeats && o.end == ERR_AGAIN; i++) {
        o.end = feed(&b, chunk, &o);
    }
    size_t len = buf_len(&o.payload);
    assert_true(o.end == ERR_AGAIN || o.end == ERR_TOO_LARGE);
    buf_fini(&o.payload);
    return o.end == ERR_TOO_LARGE ? len : SIZE_MAX;
}

static void refuses_a_stream_that_is_nearly_all_framing(void **state)
{
    (void)state;
    char chunk[300];
    int len = snprintf(chunk, sizeof(chunk), "1;%0*d\r\nx\r\n", 250, 0);
    assert_true(payload_until_refused(str_of(chunk, (size_t)len), 1000) < 100);
}

static void one_byte_chunks_may_go_on_for_ever(void **state)
{
    (void)state;
    assert_true(payload_until_refused(STR("1\r\nx\r\n"), 20000) == SIZE_MAX);
    assert_true(payload_until_refused(STR("1;a=b\r\nx\r\n"), 20000) == SIZE_MAX);
}

static void a_length_counts_its_bytes(void **state)
{
    (void)state;
    struct str text = STR("helloGET /");
    for (size_t step = 1; step <= text.len; step++) {
        struct http_body b;
        struct outcome o;
        http_body_init(&b, HTTP_LENGTH, 5);
        decode(b, text, step, &o);
        assert_int_equal(o.end, ERR_EOF);
        assert_text(buf_str(&o.payload), "hello");
        assert_int_equal(o.taken, 5);
        buf_fini(&o.payload);
    }
}

static void a_cut_length_may_not_end(void **state)
{
    (void)state;
    struct http_body b;
    struct outcome o;
    http_body_init(&b, HTTP_LENGTH, 6);
    decode(b, STR("hello"), 2, &o);
    assert_int_equal(o.end, ERR_AGAIN);
    buf_fini(&o.payload);
}

static void no_body_and_length_zero_take_nothing(void **state)
{
    (void)state;
    const enum http_framing framings[] = {HTTP_NO_BODY, HTTP_LENGTH};
    for (size_t i = 0; i < 2; i++) {
        struct http_body b;
        struct str in = STR("GET /");
        struct str out;
        http_body_init(&b, framings[i], 0);
        assert_true(http_body_may_end(&b));
        assert_int_equal(http_body_next(&b, &in, &out), ERR_EOF);
        assert_text(in, "GET /");
    }
}

static void no_body_ignores_a_length(void **state)
{
    (void)state;
    struct http_body b; /* of a HEAD or 304 */
    struct str in = STR("x");
    struct str out;
    http_body_init(&b, HTTP_NO_BODY, 5);
    assert_int_equal(http_body_next(&b, &in, &out), ERR_EOF);
}

static void until_eof_takes_all_and_never_ends(void **state)
{
    (void)state;
    struct http_body b;
    struct str in = STR("0\r\n\r\n");
    struct str out;
    http_body_init(&b, HTTP_UNTIL_EOF, 0);
    assert_true(http_body_may_end(&b));
    assert_int_equal(http_body_next(&b, &in, &out), ERR_OK);
    assert_text(out, "0\r\n\r\n");
    assert_int_equal(http_body_next(&b, &in, &out), ERR_AGAIN);
    assert_true(http_body_may_end(&b));
}

static void writes_chunk_heads(void **state)
{
    (void)state;
    const struct {
        uint64_t size;
        struct str text;
    } cases[] = {
        {0, STR("0\r\n")},
        {1, STR("1\r\n")},
        {15, STR("f\r\n")},
        {16, STR("10\r\n")},
        {0xabcdef, STR("abcdef\r\n")},
        {65536, STR("10000\r\n")},
        {UINT64_MAX, STR("ffffffffffffffff\r\n")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[CHUNK_HEAD_MAX];
        size_t len = http_chunk_head(cases[i].size, out);
        assert_true(str_eq(str_of(out, len), cases[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_chunks_however_they_are_split),
        cmocka_unit_test(an_empty_chunked_body_ends_at_once),
        cmocka_unit_test(says_the_end_again),
        cmocka_unit_test(every_cut_of_a_chunked_body_is_incomplete),
        cmocka_unit_test(refuses_broken_chunks),
        cmocka_unit_test(stays_broken),
        cmocka_unit_test(takes_sizes_below_2_to_the_60),
        cmocka_unit_test(bounds_chunk_extensions),
        cmocka_unit_test(bounds_trailers),
        cmocka_unit_test(refuses_a_stream_that_is_nearly_all_framing),
        cmocka_unit_test(one_byte_chunks_may_go_on_for_ever),
        cmocka_unit_test(a_length_counts_its_bytes),
        cmocka_unit_test(a_cut_length_may_not_end),
        cmocka_unit_test(no_body_and_length_zero_take_nothing),
        cmocka_unit_test(no_body_ignores_a_length),
        cmocka_unit_test(until_eof_takes_all_and_never_ends),
        cmocka_unit_test(writes_chunk_heads),
    };
    return cmocka_run_group_tests_name("wire/http_body", tests, NULL, NULL);
}
