#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settings_loading.h"

static void assert_str(struct str s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.ptr, text, s.len);
}

static void who_tells_is_a_url_or_a_mapping(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends:\n"
                  "  a:\n"
                  "    type: vllm\n"
                  "    url: http://h:8000\n"
                  "    api_key: key-of-a\n"
                  "    agent: {url: 'https://h:8402', token: secret-of-agent, ca: ca.pem,\n"
                  "            interval: 500ms, gpus: [0, GPU-00-1, 12]}\n"
                  "    guard: http://h:8403/prefix\n"
                  "  b: {type: vllm, url: http://h, dcgm: 'http://h:9400/metrics'}\n"
                  "  c: {type: vllm, url: http://h}\n"
                  "models: {m: {tiers: [a, b, c]}}\n");
    const struct backend *b = l.s->catalog.backends;
    const struct backend *agent = b[0].teller[TELLER_AGENT];
    const struct backend *guard = b[0].teller[TELLER_GUARD];
    assert_non_null(agent);
    assert_true(agent->tls);
    assert_int_equal(agent->port, 8402);
    assert_str(agent->host_header, "h:8402");
    assert_str(agent->api_key, "secret-of-agent");
    assert_true(str_ends(agent->tls_ca, STR("/ca.pem")));
    assert_int_equal(agent->health.interval_ms, 500);
    assert_int_equal(b[0].gpu_count, 3);
    assert_str(b[0].gpus[0], "0");
    assert_str(b[0].gpus[1], "GPU-00-1");
    assert_str(b[0].gpus[2], "12");
    assert_str(guard->path, "/prefix");
    assert_int_equal(guard->health.interval_ms, 2000);
    assert_int_equal(guard->api_key.len, 0); /* not the backend's */
    assert_null(b[0].teller[TELLER_DCGM]);
    assert_str(b[1].teller[TELLER_DCGM]->path, "/metrics");
    assert_int_equal(b[1].gpu_count, 0);
    for (size_t i = 0; i < TELLERS; i++) {
        assert_null(b[2].teller[i]);
    }
    unload(&l);
}

static void a_token_is_never_shown(void **state)
{
    struct loading l;
    (void)state;
    load(&l, "backends: {a: {type: vllm, url: http://h, agent: {url: http://h, token: "
             "\"sesame one\", gpus: 3}}}\nmodels: {m: {tiers: [a]}}\n");
    assert_int_not_equal(l.e, ERR_OK);
    assert_null(strstr(l.said, "sesame"));
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_tells_is_a_url_or_a_mapping),
        cmocka_unit_test(a_token_is_never_shown),
    };
    return cmocka_run_group_tests_name("gate/settings of those who tell", tests, NULL, NULL);
}
