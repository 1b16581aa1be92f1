#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/slab.h"

enum { SIZE = 2000, MOST = 3, MORE = 5 };

static void assert_zeroed(const char *piece)
{
    for (size_t i = 0; i < SIZE; i++) {
        assert_int_equal(piece[i], 0);
    }
}

static void every_piece_is_zeroed_also_one_that_was_used_before(void **state)
{
    struct slab s;
    (void)state;
    slab_init(&s, SIZE, MOST);
    for (int round = 0; round < 3; round++) {
        char *a = slab_take(&s);
        char *b = slab_take(&s);
        assert_ptr_not_equal(a, b);
        assert_zeroed(a);
        assert_zeroed(b);
        memset(a, 'a', SIZE);
        memset(b, 'b', SIZE);
        slab_give(&s, a);
        slab_give(&s, b);
    }
    slab_fini(&s);
}

static void keeps_no_more_than_it_may(void **state)
{
    struct slab s;
    void *taken[MORE];
    (void)state;
    slab_init(&s, SIZE, MOST);
    for (int i = 0; i < MORE; i++) {
        taken[i] = slab_take(&s);
    }
    for (int i = 0; i < MORE; i++) {
        slab_give(&s, taken[i]);
        assert_true(s.kept <= MOST);
    }
    assert_true(s.kept == s.most); /* none under ASan */
    slab_fini(&s);
    assert_int_equal(s.kept, 0);
    assert_null(s.first);
}

static void a_piece_may_be_freed_instead_and_outlive_the_slab(void **state)
{
    struct slab s;
    (void)state;
    slab_init(&s, SIZE, MOST);
    char *a = slab_take(&s);
    slab_fini(&s);
    a[SIZE - 1] = 'x';
    free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_is_zeroed_also_one_that_was_used_before),
        cmocka_unit_test(keeps_no_more_than_it_may),
        cmocka_unit_test(a_piece_may_be_freed_instead_and_outlive_the_slab),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
