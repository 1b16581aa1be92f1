#include "cmd/wait_healthy.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/conf_value.h"
#include "base/utf8.h"
#include "cmd/escape.h"
#include "cmd/fetch.h"
#include "cmd/operands.h"
#include "cmd/progress.h"
#include "cmd/server_error.h"
#include "wire/json.h"

enum { TRY_MS = 5000, PAUSE_MIN_MS = 250, PAUSE_MAX_MS = 2000, REASON_SIZE = 400 };

struct wait_options {
    const char *timeout;
    bool generate;
    bool json;
};

static const struct option_row OPTIONS[] = {
    {.name = "timeout",
     .value = "TIME",
     .offset = offsetof(struct wait_options, timeout),
     .help = "how long to wait, as in 90s or 10m; 0: try once (default: 10m)"},
    {.name = "generate",
     .offset = offsetof(struct wait_options, generate),
     .help = "wait until it has also made one token"},
    OPTION_JSON(struct wait_options, json)};

const struct command WAIT_HEALTHY_COMMAND = {
    .name = "wait-healthy",
    .operands = "URL",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Waits until the server at URL answers that it is well; for scripts and units.",
    .options = OPTIONS,
    .option_count = sizeof(OPTIONS) / sizeof(OPTIONS[0]),
    .run = cmd_wait_healthy,
};

enum outcome {
    OUTCOME_WELL,
    OUTCOME_NOT_YET,
    OUTCOME_HOPELESS /* waiting changes nothing */
};

struct wait {
    struct url url;
    struct str shown; /* the URL, escaped */
    bool generate;
    bool has_answered; /* something came back by HTTP */
    struct progress progress;
    uint64_t due_ms;
    char reason[REASON_SIZE]; /* why it is not well, as last printed */
    struct arena once;        /* of one round */
};

/* --- one request --- */

static uint32_t time_left_ms(const struct wait *w)
{
    uint64_t now_ms = clock_mono_ms();
    return now_ms < w->due_ms ? (uint32_t)(w->due_ms - now_ms) : 0;
}

/* A --timeout of 0 still means one try. */
static uint32_t try_limit_ms(const struct wait *w)
{
    uint32_t left_ms = time_left_ms(w);
    return left_ms > 0 && left_ms < TRY_MS ? left_ms : TRY_MS;
}

/* Says why it is not well, where that has changed. */
static void note(struct wait *w, struct str reason)
{
    reason = utf8_cut(reason, sizeof(w->reason) - 1);
    if (str_eq(reason, str_from(w->reason))) {
        return;
    }
    (void)snprintf(w->reason, sizeof(w->reason), "%.*s", STR_FMT(reason));
    progress_clear(&w->progress);
    (void)fprintf(stderr, "%.*s: %s\n", STR_FMT(w->shown), w->reason);
}

static void tell_progress(void *arg)
{
    struct wait *w = arg;
    char took[32];
    progress_took(&w->progress, took, sizeof(took));
    progress_tell(&w->progress,
                  arena_printf(&w->once, "%.*s: waiting for %s%s%s", STR_FMT(w->shown), took,
                               w->reason[0] != '\0' ? ", last: " : "", w->reason));
}

/* As `fetch`, and tells meanwhile how long it takes. */
static enum err fetch_for(struct wait *w, struct fetch_conf conf, struct fetched *got)
{
    conf.on_tick = tell_progress;
    conf.tick_arg = w;
    return fetch(&conf, got);
}

/* Asks and notes what is wrong, if it is not a 200. `got` is to be ended in any case. */
static bool ask(struct wait *w, const struct fetch_conf *conf, struct fetched *got)
{
    enum err e = fetch_for(w, *conf, got);
    w->has_answered = w->has_answered || got->status != 0;
    if (e == ERR_OK && got->status == 200) {
        return true;
    }
    struct str what = arena_printf(&w->once, "%s %.*s%.*s", conf->method,
                                   STR_FMT(conf->url.path), STR_FMT(conf->target));
    if (e != ERR_OK) {
        note(w, arena_printf(&w->once, "%.*s: %s", STR_FMT(what), got->why));
        return false;
    }
    struct str said = server_error_text(got->body, &w->once);
    note(w, arena_printf(&w->once, "%.*s answered %d%s%.*s%s", STR_FMT(what), got->status,
                         said.len > 0 ? " (" : "", STR_FMT(said), said.len > 0 ? ")" : ""));
    return false;
}

/* --- health --- */

static bool try_path(struct wait *w, struct str path, int *status)
{
    struct fetched got;
    struct fetch_conf conf = {.method = "GET", .url = w->url, .timeout_ms = try_limit_ms(w)};
    conf.url.path = path;
    bool well = ask(w, &conf, &got);
    *status = got.status;
    fetched_fini(&got);
    return well;
}

/* The reason of /health is the one that people should read, so the others stay silent. */
static bool try_others(struct wait *w)
{
    static const struct str others[] = {STR_INIT("/v1/models"), STR_INIT("/api/version")};
    bool well = false;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && !well; i++) {
        struct fetched got;
        struct fetch_conf conf = {
            .method = "GET", .url = w->url, .timeout_ms = try_limit_ms(w)};
        conf.url.path = others[i];
        well = fetch_for(w, conf, &got) == ERR_OK && got.status == 200;
        fetched_fini(&got);
    }
    return well;
}

static bool is_well(struct wait *w)
{
    int status = 0;
    if (w->url.path.len > 0) {
        return try_path(w, w->url.path, &status);
    }
    return try_path(w, STR("/health"), &status) ||
           ((status == 404 || status == 405) && try_others(w));
}

/* --- one token --- */

/* Where the API is: the URL without the path of a health check. */
static struct str base_path(struct str path)
{
    static const struct str checks[] = {STR_INIT("/health"), STR_INIT("/v1/models"),
                                        STR_INIT("/api/version"), STR_INIT("/ready")};
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (str_ends(path, checks[i])) {
            return str_of(path.ptr, path.len - checks[i].len);
        }
    }
    return STR("");
}

/* The first model that the server lists, as JSON text; "default" where it lists none. */
static struct str first_model(struct wait *w, const struct url *base)
{
    struct fetched got;
    struct str id = STR("\"default\"");
    size_t at = 0;
    struct fetch_conf conf = {.method = "GET",
                              .url = *base,
                              .target = STR("/v1/models"),
                              .timeout_ms = try_limit_ms(w)};
    if (fetch_for(w, conf, &got) == ERR_OK && got.status == 200 &&
        json_check(got.body, &at) == ERR_OK) {
        struct str found = json_path(json_value(got.body), "data", "0", "id", NULL);
        id = json_type_of(found) == JSON_STRING ? arena_dup(&w->once, found) : id;
    }
    fetched_fini(&got);
    return id;
}

static bool has_choices(struct str body)
{
    size_t at = 0;
    return json_check(body, &at) == ERR_OK &&
           json_type_of(json_path(json_value(body), "choices", "0", NULL)) == JSON_OBJECT;
}

static enum outcome judge_token(struct wait *w, bool is_200, const struct fetched *got)
{
    if (is_200 && has_choices(got->body)) {
        return OUTCOME_WELL;
    }
    if (is_200) {
        note(w, STR("POST /v1/chat/completions answered 200, but without choices"));
    }
    /* wait-healthy has no key to offer. */
    return got->status == 401 || got->status == 403 ? OUTCOME_HOPELESS : OUTCOME_NOT_YET;
}

/* The first token may take as long as there is time: cutting a request makes some servers begin
 * to load their model anew. */
static enum outcome generate(struct wait *w)
{
    struct fetched got;
    struct fetch_conf conf = {
        .method = "POST", .url = w->url, .target = STR("/v1/chat/completions")};
    conf.url.path = base_path(w->url.path);
    conf.json = arena_printf(&w->once,
                             "{\"model\":%.*s,\"messages\":[{\"role\":\"user\",\"content\":"
                             "\"Say one word.\"}],\"max_tokens\":1}",
                             STR_FMT(first_model(w, &conf.url)));
    conf.timeout_ms = time_left_ms(w) > TRY_MS ? time_left_ms(w) : try_limit_ms(w);
    bool is_200 = ask(w, &conf, &got);
    enum outcome outcome = judge_token(w, is_200, &got);
    fetched_fini(&got);
    return outcome;
}

/* --- the wait --- */

static enum outcome try_once(struct wait *w)
{
    arena_init(&w->once);
    enum outcome outcome = is_well(w) ? OUTCOME_WELL : OUTCOME_NOT_YET;
    if (outcome == OUTCOME_WELL && w->generate) {
        outcome = generate(w);
    }
    arena_fini(&w->once);
    return outcome;
}

static void sleep_ms(struct wait *w, uint32_t ms)
{
    while (ms > 0) {
        uint32_t step_ms = ms < FETCH_TICK_MS ? ms : FETCH_TICK_MS;
        struct timespec t = {.tv_nsec = (long)step_ms * 1000000};
        (void)nanosleep(&t, NULL);
        ms -= step_ms;
        arena_init(&w->once);
        tell_progress(w);
        arena_fini(&w->once);
    }
}

static double seconds_so_far(const struct wait *w)
{
    return (double)(clock_mono_ms() - w->progress.started_ms) / 1000;
}

static void print_json(const struct wait *w, const char *url, bool is_well)
{
    struct arena a;
    arena_init(&a);
    struct str quoted = json_quote(&a, str_from(url));
    struct str why = json_quote(&a, str_from(is_well ? "" : w->reason));
    (void)printf("{\"url\":%.*s,\"well\":%s,\"took_s\":%.1f,\"reason\":%.*s}\n",
                 STR_FMT(quoted), is_well ? "true" : "false", seconds_so_far(w), STR_FMT(why));
    arena_fini(&a);
}

static int give_up(struct wait *w, const char *timeout)
{
    progress_clear(&w->progress);
    (void)fprintf(stderr, "%.*s: not well within %s\n", STR_FMT(w->shown), timeout);
    return w->has_answered ? CMD_FAILED : CMD_UNREACHABLE;
}

static int await(struct wait *w, const char *timeout)
{
    uint32_t pause_ms = PAUSE_MIN_MS;
    for (;;) {
        uint32_t left_ms;
        switch (try_once(w)) {
        case OUTCOME_WELL:
            progress_clear(&w->progress);
            (void)fprintf(stderr, "%.*s: well after %.1f s%s\n", STR_FMT(w->shown),
                          seconds_so_far(w), w->generate ? ", one token made" : "");
            return CMD_FINE;
        case OUTCOME_HOPELESS:
            progress_clear(&w->progress);
            return CMD_FAILED;
        case OUTCOME_NOT_YET:
            break;
        }
        left_ms = time_left_ms(w);
        sleep_ms(w, pause_ms < left_ms ? pause_ms : left_ms);
        if (pause_ms >= left_ms) {
            return give_up(w, timeout);
        }
        pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    }
}

static int start(const char *text, const struct wait_options *o)
{
    struct wait w = {.generate = o->generate};
    struct arena a;
    const char *why = "";
    uint64_t limit_ms = 0;
    int code = CMD_USAGE;
    arena_init(&a);
    w.shown = escape_text(&a, str_from(text), "");
    if (conf_duration(str_from(o->timeout), &limit_ms) != ERR_OK || limit_ms > UINT32_MAX) {
        (void)fprintf(stderr,
                      "fallthrough wait-healthy: --timeout takes a time such as 500ms, 90s or "
                      "10m\n");
    } else if (url_parse(str_from(text), &w.url, &why) != ERR_OK) {
        (void)fprintf(stderr, "fallthrough wait-healthy: '%.*s' is not a usable URL: %s\n",
                      STR_FMT(w.shown), why);
    } else {
        progress_begin(&w.progress);
        w.due_ms = w.progress.started_ms + limit_ms;
        code = await(&w, o->timeout);
        if (o->json) {
            print_json(&w, text, code == CMD_FINE);
        }
    }
    arena_fini(&a);
    return code;
}

int cmd_wait_healthy(int argc, char **argv)
{
    struct wait_options o = {.timeout = "10m"};
    int first = 0;
    operands_last(&WAIT_HEALTHY_COMMAND, argc, argv);
    int code = options_read(&WAIT_HEALTHY_COMMAND, argc, argv, &o, &first);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return start(argv[first], &o);
}
