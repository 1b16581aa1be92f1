#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_settings.h"
#include "base/conf_rows.h"

struct loading {
    struct conf_errors errors;
    struct agent_settings *s;
    enum err e;
    char *said;
    size_t said_len;
};

static void load(struct loading *l, const char *text)
{
    char path[] = "/tmp/test_agent_settings_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    conf_errors_init(&l->errors);
    l->s = agent_settings_new();
    l->e = agent_settings_load(l->s, str_from(path), &l->errors);
    l->said = NULL;
    FILE *out = open_memstream(&l->said, &l->said_len);
    conf_errors_print(&l->errors, out);
    (void)fclose(out);
    (void)unlink(path);
}

static void unload(struct loading *l)
{
    agent_settings_free(&l->s);
    assert_null(l->s);
    conf_errors_fini(&l->errors);
    free(l->said);
}

static void without_a_file_the_defaults_hold(void **state)
{
    (void)state;
    struct agent_settings *s = agent_settings_new();
    assert_int_equal(s->listen.port, 8402);
    assert_true(address_is_loopback(&s->listen));
    assert_int_equal(s->interval_ms, 1000);
    assert_true(str_eq(s->nvml_library, STR("libnvidia-ml.so.1")));
    assert_int_equal(s->policy.samples_bad, 3);
    assert_int_equal(s->policy.hung_down_after_ms, 0);
    assert_int_equal(xid_class_of(&s->policy.xids, 79), XID_LOST);
    agent_settings_free(&s);
}

static void reads_what_is_given_and_leaves_the_rest(void **state)
{
    struct loading l;
    (void)state;
    load(&l, "listen: 0.0.0.0:9000\ntoken: long-enough-token\ninterval: 2s\n"
             "thresholds: {samples_of: 8, hw_share: 2.5%, hold: 2m, abandon_after: 90s}\n"
             "xids: {ignore: [79, 95], down: [94]}\nlog: {format: json}\n");
    assert_int_equal(l.e, ERR_OK);
    assert_int_equal(l.s->listen.port, 9000);
    assert_int_equal(l.s->interval_ms, 2000);
    assert_int_equal(l.s->policy.samples_of, 8);
    assert_int_equal(l.s->policy.samples_bad, 3);
    assert_int_equal(l.s->policy.hw_share_per_10k, 250);
    assert_int_equal(l.s->policy.hold_ms, 120000);
    assert_int_equal(l.s->abandon_after_ms, 90000);
    assert_int_equal(xid_class_of(&l.s->policy.xids, 79), XID_IGNORE);
    assert_int_equal(xid_class_of(&l.s->policy.xids, 94), XID_DOWN);
    assert_int_equal(xid_class_of(&l.s->policy.xids, 48), XID_DOWN);
    assert_int_equal(l.s->log_format, LOG_JSON);
    unload(&l);
}

static void mistakes_are_found_where_they_are(void **state)
{
    static const struct {
        const char *text;
        const char *said;
    } cases[] = {
        {"listen: 0.0.0.0:8402\n", ":1:9: error: others can reach"},
        {"listen: [::]:1\ntoken: ''\n", "error"},
        {"listen: nowhere\n", "is no address"},
        {"intervall: 1s\n", "did you mean 'interval'?"},
        {"thresholds: {hold: 5}\n", ":1:20: error"},
        {"thresholds: {samples_of: 9}\n", ":1:26: error"},
        {"thresholds: {samples_bad: 6, samples_of: 5}\n", "'samples_bad' cannot be more"},
        {"thresholds: {late_after: 20s}\n", "'hung_after' cannot be less"},
        {"xids: [79]\n", "error"},
        {"xids: {down: [x]}\n", ":1:15: error"},
        {"xids: {down: [1024]}\n", ":1:15: error"},
        {"xids: {up: [1]}\n", "unknown key 'up'"},
        {"xids: {down: [5], lost: [5]}\n", ":1:26: error: Xid 5 is listed twice"},
        {"tls: {cert: x}\n", "key"},
        {"token: 'a b'\n", "visible ASCII"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct loading l;
        load(&l, cases[i].text);
        assert_int_equal(l.e, ERR_SYNTAX);
        if (!strstr(l.said, cases[i].said)) {
            print_error("%s gave %s", cases[i].text, l.said);
            fail();
        }
        unload(&l);
    }
}

static void a_token_is_never_shown(void **state)
{
    struct loading l;
    (void)state;
    load(&l, "token: {file: /nonexistent}\n");
    assert_int_equal(l.e, ERR_SYNTAX);
    unload(&l);
    load(&l, "{token: s3cr3t-and-long, oops: 1}\n");
    assert_int_equal(l.e, ERR_SYNTAX);
    assert_null(strstr(l.said, "s3cr3t"));
    unload(&l);
}

static void the_documentation_has_every_key_and_default(void **state)
{
    char *docs = NULL;
    size_t len = 0;
    size_t count = 0;
    (void)state;
    assert_int_equal(conf_read_file(AGENT_MD, CONF_FILE_MAX, &docs, &len), ERR_OK);
    const struct conf_table *const *tables = agent_settings_tables(&count);
    for (size_t t = 0; t < count; t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct conf_row *row = &tables[t]->rows[i];
            char cell[160];
            assert_non_null(row->help);
            (void)snprintf(cell, sizeof(cell), "| `%s` |", row->name);
            const char *at = strstr(docs, cell);
            if (!at) {
                print_error("'%s' is not in the documentation\n", row->name);
                fail();
            }
            (void)snprintf(cell, sizeof(cell), "| `%s` |", row->fallback ? row->fallback : "");
            if (row->fallback && !strstr(at, cell)) {
                print_error("'%s' has another default in the documentation\n", row->name);
                fail();
            }
        }
    }
    free(docs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_the_defaults_hold),
        cmocka_unit_test(reads_what_is_given_and_leaves_the_rest),
        cmocka_unit_test(mistakes_are_found_where_they_are),
        cmocka_unit_test(a_token_is_never_shown),
        cmocka_unit_test(the_documentation_has_every_key_and_default),
    };
    return cmocka_run_group_tests_name("agent/agent_settings", tests, NULL, NULL);
}
