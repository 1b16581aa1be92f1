#include "cmd/alert_cmd.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "alert/channel.h"
#include "base/clock.h"
#include "cmd/escape.h"
#include "cmd/operands.h"
#include "gate/settings.h"

struct alert_options {
    const char *config;
    bool json;
};

static const struct option_row OPTIONS[] = {OPTION_CONFIG(struct alert_options, config),
                                            OPTION_JSON(struct alert_options, json)};

const struct command ALERT_COMMAND = {
    .name = "alert",
    .operands = "test [CHANNEL]",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "Sends a test to an alert channel, or to all of them.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_alert,
};

/* What became of all tests so far. */
struct tally_of_tests {
    size_t failed;
    size_t answered; /* of them: a server said something */
    json_t *list;    /* of the answers, for --json */
};

static struct alert make_test(void)
{
    char name[256] = "";
    struct alert alert = {
        .moment = ALERT_TEST, .severity = SEVERITY_INFO, .wall_ms = clock_wall_ms()};
    (void)gethostname(name, sizeof(name) - 1);
    EVENT_PUT(alert.gateway, name[0] != '\0' ? str_from(name) : STR("localhost"));
    EVENT_PUT(alert.action, STR("none is needed: `fallthrough alert test` was called"));
    return alert;
}

static const char *name_of(enum delivery what)
{
    switch (what) {
    case DELIVERED:
        return "delivered";
    case DELIVERY_LATER:
        return "later";
    case DELIVERY_REFUSED:
        return "refused";
    }
    return "";
}

static json_t *make_json(const struct alert_channel *ch, enum delivery what,
                         const struct delivery_report *r, uint64_t took_ms)
{
    json_t *status = r->status > 0 ? json_integer(r->status) : json_null();
    return json_pack("{ss% ss ss so ss sI sI}", "channel", ch->name.ptr, ch->name.len, "format",
                     alert_format_name(ch->format), "result", name_of(what), "status", status,
                     "words", r->words, "retry_after_ms", (json_int_t)r->retry_after_ms,
                     "took_ms", (json_int_t)took_ms);
}

static void print_line(const struct alert_channel *ch, enum delivery what,
                       const struct delivery_report *r)
{
    struct arena a;
    arena_init(&a);
    struct str words = escape_text(&a, str_from(r->words), "");
    struct str status = STR("");
    if (what != DELIVERED && r->status > 0 && ch->format != ALERT_MAIL) {
        status = arena_printf(&a, " (%d)", r->status); /* a mail's words begin with it */
    }
    (void)printf("%.*s (%s): %s%.*s: %.*s\n", STR_FMT(ch->name), alert_format_name(ch->format),
                 what == DELIVERED ? "delivered" : "failed", STR_FMT(status), STR_FMT(words));
    (void)fflush(stdout);
    arena_fini(&a);
}

static void test(const struct alert_channel *ch, struct tally_of_tests *t, bool is_json)
{
    struct delivery_report report;
    struct alert alert = make_test();
    uint64_t start_us = clock_mono_us();
    enum delivery what = channel_send(ch, &alert, &report, NULL);
    uint64_t took_ms = (clock_mono_us() - start_us + 999) / 1000; /* begun ones count */
    t->failed += what == DELIVERED ? 0 : 1;
    t->answered += what != DELIVERED && report.status > 0 ? 1 : 0;
    if (is_json) {
        (void)json_array_append_new(t->list, make_json(ch, what, &report, took_ms));
    } else {
        print_line(ch, what, &report);
    }
}

static int judge(const struct tally_of_tests *t)
{
    if (t->failed == 0) {
        return CMD_FINE;
    }
    return t->answered > 0 ? CMD_FAILED : CMD_UNREACHABLE;
}

static bool is_meant(const struct alert_channel *ch, const char *only)
{
    return !only || str_eq(ch->name, str_from(only));
}

static size_t count_meant(const struct alert_policy *p, const char *only)
{
    size_t count = 0;
    for (size_t i = 0; i < p->channel_count; i++) {
        count += is_meant(&p->channels[i], only) ? 1 : 0;
    }
    return count;
}

static int refuse(const struct alert_policy *p, const char *only)
{
    if (p->channel_count == 0) {
        (void)fprintf(stderr, "fallthrough alert: 'alerts' has no channel\n");
        return CMD_FAILED;
    }
    (void)fprintf(stderr, "fallthrough alert: no channel is called '%s'; there are:", only);
    for (size_t i = 0; i < p->channel_count; i++) {
        (void)fprintf(stderr, " %.*s", STR_FMT(p->channels[i].name));
    }
    (void)fputc('\n', stderr);
    return CMD_USAGE;
}

static int test_all(const struct alert_policy *p, const char *only, bool is_json)
{
    struct tally_of_tests t = {.list = json_array()};
    if (count_meant(p, only) == 0) {
        json_decref(t.list);
        return refuse(p, only);
    }
    (void)signal(SIGPIPE, SIG_IGN); /* as channel_send wants it */
    channel_start();
    for (size_t i = 0; i < p->channel_count; i++) {
        if (is_meant(&p->channels[i], only)) {
            test(&p->channels[i], &t, is_json);
        }
    }
    channel_stop();
    if (is_json) {
        json_t *all = json_pack("{sO}", "channels", t.list);
        (void)json_dumpf(all, stdout, JSON_INDENT(2));
        (void)putchar('\n');
        json_decref(all);
    }
    json_decref(t.list);
    return judge(&t);
}

static int test_configured(const struct alert_options *o, const char *only)
{
    struct conf_errors errors;
    struct settings *s = NULL;
    conf_errors_init(&errors);
    enum err e = settings_load(str_from(options_config(o->config)), &errors, &s);
    if (e != ERR_OK) {
        conf_errors_print(&errors, stderr);
    }
    int code = e == ERR_OK ? test_all(&s->alerts, only, o->json) : CMD_BAD_CONFIG;
    settings_free(&s);
    conf_errors_fini(&errors);
    return code;
}

int cmd_alert(int argc, char **argv)
{
    struct alert_options o = {.json = false};
    int first = 0;
    operands_last(&ALERT_COMMAND, argc, argv);
    int code = options_read(&ALERT_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    if (strcmp(argv[first], "test") != 0) {
        (void)fprintf(stderr, "fallthrough alert: expected 'test', not '%s'\n", argv[first]);
        return CMD_USAGE;
    }
    return test_configured(&o, first + 1 < argc ? argv[first + 1] : NULL);
}
