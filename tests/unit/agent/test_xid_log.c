#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/xid_log.h"

enum { WINDOW_MS = 5000 };

static bool add(struct xid_log *l, uint32_t xid, enum xid_source source, uint64_t now_ms)
{
    struct xid_entry *entry = NULL;
    struct xid_event e = {.xid = xid,
                          .source = source,
                          .pid = source == XID_FROM_KERNEL ? 7 : -1,
                          .instance = -1,
                          .compute = -1,
                          .text = source == XID_FROM_KERNEL ? "text" : "",
                          .wall_ms = 1000000 + now_ms};
    bool is_new = xid_log_add(l, &e, WINDOW_MS, now_ms, &entry);
    assert_int_equal(entry->xid, xid);
    return is_new;
}

static void one_of_each_source_is_one_in_either_order(void **state)
{
    struct xid_log l = {.count = 0};
    (void)state;
    assert_true(add(&l, 79, XID_FROM_NVML, 10000));
    assert_false(add(&l, 79, XID_FROM_KERNEL, 10000 + WINDOW_MS));
    assert_int_equal(l.entry[0].count, 1);
    assert_int_equal(l.entry[0].pid, 7);
    assert_string_equal(l.entry[0].text, "text");
    assert_true(add(&l, 48, XID_FROM_KERNEL, 20000));
    assert_false(add(&l, 48, XID_FROM_NVML, 20001));
    assert_int_equal(l.entry[1].count, 1);
}

static void beyond_the_window_it_is_another(void **state)
{
    struct xid_log l = {.count = 0};
    (void)state;
    assert_true(add(&l, 79, XID_FROM_NVML, 10000));
    assert_true(add(&l, 79, XID_FROM_KERNEL, 10001 + WINDOW_MS));
    assert_int_equal(l.entry[0].count, 2);
    assert_int_equal(l.entry[0].first_wall_ms, 1010000);
    assert_int_equal(l.entry[0].last_wall_ms, 1010001 + WINDOW_MS);
}

static void a_burst_pairs_one_by_one(void **state)
{
    struct xid_log l = {.count = 0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(add(&l, 13, XID_FROM_KERNEL, 10000));
    }
    for (int i = 0; i < 3; i++) {
        assert_false(add(&l, 13, XID_FROM_NVML, 10100));
    }
    assert_true(add(&l, 13, XID_FROM_NVML, 10200));
    assert_int_equal(l.entry[0].count, 4);
}

static void other_numbers_do_not_mix_and_the_oldest_goes(void **state)
{
    struct xid_log l = {.count = 0};
    (void)state;
    for (uint32_t i = 0; i < XID_LOG_MAX; i++) {
        assert_true(add(&l, i, XID_FROM_KERNEL, 10000 + i));
    }
    assert_true(add(&l, 0, XID_FROM_KERNEL, 90000)); /* now 1 is the oldest */
    assert_true(add(&l, 500, XID_FROM_KERNEL, 90001));
    assert_int_equal(l.count, XID_LOG_MAX);
    for (uint32_t i = 0; i < l.count; i++) {
        assert_int_not_equal(l.entry[i].xid, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_each_source_is_one_in_either_order),
        cmocka_unit_test(beyond_the_window_it_is_another),
        cmocka_unit_test(a_burst_pairs_one_by_one),
        cmocka_unit_test(other_numbers_do_not_mix_and_the_oldest_goes),
    };
    return cmocka_run_group_tests_name("agent/xid_log", tests, NULL, NULL);
}
