#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/reading.h"

static void a_bus_address_has_one_spelling(void **state)
{
    static const struct {
        const char *in;
        const char *out; /* NULL: none */
    } cases[] = {
        {"00000000:18:00.0", "0000:18:00"},
        {"0000:18:00", "0000:18:00"},
        {"PCI:0000:18:00", "0000:18:00"},
        {"0000:AF:1f.7", "0000:af:1f"},
        {"00010000:af:00.0", "10000:af:00"},
        {"0000:18:00 GPU-I:05", "0000:18:00"},
        {"000:18:00", NULL},
        {"0000:1:00", NULL},
        {"0000:18", NULL},
        {"0000-18-00", NULL},
        {"", NULL},
        {"PCI:", NULL},
        {"000000000:18:00", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[BDF_MAX] = "?";
        assert_int_equal(bdf_normal(str_from(cases[i].in), out), cases[i].out != NULL);
        if (cases[i].out) {
            assert_string_equal(out, cases[i].out);
        }
    }
}

static void texts_become_tame_and_fit(void **state)
{
    char out[6];
    (void)state;
    text_tame(STR("a\x1b\xff\nbcdef"), out, sizeof(out));
    assert_string_equal(out, "a???b");
    text_tame(STR(""), out, sizeof(out));
    assert_string_equal(out, "");
}

static void append(struct buf *b, const struct frame *f, size_t size)
{
    assert_int_equal(buf_append(b, str_of((const char *)f, size)), ERR_OK);
}

static void frames_pass_whole_whatever_the_pieces(void **state)
{
    static struct frame in;
    static struct frame out;
    struct buf b;
    (void)state;
    buf_init(&b, FRAMES_MAX);
    frame_begin(&in, FRAME_GPU);
    reading_clear(&in.of.gpu);
    in.of.gpu.v[READING_TEMP] = 77;
    const char *bytes = (const char *)&in;
    for (size_t i = 0; i < frame_size(FRAME_GPU); i++) {
        assert_int_equal(frame_next(&b, &out), ERR_AGAIN);
        assert_int_equal(buf_append(&b, str_of(bytes + i, 1)), ERR_OK);
    }
    assert_int_equal(frame_next(&b, &out), ERR_OK);
    assert_int_equal(out.of.gpu.v[READING_TEMP], 77);
    assert_int_equal(out.of.gpu.v[READING_POWER_MW], READING_NONE);
    assert_int_equal(frame_next(&b, &out), ERR_AGAIN);
    buf_fini(&b);
}

static void frames_cannot_reach_beyond_themselves(void **state)
{
    static struct frame f;
    struct buf b;
    (void)state;
    buf_init(&b, FRAMES_MAX);
    frame_begin(&f, FRAME_GPU);
    memset(&f.of.gpu, 'x', sizeof(f.of.gpu));
    append(&b, &f, frame_size(FRAME_GPU));
    assert_int_equal(frame_next(&b, &f), ERR_OK);
    assert_int_equal(strlen(f.of.gpu.uuid), UUID_MAX - 1);
    assert_int_equal(f.of.gpu.process_listed, PROCESSES_MAX);
    assert_int_equal(f.of.gpu.slice_count, SLICES_MAX);
    frame_begin(&f, FRAME_DONE);
    f.kind = 99;
    append(&b, &f, sizeof(uint32_t) * 3);
    assert_int_equal(frame_next(&b, &f), ERR_SYNTAX);
    buf_fini(&b);
    frame_begin(&f, FRAME_DONE);
    f.magic++;
    append(&b, &f, sizeof(uint32_t) * 3);
    assert_int_equal(frame_next(&b, &f), ERR_SYNTAX);
    buf_fini(&b);
}

static void no_two_values_have_one_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < READING_COUNT; i++) {
        for (size_t k = i + 1; k < READING_COUNT; k++) {
            assert_false(strcmp(READING_ROWS[i].group, READING_ROWS[k].group) == 0 &&
                         strcmp(READING_ROWS[i].name, READING_ROWS[k].name) == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bus_address_has_one_spelling),
        cmocka_unit_test(texts_become_tame_and_fit),
        cmocka_unit_test(frames_pass_whole_whatever_the_pieces),
        cmocka_unit_test(frames_cannot_reach_beyond_themselves),
        cmocka_unit_test(no_two_values_have_one_name),
    };
    return cmocka_run_group_tests_name("agent/reading", tests, NULL, NULL);
}
