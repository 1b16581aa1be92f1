#include "cmd/events_cmd.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/admin_get.h"
#include "cmd/color.h"
#include "wire/sse.h"

enum { EVENT_MAX = 64 * 1024, RECONNECT_S = 1 };

struct events_options {
    bool follow;
    bool json;
    const char *admin;
    const char *since; /* NULL: not asked for, as all below */
    const char *until;
    const char *backend;
    const char *model;
    const char *kind;
    const char *severity;
    const char *incident;
    const char *limit;
};

#define FILTER(name_, value_, help_)                                                         \
    {                                                                                        \
        .name = #name_, .value = (value_), .offset = offsetof(struct events_options, name_), \
        .help = (help_)                                                                      \
    }

static const struct option_row OPTIONS[] = {
    {.name = "follow",
     .letter = 'f',
     .offset = offsetof(struct events_options, follow),
     .help = "go on with what happens from now on"},
    {.name = "json",
     .offset = offsetof(struct events_options, json),
     .help = "print JSON; with -f one event a line"},
    FILTER(since, "TIME", "2h (ago) or 2026-11-21T05:24:02Z"),
    FILTER(until, "TIME", "the same"),
    FILTER(backend, "NAME", "of this backend"),
    FILTER(model, "NAME", "of this model"),
    FILTER(kind, "KIND", "such as state, failover, resume or breaker"),
    FILTER(severity, "LEVEL", "info, warning or error, and worse"),
    FILTER(incident, "N", "of this incident"),
    FILTER(limit, "N", "the last N (default: 200)"),
    OPTION_ADMIN(struct events_options, admin)};

const struct command EVENTS_COMMAND = {
    .name = "events",
    .summary = "Shows what happened: state changes, failovers, resumes, incidents.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_events,
};

/* What is being printed. */
struct printing {
    const struct events_options *o;
    bool in_color;
    json_int_t last; /* number of the last event printed */
    struct sse_decoder sse;
};

/* --- the request --- */

static struct str put_pair(struct str target, const char *key, const char *value,
                           struct arena *a)
{
    if (!value) {
        return target;
    }
    target = arena_printf(a, "%.*s%s%s=", STR_FMT(target),
                          str_has(target, STR("?")) ? "&" : "?", key);
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || strchr("-._~:", c) != NULL;
        target = is_plain ? arena_printf(a, "%.*s%c", STR_FMT(target), c)
                          : arena_printf(a, "%.*s%%%02X", STR_FMT(target), c);
    }
    return target;
}

static struct str make_filter(const struct events_options *o, struct arena *a)
{
    struct str target = STR("/events");
    target = put_pair(target, "backend", o->backend, a);
    target = put_pair(target, "model", o->model, a);
    target = put_pair(target, "kind", o->kind, a);
    target = put_pair(target, "severity", o->severity, a);
    return put_pair(target, "incident", o->incident, a);
}

static struct str make_target(const struct events_options *o, struct arena *a)
{
    struct str target = make_filter(o, a);
    target = put_pair(target, "since", o->since, a);
    target = put_pair(target, "until", o->until, a);
    return put_pair(target, "limit", o->limit, a);
}

/* --- printing --- */

static const char *color_of(struct str severity)
{
    if (str_eq(severity, STR("error"))) {
        return COLOR_RED;
    }
    return str_eq(severity, STR("warning")) ? COLOR_YELLOW : "";
}

static void print_line(const struct printing *p, const json_t *event)
{
    struct arena a;
    arena_init(&a);
    const char *color = p->in_color ? color_of(admin_text(event, "severity", &a)) : "";
    const json_t *incident = json_object_get(event, "incident");
    json_int_t times = json_integer_value(json_object_get(event, "times"));
    char number[24] = "-";
    if (json_is_integer(incident)) {
        (void)snprintf(number, sizeof(number), "#%lld", json_integer_value(incident));
    }
    (void)printf("%.*s  %-5s  %s%-12.*s%s  %.*s", STR_FMT(admin_text(event, "at", &a)), number,
                 color, STR_FMT(admin_text(event, "kind", &a)), color[0] ? COLOR_OFF : "",
                 STR_FMT(admin_text(event, "text", &a)));
    if (times > 1) {
        (void)printf(" (%lld times)", times);
    }
    (void)putchar('\n');
    arena_fini(&a);
}

static void print_event(struct printing *p, const json_t *event)
{
    json_int_t id = json_integer_value(json_object_get(event, "id"));
    p->last = id;
    if (p->o->json) {
        (void)json_dumpf(event, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else {
        print_line(p, event);
    }
    (void)fflush(stdout);
}

/* What has happened already. */
static int print_past(struct printing *p)
{
    struct fetched got;
    struct arena a;
    json_t *answer = NULL;
    size_t i;
    json_t *event;
    arena_init(&a);
    int code = admin_get("events", p->o->admin, make_target(p->o, &a), &got, &answer);
    if (code == CMD_FINE && p->o->json && !p->o->follow) {
        admin_print_body(&got);
    } else if (code == CMD_FINE) {
        json_array_foreach(json_object_get(answer, "events"), i, event)
        {
            print_event(p, event);
        }
        p->last = json_integer_value(json_object_get(answer, "last"));
    }
    json_decref(answer);
    fetched_fini(&got);
    arena_fini(&a);
    return code;
}

/* --- following --- */

static void take_event(struct printing *p, struct str data)
{
    json_t *event = json_loadb(data.ptr, data.len, 0, NULL);
    if (json_is_object(event)) {
        print_event(p, event);
    }
    json_decref(event);
}

/* False gives up: standard output is gone, or the stream is not what it should be. */
static bool on_piece(void *owner, struct str piece)
{
    struct printing *p = owner;
    struct sse_event ev;
    enum err e = sse_next(&p->sse, &piece, &ev);
    while (e == ERR_OK) {
        if (ev.kind == SSE_EVENT) {
            take_event(p, ev.data);
        }
        e = sse_next(&p->sse, &piece, &ev);
    }
    return e == ERR_AGAIN && sse_keep(&p->sse, &piece) == ERR_OK && ferror(stdout) == 0;
}

static struct str live_target(const struct printing *p, struct arena *a)
{
    char last[24];
    (void)snprintf(last, sizeof(last), "%lld", p->last);
    struct str target = put_pair(make_filter(p->o, a), "stream", "true", a);
    return p->last > 0 ? put_pair(target, "after", last, a) : target;
}

/* Until the connection ends. */
static int follow_once(struct printing *p)
{
    struct arena a;
    arena_init(&a);
    sse_init(&p->sse, EVENT_MAX);
    int code = admin_stream("events", p->o->admin, live_target(p, &a), on_piece, p);
    sse_fini(&p->sse);
    arena_fini(&a);
    return code;
}

/* The gateway may be restarted meanwhile: what happened then is told when it is back. */
static int follow(struct printing *p)
{
    int code = CMD_FINE;
    while ((code == CMD_FINE || code == CMD_UNREACHABLE) && ferror(stdout) == 0) {
        code = follow_once(p);
        if (code == CMD_FINE || code == CMD_UNREACHABLE) {
            (void)sleep(RECONNECT_S);
        }
    }
    return code;
}

int cmd_events(int argc, char **argv)
{
    struct events_options o = {.follow = false};
    int first = 0;
    int code = options_read(&EVENTS_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    struct printing p = {.o = &o, .in_color = color_is_wanted()};
    code = print_past(&p);
    return code == CMD_FINE && o.follow ? follow(&p) : code;
}
