#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tiers/notices.h"

enum { T0 = 1000000 };

static void tells_once_in_a_window(void **state)
{
    (void)state;
    struct notices *n = notices_new();
    uint64_t subject = UINT64_C(0x123456789abcdef0);
    assert_true(notices_claim(n, subject, T0));
    assert_false(notices_claim(n, subject, T0));
    assert_false(notices_claim(n, subject, T0 + NOTICES_WINDOW_MS - 200));
    assert_true(notices_claim(n, subject, T0 + NOTICES_WINDOW_MS + 200));
    assert_false(notices_claim(n, subject, T0 + NOTICES_WINDOW_MS + 300));
    notices_free(&n);
    assert_null(n);
}

static void tells_each_one(void **state)
{
    (void)state;
    struct notices *n = notices_new();
    struct rand r = {.state = 5};
    for (int i = 0; i < 1000; i++) {
        assert_true(notices_claim(n, rand_next(&r), T0));
    }
    r.state = 5;
    for (int i = 0; i < 1000; i++) {
        assert_false(notices_claim(n, rand_next(&r), T0 + 1000));
    }
    notices_free(&n);
}

static void time_and_subjects_may_be_zero(void **state)
{
    (void)state;
    struct notices *n = notices_new();
    assert_true(notices_claim(n, 0, 0));
    assert_true(notices_claim(n, UINT64_MAX, 0));
    assert_false(notices_claim(n, UINT64_MAX, 0));
    notices_free(&n);
}

/* The oldest make place, and its size does not grow. */
static void forgets_the_oldest_of_too_many(void **state)
{
    (void)state;
    enum { MANY = 100000 };
    struct notices *n = notices_new();
    struct rand r = {.state = 6};
    uint64_t last = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        last = rand_next(&r);
        assert_true(notices_claim(n, last, T0 + i));
    }
    assert_false(notices_claim(n, last, T0 + MANY));
    r.state = 6;
    assert_true(notices_claim(n, rand_next(&r), T0 + MANY));
    notices_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_once_in_a_window),
        cmocka_unit_test(tells_each_one),
        cmocka_unit_test(time_and_subjects_may_be_zero),
        cmocka_unit_test(forgets_the_oldest_of_too_many),
    };
    return cmocka_run_group_tests_name("notices", tests, NULL, NULL);
}
