#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/health.h"

enum { T0 = 1000000 };

static struct health fresh(void)
{
    struct health h;
    health_init(&h, T0);
    return h;
}

static bool probe(struct health *h, struct probe_result r, uint64_t now_ms)
{
    return health_on_probe(h, &SMALL_HEALTH, &r, now_ms);
}

/* DOWN since T0 by a real request. */
static struct health fallen(enum failure f)
{
    struct health h = fresh();
    assert_true(health_on_failure(&h, f, true, T0));
    assert_int_equal(h.state, STATE_DOWN);
    return h;
}

/* --- hangs --- */

static struct health hung(void)
{
    struct health h = fresh();
    (void)probe(&h, probe_ok(5), T0);
    assert_true(health_on_hang(&h, T0 + 1000));
    assert_int_equal(h.state, STATE_DOWN);
    assert_string_equal(cause_word(h.cause), "hung");
    return h;
}

static void a_hung_one_is_not_raised_by_good_probes(void **state)
{
    (void)state;
    struct health h = hung();
    for (uint64_t t = 2000; t < 3600000; t += 2000) {
        assert_false(probe(&h, probe_ok(5), T0 + t));
        assert_int_equal(h.state, STATE_DOWN);
    }
}

static void a_token_raises_it_when_its_probes_are_good(void **state)
{
    (void)state;
    struct health h = hung();
    (void)probe(&h, probe_ok(5), T0 + 2000);
    (void)probe(&h, probe_ok(5), T0 + 4000);
    assert_false(health_on_token(&h, &SMALL_HEALTH, T0 + 1000, T0 + 5000)); /* an old one */
    assert_int_equal(h.state, STATE_DOWN);
    assert_true(health_on_token(&h, &SMALL_HEALTH, T0 + 1001, T0 + 5000));
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_int_equal(h.since_ms, T0 + 5000);
    assert_false(h.needs_token);
}

static void a_token_alone_asks_for_the_probes_that_are_missing(void **state)
{
    (void)state;
    struct health h = hung();
    (void)probe(&h, probe_ok(5), T0 + 2000);
    assert_false(health_on_token(&h, &SMALL_HEALTH, T0 + 3000, T0 + 3000));
    assert_int_equal(h.state, STATE_DOWN);
    assert_int_equal(h.next_probe_ms, T0 + 3000);
    assert_true(probe(&h, probe_ok(5), T0 + 3000));
    assert_int_equal(h.state, STATE_HEALTHY);
}

static void one_that_cannot_be_asked_comes_back_by_its_probes(void **state)
{
    (void)state;
    struct health h = hung();
    (void)probe(&h, probe_ok(5), T0 + 2000);
    (void)probe(&h, probe_ok(5), T0 + 4000);
    assert_true(health_waive_token(&h, &SMALL_HEALTH, T0 + 5000));
    assert_int_equal(h.state, STATE_HEALTHY);
    assert_false(health_waive_token(&h, &SMALL_HEALTH, T0 + 6000));
}

static void a_hang_of_one_that_is_down_changes_its_reason_only(void **state)
{
    (void)state;
    struct health h = fallen(FAILURE_stall);
    health_need_token(&h, T0);
    (void)probe(&h, probe_ok(5), T0 + 2000);
    (void)probe(&h, probe_ok(5), T0 + 4000);
    assert_int_equal(h.state, STATE_DOWN);
    assert_true(health_on_hang(&h, T0 + 10000));
    assert_false(health_on_hang(&h, T0 + 10001));
    assert_int_equal(h.since_ms, T0);
    assert_true(health_on_token(&h, &SMALL_HEALTH, T0 + 20000, T0 + 20000));
    assert_int_equal(h.state, STATE_HEALTHY);
}

static void a_token_is_needed_only_of_one_that_is_down(void **state)
{
    (void)state;
    struct health h = fresh();
    health_need_token(&h, T0);
    assert_false(h.needs_token);
    h = hung();
    (void)probe(&h, probe_status(503), T0 + 2000);
    assert_true(h.needs_token);
    assert_string_equal(cause_word(h.cause), "probe_status");
}

/* --- loading --- */

static void loading_that_takes_too_long_has_failed(void **state)
{
    (void)state;
    struct health h = fresh();
    uint64_t limit_ms = SMALL_HEALTH.loading_limit_ms;
    assert_true(probe(&h, probe_loading(), T0));
    assert_false(probe(&h, probe_loading(), T0 + limit_ms - 1));
    assert_string_equal(cause_word(h.cause), "loading");
    assert_true(probe(&h, probe_loading(), T0 + limit_ms));
    assert_string_equal(cause_word(h.cause), "loading_failed");
    assert_false(health_on_failure(&h, FAILURE_loading, true, T0 + limit_ms + 1));
    assert_string_equal(cause_word(h.cause), "loading_failed");
    assert_int_equal(h.state, STATE_DOWN);
}

static void each_loading_has_its_own_time(void **state)
{
    (void)state;
    struct health h = fresh();
    uint64_t limit_ms = SMALL_HEALTH.loading_limit_ms;
    (void)probe(&h, probe_loading(), T0);
    (void)probe(&h, probe_exception(FAILURE_connect_refused), T0 + limit_ms / 2);
    (void)probe(&h, probe_loading(), T0 + limit_ms / 2 + 1000);
    (void)probe(&h, probe_loading(), T0 + limit_ms);
    assert_string_equal(cause_word(h.cause), "loading");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hung_one_is_not_raised_by_good_probes),
        cmocka_unit_test(a_token_raises_it_when_its_probes_are_good),
        cmocka_unit_test(a_token_alone_asks_for_the_probes_that_are_missing),
        cmocka_unit_test(one_that_cannot_be_asked_comes_back_by_its_probes),
        cmocka_unit_test(a_hang_of_one_that_is_down_changes_its_reason_only),
        cmocka_unit_test(a_token_is_needed_only_of_one_that_is_down),
        cmocka_unit_test(loading_that_takes_too_long_has_failed),
        cmocka_unit_test(each_loading_has_its_own_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
