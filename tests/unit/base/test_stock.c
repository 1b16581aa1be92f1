#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/stock.h"

enum { MIB = 1 << 20, KEEP_MS = 1000 };

static void take_and_give(struct stock *s, size_t size, uint64_t now_ms)
{
    struct block b = stock_take(s, size, size);
    stock_give(s, &b, now_ms);
}

static void gives_room_for_what_is_asked(void **state)
{
    (void)state;
    struct stock s;
    stock_init(&s, 4 * MIB, KEEP_MS);
    for (size_t size = 1; size < 3 * MIB; size = size * 3 + 1) {
        struct block b = stock_take(&s, size, size);
        assert_true(b.cap >= size);
        memset(b.ptr, 'x', b.cap);
        stock_give(&s, &b, 0);
        assert_null(b.ptr);
        assert_int_equal(b.cap, 0);
    }
    stock_fini(&s);
    assert_int_equal(s.kept_bytes, 0);
}

static void gives_the_last_one_again(void **state)
{
    (void)state;
    struct stock s;
    stock_init(&s, 4 * MIB, KEEP_MS);
    struct block b = stock_take(&s, MIB, MIB);
    const char *at = b.ptr;
    memset(b.ptr, 'x', b.cap);
    stock_give(&s, &b, 0);
    b = stock_take(&s, MIB - 5, MIB - 5);
    assert_ptr_equal(b.ptr, at);
    memset(b.ptr, 'y', b.cap);
    assert_int_equal(s.kept_bytes, 0);
    stock_give(&s, &b, 0);
    stock_fini(&s);
}

static void prefers_the_smallest_that_fits_and_else_the_largest(void **state)
{
    (void)state;
    struct stock s;
    stock_init(&s, 8 * MIB, KEEP_MS);
    struct block one = stock_take(&s, MIB, MIB);
    struct block two = stock_take(&s, 2 * MIB, 2 * MIB);
    struct block three = stock_take(&s, 3 * MIB, 3 * MIB);
    const char *at_one = one.ptr;
    const char *at_two = two.ptr;
    const char *at_three = three.ptr;
    stock_give(&s, &one, 0);
    stock_give(&s, &three, 0);
    stock_give(&s, &two, 0);
    struct block b = stock_take(&s, 1, MIB + 1);
    assert_ptr_equal(b.ptr, at_two);
    struct block large = stock_take(&s, MIB, 10 * MIB);
    assert_ptr_equal(large.ptr, at_three);
    struct block more = stock_take(&s, 2 * MIB, 10 * MIB); /* one MiB is too little for it */
    assert_ptr_not_equal(more.ptr, at_one);
    assert_int_equal(s.kept_bytes, MIB);
    stock_give(&s, &b, 0);
    stock_give(&s, &large, 0);
    stock_give(&s, &more, 0);
    stock_fini(&s);
}

static void grows_with_what_is_in_it(void **state)
{
    (void)state;
    struct stock s;
    stock_init(&s, 4 * MIB, KEEP_MS);
    struct block b = stock_take(&s, MIB, MIB);
    memset(b.ptr, 'x', MIB);
    stock_grow(&b, MIB - 1);
    assert_int_equal(b.cap, MIB);
    stock_grow(&b, 3 * MIB + 1);
    assert_true(b.cap > 3 * MIB);
    for (size_t i = 0; i < MIB; i += 511) {
        assert_int_equal(b.ptr[i], 'x');
    }
    memset(b.ptr, 'y', b.cap);
    stock_give(&s, &b, 0);
    stock_fini(&s);
}

static void keeps_no_more_than_it_may(void **state)
{
    (void)state;
    struct stock s;
    struct block b[4];
    stock_init(&s, 4 * MIB, KEEP_MS);
    for (size_t i = 0; i < 4; i++) {
        b[i] = stock_take(&s, MIB + MIB / 2, MIB + MIB / 2);
    }
    const char *last = b[3].ptr;
    for (size_t i = 0; i < 4; i++) {
        stock_give(&s, &b[i], i);
        assert_true(s.kept_bytes <= 4 * MIB);
    }
    assert_int_equal(s.kept_bytes, 3 * MIB);
    b[0] = stock_take(&s, 1, 5 * MIB);
    assert_ptr_equal(b[0].ptr, last);
    stock_grow(&b[0], 5 * MIB);
    stock_give(&s, &b[0], 9); /* larger than all that may be kept */
    assert_null(b[0].ptr);
    assert_int_equal(s.kept_bytes, MIB + MIB / 2);
    stock_fini(&s);
}

static void lets_go_of_what_nobody_wants_for_a_while(void **state)
{
    (void)state;
    struct stock s;
    stock_init(&s, 4 * MIB, KEEP_MS);
    assert_int_equal(stock_trim(&s, 0), STOCK_NEVER);
    struct block b = stock_take(&s, MIB, MIB);
    take_and_give(&s, 2 * MIB, 100);
    stock_give(&s, &b, 300);
    assert_int_equal(stock_trim(&s, 1099), 1100);
    assert_int_equal(s.kept_bytes, 3 * MIB);
    assert_int_equal(stock_trim(&s, 1100), 1300);
    assert_int_equal(s.kept_bytes, MIB);
    take_and_give(&s, MIB, 1200); /* was wanted: its time begins again */
    assert_int_equal(stock_trim(&s, 1300), 2200);
    assert_int_equal(stock_trim(&s, 5000), STOCK_NEVER);
    assert_int_equal(s.kept_bytes, 0);
    stock_fini(&s);
}

static void takes_back_nothing_where_there_is_nothing(void **state)
{
    (void)state;
    struct stock s;
    struct block none = {NULL, 0};
    stock_init(&s, MIB, KEEP_MS);
    stock_give(&s, &none, 0);
    assert_int_equal(stock_trim(&s, 0), STOCK_NEVER);
    stock_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_room_for_what_is_asked),
        cmocka_unit_test(gives_the_last_one_again),
        cmocka_unit_test(prefers_the_smallest_that_fits_and_else_the_largest),
        cmocka_unit_test(grows_with_what_is_in_it),
        cmocka_unit_test(keeps_no_more_than_it_may),
        cmocka_unit_test(lets_go_of_what_nobody_wants_for_a_while),
        cmocka_unit_test(takes_back_nothing_where_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
