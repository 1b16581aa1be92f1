#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settings_loading.h"

/* What a backend's type alone decides. */

static void each_type_has_its_times(void **state)
{
    static const struct {
        const char *type;
        uint32_t first_token_ms;
        uint32_t stall_ms;
        bool is_paid;
    } rows[] = {{"vllm", 10000, 10000, false},
                {"ollama", 60000, 30000, false},
                {"llamacpp", 60000, 30000, false},
                {"openai", 10000, 10000, true},
                {"anthropic", 10000, 10000, true}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loading l;
        char text[128];
        (void)snprintf(text, sizeof(text),
                       "backends: {a: {type: %s, url: 'http://h'}}\n"
                       "models: {m: {tiers: [a]}}\n",
                       rows[i].type);
        load_well(&l, text);
        const struct backend *b = &l.s->catalog.backends[0];
        assert_string_equal(backend_type_name(b->type), rows[i].type);
        assert_int_equal(b->deadlines.first_token_ms, rows[i].first_token_ms);
        assert_int_equal(b->deadlines.stall_ms, rows[i].stall_ms);
        assert_int_equal(backend_type_is_paid(b->type), rows[i].is_paid);
        unload(&l);
    }
}

static void anthropic_takes_its_own_headers_beside_a_key_and_a_degrade(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l,
              "backends: {a: {type: anthropic, url: 'https://api.example.com', api_key: k-1,"
              " headers: {X-Api-Key: other, anthropic-version: '2030-01-01'}}}\n"
              "models: {m: {tiers: [a: claude]}}\n"
              "degrade: {anthropic: {max_tokens: 9}}\n");
    const struct backend *b = &l.s->catalog.backends[0];
    assert_int_equal(b->degrade.max_tokens, 9);
    assert_int_equal(b->header_count, 2);
    assert_string_equal(b->api_key.ptr, "k-1");
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_has_its_times),
        cmocka_unit_test(anthropic_takes_its_own_headers_beside_a_key_and_a_degrade),
    };
    return cmocka_run_group_tests_name("gate/settings_types", tests, NULL, NULL);
}
