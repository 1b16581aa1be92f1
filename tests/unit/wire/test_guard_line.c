#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/guard_line.h"

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    for (unsigned s = 0; s < GUARD_STATES; s++) {
        char text[GUARD_LINE_MAX];
        struct guard_line got;
        struct guard_line told = {.state = (enum guard_state)s,
                                  .turn = GUARD_TURN_WANTED,
                                  .restarts = 3,
                                  .pid = 4711,
                                  .why = "it waits for a turn"};
        size_t len = guard_line_write(&told, text);
        assert_int_equal(guard_line_read(str_of(text, len), &got), ERR_OK);
        assert_int_equal(got.state, told.state);
        assert_int_equal(got.turn, told.turn);
        assert_int_equal(got.restarts, 3);
        assert_int_equal(got.pid, 4711);
        assert_string_equal(got.why, told.why);
    }
}

static void a_line_without_a_reason_is_one(void **state)
{
    (void)state;
    struct guard_line got;
    assert_int_equal(guard_line_read(STR("READY held 0 0 "), &got), ERR_OK);
    assert_string_equal(got.why, "");
    assert_int_equal(guard_line_read(STR("READY held 0 0"), &got), ERR_OK);
}

static void what_is_no_line_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "READY",
                                        "ready none 0 0 x",
                                        "READY maybe 0 0 x",
                                        "READY none -1 0 x",
                                        "READY none 0 99999999999 x",
                                        "READY none  0 0 x"};
    struct guard_line got;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(guard_line_read(str_from(texts[i]), &got), ERR_SYNTAX);
    }
}

static void a_reason_is_cut_and_made_printable(void **state)
{
    (void)state;
    char text[GUARD_LINE_MAX];
    struct guard_line got;
    int head = sprintf(text, "LOADING held 0 1 a\nb\x1b[31m");
    memset(text + head, 'x', sizeof(text) - (size_t)head);
    assert_int_equal(guard_line_read(str_of(text, sizeof(text)), &got), ERR_OK);
    assert_int_equal(strlen(got.why), GUARD_LINE_WHY - 1);
    assert_memory_equal(got.why, "a?b?[31mx", 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_line_without_a_reason_is_one),
        cmocka_unit_test(what_is_no_line_is_refused),
        cmocka_unit_test(a_reason_is_cut_and_made_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
