#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alert/mail.h"
#include "alert/mail_body.h"
#include "sample_alerts.h"

static const struct str TO[] = {STR_INIT("ops@example.com"), STR_INIT("night@example.org")};

static struct alert_channel channel_of(void)
{
    return (struct alert_channel){.name = STR("email"),
                                  .format = ALERT_MAIL,
                                  .from = STR("alerts@example.com"),
                                  .to = TO,
                                  .to_count = 2};
}

static struct str render(const struct alert *alert, struct arena *a)
{
    struct alert_channel ch = channel_of();
    return mail_render(&ch, alert, a);
}

static struct str head_of(struct str mail)
{
    const char *end = memmem(mail.ptr, mail.len, "\r\n\r\n", 4);
    assert_non_null(end);
    return str_of(mail.ptr, (size_t)(end - mail.ptr) + 2);
}

static void the_head_of_the_first_message_is_this(void **state)
{
    struct arena a;
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    arena_init(&a);
    struct str head = head_of(render(&alert, &a));
    assert_true(str_eq(
        head, STR("Date: Sat, 21 Nov 2026 05:44:07 +0000\r\n"
                  "From: fallthrough\r\n <alerts@example.com>\r\n"
                  "To: ops@example.com, night@example.org\r\n"
                  "Subject: [ALERT] LLM Failover: gpu1 -> gpu2\r\n"
                  "Message-ID: <incident-17.1795239842000.fallthrough@gw.example.com>\r\n"
                  "Auto-Submitted: auto-generated\r\n"
                  "X-Auto-Response-Suppress: All\r\n"
                  "Importance: high\r\n"
                  "MIME-Version: 1.0\r\n"
                  "Content-Type: multipart/alternative;\r\n"
                  " boundary=\"=_fallthrough_part\"\r\n")));
    arena_fini(&a);
}

static void one_incident_is_one_thread(void **state)
{
    struct arena a;
    struct alert opened = sample_alert(ALERT_OPENED);
    struct alert worse = sample_alert(ALERT_WORSENED);
    struct alert over = sample_alert(ALERT_OVER);
    (void)state;
    arena_init(&a);
    struct str root = mail_id(&opened, &a);
    assert_true(str_eq(root, mail_thread_id(&worse, &a)));
    assert_true(str_eq(root, mail_thread_id(&over, &a)));
    assert_false(str_eq(mail_id(&worse, &a), root));
    assert_false(str_eq(mail_id(&worse, &a), mail_id(&over, &a)));
    struct str head = head_of(render(&over, &a));
    assert_true(str_has(head, arena_printf(&a, "\r\nIn-Reply-To: %.*s\r\nReferences: %.*s\r\n",
                                           STR_FMT(root), STR_FMT(root))));
    assert_true(str_has(head, STR("\r\nSubject: [RESOLVED] LLM Failover: gpu1 after 4 min")));
    assert_false(str_has(head, STR("Importance")));
    arena_fini(&a);
}

static void another_incident_is_another_thread(void **state)
{
    struct arena a;
    struct alert one = sample_alert(ALERT_OPENED);
    struct alert other = one;
    (void)state;
    arena_init(&a);
    other.opened_wall_ms++; /* the same number after a restart without history */
    assert_false(str_eq(mail_id(&one, &a), mail_id(&other, &a)));
    other = one;
    EVENT_PUT(other.gateway, STR("gw2.example.com"));
    assert_false(str_eq(mail_id(&one, &a), mail_id(&other, &a)));
    struct alert digest = sample_digest();
    assert_false(str_has(head_of(render(&digest, &a)), STR("In-Reply-To")));
    arena_fini(&a);
}

static void a_second_try_is_the_same_mail(void **state)
{
    struct arena a;
    struct alert alert = sample_alert(ALERT_WORSENED);
    (void)state;
    arena_init(&a);
    assert_true(str_eq(render(&alert, &a), render(&alert, &a)));
    arena_fini(&a);
}

/* Names of fields of a head, one a line, without folded lines. */
static size_t count_fields(struct str head)
{
    size_t count = 0;
    while (head.len > 0) {
        struct str line = str_cut(&head, '\n');
        count += line.ptr[0] != ' ' ? 1 : 0;
    }
    return count;
}

static void assert_harmless(const struct alert *alert)
{
    struct arena a;
    struct alert plain = sample_alert(alert->moment);
    plain.severity = alert->severity;
    arena_init(&a);
    struct str mail = render(alert, &a);
    /* No field more or less than in a mail whose names are plain. */
    assert_int_equal(count_fields(head_of(mail)), count_fields(head_of(render(&plain, &a))));
    for (size_t i = 0; i < mail.len; i++) {
        assert_true((mail.ptr[i] >= ' ' && mail.ptr[i] <= '~') || mail.ptr[i] == '\r' ||
                    mail.ptr[i] == '\n');
    }
    struct str rest = mail;
    while (rest.len > 0) {
        struct str line = str_cut(&rest, '\n');
        /* A Message-ID cannot be folded. */
        bool is_id = str_has(line, STR(".fallthrough@"));
        assert_true(line.len > 0 && line.len <= (is_id ? 200 : 77));
        assert_int_equal(line.ptr[line.len - 1], '\r');
        assert_false(str_eq(line, STR(".\r")));
        assert_false(str_starts_nocase(line, STR("Bcc:")));
    }
    const char *html = memmem(mail.ptr, mail.len, "text/html", 9);
    assert_non_null(html);
    assert_false(str_has(str_from_at(mail, (size_t)(html - mail.ptr)), STR("<script")));
    arena_fini(&a);
}

static void no_name_gets_into_the_head_or_out_of_its_part(void **state)
{
    static const struct str NAMES[] = {
        STR_INIT("gpu1\r\nBcc: evil@example.com"),
        STR_INIT("x\r\n.\r\nMAIL FROM:<evil@example.com>"),
        STR_INIT("\r\n\r\n<script>alert(1)</script>"),
        STR_INIT("--=_fallthrough_part--"),
        STR_INIT("=?UTF-8?Q?=0D=0ABcc:_evil?="),
        STR_INIT("<b onclick='x'>\"&amp;"),
        STR_INIT("\xe2\x80\xae\xd8\xa7\xf0\x9f\x94\xa5"),
        STR_INIT("\xff\xfe\xc3(\xed\xa0\x80"),
        STR_INIT("."),
        STR_INIT(""),
        STR_INIT("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        struct alert alert = sample_alert(ALERT_WORSENED);
        /* As they would be without event_put, which takes the control characters out. */
        size_t len = NAMES[i].len < EVENT_NAME ? NAMES[i].len : EVENT_NAME - 1;
        char *const fields[] = {alert.gateway, alert.subject, alert.from,
                                alert.to,      alert.error,   alert.action};
        for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
            memcpy(fields[f], NAMES[i].ptr, len);
            fields[f][len] = '\0';
        }
        alert.line_count = 1;
        memcpy(alert.lines[0], NAMES[i].ptr, len);
        assert_harmless(&alert);
    }
}

static void the_longest_alert_fits(void **state)
{
    struct arena a;
    struct alert alert = sample_digest();
    (void)state;
    arena_init(&a);
    memset(alert.error, '\'', sizeof(alert.error) - 1);
    memset(alert.action, '\xff', sizeof(alert.action) - 1);
    for (size_t i = 0; i < ALERT_LINES; i++) {
        memset(alert.lines[i], '"', ALERT_LINE - 1);
    }
    assert_true(render(&alert, &a).len > (size_t)ALERT_LINES * ALERT_LINE * 6);
    arena_fini(&a);
}

static void the_text_is_for_reading(void **state)
{
    struct arena a;
    struct wording w;
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    arena_init(&a);
    alert.line_count = 1;
    alert.lines_left_out = 3;
    EVENT_PUT(alert.lines[0], STR("05:44:02 gpu1 went from HEALTHY to DOWN"));
    wording_make(&alert, &a, &w);
    assert_string_equal(mail_body_text(&w, &a).ptr,
                        "gpu2 serves in place of gpu1.\n\n"
                        "From:            gpu1 (tier 1)\n"
                        "To:              gpu2 (tier 2)\n"
                        "Error:           connection refused\n"
                        "Action:          traffic moved to gpu2 (tier 2)\n"
                        "Since:           2026-11-21 05:44:02 UTC, for 5.1 s\n"
                        "What users felt: 812 requests: 40 moved to another backend, 3 resumed "
                        "in mid-answer, 12 degraded, 0 failed\n"
                        "Incident:        #17 of gpu1\n"
                        "Gateway:         gw.example.com\n"
                        "\nWhat happened:\n"
                        "* 05:44:02 gpu1 went from HEALTHY to DOWN\n"
                        "* and 3 more\n"
                        "\n-- \nSent by fallthrough\n");
    arena_fini(&a);
}

static void the_html_has_the_same_in_cells(void **state)
{
    struct arena a;
    struct wording w;
    struct alert alert = sample_alert(ALERT_OPENED);
    (void)state;
    arena_init(&a);
    EVENT_PUT(alert.error, STR("<i> & \"x\" 'y'"));
    wording_make(&alert, &a, &w);
    struct str html = mail_body_html(&w, alert.severity, false, &a);
    assert_true(str_has(html, STR(">Error</td>")));
    assert_true(str_has(html, STR(">&lt;i&gt; &amp; &quot;x&quot; &#39;y&#39;</td>")));
    assert_true(str_has(html, STR("<title>[ALERT] LLM Failover: gpu1 -&gt; gpu2</title>")));
    assert_true(str_has(html, STR("width=device-width")));
    assert_false(str_has(html, STR("http"))); /* nothing from elsewhere */
    arena_fini(&a);
}

static void any_gateway_name_makes_a_message_id(void **state)
{
    static const struct {
        const char *gateway;
        const char *id;
    } ROWS[] = {{"gw1", "@gw1>"},       {"", "@gateway>"},          {"a b>\r\n", "@a-b--->"},
                {".a..b.", "@-a.-b->"}, {"\xc3\xa4.de", "@--.de>"}, {"...", "@-.->"}};
    struct arena a;
    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct alert alert = sample_alert(ALERT_OPENED);
        memcpy(alert.gateway, ROWS[i].gateway, strlen(ROWS[i].gateway) + 1);
        struct str id = mail_id(&alert, &a);
        if (!str_ends(id, str_from(ROWS[i].id))) {
            print_error("%.*s\n", STR_FMT(id));
            fail();
        }
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_of_the_first_message_is_this),
        cmocka_unit_test(one_incident_is_one_thread),
        cmocka_unit_test(another_incident_is_another_thread),
        cmocka_unit_test(a_second_try_is_the_same_mail),
        cmocka_unit_test(no_name_gets_into_the_head_or_out_of_its_part),
        cmocka_unit_test(the_longest_alert_fits),
        cmocka_unit_test(the_text_is_for_reading),
        cmocka_unit_test(the_html_has_the_same_in_cells),
        cmocka_unit_test(any_gateway_name_makes_a_message_id),
    };
    return cmocka_run_group_tests_name("alert/mail", tests, NULL, NULL);
}
