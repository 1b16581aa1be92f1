#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guard/guard_settings.h"

static char true_word[] = "true";
static char *true_command[] = {true_word, NULL};

struct loaded {
    enum err e;
    size_t mistakes;
    struct guard_settings *s;
    char why[GUARD_WHY_MAX];
};

static struct loaded load(const char *text, const struct guard_overrides *o)
{
    struct loaded l = {.why = ""};
    struct conf_errors errors;
    char path[] = "/tmp/guard-settings-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    conf_errors_init(&errors);
    l.e = guard_settings_load(path, o, &errors, &l.s, l.why);
    l.mistakes = errors.error_count;
    conf_errors_fini(&errors);
    unlink(path);
    return l;
}

static struct guard_settings *load_options(const struct guard_overrides *o, const char **why)
{
    static char reason[GUARD_WHY_MAX];
    struct guard_settings *s = NULL;
    struct conf_errors errors;
    reason[0] = '\0';
    conf_errors_init(&errors);
    enum err e = guard_settings_load(NULL, o, &errors, &s, reason);
    conf_errors_fini(&errors);
    *why = reason;
    assert_int_equal(e, s ? ERR_OK : ERR_RANGE);
    return s;
}

static void reads_every_key(void **state)
{
    const struct guard_overrides none = {.url = NULL};
    (void)state;
    struct loaded l =
        load("command: [vllm, serve, m]\n"
             "backend: {type: llamacpp, url: 'http://127.0.0.1:8000/base', model: m,"
             " api_key: k}\n"
             "token: false\nlisten: '[::1]:9'\nadmin_token: t\ninterval: 1s\n"
             "health_timeout: 2s\nstart_timeout: 3s\nhang_after: 4s\n"
             "probe_timeout: 5s\nstop: {term: 6s, rest: 7s, kill: 8s}\n"
             "backoff: {first: 9s, max: 10s, healthy: 11s}\n"
             "give_up: {restarts: 12, within: 13s, then: exit}\n"
             "on_oom: [[a], [b, c]]\noom_forget: 14s\n"
             "hooks: {down: [d], needs_reset: [e], gave_up: [f, g]}\n"
             "agent: http://127.0.0.1:1\nagent_token: u\ngpus: [GPU-1]\n"
             "gpu_wait: 15s\nneeds_memory: 12GiB\ncgroup: 'off'\nlog: {level: debug, format: "
             "json}\n",
             &none);
    assert_int_equal(l.e, ERR_OK);
    struct guard_settings *s = l.s;
    assert_int_equal(s->command.count, 3);
    assert_string_equal(s->command.word[2], "m");
    assert_null(s->command.word[3]);
    assert_true(str_eq(s->health.path, STR("/base/health")));
    assert_false(s->wants_token);
    assert_true(s->listen.is_ipv6 && s->listen.port == 9);
    assert_int_equal(s->interval_ms + s->health_ms + s->hang_ms + s->probe_ms, 12000);
    assert_int_equal(s->plan.start_ms, 3000);
    assert_int_equal(s->plan.stop.term_ms + s->plan.stop.rest_ms + s->plan.stop.kill_ms, 21000);
    assert_int_equal(s->plan.restart.first_ms, 9000);
    assert_int_equal(s->plan.restart.max_ms, 10000);
    assert_int_equal(s->plan.restart.healthy_ms, 11000);
    assert_int_equal(s->plan.restart.limit, 12);
    assert_int_equal(s->plan.restart.within_ms, 13000);
    assert_int_equal(s->plan.then_leave, PLAN_LEAVE);
    assert_int_equal(s->plan.oom_steps, 2);
    assert_string_equal(s->on_oom[1].word[1], "c");
    assert_int_equal(s->plan.oom_forget_ms, 14000);
    assert_string_equal(s->hook[HOOK_GAVE_UP].word[1], "g");
    assert_string_equal(s->hook[HOOK_NEEDS_RESET].word[0], "e");
    assert_true(s->has_agent && s->agent.port == 1 && s->gpu_count == 1);
    assert_int_equal(s->gpu_wait_ms, 15000);
    assert_true(s->needs_memory == 12ULL << 30);
    assert_int_equal(s->parent_fd, -1);
    assert_true(str_eq(s->cgroup, STR("off")));
    assert_int_equal(s->log_level, LOG_DEBUG);
    assert_int_equal(s->log_format, LOG_JSON);
    guard_settings_free(&s);
    assert_null(s);
}

static void the_health_page_is_known_by_the_type(void **state)
{
    static const struct {
        const char *type;
        const char *path;
    } rows[] = {{"vllm", "/health"},
                {"llamacpp", "/health"},
                {"ollama", "/api/version"},
                {"openai", "/v1/models"}};
    const char *why = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guard_settings *s = load_options(
            &(struct guard_overrides){
                .url = "http://[::1]:8000", .type = rows[i].type, .command = true_command},
            &why);
        assert_non_null(s);
        assert_true(str_eq(s->health.path, str_from(rows[i].path)));
        guard_settings_free(&s);
    }
}

static void the_api_is_where_health_is(void **state)
{
    const char *why = NULL;
    (void)state;
    struct guard_settings *s =
        load_options(&(struct guard_overrides){.health = "http://127.0.0.1:8000/sub/health",
                                               .command = true_command},
                     &why);
    assert_non_null(s);
    assert_true(str_eq(s->url.path, STR("/sub")));
    assert_int_equal(s->url.port, 8000);
    guard_settings_free(&s);
}

static void says_what_is_wrong_on_the_command_line(void **state)
{
    static const struct {
        struct guard_overrides o;
        const char *part;
    } rows[] = {
        {{.url = "http://a"}, "no command"},
        {{.command = true_command}, "where does the backend answer"},
        {{.url = "nonsense", .command = true_command}, "--url"},
        {{.url = "https://a", .command = true_command}, "no TLS"},
        {{.url = "http://a", .type = "tgi", .command = true_command}, "--type"},
        {{.url = "http://a", .listen = "x", .command = true_command}, "--listen"},
        {{.url = "http://a", .listen = "0.0.0.0:1", .command = true_command}, "admin_token"},
        {{.url = "http://a", .hang_after = "1", .command = true_command}, "--hang-after"},
        {{.url = "http://a", .health = "http://b/", .command = true_command}, "one server"},
        {{.url = "http://a", .agent = "b", .command = true_command}, "--agent"},
        {{.url = "http://a", .parent = "x", .command = true_command}, "--parent"},
        {{.url = "http://a", .parent = "2", .command = true_command}, "--parent"},
    };
    const char *why = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_null(load_options(&rows[i].o, &why));
        if (!strstr(why, rows[i].part)) {
            fail_msg("row %zu: '%s'", i, why);
        }
    }
}

static void a_key_cannot_forge_a_header(void **state)
{
    const struct guard_overrides none = {.url = NULL};
    (void)state;
    struct loaded l =
        load("command: [a]\nbackend: {url: 'http://a', api_key: \"x\\r\\ny: z\"}\n", &none);
    assert_int_equal(l.e, ERR_RANGE);
    assert_non_null(strstr(l.why, "api_key"));
}

static void every_mistake_of_a_file_counts(void **state)
{
    const struct guard_overrides none = {.url = NULL};
    (void)state;
    struct loaded l = load("command: x\nbackend: {typ: vllm, url: 7}\non_oom: [a]\nstop: 1\n"
                           "give_up: {restarts: 65}\nlisten: nowhere\ngpus: x\n",
                           &none);
    assert_int_equal(l.e, ERR_SYNTAX);
    assert_int_equal(l.mistakes, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_key),
        cmocka_unit_test(the_health_page_is_known_by_the_type),
        cmocka_unit_test(the_api_is_where_health_is),
        cmocka_unit_test(says_what_is_wrong_on_the_command_line),
        cmocka_unit_test(a_key_cannot_forge_a_header),
        cmocka_unit_test(every_mistake_of_a_file_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
