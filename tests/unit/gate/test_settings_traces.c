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

static void both_are_off_unless_there_is_one(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, SMALL);
    assert_null(l.s->traces.collector);
    assert_int_equal(l.s->access_log.file.len, 0);
    unload(&l);
}

static void a_collector_has_defaults(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, "backends: {a: {type: vllm, url: http://h:1}}\n"
                  "models: {m: {tiers: [a]}}\n"
                  "traces: {otlp: 'http://127.0.0.1:4318'}\n");
    const struct trace_policy *t = &l.s->traces;
    assert_str(t->collector->host, "127.0.0.1");
    assert_int_equal(t->collector->port, 4318);
    assert_str(t->collector->path, "/v1/traces");
    assert_str(t->service, "fallthrough");
    assert_true(t->sample >= 1 && t->sample <= 1);
    assert_int_equal(t->queue, 2048);
    assert_int_equal(t->timeout_ms, 10000);
    assert_false(t->collector->tls);
    unload(&l);
}

static void a_collector_takes_every_key(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l,
              "backends: {a: {type: vllm, url: http://h:1}}\n"
              "models: {m: {tiers: [a]}}\n"
              "traces: {otlp: 'https://h/my/path', sample: 0.25, service: edge, queue: 16,\n"
              "         timeout: 1s, headers: {x-token: 'secret-of-it'}, tls: {ca: ca.pem}}\n");
    const struct trace_policy *t = &l.s->traces;
    assert_true(t->collector->tls);
    assert_int_equal(t->collector->port, 443);
    assert_str(t->collector->path, "/my/path");
    assert_true(str_ends(t->collector->tls_ca, STR("/ca.pem")));
    assert_int_equal(t->collector->header_count, 1);
    assert_str(t->collector->headers[0].value, "secret-of-it");
    assert_true(t->sample > 0.24 && t->sample < 0.26);
    assert_str(t->service, "edge");
    assert_int_equal(t->queue, 16);
    assert_int_equal(t->timeout_ms, 1000);
    unload(&l);
}

static void tells_what_is_wrong_with_traces(void **state)
{
    static const struct {
        const char *line;
        const char *said;
    } cases[] = {
        {"traces: {}\n", "'traces' needs 'otlp'"},
        {"traces: yes\n", "expected a mapping ('traces')"},
        {"traces: {otlp: ftp://h}\n", ":1:16: error: 'otlp' is no URL such as"},
        {"traces: {otlp: http://h, sample: 1.5}\n", "'sample' must be"},
        {"traces: {otlp: http://h, queue: 1}\n", "'queue' must be from 16 to"},
        {"traces: {otlp: http://h, timeout: 1ms}\n", "'timeout' must be from 100ms"},
        {"traces: {otlp: http://h, tls: {ca: x}}\n", "'tls' needs an https url"},
        {"traces: {otlp: https://h, tls: {cert: x}}\n", "'cert' and 'key' go together"},
        {"traces: {otlp: http://h, headers: {Host: x}}\n", "is set by fallthrough itself"},
        {"access_log: [x]\n", ":1:13: error: expected stdout, stderr, a path, or a mapping"},
        {"access_log: {format: json}\n", "needs 'file'"},
        {"access_log: {file: x, format: xml}\n", "'format' must be logfmt or json"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        struct loading l;
        snprintf(text, sizeof(text), "%s%s", cases[i].line, SMALL);
        load(&l, text);
        if (l.e == ERR_OK || !strstr(l.said, cases[i].said)) {
            print_error("%s said: %s\n", cases[i].line, l.said);
            fail();
        }
        unload(&l);
    }
}

static void the_headers_values_are_never_shown(void **state)
{
    struct loading l;
    (void)state;
    load(&l, "traces: {otlp: http://h, headers: {x-token: hidden-value}, sampel: 1}\n"
             "backends: {a: {type: vllm, url: http://h:1}}\n"
             "models: {m: {tiers: [a]}}\n");
    assert_int_not_equal(l.e, ERR_OK);
    assert_non_null(strstr(l.said, "did you mean 'sample'?"));
    assert_null(strstr(l.said, "hidden-value"));
    unload(&l);
}

static void an_access_log_is_a_path_or_a_mapping(void **state)
{
    static const struct {
        const char *line;
        const char *file; /* its end */
        enum log_format format;
    } cases[] = {{"access_log: stdout\n", "stdout", LOG_LOGFMT},
                 {"access_log: {file: stderr, format: json}\n", "stderr", LOG_JSON},
                 {"access_log: log/access.log\n", "/log/access.log", LOG_LOGFMT},
                 {"access_log: {file: /var/log/x}\n", "/var/log/x", LOG_LOGFMT}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        struct loading l;
        snprintf(text, sizeof(text), "%s%s", cases[i].line, SMALL);
        load_well(&l, text);
        assert_true(str_ends(l.s->access_log.file, str_from(cases[i].file)));
        assert_int_equal(l.s->access_log.format, cases[i].format);
        unload(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_are_off_unless_there_is_one),
        cmocka_unit_test(a_collector_has_defaults),
        cmocka_unit_test(a_collector_takes_every_key),
        cmocka_unit_test(tells_what_is_wrong_with_traces),
        cmocka_unit_test(the_headers_values_are_never_shown),
        cmocka_unit_test(an_access_log_is_a_path_or_a_mapping),
    };
    return cmocka_run_group_tests_name("gate/settings_traces", tests, NULL, NULL);
}
