#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "settings_loading.h"

#define MODELS "\nmodels: {m: {tiers: [a]}}\n"
#define BACKEND "backends: {a: {type: vllm, url: http://127.0.0.1:8001, managed: "

static void a_command_is_enough(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, BACKEND "{command: [vllm, serve, 'a b', $$HOME]}}}" MODELS);
    const struct managed_policy *m = &l.s->catalog.backends[0].managed;
    assert_string_equal(m->command[0], "vllm");
    assert_string_equal(m->command[2], "a b");
    assert_string_equal(m->command[3], "$HOME");
    assert_null(m->command[4]);
    assert_int_equal(m->start, MANAGED_ON_DEMAND);
    assert_int_equal(m->stop_after_ms, 600000);
    assert_int_equal(m->needs_memory, 0);
    assert_true(m->wants_token);
    assert_int_equal(m->give_up_restarts, 6);
    unload(&l);
}

static void all_of_it_is_read(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, BACKEND "{command: [x], start: always, stop_after: 0, gpu: gpu0,\n"
                          "  needs_memory: 12GiB, agent: 'http://127.0.0.1:8402',\n"
                          "  agent_token: t, output: /tmp/o, token: false, start_timeout: 1m,\n"
                          "  hang_after: 0, stop: {term: 1s, rest: 2s, kill: 3s},\n"
                          "  backoff: {first: 4s, max: 5s},\n"
                          "  give_up: {restarts: 2, within: 6s}}}}" MODELS);
    const struct managed_policy *m = &l.s->catalog.backends[0].managed;
    assert_int_equal(m->start, MANAGED_ALWAYS);
    assert_int_equal(m->stop_after_ms, 0);
    assert_true(str_eq(m->gpu, STR("gpu0")));
    assert_true(m->needs_memory == 12ULL << 30);
    assert_true(str_eq(m->agent, STR("http://127.0.0.1:8402")));
    assert_true(str_eq(m->output, STR("/tmp/o")));
    assert_false(m->wants_token);
    assert_int_equal(m->start_ms, 60000);
    assert_int_equal(m->hang_ms, 0);
    assert_int_equal(m->term_ms, 1000);
    assert_int_equal(m->rest_ms, 2000);
    assert_int_equal(m->kill_ms, 3000);
    assert_int_equal(m->first_ms, 4000);
    assert_int_equal(m->max_ms, 5000);
    assert_int_equal(m->give_up_restarts, 2);
    assert_int_equal(m->give_up_within_ms, 6000);
    unload(&l);
}

static void without_it_nothing_is_managed(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, SMALL);
    assert_null(l.s->catalog.backends[0].managed.command);
    unload(&l);
}

static void mistakes_have_their_place(void **state)
{
    static const struct {
        const char *text;
        const char *said;
    } CASES[] = {
        {BACKEND "{}}}" MODELS, ":1:65: error: "},
        {BACKEND "{command: vllm}}}" MODELS, ":1:75: error: 'command' must be a list of words"},
        {BACKEND "{command: []}}}" MODELS, ":1:75: error: 'command' must be a list of words"},
        {BACKEND "{command: ['']}}}" MODELS, "a word of a command cannot be that"},
        {BACKEND "{command: [x], start: sometimes}}}" MODELS, "'start' must be"},
        {BACKEND "{command: [x], stop_after: 10}}}" MODELS, "stop_after"},
        {BACKEND "{command: [x], commando: 1}}}" MODELS, "unknown key 'commando'"},
        {BACKEND "{command: [x], agent: 'https://h'}}}" MODELS, "'agent' is no usable URL"},
        {BACKEND "{command: [x], needs_memory: 1g}}}" MODELS, "'needs_memory' needs 'agent'"},
        {BACKEND "{command: [x], stop: {term: x}}}}" MODELS, "'term'"},
        {"backends: {a: {type: vllm, url: https://h, managed: {command: [x]}}}" MODELS,
         ":1:53: error: 'managed' needs a plain http url"},
        {"backends: {a: {type: anthropic, url: http://h, managed: {command: [x]}}}" MODELS,
         "type anthropic cannot be started here"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct loading l;
        load(&l, CASES[i].text);
        if (l.e == ERR_OK || !strstr(l.said, CASES[i].said)) {
            print_error("%s\nsaid: %s\nnot: %s\n", CASES[i].text, l.said, CASES[i].said);
            fail();
        }
        unload(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_enough),
        cmocka_unit_test(all_of_it_is_read),
        cmocka_unit_test(without_it_nothing_is_managed),
        cmocka_unit_test(mistakes_have_their_place),
    };
    return cmocka_run_group_tests_name("gate/settings_managed", tests, NULL, NULL);
}
