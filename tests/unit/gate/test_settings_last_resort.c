#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "settings_loading.h"

static const struct last_resort_policy *policy_of(const struct loading *l, size_t model)
{
    return &l->s->catalog.models[model].last_resort;
}

static void there_is_none_unless_it_is_asked_for(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, SMALL);
    assert_int_equal(policy_of(&l, 0)->cache_ms, 0);
    assert_int_equal(policy_of(&l, 0)->message.len, 0);
    assert_int_equal(l.s->answer_cache_bytes, 64 << 20);
    unload(&l);
}

static void a_model_takes_over_what_it_leaves_out(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends: {a: {type: vllm, url: 'http://x:1'}}\n"
                  "models: {m: {tiers: [a]}, n: {tiers: [a], last_resort: {cache: 1h}},\n"
                  "         o: {tiers: [a], last_resort: off},\n"
                  "         p: {tiers: [a], last_resort: {message: ''}}}\n"
                  "last_resort: {cache: 10m, cache_size: 2g, message: sorry}\n");
    assert_int_equal(policy_of(&l, 0)->cache_ms, 600000);
    assert_true(str_eq(policy_of(&l, 0)->message, STR("sorry")));
    assert_int_equal(policy_of(&l, 1)->cache_ms, 3600000);
    assert_true(str_eq(policy_of(&l, 1)->message, STR("sorry")));
    assert_int_equal(policy_of(&l, 2)->cache_ms, 0);
    assert_int_equal(policy_of(&l, 2)->message.len, 0);
    assert_int_equal(policy_of(&l, 3)->cache_ms, 600000);
    assert_int_equal(policy_of(&l, 3)->message.len, 0);
    assert_int_equal(l.s->answer_cache_bytes, (size_t)2 << 30);
    unload(&l);
}

static void expect_mistake(const char *file, const char *model, const char *said)
{
    struct loading l;
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "backends: {a: {type: vllm, url: 'http://x:1'}}\n"
                   "models: {m: {tiers: [a], last_resort: %s}}\nlast_resort: %s\n",
                   model, file);
    load(&l, text);
    assert_int_not_equal(l.e, ERR_OK);
    if (!strstr(l.said, said)) {
        print_error("%s", l.said);
        fail();
    }
    unload(&l);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    expect_mistake("yes please", "off", "expected off, or a mapping of cache and message");
    expect_mistake("off", "[]", "expected off, or a mapping of cache and message");
    expect_mistake("{cache: 25h}", "off", "'cache'");
    expect_mistake("{cache_size: 4k}", "off", "'cache_size'");
    expect_mistake("{message: [a]}", "off", "'message'");
    expect_mistake("off", "{cache_size: 2m}", "'cache_size'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_none_unless_it_is_asked_for),
        cmocka_unit_test(a_model_takes_over_what_it_leaves_out),
        cmocka_unit_test(mistakes_are_told),
    };
    return cmocka_run_group_tests_name("gate/settings last_resort", tests, NULL, NULL);
}
