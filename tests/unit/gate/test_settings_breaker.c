#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settings_loading.h"

static void a_breaker_is_taken_key_by_key(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "breaker: {dwell: 0, trial_max: 8s}\n"
                  "backends:\n"
                  "  a: {type: vllm, url: http://h, breaker: {trial: 500ms, slow_start: 1m}}\n"
                  "  b: {type: vllm, url: http://h}\n"
                  "models: {m: {tiers: [a, b]}, n: {tiers: [a], panic: false}}\n");
    const struct catalog *c = &l.s->catalog;
    const struct breaker_policy *a = &c->backends[0].breaker;
    const struct breaker_policy *b = &c->backends[1].breaker;
    assert_int_equal(a->trial_ms, 500);
    assert_int_equal(a->trial_max_ms, 8000);
    assert_int_equal(a->dwell_ms, 0);
    assert_int_equal(a->slow_start_ms, 60000);
    assert_int_equal(b->trial_ms, 2000);
    assert_int_equal(b->slow_start_ms, 30000);
    assert_int_equal(c->backends[0].health.down_gap_ms, 500);
    assert_int_equal(c->backends[0].health.down_gap_max_ms, 8000);
    assert_true(c->models[0].may_panic);
    assert_false(c->models[1].may_panic);
    unload(&l);
    load_well(&l, "backends: {a: {type: vllm, url: http://h}}\n"
                  "models: {m: {tiers: [a]}, n: {tiers: [a], panic: true}}\n"
                  "panic: false\n");
    assert_int_equal(l.s->catalog.backends[0].breaker.trial_max_ms, 10000);
    assert_int_equal(l.s->catalog.backends[0].breaker.dwell_ms, 10000);
    assert_false(l.s->catalog.models[0].may_panic);
    assert_true(l.s->catalog.models[1].may_panic);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_breaker_is_taken_key_by_key),
    };
    return cmocka_run_group_tests_name("gate/settings of breakers", tests, NULL, NULL);
}
