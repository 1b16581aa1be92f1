#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settings_loading.h"

static void assert_str(struct str s, const char *text)
{
    if (!str_eq(s, str_from(text))) {
        print_error("'%.*s' is not '%s'\n", STR_FMT(s), text);
        fail();
    }
}

static void load_alerts(struct loading *l, const char *alerts)
{
    char text[4096];
    (void)snprintf(text, sizeof(text), "alerts:%s\n%s", alerts, SMALL);
    load(l, text);
}

static void load_alerts_well(struct loading *l, const char *alerts)
{
    load_alerts(l, alerts);
    if (l->e != ERR_OK) {
        print_error("%s", l->said);
        fail();
    }
}

static void nobody_is_told_without_channels(void **state)
{
    struct loading l;
    (void)state;
    load_well(&l, SMALL);
    assert_int_equal(l.s->alerts.channel_count, 0);
    assert_int_equal(l.s->alerts.for_ms, 5000);
    assert_int_equal(l.s->alerts.digest_ms, 600000);
    unload(&l);
    load_alerts_well(&l, " {for: 0}");
    assert_int_equal(l.s->alerts.channel_count, 0);
    assert_int_equal(l.s->alerts.for_ms, 0);
    unload(&l);
}

/* Those of the contract. */
static void the_shortest_channels_have_defaults(void **state)
{
    struct loading l;
    (void)state;
    load_alerts_well(&l, " {email: {smtp: 'smtp://mail.example.com:587', user: u, password: "
                         "pass word, from: alerts@example.com, to: [ops@example.com]},"
                         " webhook: [{url: 'https://hooks.example.com/x?token=1'}]}");
    assert_string_equal(l.said, "");
    assert_int_equal(l.s->alerts.channel_count, 2);
    const struct alert_channel *mail = &l.s->alerts.channels[0];
    assert_str(mail->name, "email");
    assert_int_equal(mail->format, ALERT_MAIL);
    assert_str(mail->url, "smtp://mail.example.com:587");
    assert_str(mail->user, "u");
    assert_str(mail->password, "pass word");
    assert_str(mail->from, "alerts@example.com");
    assert_int_equal(mail->to_count, 1);
    assert_str(mail->to[0], "ops@example.com");
    assert_int_equal(mail->starttls, STARTTLS_REQUIRED);
    const struct alert_channel *hook = &l.s->alerts.channels[1];
    assert_str(hook->name, "json");
    assert_int_equal(hook->format, ALERT_JSON);
    assert_str(hook->url, "https://hooks.example.com/x?token=1");
    for (size_t i = 0; i < 2; i++) {
        const struct alert_channel *ch = &l.s->alerts.channels[i];
        assert_int_equal(ch->at_least, SEVERITY_WARN);
        assert_int_equal(ch->rate.burst, 3);
        assert_int_equal(ch->rate.refill_ms, 600000);
        assert_int_equal(ch->quiet.from_min, ch->quiet.to_min);
        assert_int_equal(ch->timeout_ms, 20000);
        assert_int_equal(ch->ca.len, 0);
    }
    unload(&l);
}

static void assert_own_mail(const struct alert_channel *ch)
{
    assert_str(ch->name, "night");
    assert_str(ch->url, "smtps://[::1]:465");
    assert_str(ch->ca, "/tmp/ca.pem");
    assert_int_equal(ch->to_count, 2);
    assert_str(ch->to[1], "b@x.org");
    assert_int_equal(ch->at_least, SEVERITY_ERROR);
    assert_int_equal(ch->rate.burst, 1);
    assert_int_equal(ch->rate.refill_ms, 60000);
    assert_int_equal(ch->quiet.from_min, 22 * 60);
    assert_int_equal(ch->quiet.to_min, 7 * 60 + 30);
    assert_int_equal(ch->quiet.at_least, SEVERITY_WARN);
    assert_int_equal(ch->timeout_ms, 3000);
}

static void reads_every_value(void **state)
{
    struct loading l;
    (void)state;
    load_alerts_well(
        &l, "\n  for: 1m\n  digest: 30m\n  email:\n"
            "    - {name: night, smtp: 'smtps://[::1]:465', ca: ca.pem, from: a@x.org,\n"
            "       to: [a@x.org, b@x.org], severity: error, rate: {burst: 1, every: 1m},\n"
            "       quiet_hours: {from: \"22:00\", to: \"07:30\", severity: warning},\n"
            "       timeout: 3s}\n"
            "    - {smtp: 'smtp://localhost', from: a@x.org, to: a@x.org, starttls: off}\n"
            "    - {smtp: 'smtp://localhost', from: a@x.org, to: a@x.org}\n"
            "  webhook:\n"
            "    - {url: 'http://h/', secret: sss, headers: {Authorization: Bearer x}}\n"
            "    - {url: 'https://h/s', format: slack, name: email}\n"
            "    - {format: pagerduty, routing_key: abc}\n"
            "    - {format: pagerduty, routing_key: abd, url: 'https://eu.example.com/e'}\n"
            "    - {url: 'http://am:9093/', format: alertmanager}\n"
            "    - {url: 'http://am:9093/p/api/v2/alerts', format: alertmanager}");
    const struct alert_policy *p = &l.s->alerts;
    assert_string_equal(l.said, "");
    assert_int_equal(p->for_ms, 60000);
    assert_int_equal(p->digest_ms, 1800000);
    assert_int_equal(p->channel_count, 9);
    assert_own_mail(&p->channels[0]);
    assert_str(p->channels[1].name, "email2");
    assert_int_equal(p->channels[1].starttls, STARTTLS_OFF);
    assert_str(p->channels[1].url, "smtp://localhost");
    assert_str(p->channels[2].name, "email3");
    assert_int_equal(p->channels[2].starttls, STARTTLS_AUTO);
    assert_str(p->channels[3].secret, "sss");
    assert_int_equal(p->channels[3].header_count, 1);
    assert_str(p->channels[3].headers[0].name, "Authorization");
    assert_str(p->channels[3].headers[0].value, "Bearer x");
    assert_int_equal(p->channels[4].format, ALERT_SLACK);
    assert_str(p->channels[4].name, "email");
    assert_int_equal(p->channels[5].format, ALERT_PAGERDUTY);
    assert_str(p->channels[5].url, "https://events.pagerduty.com/v2/enqueue");
    assert_str(p->channels[5].routing_key, "abc");
    assert_str(p->channels[6].name, "pagerduty2");
    assert_str(p->channels[6].url, "https://eu.example.com/e");
    assert_str(p->channels[7].url, "http://am:9093/api/v2/alerts");
    assert_str(p->channels[8].url, "http://am:9093/p/api/v2/alerts");
    unload(&l);
}

struct mistake {
    const char *alerts;
    const char *piece; /* of what is said */
};

static void assert_mistakes(const struct mistake *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct loading l;
        load_alerts(&l, all[i].alerts);
        if (l.e == ERR_OK || !strstr(l.said, all[i].piece)) {
            print_error("'%s' is not said of '%s', but:\n%s\n", all[i].piece, all[i].alerts,
                        l.said);
            fail();
        }
        unload(&l);
    }
}

#define ASSERT_MISTAKES(cases) assert_mistakes((cases), sizeof(cases) / sizeof((cases)[0]))

static void every_mistake_of_a_mail_channel_is_told_where_it_is(void **state)
{
    static const struct mistake CASES[] = {
        {" 3", ":1:9: error: expected a mapping ('alerts')"},
        {" {mail: {}}", "unknown key 'mail' in 'alerts'; did you mean 'email'?"},
        {" {for: 2d}", "'for' must be from 0ms to 24h, not '2d'"},
        {" {email: x}", "expected a mapping (a mail channel), got a single value"},
        {" {email: {}}", "a mail channel needs 'smtp'"},
        {" {email: {}}", "a mail channel needs 'from'"},
        {" {email: {}}", "a mail channel needs 'to'"},
        {" {email: {from: a b@c}}", ":1:24: error: 'a b@c' is no mail address"},
        {" {email: {from: \"a@b\\r\\nBcc: x@y\"}}", "is no mail address"},
        {" {email: {to: []}}", "'to' must have from 1 to 64 addresses"},
        {" {email: {to: [a@b, c]}}", ":1:28: error: 'c' is no mail address such as "
                                     "ops@example.com: it has no '@'"},
        {" {email: {to: ['a@b', {x: y}]}}", "expected a value, got a mapping"},
        {" {email: {smtp: mail}}", "it must begin with smtp:// or smtps://"},
        {" {email: {smtp: 'smtp://u:p@mail'}}", "user info is not allowed"},
        {" {email: {smtp: 'smtp://mail/x'}}", "a path is not allowed"},
        {" {email: {smtp: 'smtp://mail:0'}}", "port is out of range"},
        {" {email: {user: u}}", ":1:24: error: 'user' and 'password' go together"},
        {" {email: {password: u}}", "'user' and 'password' go together"},
        {" {email: {user: \"a\\nb\", password: x}}", "'user' must not hold control characters"},
        {" {email: {user: a, password: \"a\\rb\"}}",
         "'password' must not hold control characters"},
        {" {email: {starttls: maybe}}",
         "'starttls' must be required, auto or off, not 'maybe'"},
        {" {email: {smtp: 'smtps://m', starttls: auto}}", "'starttls' is for smtp://"},
        {" {email: {smtp: 'smtp://m', starttls: off, ca: x}}",
         "'ca' needs smtps:// or STARTTLS"},
        {" {email: {severity: bad}}", "'severity' must be info, warning or error, not 'bad'"},
        {" {email: {rate: {burst: 0}}}", "'burst' must be from 1 to 1000, not '0'"},
        {" {email: {rate: {every: 1ms}}}", "'every' must be from 100ms to 24h"},
        {" {email: {quiet_hours: {from: \"22:00\"}}}", "'quiet_hours' needs 'to'"},
        {" {email: {quiet_hours: {from: \"24:00\", to: \"7:00\"}}}",
         "'from' must be a time of day such as \"22:00\", not '24:00'"},
        {" {email: {quiet_hours: {from: \"22:60\", to: \"7:00\"}}}",
         "'to' must be a time of day such as \"22:00\", not '7:00'"},
        {" {email: {timeout: 0}}", "'timeout' must be from 100ms to 10m"},
        {" {email: {name: a b}}", "a channel's name has up to 64 letters"},
        {" {email: {url: x}}", "unknown key 'url' in a mail channel"},
    };
    (void)state;
    ASSERT_MISTAKES(CASES);
}

static void every_mistake_of_a_webhook_is_told_where_it_is(void **state)
{
    static const struct mistake CASES[] = {
        {" {webhook: {}}", "a webhook channel needs 'url'"},
        {" {webhook: {url: 'ftp://x'}}", "scheme is neither http nor https"},
        {" {webhook: {url: \"http://x/a\\nb\"}}", "malformed path"},
        {" {webhook: {url: 'http://x/?a b'}}", "malformed query"},
        {" {webhook: {url: 'http://x/?a#b'}}", "malformed query"},
        {" {webhook: {url: 'http://x', ca: y}}", "'ca' needs an https url"},
        {" {webhook: {url: 'http://x', format: teams}}",
         "'format' must be json, slack, pagerduty or alertmanager, not 'teams'"},
        {" {webhook: {url: 'http://x', format: slack, secret: s}}",
         "'secret' is for format json"},
        {" {webhook: {url: 'http://x', routing_key: s}}",
         "'routing_key' is for format pagerduty"},
        {" {webhook: {format: pagerduty}}", "format pagerduty needs 'routing_key'"},
        {" {webhook: {format: pagerduty, routing_key: a b}}",
         "'routing_key' must be visible ASCII"},
        {" {webhook: {url: 'http://x?y', format: alertmanager}}",
         "the 'url' of an alertmanager has no query"},
        {" {webhook: {url: 'http://x', headers: {X-Fallthrough-Signature: y}}}",
         "header 'X-Fallthrough-Signature' is set by fallthrough itself"},
        {" {webhook: {url: 'http://x', headers: {Host: y}}}",
         "header 'Host' is set by fallthrough itself"},
        {" {webhook: {url: 'http://x', headers: {A: \"b\\nc\"}}}",
         "the value of header 'A' must be one line"},
        {" {webhook: {url: 'http://x', headers: {A: b, a: c}}}", "header 'a' is given twice"},
        {" {webhook: {url: 'http://x', headers: [a]}}", "'headers' must be a mapping"},
        {" {webhook: [{url: 'http://x', name: n}, {url: 'http://y', name: n}]}",
         ":1:48: error: two channels have the name 'n'"},
    };
    (void)state;
    ASSERT_MISTAKES(CASES);
}

static void no_secret_is_shown_in_a_mistake(void **state)
{
    static const char *const CASES[] = {
        " {email: {password: sesame, smtp: x}}",
        " {email: {passwrd: sesame}}",
        " {email: {smtp: 'smtp://u:sesame@mail'}}",
        " {webhook: {url: 'ftp://x/sesame'}}",
        " {webhook: 'https://hooks.example.com/sesame'}",
        " {webhook: {url: 'http://x', routing_key: sesame}}",
        " {webhook: {url: 'http://x', format: slack, secret: sesame}}",
        " {webhook: {url: 'http://x', headers: {Host: sesame}}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct loading l;
        load_alerts(&l, CASES[i]);
        assert_int_not_equal(l.e, ERR_OK);
        if (strstr(l.said, "sesame")) {
            print_error("%s", l.said);
            fail();
        }
        unload(&l);
    }
}

static void a_password_in_the_clear_is_warned_of_but_on_loopback(void **state)
{
    struct loading l;
    (void)state;
    load_alerts_well(&l, " {email: {smtp: 'smtp://mail', user: u, password: p, from: a@b, to: "
                         "a@b, starttls: auto}}");
    assert_non_null(strstr(l.said, "warning: the password may go to the server in the clear"));
    unload(&l);
    load_alerts_well(&l, " {email: {smtp: 'smtp://127.0.0.1', user: u, password: p, from: a@b, "
                         "to: a@b, starttls: off}}");
    assert_string_equal(l.said, "");
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_told_without_channels),
        cmocka_unit_test(the_shortest_channels_have_defaults),
        cmocka_unit_test(reads_every_value),
        cmocka_unit_test(every_mistake_of_a_mail_channel_is_told_where_it_is),
        cmocka_unit_test(every_mistake_of_a_webhook_is_told_where_it_is),
        cmocka_unit_test(no_secret_is_shown_in_a_mistake),
        cmocka_unit_test(a_password_in_the_clear_is_warned_of_but_on_loopback),
    };
    return cmocka_run_group_tests_name("gate/settings_alerts", tests, NULL, NULL);
}
