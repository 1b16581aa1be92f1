#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "alert/hook.h"
#include "alert/hook_slack.h"
#include "sample_alerts.h"

enum { NOW_S = 1795239850 };

struct rendering {
    struct arena arena;
    struct hook hook;
    json_t *tree;
};

static void render(struct rendering *r, enum alert_format format, const struct alert *alert)
{
    struct alert_channel ch = {.name = STR("x"),
                               .format = format,
                               .routing_key = STR("R0UTE"),
                               .secret = format == ALERT_JSON ? STR("key") : STR("")};
    arena_init(&r->arena);
    hook_render(&ch, alert, NOW_S * 1000ULL + 999, &r->arena, &r->hook);
    json_error_t why;
    r->tree = json_loadb(r->hook.body.ptr, r->hook.body.len, JSON_REJECT_DUPLICATES, &why);
    assert_non_null(r->tree);
}

static void end(struct rendering *r)
{
    json_decref(r->tree);
    arena_fini(&r->arena);
}

/* A value by a path such as "payload.source" or "blocks.0.type". */
static const json_t *at(const json_t *tree, const char *path)
{
    struct str rest = str_from(path);
    while (rest.len > 0 && tree) {
        char key[64];
        struct str step = str_cut(&rest, '.');
        (void)snprintf(key, sizeof(key), "%.*s", STR_FMT(step));
        tree = json_is_array(tree) ? json_array_get(tree, strtoul(key, NULL, 10))
                                   : json_object_get(tree, key);
    }
    return tree;
}

static void assert_at(const json_t *tree, const char *path, const char *expected)
{
    const json_t *value = at(tree, path);
    if (!json_is_string(value) || strcmp(json_string_value(value), expected) != 0) {
        print_error("%s is %s, not %s\n", path,
                    json_is_string(value) ? json_string_value(value) : "no string", expected);
        fail();
    }
}

static void json_has_every_figure_under_its_name(void **state)
{
    struct rendering r;
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    render(&r, ALERT_JSON, &alert);
    assert_int_equal(json_integer_value(at(r.tree, "version")), 1);
    assert_int_equal(json_integer_value(at(r.tree, "number")), 42);
    assert_int_equal(json_integer_value(at(r.tree, "incident")), 17);
    assert_at(r.tree, "moment", "opened");
    assert_at(r.tree, "severity", "error");
    assert_at(r.tree, "at", "2026-11-21T05:44:07.123Z");
    assert_at(r.tree, "opened_at", "2026-11-21T05:44:02.000Z");
    assert_true(json_is_null(at(r.tree, "closed_at")));
    assert_at(r.tree, "gateway", "gw.example.com");
    assert_at(r.tree, "title", "[ALERT] LLM Failover: gpu1 -> gpu2");
    assert_at(r.tree, "text", "gpu2 serves in place of gpu1.");
    assert_at(r.tree, "subject.kind", "backend");
    assert_at(r.tree, "subject.name", "gpu1");
    assert_at(r.tree, "from.backend", "gpu1");
    assert_int_equal(json_integer_value(at(r.tree, "from.tier")), 1);
    assert_at(r.tree, "to.backend", "gpu2");
    assert_int_equal(json_integer_value(at(r.tree, "to.tier")), 2);
    assert_at(r.tree, "error", "connection refused");
    assert_at(r.tree, "action", "traffic moved to gpu2 (tier 2)");
    assert_int_equal(json_integer_value(at(r.tree, "felt.requests")), 812);
    assert_int_equal(json_integer_value(at(r.tree, "felt.moved")), 40);
    assert_int_equal(json_integer_value(at(r.tree, "felt.resumed")), 3);
    assert_int_equal(json_integer_value(at(r.tree, "felt.degraded")), 12);
    assert_int_equal(json_integer_value(at(r.tree, "felt.failed")), 0);
    assert_int_equal(json_array_size(at(r.tree, "lines")), 0);
    end(&r);
}

static void json_says_null_for_what_there_is_not(void **state)
{
    struct rendering r;
    struct alert alert = sample_digest();
    (void)state;
    alert.opened_wall_ms = 0;
    render(&r, ALERT_JSON, &alert);
    static const char *const NULLS[] = {"incident", "opened_at", "closed_at",
                                        "subject",  "from",      "to"};
    for (size_t i = 0; i < sizeof(NULLS) / sizeof(NULLS[0]); i++) {
        assert_true(json_is_null(at(r.tree, NULLS[i])));
    }
    assert_int_equal(json_array_size(at(r.tree, "lines")), ALERT_LINES);
    assert_int_equal(json_integer_value(at(r.tree, "lines_left_out")), 8);
    end(&r);
}

static void the_signature_is_of_timestamp_and_body(void **state)
{
    struct rendering r;
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    render(&r, ALERT_JSON, &alert);
    assert_string_equal(r.hook.timestamp.ptr, "1795239850");
    struct str expected = hook_sign(STR("key"), r.hook.timestamp, r.hook.body, &r.arena);
    assert_true(str_eq(r.hook.signature, expected));
    /* printf '1.{}' | openssl dgst -sha256 -hmac key */
    assert_string_equal(
        hook_sign(STR("key"), STR("1"), STR("{}"), &r.arena).ptr,
        "sha256=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224");
    end(&r);
    render(&r, ALERT_SLACK, &alert);
    assert_int_equal(r.hook.signature.len, 0);
    end(&r);
}

static void slack_gets_blocks_and_a_text_for_notifications(void **state)
{
    struct rendering r;
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    alert.line_count = 1;
    EVENT_PUT(alert.lines[0], STR("a < b"));
    render(&r, ALERT_SLACK, &alert);
    assert_at(r.tree, "text",
              "[ALERT] LLM Failover: gpu1 -&gt; gpu2\ngpu2 serves in place of gpu1.");
    assert_at(r.tree, "blocks.0.type", "header");
    assert_at(r.tree, "blocks.0.text.type", "plain_text");
    assert_at(r.tree, "blocks.1.text.text", "gpu2 serves in place of gpu1.");
    assert_at(r.tree, "blocks.2.fields.0.text", "*From*\ngpu1 (tier 1)");
    assert_at(r.tree, "blocks.3.text.text", "*What happened*\n\xe2\x80\xa2 a &lt; b");
    assert_true(json_array_size(at(r.tree, "blocks.2.fields")) <= 10);
    end(&r);
}

static void no_name_pages_a_channel_or_makes_a_link(void **state)
{
    struct rendering r;
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    EVENT_PUT(alert.from, STR("<!channel> & <http://x|y>"));
    EVENT_PUT(alert.error, STR("<@U123>"));
    render(&r, ALERT_SLACK, &alert);
    assert_false(str_has(r.hook.body, STR("<")));
    assert_false(str_has(r.hook.body, STR(">")));
    assert_true(str_has(r.hook.body, STR("&lt;!channel&gt; &amp; &lt;http://x|y&gt;")));
    end(&r);
}

static void slack_gets_no_more_than_it_takes(void **state)
{
    struct rendering r;
    struct alert alert = sample_digest();
    (void)state;
    for (size_t i = 0; i < ALERT_LINES; i++) {
        memset(alert.lines[i], '&', ALERT_LINE - 1);
    }
    render(&r, ALERT_SLACK, &alert);
    const char *list = json_string_value(at(r.tree, "blocks.3.text.text"));
    assert_non_null(list);
    assert_true(strlen(list) <= 3000);
    assert_non_null(strstr(list, "and 18 more"));
    end(&r);
}

static void pagerduty_opens_and_resolves_under_one_key(void **state)
{
    struct rendering opened;
    struct rendering over;
    struct alert first = sample_alert(ALERT_OPENED);
    struct alert last = sample_alert(ALERT_OVER);
    (void)state;
    render(&opened, ALERT_PAGERDUTY, &first);
    render(&over, ALERT_PAGERDUTY, &last);
    assert_at(opened.tree, "event_action", "trigger");
    assert_at(over.tree, "event_action", "resolve");
    assert_at(opened.tree, "routing_key", "R0UTE");
    assert_at(opened.tree, "dedup_key", "fallthrough/gw.example.com/17/1795239842000");
    assert_at(over.tree, "dedup_key", "fallthrough/gw.example.com/17/1795239842000");
    assert_at(opened.tree, "payload.summary", "[ALERT] LLM Failover: gpu1 -> gpu2");
    assert_at(opened.tree, "payload.source", "gw.example.com");
    assert_at(opened.tree, "payload.component", "gpu1");
    assert_at(opened.tree, "payload.timestamp", "2026-11-21T05:44:07.123Z");
    assert_at(opened.tree, "payload.custom_details.Error", "connection refused");
    end(&opened);
    end(&over);
}

static void pagerduty_knows_four_severities(void **state)
{
    static const struct {
        enum severity severity;
        bool nobody;
        const char *word;
    } ROWS[] = {{SEVERITY_INFO, false, "info"},
                {SEVERITY_WARN, true, "warning"},
                {SEVERITY_ERROR, false, "error"},
                {SEVERITY_ERROR, true, "critical"}};
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct rendering r;
        struct alert alert = sample_alert(ALERT_WORSENED);
        alert.severity = ROWS[i].severity;
        alert.to[0] = ROWS[i].nobody ? '\0' : 'x';
        render(&r, ALERT_PAGERDUTY, &alert);
        assert_at(r.tree, "payload.severity", ROWS[i].word);
        end(&r);
    }
}

static void alertmanager_knows_it_by_labels_that_stay(void **state)
{
    struct rendering r;
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    render(&r, ALERT_ALERTMANAGER, &alert);
    assert_int_equal(json_array_size(r.tree), 1);
    assert_at(r.tree, "0.labels.alertname", "LLMFailover");
    assert_at(r.tree, "0.labels.gateway", "gw.example.com");
    assert_at(r.tree, "0.labels.backend", "gpu1");
    assert_at(r.tree, "0.labels.incident", "17");
    assert_at(r.tree, "0.labels.severity", "error");
    assert_at(r.tree, "0.annotations.summary", "[ALERT] LLM Failover: gpu1 -> gpu2");
    assert_at(r.tree, "0.startsAt", "2026-11-21T05:44:02.000Z");
    assert_at(r.tree, "0.endsAt", "2026-11-22T05:44:07.123Z");
    json_t *opened = json_deep_copy(at(r.tree, "0.labels"));
    end(&r);
    alert = sample_alert(ALERT_OVER);
    EVENT_PUT(alert.to, STR("gpu1"));
    render(&r, ALERT_ALERTMANAGER, &alert);
    assert_true(json_equal(at(r.tree, "0.labels"), opened));
    assert_at(r.tree, "0.endsAt", "2026-11-21T05:48:14.000Z");
    json_decref(opened);
    end(&r);
}

static void alertmanager_is_told_the_end_of_each_severity(void **state)
{
    struct rendering r;
    struct alert alert = sample_alert(ALERT_WORSENED);
    (void)state;
    render(&r, ALERT_ALERTMANAGER, &alert);
    assert_int_equal(json_array_size(r.tree), 3);
    assert_at(r.tree, "0.labels.severity", "error");
    assert_at(r.tree, "0.endsAt", "2026-11-22T05:44:07.123Z");
    assert_at(r.tree, "1.labels.severity", "info");
    assert_at(r.tree, "1.endsAt", "2026-11-21T05:44:07.123Z");
    assert_at(r.tree, "2.labels.severity", "warning");
    assert_at(r.tree, "2.endsAt", "2026-11-21T05:44:07.123Z");
    end(&r);
    /* A clock that was set back: an end before the start would be refused. */
    alert = sample_alert(ALERT_OVER);
    alert.closed_wall_ms = alert.wall_ms = alert.opened_wall_ms - 5000;
    render(&r, ALERT_ALERTMANAGER, &alert);
    assert_at(r.tree, "2.startsAt", "2026-11-21T05:44:02.000Z");
    assert_at(r.tree, "2.endsAt", "2026-11-21T05:44:02.000Z");
    end(&r);
}

static void every_body_is_json_whatever_the_names(void **state)
{
    static const struct str NAMES[] = {
        STR_INIT("\",\"x\":\""),    STR_INIT("\\"),   STR_INIT("\xff\xfe\xed\xa0\x80"),
        STR_INIT("a\r\nb\x01\x1b"), STR_INIT("${x}"), STR_INIT("\xe2\x80\xae\xf0\x9f\x94\xa5")};
    static const enum alert_moment MOMENTS[] = {ALERT_OPENED, ALERT_WORSENED, ALERT_OVER,
                                                ALERT_DIGEST, ALERT_TEST};
    (void)state;
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]) * 5; i++) {
        struct str name = NAMES[i / 5];
        struct alert alert = sample_alert(MOMENTS[i % 5]);
        char *const fields[] = {alert.gateway, alert.subject, alert.from,
                                alert.to,      alert.error,   alert.lines[0]};
        for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
            memcpy(fields[f], name.ptr, name.len);
            fields[f][name.len] = '\0';
        }
        alert.line_count = 1;
        for (unsigned format = ALERT_JSON; format <= ALERT_ALERTMANAGER; format++) {
            struct rendering r;
            render(&r, (enum alert_format)format, &alert);
            assert_false(str_has(r.hook.body, STR("\n")));
            end(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_every_figure_under_its_name),
        cmocka_unit_test(json_says_null_for_what_there_is_not),
        cmocka_unit_test(the_signature_is_of_timestamp_and_body),
        cmocka_unit_test(slack_gets_blocks_and_a_text_for_notifications),
        cmocka_unit_test(no_name_pages_a_channel_or_makes_a_link),
        cmocka_unit_test(slack_gets_no_more_than_it_takes),
        cmocka_unit_test(pagerduty_opens_and_resolves_under_one_key),
        cmocka_unit_test(pagerduty_knows_four_severities),
        cmocka_unit_test(alertmanager_knows_it_by_labels_that_stay),
        cmocka_unit_test(alertmanager_is_told_the_end_of_each_severity),
        cmocka_unit_test(every_body_is_json_whatever_the_names),
    };
    return cmocka_run_group_tests_name("alert/hook", tests, NULL, NULL);
}
