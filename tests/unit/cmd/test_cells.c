#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmd/cells.h"
#include "cmd/color.h"

static int set_up(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

static void expect_line(struct line *l, const char *text, size_t width)
{
    struct str out = buf_str(&l->out);
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.ptr, text, out.len);
    assert_int_equal(l->width, width);
    line_fini(l);
}

static void expect_cell(struct cell c, bool is_utf8, const char *text)
{
    struct line l;
    line_begin(&l, 80, is_utf8, true);
    line_cell(&l, &c);
    expect_line(&l, text, c.width);
}

static void a_cell_is_filled_up_or_cut_with_a_mark(void **state)
{
    (void)state;
    expect_cell((struct cell){.text = STR("gpu1"), .width = 6}, true, "gpu1  ");
    expect_cell((struct cell){.text = STR("42"), .width = 6, .is_number = true}, true,
                "    42");
    expect_cell((struct cell){.text = STR("gpu1"), .width = 4}, true, "gpu1");
    expect_cell((struct cell){.text = STR("gpu-one"), .width = 4}, true, "gpu…");
    expect_cell((struct cell){.text = STR("gpu-one"), .width = 4}, false, "gpu~");
    expect_cell((struct cell){.text = STR("gpu-one"), .width = 1}, true, "…");
    expect_cell((struct cell){.text = STR("gpu-one"), .width = 0}, true, "");
    expect_cell((struct cell){.text = STR(""), .width = 3}, true, "   ");
}

static void what_is_wide_or_has_no_width_is_counted_as_it_is_shown(void **state)
{
    (void)state;
    assert_int_equal(cells_width(STR("größe"), true), 5);
    assert_int_equal(cells_width(STR("世界"), true), 4);
    assert_int_equal(cells_width(STR("e\xcc\x81"), true), 1); /* with a combining accent */
    assert_int_equal(cells_width(STR("a\xff"), true), 2);     /* no UTF-8: a '?' */
    expect_cell((struct cell){.text = STR("世界人"), .width = 4}, true, "世 …");
    expect_cell((struct cell){.text = STR("世界"), .width = 5}, true, "世界 ");
    expect_cell((struct cell){.text = STR("e\xcc\x81x"), .width = 2}, true, "e\xcc\x81x");
}

static void without_utf8_each_character_beyond_ascii_is_one_mark(void **state)
{
    (void)state;
    assert_int_equal(cells_width(STR("世界"), false), 2);
    expect_cell((struct cell){.text = STR("größe"), .width = 6}, false, "gr??e ");
}

static void color_is_around_the_text_and_counts_for_nothing(void **state)
{
    (void)state;
    expect_cell((struct cell){.text = STR("DOWN"), .color = COLOR_RED, .width = 6}, true,
                COLOR_RED "DOWN" COLOR_OFF "  ");
    struct line l;
    line_begin(&l, 80, true, false);
    line_put(&l, STR("DOWN"), COLOR_RED);
    expect_line(&l, "DOWN", 4);
}

static void a_line_is_never_longer_than_it_may_be(void **state)
{
    (void)state;
    struct line l;
    line_begin(&l, 7, true, false);
    line_put(&l, STR("12345"), "");
    line_put(&l, STR("67890"), "");
    line_put(&l, STR("x"), "");
    line_cell(&l, &(struct cell){.text = STR("y"), .width = 3});
    line_move(&l, 20);
    expect_line(&l, "1234567", 7);
    line_begin(&l, 3, true, false);
    line_put(&l, STR("世界"), "");
    expect_line(&l, "世", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cell_is_filled_up_or_cut_with_a_mark),
        cmocka_unit_test(what_is_wide_or_has_no_width_is_counted_as_it_is_shown),
        cmocka_unit_test(without_utf8_each_character_beyond_ascii_is_one_mark),
        cmocka_unit_test(color_is_around_the_text_and_counts_for_nothing),
        cmocka_unit_test(a_line_is_never_longer_than_it_may_be),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
