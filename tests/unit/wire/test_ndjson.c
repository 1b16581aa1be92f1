#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/ndjson.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { MAX_LINE = 64 };

/* Lines are noted in brackets, the one without a LF in parentheses, an error as '!'. */
static enum err feed(struct ndjson_decoder *d, struct str piece, struct buf *notes)
{
    struct str line;
    char *copy = malloc(piece.len > 0 ? piece.len : 1);
    assert_non_null(copy);
    memcpy(copy, piece.ptr, piece.len);
    struct str in = str_of(copy, piece.len);
    enum err e = ndjson_next(d, &in, &line);
    while (e == ERR_OK) {
        assert_int_equal(buf_printf(notes, "[%.*s]", STR_FMT(line)), ERR_OK);
        e = ndjson_next(d, &in, &line);
    }
    if (e == ERR_AGAIN) {
        e = ndjson_keep(d, &in);
    }
    free(copy);
    return e;
}

static void finish(struct ndjson_decoder *d, enum err e, struct buf *notes)
{
    struct str line;
    if (e != ERR_OK) {
        assert_int_equal(e, ERR_TOO_LARGE);
        assert_int_equal(buf_append(notes, STR("!")), ERR_OK);
        return;
    }
    bool is_inside = ndjson_is_inside(d);
    e = ndjson_last(d, &line);
    assert_int_equal(e, is_inside ? ERR_OK : ERR_EOF);
    if (e == ERR_OK) {
        assert_int_equal(buf_printf(notes, "(%.*s)", STR_FMT(line)), ERR_OK);
    }
    assert_int_equal(ndjson_last(d, &line), ERR_EOF);
    assert_false(ndjson_is_inside(d));
}

/* In pieces of `first` bytes, then `second`, then the rest; first == 0: byte by byte. */
static void expect_notes(struct str text, size_t first, size_t second, const char *want)
{
    struct ndjson_decoder d;
    struct buf notes;
    size_t at = 0;
    enum err e = ERR_OK;
    ndjson_init(&d, MAX_LINE);
    buf_init(&notes, 1 << 12);
    for (int piece = 0; at < text.len && e == ERR_OK; piece++) {
        size_t len = first == 0 ? 1 : piece == 0 ? first : piece == 1 ? second : text.len;
        len = len < text.len - at ? len : text.len - at;
        e = feed(&d, str_of(text.ptr + at, len), &notes);
        at += len;
    }
    finish(&d, e, &notes);
    if (!str_eq(buf_str(&notes), str_from(want))) {
        fail_msg("%zu, %zu: %.*s, not %s", first, second, STR_FMT(buf_str(&notes)), want);
    }
    buf_fini(&notes);
    ndjson_fini(&d);
}

static void expect_always(struct str text, const char *want)
{
    expect_notes(text, 0, 0, want);
    for (size_t first = 1; first <= text.len; first++) {
        for (size_t second = 0; second <= text.len - first; second++) {
            expect_notes(text, first, second, want);
        }
    }
}

static void gives_the_same_lines_however_the_bytes_are_split(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"{}\n", "[{}]"},
        {"{\"a\":1}\n{\"b\":2}\n", "[{\"a\":1}][{\"b\":2}]"},
        {"{}\r\n{}\r\n", "[{}][{}]"},
        {"\n\n{}\n\r\n\n{}\n\n", "[{}][{}]"},
        {"{}", "({})"},
        {"{}\n{\"b\"", "[{}]({\"b\")"},
        {"{}\n{}\r", "[{}]({})"},
        {"{}\n\r", "[{}]"},
        {"a\rb\n \n", "[a\rb][ ]"},
        {"a\r\r\n", "[a\r]"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect_always(str_from(rows[i][0]), rows[i][1]);
    }
}

static void limits_a_line_however_it_is_split(void **state)
{
    (void)state;
    char text[MAX_LINE + 8];
    char want[MAX_LINE + 8];
    memset(want, 'x', sizeof(want));
    memcpy(want, "[1][", 4);
    memcpy(want + 4 + MAX_LINE, "]", 2);
    memset(text, 'x', sizeof(text));
    memcpy(text, "1\n", 2);
    text[2 + MAX_LINE] = '\n';
    expect_always(str_of(text, 2 + MAX_LINE + 1), want);
    want[3] = '(';
    want[4 + MAX_LINE] = ')';
    expect_always(str_of(text, 2 + MAX_LINE), want);
    text[2 + MAX_LINE] = 'x';
    expect_always(str_of(text, 2 + MAX_LINE + 1), "[1]!");
    text[2 + MAX_LINE + 1] = '\n';
    expect_always(str_of(text, 2 + MAX_LINE + 2), "[1]!");
}

static void slices_live_until_the_next_keep(void **state)
{
    (void)state;
    struct ndjson_decoder d;
    struct str in = STR("{\"a\"");
    struct str line;
    struct str next;
    ndjson_init(&d, MAX_LINE);
    assert_int_equal(ndjson_next(&d, &in, &line), ERR_AGAIN);
    assert_int_equal(in.len, 4);
    assert_int_equal(ndjson_keep(&d, &in), ERR_OK);
    assert_int_equal(in.len, 0);
    assert_true(ndjson_is_inside(&d));
    in = STR(":1}\n{}\nrest");
    const char *second = in.ptr + 4;
    assert_int_equal(ndjson_next(&d, &in, &line), ERR_OK);
    assert_int_equal(ndjson_next(&d, &in, &next), ERR_OK);
    assert_true(str_eq(line, STR("{\"a\":1}")));
    assert_ptr_equal(next.ptr, second);
    assert_int_equal(ndjson_next(&d, &in, &next), ERR_AGAIN);
    assert_true(str_eq(line, STR("{\"a\":1}")));
    assert_int_equal(ndjson_keep(&d, &in), ERR_OK);
    assert_int_equal(ndjson_last(&d, &line), ERR_OK);
    assert_true(str_eq(line, STR("rest")));
    ndjson_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_same_lines_however_the_bytes_are_split),
        cmocka_unit_test(limits_a_line_however_it_is_split),
        cmocka_unit_test(slices_live_until_the_next_keep),
    };
    return cmocka_run_group_tests_name("wire/ndjson", tests, NULL, NULL);
}
