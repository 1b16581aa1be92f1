#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/sse.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { MAX_EVENT = 512 };

/*
 * What a decoder gave is written down as text, one item a line:
 *     event NAME [DATA] RAW-LENGTH plain?
 */
struct notes {
    struct buf text;
    enum err end;
    bool is_inside;
};

static void note(struct notes *n, const struct sse_event *ev)
{
    assert_int_equal(buf_printf(&n->text, "%s %.*s [%.*s] %zu%s\n",
                                ev->kind == SSE_EVENT ? "event" : "comment", STR_FMT(ev->name),
                                STR_FMT(ev->data), ev->raw.len, ev->is_plain ? " plain" : ""),
                     ERR_OK);
}

/* The piece lies in memory of its own, which is gone after sse_keep. */
static enum err feed(struct sse_decoder *d, struct str piece, struct notes *n)
{
    struct sse_event ev;
    char *copy = malloc(piece.len > 0 ? piece.len : 1);
    assert_non_null(copy);
    memcpy(copy, piece.ptr, piece.len);
    struct str in = str_of(copy, piece.len);
    enum err e = sse_next(d, &in, &ev);
    while (e == ERR_OK) {
        note(n, &ev);
        e = sse_next(d, &in, &ev);
    }
    if (e == ERR_AGAIN) {
        e = sse_keep(d, &in);
    }
    free(copy);
    return e;
}

/* In three pieces cut at `first` and `second`; with first == SIZE_MAX byte by byte. */
static struct notes decode(struct str text, size_t first, size_t second)
{
    struct sse_decoder d;
    struct notes n = {.end = ERR_OK};
    size_t at = 0;
    buf_init(&n.text, 1 << 16);
    sse_init(&d, MAX_EVENT);
    while (at < text.len && n.end == ERR_OK) {
        size_t stop = first == SIZE_MAX ? at + 1 : at < first ? first : second;
        stop = stop <= at || stop > text.len ? text.len : stop;
        n.end = feed(&d, str_of(text.ptr + at, stop - at), &n);
        at = stop;
    }
    n.is_inside = sse_is_inside(&d);
    sse_fini(&d);
    return n;
}

static void expect_notes(struct notes n, struct str want, enum err end, bool is_inside)
{
    if (!str_eq(buf_str(&n.text), want)) {
        fail_msg("got\n%.*sinstead of\n%.*s", STR_FMT(buf_str(&n.text)), STR_FMT(want));
    }
    assert_int_equal(n.end, end);
    assert_int_equal(n.is_inside, is_inside);
    buf_fini(&n.text);
}

struct row {
    const char *text;
    const char *want;
    bool is_inside;
};

static const struct row rows[] = {
    {"data: {\"a\":1}\n\n", "event  [{\"a\":1}] 15 plain\n", false},
    {"data:x\n\ndata: [DONE]\n\n", "event  [x] 8 plain\nevent  [[DONE]] 14 plain\n", false},
    {"data: x\r\n\r\ndata: y\r\n\r\n", "event  [x] 11 plain\nevent  [y] 11 plain\n", false},
    {"data: x\r\rdata: y\r\r", "event  [x] 9\nevent  [y] 9\n", false},
    {"data:  two\n\n", "event  [ two] 12 plain\n", false},
    {"data:\n\n", "event  [] 7 plain\n", false},
    {"data\n\n", "event  [] 6\n", false},
    {"data: x\r\n\n", "event  [x] 10\n", false},
    {"data: x\n\r\ndata: y\n\n", "event  [x] 10\nevent  [y] 9 plain\n", false},
    {"data: x\n\rdata: y\n\n", "event  [x] 9\nevent  [y] 9 plain\n", false},
    {"data: x\r\r\ndata: y\n\n", "event  [x] 9\nevent  [y] 9 plain\n", false},
    {"data: x\r\r\n\ndata: y\n\n", "event  [x] 9\ncomment  [] 1\nevent  [y] 9 plain\n", false},
    {"data: a\rdata: b\n\n", "event  [a\nb] 17\n", false},
    {"data: a\ndata:\ndata: b\n\ndata: c\ndata: d\n\n",
     "event  [a\n\nb] 23\nevent  [c\nd] 17\n", false},
    {"event: ping\ndata: {}\n\n", "event ping [{}] 22\n", false},
    {"data: {}\nevent:ping\nid: 7\nretry: 10\n\n", "event ping [{}] 37\n", false},
    {"event: ping\n\n", "comment ping [] 13\n", false},
    {"id: 1\n\n", "comment  [] 7\n", false},
    {"datax: 1\nDATA: 2\n data: 3\n\n", "comment  [] 27\n", false},
    {"data: x: y\n\n", "event  [x: y] 12 plain\n", false},
    {": keep-alive\n\ndata: x\n\n", "comment  [] 14\nevent  [x] 9 plain\n", false},
    {":\n\n:\r\n\r\n", "comment  [] 3\ncomment  [] 5\n", false},
    {": a\n: b\ndata: x\n\n", "comment  [] 4\ncomment  [] 4\nevent  [x] 9 plain\n", false},
    {": a\r: b\r\rdata: x\n\n", "comment  [] 4\ncomment  [] 5\nevent  [x] 9 plain\n", false},
    {": a\r\ndata: x\r\n\r\n", "comment  [] 5\nevent  [x] 11 plain\n", false},
    {"data: x\n: no\ndata: y\n\n", "event  [x\ny] 22\n", false},
    {": a\n", "", false},
    {": a", "", false},
    {"\n\ndata: x\n\n", "comment  [] 1\ncomment  [] 1\nevent  [x] 9 plain\n", false},
    {"\r\n\rdata: x\n\n", "comment  [] 2\ncomment  [] 1\nevent  [x] 9 plain\n", false},
    {"\xef\xbb\xbf"
     "data: x\n\n",
     "event  [x] 9 plain\n", false},
    {"\xef\xbb"
     "data: x\n\n",
     "comment  [] 11\n", false},
    {"data: x\n\n\xef\xbb\xbf"
     "data: y\n\n",
     "event  [x] 9 plain\ncomment  [] 12\n", false},
    {"", "", false},
    {"data: x", "", true},
    {"data: x\n", "", true},
    {"data: x\r\n\r", "", true},
    {"data: x\n\nd", "event  [x] 9 plain\n", true},
    {"event: ping\n", "", true},
};

static void gives_the_same_events_however_the_bytes_are_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct str text = str_from(rows[i].text);
        struct str want = str_from(rows[i].want);
        expect_notes(decode(text, SIZE_MAX, 0), want, ERR_OK, rows[i].is_inside);
        for (size_t a = 0; a <= text.len; a++) {
            for (size_t b = a; b <= text.len; b++) {
                expect_notes(decode(text, a, b), want, ERR_OK, rows[i].is_inside);
            }
        }
    }
}

static void keeps_nul_and_any_other_byte(void **state)
{
    (void)state;
    struct sse_decoder d;
    struct sse_event ev;
    struct str in = STR("data: a\0\xff\n\n");
    sse_init(&d, MAX_EVENT);
    assert_int_equal(sse_next(&d, &in, &ev), ERR_OK);
    assert_true(str_eq(ev.data, STR("a\0\xff")));
    assert_int_equal(sse_next(&d, &in, &ev), ERR_AGAIN);
    sse_fini(&d);
}

static void copies_nothing_of_an_event_that_came_in_one_piece(void **state)
{
    (void)state;
    struct sse_decoder d;
    struct sse_event ev;
    struct str in = STR("data: one\n\nevent: e\ndata: two\n\ndata: th");
    const char *start = in.ptr;
    sse_init(&d, MAX_EVENT);
    assert_int_equal(sse_next(&d, &in, &ev), ERR_OK);
    assert_ptr_equal(ev.raw.ptr, start);
    assert_ptr_equal(ev.data.ptr, start + 6);
    assert_int_equal(sse_next(&d, &in, &ev), ERR_OK);
    assert_ptr_equal(ev.raw.ptr, start + 11);
    assert_ptr_equal(ev.name.ptr, start + 18);
    assert_ptr_equal(ev.data.ptr, start + 26);
    assert_int_equal(sse_next(&d, &in, &ev), ERR_AGAIN);
    assert_int_equal(in.len, 8);
    assert_null(d.carry.data);
    assert_int_equal(sse_keep(&d, &in), ERR_OK);
    assert_int_equal(in.len, 0);
    assert_true(sse_is_inside(&d));
    sse_fini(&d);
}

/* The carried event and several joined payloads have to stay where they are until the keep. */
static void slices_live_until_the_next_keep(void **state)
{
    (void)state;
    enum { EVENTS = 300 };
    struct sse_decoder d;
    struct sse_event ev;
    struct str data[EVENTS + 1];
    struct buf b;
    buf_init(&b, 1 << 16);
    struct str in = STR("data: c1\nda");
    sse_init(&d, MAX_EVENT);
    assert_int_equal(sse_next(&d, &in, &ev), ERR_AGAIN);
    assert_int_equal(sse_keep(&d, &in), ERR_OK);
    assert_int_equal(buf_append(&b, STR("ta: c2\n\n")), ERR_OK);
    for (int i = 0; i < EVENTS; i++) {
        assert_int_equal(buf_printf(&b, "data: %d\ndata: two\n\n", i), ERR_OK);
    }
    in = buf_str(&b);
    for (int i = 0; i <= EVENTS; i++) {
        assert_int_equal(sse_next(&d, &in, &ev), ERR_OK);
        data[i] = ev.data;
    }
    assert_int_equal(sse_next(&d, &in, &ev), ERR_AGAIN);
    assert_true(str_eq(data[0], STR("c1\nc2")));
    assert_true(str_eq(data[1], STR("0\ntwo")));
    assert_true(str_eq(data[EVENTS], STR("299\ntwo")));
    assert_int_equal(sse_keep(&d, &in), ERR_OK);
    assert_false(sse_is_inside(&d));
    sse_fini(&d);
    buf_fini(&b);
}

/* "data: xxx…\n\n" of `len` bytes. */
static struct str make_event(char *room, size_t len)
{
    memset(room, 'x', len);
    memcpy(room, "data: ", 6);
    memcpy(room + len - 2, "\n\n", 2);
    return str_of(room, len);
}

static void limits_an_event_however_it_is_split(void **state)
{
    (void)state;
    char room[MAX_EVENT + 2];
    for (size_t cut = 0; cut <= MAX_EVENT; cut += 37) {
        struct notes n = decode(make_event(room, MAX_EVENT), cut, MAX_EVENT - 1);
        assert_int_equal(n.end, ERR_OK);
        assert_true(buf_len(&n.text) > MAX_EVENT - 8);
        buf_fini(&n.text);
        n = decode(make_event(room, MAX_EVENT + 1), cut, MAX_EVENT);
        expect_notes(n, STR(""), ERR_TOO_LARGE, n.is_inside);
    }
    expect_notes(decode(make_event(room, MAX_EVENT + 1), SIZE_MAX, 0), STR(""), ERR_TOO_LARGE,
                 true);
}

static void limits_an_event_that_never_ends(void **state)
{
    (void)state;
    char room[MAX_EVENT + 1];
    struct sse_decoder d;
    struct sse_event ev;
    memset(room, 'x', sizeof(room));
    struct str in = str_of(room, sizeof(room));
    sse_init(&d, MAX_EVENT);
    assert_int_equal(sse_next(&d, &in, &ev), ERR_AGAIN);
    assert_int_equal(sse_keep(&d, &in), ERR_TOO_LARGE);
    sse_fini(&d);
}

/* More bytes in one read than one event may have are fine. */
static void the_limit_is_for_one_event_only(void **state)
{
    (void)state;
    struct sse_decoder d;
    struct sse_event ev;
    struct buf b;
    size_t count = 0;
    buf_init(&b, 1 << 16);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(buf_printf(&b, "data: %d\n%s\n", i, i % 2 ? "data: z\n" : ""), ERR_OK);
    }
    struct str in = buf_str(&b);
    sse_init(&d, MAX_EVENT);
    while (sse_next(&d, &in, &ev) == ERR_OK) {
        count++;
    }
    assert_int_equal(count, 500);
    assert_int_equal(sse_keep(&d, &in), ERR_OK);
    sse_fini(&d);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_same_events_however_the_bytes_are_split),
        cmocka_unit_test(keeps_nul_and_any_other_byte),
        cmocka_unit_test(copies_nothing_of_an_event_that_came_in_one_piece),
        cmocka_unit_test(slices_live_until_the_next_keep),
        cmocka_unit_test(limits_an_event_however_it_is_split),
        cmocka_unit_test(limits_an_event_that_never_ends),
        cmocka_unit_test(the_limit_is_for_one_event_only),
    };
    return cmocka_run_group_tests_name("wire/sse", tests, NULL, NULL);
}
