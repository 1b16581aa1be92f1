#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "gate/settings_private.h"
#include "settings_loading.h"

/* `load`, `queue`, a backend's slots and weight, a key's priority. */
static void load_and_queue_are_the_files_but_for_the_models_own_keys(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l,
              "backends: {a: {type: vllm, url: 'http://x:1'},\n"
              "           b: {type: vllm, url: 'http://x:2', max_concurrent: 4, weight: 7}}\n"
              "models: {m: {tiers: [a, b]}}\n");
    const struct model *m = &l.s->catalog.models[0];
    assert_int_equal(m->load.kind, LOAD_LEAST);
    assert_true(str_eq(m->load.session_header, STR("x-session-id")));
    assert_int_equal(m->load.prefix_bytes, 1024);
    assert_int_equal(m->queue.max, 128);
    assert_int_equal(m->queue.wait_ms, 30000);
    assert_true(m->queue.overflow);
    assert_int_equal(l.s->catalog.backends[0].max_concurrent, 0);
    assert_int_equal(l.s->catalog.backends[0].weight, 1);
    assert_int_equal(l.s->catalog.backends[1].max_concurrent, 4);
    assert_int_equal(l.s->catalog.backends[1].weight, 7);
    unload(&l);
    load_well(&l, "backends: {a: {type: vllm, url: 'http://x:1'}}\n"
                  "models: {m: {tiers: [a], load: {policy: prefix}, queue: {wait: 5s}},\n"
                  "         n: {tiers: [a]}}\n"
                  "load: {policy: session, session_header: X-Chat, prefix: 4k}\n"
                  "queue: {max: 0, overflow: false}\n");
    m = l.s->catalog.models;
    assert_int_equal(m[0].load.kind, LOAD_PREFIX);
    assert_int_equal(m[0].load.prefix_bytes, 4096);
    assert_int_equal(m[0].queue.max, 0);
    assert_int_equal(m[0].queue.wait_ms, 5000);
    assert_false(m[0].queue.overflow);
    assert_int_equal(m[1].load.kind, LOAD_SESSION);
    assert_true(str_eq(m[1].load.session_header, STR("X-Chat")));
    assert_int_equal(m[1].queue.wait_ms, 30000);
    unload(&l);
}

/* As one mapping, and as a list of mappings of one each. */
static void a_tier_holds_sixty_four_backends_in_every_form(void **state)
{
    (void)state;
    for (size_t form = 0; form < 2; form++) {
        char text[16384] = "backends:\n";
        size_t at = strlen(text);
        struct loading l;
        for (int i = 0; i < MEMBERS_MAX; i++) {
            at += (size_t)snprintf(text + at, sizeof(text) - at,
                                   "  b%d: {type: vllm, url: 'http://x:1'}\n", i);
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "models: {m: {tiers: [%c",
                               form == 0 ? '{' : '[');
        for (int i = 0; i < MEMBERS_MAX; i++) {
            char member[32];
            (void)snprintf(member, sizeof(member), form == 0 ? "b%d: x, " : "{b%d: x}, ", i);
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", member);
        }
        (void)snprintf(text + at, sizeof(text) - at, "%c]}}\n", form == 0 ? '}' : ']');
        load_well(&l, text);
        assert_int_equal(l.s->catalog.models[0].tiers[0].member_count, MEMBERS_MAX);
        unload(&l);
    }
}

static void a_key_may_ask_for_normal_priority_unless_it_says_more_or_less(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends: {a: {type: vllm, url: 'http://x:1'}}\n"
                  "models: {m: {tiers: [a]}}\n"
                  "keys: [{name: x, key: key-number-1}, {name: y, key: key-number-2,\n"
                  "        priority: high}]\n");
    assert_int_equal(l.s->keys[0].priority, PRIORITY_NORMAL);
    assert_int_equal(l.s->keys[1].priority, PRIORITY_HIGH);
    assert_false(l.s->has_low_keys);
    unload(&l);
    load_well(&l, "backends: {a: {type: vllm, url: 'http://x:1'}}\n"
                  "models: {m: {tiers: [a]}}\n"
                  "keys: [{name: x, key: key-number-1, priority: low}]\n");
    assert_true(l.s->has_low_keys);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tier_holds_sixty_four_backends_in_every_form),
        cmocka_unit_test(load_and_queue_are_the_files_but_for_the_models_own_keys),
        cmocka_unit_test(a_key_may_ask_for_normal_priority_unless_it_says_more_or_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
