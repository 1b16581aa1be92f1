#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/picker.h"

/* Who was tried, and what that leaves. */

static void remembers_who_was_tried(void **state)
{
    (void)state;
    struct tried t = {0};
    assert_false(tried_has(&t, 0));
    for (uint32_t i = 0; i < TRIED_MAX + 5; i++) {
        tried_add(&t, i);
        tried_add(&t, i);
    }
    assert_int_equal(t.count, TRIED_MAX);
    assert_true(tried_has(&t, 0));
    assert_true(tried_has(&t, TRIED_MAX - 1));
    assert_false(tried_has(&t, TRIED_MAX));
}

static void counts_the_tiers_that_are_left(void **state)
{
    (void)state;
    struct small_catalog small;
    struct tried tried = {.count = 0};
    small_catalog_init(&small, "01/2/34");
    struct pick first = {.member = &small.members[0], .tier = 0};
    struct pick second = {.member = &small.members[2], .tier = 1};
    struct pick last = {.member = &small.members[3], .tier = 2};
    struct pick overflow = {.member = &small.members[3], .tier = 2, .is_overflow = true};
    assert_int_equal(pick_tiers_after(&small.model, &tried, &overflow), 3);
    assert_int_equal(pick_tiers_after(&small.model, &tried, &first), 3);
    assert_int_equal(pick_tiers_after(&small.model, &tried, &second), 1);
    assert_int_equal(pick_tiers_after(&small.model, &tried, &last), 1);
    tried_add(&tried, 1);
    assert_int_equal(pick_tiers_after(&small.model, &tried, &first), 2);
    tried_add(&tried, 2);
    assert_int_equal(pick_tiers_after(&small.model, &tried, &first), 1);
    tried_add(&tried, 4);
    assert_int_equal(pick_tiers_after(&small.model, &tried, &first), 1);
    assert_int_equal(pick_tiers_after(&small.model, &tried, &last), 0);
    tried_add(&tried, 3);
    assert_int_equal(pick_tiers_after(&small.model, &tried, &first), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remembers_who_was_tried),
        cmocka_unit_test(counts_the_tiers_that_are_left),
    };
    return cmocka_run_group_tests_name("tiers/pick_tried", tests, NULL, NULL);
}
