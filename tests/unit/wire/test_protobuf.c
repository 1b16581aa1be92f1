#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "wire/protobuf.h"

static void assert_bytes(struct buf *b, const char *bytes, size_t len)
{
    assert_int_equal(buf_len(b), len);
    assert_memory_equal(buf_str(b).ptr, bytes, len);
}

/* The examples of the encoding's documentation. */
static void writes_the_examples_of_the_documentation(void **state)
{
    struct buf b;
    struct protobuf p = {.out = &b};
    (void)state;
    buf_init(&b, 1 << 16);
    protobuf_put_uint(&p, 1, 150);
    protobuf_put_text(&p, 2, STR("testing"));
    size_t inner = protobuf_open(&p, 3);
    protobuf_put_uint(&p, 1, 150);
    protobuf_close(&p, inner);
    assert_bytes(&b, "\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01", 17);
    assert_false(p.is_cut);
    buf_fini(&b);
}

static void writes_fixed_numbers_least_byte_first(void **state)
{
    struct buf b;
    struct protobuf p = {.out = &b};
    (void)state;
    buf_init(&b, 1 << 16);
    protobuf_put_fixed32(&p, 1, 0x01020304);
    protobuf_put_fixed64(&p, 2, 0x0102030405060708U);
    protobuf_put_double(&p, 16, 1.0);
    assert_bytes(&b,
                 "\x0d\x04\x03\x02\x01\x11\x08\x07\x06\x05\x04\x03\x02\x01"
                 "\x81\x01\x00\x00\x00\x00\x00\x00\xf0\x3f",
                 24);
    buf_fini(&b);
}

/* The length of a message is written behind it, and moves it where it is long. */
static void messages_within_messages_may_have_any_length(void **state)
{
    static const size_t lengths[] = {0, 1, 125, 126, 127, 128, 129, 16380, 16384, 40000};
    char text[40000];
    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct buf b;
        struct protobuf p = {.out = &b};
        struct protobuf_field f;
        buf_init(&b, 1 << 20);
        size_t outer = protobuf_open(&p, 7);
        size_t inner = protobuf_open(&p, 20);
        protobuf_put_text(&p, 1, str_of(text, lengths[i]));
        protobuf_close(&p, inner);
        protobuf_put_uint(&p, 2, UINT64_MAX);
        protobuf_close(&p, outer);
        struct str rest = buf_str(&b);
        assert_int_equal(protobuf_next(&rest, &f), ERR_OK);
        assert_int_equal(rest.len, 0);
        assert_int_equal(f.number, 7);
        struct str in = f.bytes;
        assert_int_equal(protobuf_next(&in, &f), ERR_OK);
        assert_int_equal(f.number, 20);
        struct str innermost = f.bytes;
        assert_int_equal(protobuf_next(&in, &f), ERR_OK);
        assert_true(f.value == UINT64_MAX);
        assert_int_equal(protobuf_next(&in, &f), ERR_EOF);
        assert_int_equal(protobuf_next(&innermost, &f), ERR_OK);
        assert_int_equal(f.bytes.len, lengths[i]);
        assert_memory_equal(f.bytes.ptr, text, lengths[i]);
        buf_fini(&b);
    }
}

static void what_has_no_room_is_cut(void **state)
{
    (void)state;
    for (size_t max = 1; max < 300; max++) {
        struct buf b;
        struct protobuf p = {.out = &b};
        char text[200] = {0};
        buf_init(&b, max);
        size_t outer = protobuf_open(&p, 1);
        protobuf_put_text(&p, 1, str_of(text, sizeof(text)));
        protobuf_close(&p, outer);
        assert_int_equal(p.is_cut, max < 206);
        buf_fini(&b);
    }
}

static void refuses_what_is_no_field(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"\x08", 1},
               {"\x08\x80", 2},
               {"\x0d\x01\x02\x03", 4},
               {"\x12\x05xx", 4},
               {"\x0b\x0c", 2},
               {"\x00\x01", 2},
               {"\x09\x01", 2},
               {"\x0e\x01", 2},
               {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct str rest = str_of(bad[i].bytes, bad[i].len);
        struct protobuf_field f;
        assert_int_equal(protobuf_next(&rest, &f), ERR_SYNTAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_examples_of_the_documentation),
        cmocka_unit_test(writes_fixed_numbers_least_byte_first),
        cmocka_unit_test(messages_within_messages_may_have_any_length),
        cmocka_unit_test(what_has_no_room_is_cut),
        cmocka_unit_test(refuses_what_is_no_field),
    };
    return cmocka_run_group_tests_name("wire/protobuf", tests, NULL, NULL);
}
