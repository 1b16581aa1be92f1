#include "guard/guard_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_rows.h"
#include "base/conf_value.h"
#include "wire/http_head.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
enum { GUARD_PORT = 8403, TEXT_BYTES = 4096, WORDS_MAX = 1024, STEPS_MAX = 64 };

/* What is still text while the file is read. */
struct draft {
    struct guard_settings s;
    struct str health;
    struct str agent;
    const char *why;
    bool has_url;
    bool has_health;
};

/* --- lists of words --- */

static void read_words(struct conf *c, const struct conf_node *n, struct words *out)
{
    if (n->kind != CONF_LIST || n->count == 0 || n->count > WORDS_MAX) {
        conf_error(c, n->start, "must be a list of words, such as [vllm, serve, MODEL]");
        return;
    }
    char **word = arena_zalloc(c->texts, (n->count + 1) * sizeof(char *));
    for (size_t i = 0; i < n->count; i++) {
        struct str text = STR("");
        if (!conf_text(c, n->items[i].value, &text)) {
            return;
        }
        word[i] = arena_chars(c->texts, text);
    }
    *out = (struct words){.word = word, .count = n->count};
}

static void read_command(struct conf *c, const struct conf_node *n, void *into)
{
    read_words(c, n, &((struct draft *)into)->s.command);
}

static void read_on_oom(struct conf *c, const struct conf_node *n, void *into)
{
    struct guard_settings *s = &((struct draft *)into)->s;
    if (n->kind != CONF_LIST || n->count > STEPS_MAX) {
        conf_error(c, n->start, "'on_oom' must be a list of lists of words, at most %d",
                   STEPS_MAX);
        return;
    }
    s->on_oom = arena_zalloc(c->texts, (n->count + 1) * sizeof(s->on_oom[0]));
    s->on_oom_count = n->count;
    for (size_t i = 0; i < n->count; i++) {
        read_words(c, n->items[i].value, &s->on_oom[i]);
    }
}

static void read_down(struct conf *c, const struct conf_node *n, void *into)
{
    read_words(c, n, &((struct draft *)into)->s.hook[HOOK_DOWN]);
}

static void read_needs_reset(struct conf *c, const struct conf_node *n, void *into)
{
    read_words(c, n, &((struct draft *)into)->s.hook[HOOK_NEEDS_RESET]);
}

static void read_gave_up(struct conf *c, const struct conf_node *n, void *into)
{
    read_words(c, n, &((struct draft *)into)->s.hook[HOOK_GAVE_UP]);
}

static void read_gpus(struct conf *c, const struct conf_node *n, void *into)
{
    struct guard_settings *s = &((struct draft *)into)->s;
    struct words w = {.count = 0};
    read_words(c, n, &w);
    s->gpus = arena_zalloc(c->texts, (w.count + 1) * sizeof(s->gpus[0]));
    s->gpu_count = w.count;
    for (size_t i = 0; i < w.count; i++) {
        s->gpus[i] = str_from(w.word[i]);
    }
}

/* --- addresses --- */

static bool is_type(struct str text)
{
    static const struct str types[] = {STR_INIT("vllm"), STR_INIT("llamacpp"),
                                       STR_INIT("ollama"), STR_INIT("openai")};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (str_eq(text, types[i])) {
            return true;
        }
    }
    return false;
}

static void read_type(struct conf *c, const struct conf_node *n, void *into)
{
    struct draft *d = into;
    struct str text = STR("");
    if (conf_text(c, n, &text) && !is_type(text)) {
        conf_error(c, n->start, "'type' must be vllm, llamacpp, ollama or openai, not %s",
                   conf_quote(c, n).ptr);
    } else {
        d->s.type = text;
    }
}

static bool read_url_at(struct conf *c, const struct conf_node *n, struct url *out,
                        struct str *text)
{
    const char *why = NULL;
    if (!conf_text(c, n, text)) {
        return false;
    }
    if (url_parse(*text, out, &why) != ERR_OK || out->tls) {
        conf_error(c, n->start, "%s is no URL such as http://127.0.0.1:8000: %s",
                   conf_quote(c, n).ptr, why ? why : "a backend on this machine needs no TLS");
        return false;
    }
    return true;
}

static void read_url(struct conf *c, const struct conf_node *n, void *into)
{
    struct draft *d = into;
    d->has_url = read_url_at(c, n, &d->s.url, &d->s.origin) || d->has_url;
}

static void read_health(struct conf *c, const struct conf_node *n, void *into)
{
    struct draft *d = into;
    d->has_health = read_url_at(c, n, &d->s.health, &d->health) || d->has_health;
}

static void read_agent(struct conf *c, const struct conf_node *n, void *into)
{
    struct draft *d = into;
    d->s.has_agent = read_url_at(c, n, &d->s.agent, &d->agent);
}

static enum err parse_listen(struct guard_settings *s, struct str text, const char **why)
{
    s->has_listen = !str_eq(text, STR("off"));
    return s->has_listen ? address_parse(text, &s->listen, why) : ERR_OK;
}

static void read_listen(struct conf *c, const struct conf_node *n, void *into)
{
    struct str text = STR("");
    const char *why = "malformed";
    if (conf_text(c, n, &text) &&
        parse_listen(&((struct draft *)into)->s, text, &why) != ERR_OK) {
        conf_error(c, n->start, "%s is no address (host:port, unix:/path) and not off: %s",
                   conf_quote(c, n).ptr, why);
    }
}

/* --- the tables --- */

#define DURATION(key, place, low, high, is, what)                                            \
    {                                                                                        \
        .name = (key), .type = CONF_DURATION, CONF_FIELD(struct draft, place), .min = (low), \
        .max = (high), .fallback = (is), .help = (what)                                      \
    }

static const struct conf_row BACKEND_ROWS[] = {
    {.name = "type",
     .type = CONF_READ,
     .read = read_type,
     .fallback = "vllm",
     .help = "vllm, llamacpp, ollama or openai"},
    {.name = "url", .type = CONF_READ, .read = read_url, .help = "of its API"},
    {.name = "model",
     .type = CONF_STRING,
     CONF_FIELD(struct draft, s.model),
     .min = 1,
     .max = TEXT_BYTES,
     .help = "asked for the token"},
    {.name = "api_key",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct draft, s.api_key),
     .min = 1,
     .max = TEXT_BYTES,
     .help = "sent with it"},
};
static const struct conf_table BACKEND_ROWS_TABLE = {.what = "'backend'",
                                                     CONF_ROWS(BACKEND_ROWS)};

static const struct conf_row STOP_ROWS[] = {
    DURATION("term", s.plan.stop.term_ms, 0, HOUR, "30s", "after SIGTERM to the main process"),
    DURATION("rest", s.plan.stop.rest_ms, 0, HOUR, "5s", "after SIGTERM to what is left"),
    DURATION("kill", s.plan.stop.kill_ms, 100, HOUR, "10s", "after SIGKILL"),
};
static const struct conf_table STOP_TABLE = {.what = "'stop'", CONF_ROWS(STOP_ROWS)};

static const struct conf_row BACKOFF_ROWS[] = {
    DURATION("first", s.plan.restart.first_ms, 1, HOUR, "1s", "doubled with each failure"),
    DURATION("max", s.plan.restart.max_ms, 1, HOUR, "5m", "the longest"),
    DURATION("healthy", s.plan.restart.healthy_ms, 1, 24 * HOUR, "10m",
             "READY for so long: the next failure is the first"),
};
static const struct conf_table BACKOFF_TABLE = {.what = "'backoff'", CONF_ROWS(BACKOFF_ROWS)};

static const char *const THENS[] = {"stay", "exit", NULL};

static const struct conf_row GIVE_UP_ROWS[] = {
    {.name = "restarts",
     .type = CONF_INTEGER,
     CONF_FIELD(struct draft, s.plan.restart.limit),
     .min = 0,
     .max = RESTARTS_MAX,
     .fallback = "6",
     .help = "one more failure gives up; 0: never"},
    DURATION("within", s.plan.restart.within_ms, 1, 24 * HOUR, "30m", "counted over"),
    {.name = "then",
     .type = CONF_WORD,
     CONF_FIELD(struct draft, s.plan.then_leave),
     .words = THENS,
     .fallback = "stay",
     .help = "stay and tell why, or exit with 1"},
};
static const struct conf_table GIVE_UP_TABLE = {.what = "'give_up'", CONF_ROWS(GIVE_UP_ROWS)};

static const struct conf_row HOOK_ROWS[] = {
    {.name = "down", .type = CONF_READ, .read = read_down, .help = "run at each failure"},
    {.name = "needs_reset",
     .type = CONF_READ,
     .read = read_needs_reset,
     .help = "a GPU or the machine needs one"},
    {.name = "gave_up", .type = CONF_READ, .read = read_gave_up, .help = "too many restarts"},
};
static const struct conf_table HOOKS_TABLE = {.what = "'hooks'", CONF_ROWS(HOOK_ROWS)};

static const char *const LEVELS[] = {"debug", "info", "warn", "error", "off", NULL};
static const char *const FORMATS[] = {"logfmt", "json", NULL};

static const struct conf_row LOG_ROWS[] = {
    {.name = "level",
     .type = CONF_WORD,
     CONF_FIELD(struct draft, s.log_level),
     .words = LEVELS,
     .fallback = "info",
     .help = "debug, info, warn, error or off"},
    {.name = "format",
     .type = CONF_WORD,
     CONF_FIELD(struct draft, s.log_format),
     .words = FORMATS,
     .fallback = "logfmt",
     .help = "logfmt or json"},
};
static const struct conf_table LOG_TABLE = {.what = "'log'", CONF_ROWS(LOG_ROWS)};

static const struct conf_row ROOT_ROWS[] = {
    {.name = "command",
     .type = CONF_READ,
     .read = read_command,
     .help = "the backend's, as a list of words"},
    {.name = "backend",
     .type = CONF_TABLE,
     .table = &BACKEND_ROWS_TABLE,
     .help = "how it is asked"},
    {.name = "health",
     .type = CONF_READ,
     .read = read_health,
     .help = "URL that answers 200 when it is well"},
    {.name = "token",
     .type = CONF_BOOL,
     CONF_FIELD(struct draft, s.wants_token),
     .fallback = "true",
     .help = "READY only after one generated token"},
    {.name = "listen",
     .type = CONF_READ,
     .read = read_listen,
     .fallback = "127.0.0.1:8403",
     .help = "for GET /guard; off: nowhere"},
    {.name = "admin_token",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct draft, s.token),
     .min = 1,
     .max = TEXT_BYTES,
     .help = "asked of its readers"},
    DURATION("interval", s.interval_ms, 100, HOUR, "2s", "between looks at the backend"),
    DURATION("health_timeout", s.health_ms, 100, HOUR, "5s", "for an answer about health"),
    DURATION("start_timeout", s.plan.start_ms, 100, 24 * HOUR, "15m", "to the first token"),
    DURATION("hang_after", s.hang_ms, 0, HOUR, "60s", "without a token; 0: not looked for"),
    DURATION("probe_timeout", s.probe_ms, 100, HOUR, "20s", "for the token that decides"),
    {.name = "stop", .type = CONF_TABLE, .table = &STOP_TABLE, .help = "the stop ladder"},
    {.name = "backoff", .type = CONF_TABLE, .table = &BACKOFF_TABLE, .help = "between starts"},
    {.name = "give_up", .type = CONF_TABLE, .table = &GIVE_UP_TABLE, .help = "the limit"},
    {.name = "on_oom",
     .type = CONF_READ,
     .read = read_on_oom,
     .help = "steps: words added to the command after memory ran out"},
    DURATION("oom_forget", s.plan.oom_forget_ms, 1, 24 * HOUR, "1h",
             "READY for so long: the steps are taken back"),
    {.name = "hooks", .type = CONF_TABLE, .table = &HOOKS_TABLE, .help = "commands to run"},
    {.name = "agent", .type = CONF_READ, .read = read_agent, .help = "URL of the GPU agent"},
    {.name = "agent_token",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct draft, s.agent_token),
     .min = 1,
     .max = TEXT_BYTES,
     .help = "sent to it"},
    {.name = "gpus", .type = CONF_READ, .read = read_gpus, .help = "UUIDs of those it uses"},
    {.name = "needs_memory",
     .type = CONF_SIZE,
     CONF_FIELD(struct draft, s.needs_memory),
     .min = 0,
     .max = INT64_MAX,
     .fallback = "0",
     .help = "that some GPU must have free before a start, by the agent"},
    DURATION("gpu_wait", s.gpu_wait_ms, 0, HOUR, "5m", "for GPU memory of ours to come back"),
    {.name = "cgroup",
     .type = CONF_STRING,
     CONF_FIELD(struct draft, s.cgroup),
     .min = 1,
     .max = TEXT_BYTES / 8,
     .fallback = "auto",
     .help = "auto, off, or a folder of cgroup v2 that is ours"},
    {.name = "log", .type = CONF_TABLE, .table = &LOG_TABLE, .help = "the guard's own log"},
};
static const struct conf_table ROOT_TABLE = {.what = "the configuration", CONF_ROWS(ROOT_ROWS)};

static void set_defaults(struct draft *d)
{
    struct guard_settings *s = &d->s;
    s->type = STR("vllm");
    s->wants_token = true;
    s->parent_fd = -1;
    s->has_listen = true;
    s->listen = (struct address){.host = STR("127.0.0.1"), .port = GUARD_PORT};
    s->interval_ms = 2 * SECOND;
    s->health_ms = 5 * SECOND;
    s->hang_ms = MINUTE;
    s->probe_ms = 20 * SECOND;
    s->gpu_wait_ms = 5 * MINUTE;
    s->cgroup = STR("auto");
    s->log_level = LOG_INFO;
    s->plan = (struct plan_policy){
        .start_ms = 15 * MINUTE,
        .stop = {.term_ms = 30 * SECOND, .rest_ms = 5 * SECOND, .kill_ms = 10 * SECOND},
        .restart = {.first_ms = SECOND,
                    .max_ms = 5 * MINUTE,
                    .healthy_ms = 10 * MINUTE,
                    .limit = 6,
                    .within_ms = 30 * MINUTE},
        .oom_forget_ms = HOUR};
}

/* --- the command line --- */

static bool refuse(struct draft *d, struct str reason)
{
    d->why = reason.ptr;
    return false;
}

static bool take_url(struct draft *d, const char *option, const char *text, struct url *out)
{
    const char *why = "it needs no TLS on this machine";
    if (url_parse(str_from(text), out, &why) != ERR_OK || out->tls) {
        return refuse(
            d, arena_printf(&d->s.arena, "%s: '%s' is no usable URL: %s", option, text, why));
    }
    return true;
}

static bool take_time(struct draft *d, const char *option, const char *text, uint32_t *out)
{
    uint64_t ms = 0;
    if (conf_duration(str_from(text), &ms) != ERR_OK || ms > 24 * HOUR) {
        return refuse(d,
                      arena_printf(&d->s.arena, "%s takes a time such as 90s or 10m, not '%s'",
                                   option, text));
    }
    *out = (uint32_t)ms;
    return true;
}

static bool take_urls(struct draft *d, const struct guard_overrides *o)
{
    struct guard_settings *s = &d->s;
    if (o->url) {
        d->has_url = true;
        s->origin = str_from(o->url);
        if (!take_url(d, "--url", o->url, &s->url)) {
            return false;
        }
    }
    if (o->health) {
        d->has_health = true;
        if (!take_url(d, "--health", o->health, &s->health)) {
            return false;
        }
    }
    s->has_agent = s->has_agent || o->agent;
    return !o->agent || take_url(d, "--agent", o->agent, &s->agent);
}

static bool take_parent(struct draft *d, const char *text)
{
    uint64_t fd = 0;
    if (!text) {
        return true;
    }
    if (str_to_u64(str_from(text), INT16_MAX, &fd) != ERR_OK || fd <= 2) {
        return refuse(d, STR("--parent takes the number of an inherited descriptor"));
    }
    d->s.parent_fd = (int)fd;
    return true;
}

static bool take_others(struct draft *d, const struct guard_overrides *o)
{
    struct guard_settings *s = &d->s;
    const char *why = "malformed";
    s->type = o->type ? str_from(o->type) : s->type;
    s->model = o->model ? str_from(o->model) : s->model;
    s->cgroup = o->cgroup ? str_from(o->cgroup) : s->cgroup;
    if (!is_type(s->type)) {
        return refuse(d, STR("--type is vllm, llamacpp, ollama or openai"));
    }
    if (o->listen && parse_listen(s, str_from(o->listen), &why) != ERR_OK) {
        return refuse(
            d, arena_printf(&s->arena, "--listen: '%s' is no address: %s", o->listen, why));
    }
    return take_parent(d, o->parent) &&
           (!o->start_timeout ||
            take_time(d, "--start-timeout", o->start_timeout, &s->plan.start_ms)) &&
           (!o->hang_after || take_time(d, "--hang-after", o->hang_after, &s->hang_ms));
}

static bool take_command(struct draft *d, char **command)
{
    struct words *w = &d->s.command;
    if (command && command[0]) {
        *w = (struct words){.word = command};
        while (command[w->count]) {
            w->count++;
        }
    }
    return w->count > 0 ||
           refuse(d, STR("there is no command to guard: give it after --, or as 'command'"));
}

/* --- what follows from it --- */

/* Where the API is: the health URL without the path of a health check. */
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

static struct str health_path(const struct guard_settings *s)
{
    if (str_eq(s->type, STR("ollama"))) {
        return STR("/api/version"); /* it has no /health */
    }
    return str_eq(s->type, STR("openai")) ? STR("/v1/models") : STR("/health");
}

static bool complete(struct draft *d)
{
    struct guard_settings *s = &d->s;
    if (!d->has_url && !d->has_health) {
        return refuse(d, STR("where does the backend answer? give --health or --url, or "
                             "'backend: {url: …}'"));
    }
    if (!d->has_url) {
        s->url = s->health;
        s->url.path = base_path(s->health.path);
        s->origin =
            arena_printf(&s->arena, "http://%.*s:%u", STR_FMT(s->url.host), s->url.port);
    }
    if (!d->has_health) {
        s->health = s->url;
        s->health.path =
            arena_printf(&s->arena, "%.*s%.*s", STR_FMT(s->url.path), STR_FMT(health_path(s)));
    }
    if (s->health.path.len == 0) {
        s->health.path = health_path(s);
    }
    if (!str_eq_nocase(s->health.host, s->url.host) || s->health.port != s->url.port) {
        return refuse(d,
                      STR("health and the API must be of one server: the same host and port"));
    }
    if (!http_value_is_safe(s->api_key) || !http_value_is_safe(s->agent_token)) {
        return refuse(d, STR("'api_key' and 'agent_token' must fit into one line of HTTP"));
    }
    s->plan.oom_steps = (uint32_t)s->on_oom_count;
    if (s->has_listen && !address_is_loopback(&s->listen) && s->token.len == 0) {
        return refuse(d,
                      STR("'listen' can be reached from elsewhere: that needs 'admin_token'"));
    }
    return true;
}

static void read_file(struct draft *d, const char *path, struct conf_errors *errors)
{
    struct conf conf;
    if (conf_open(&conf, str_from(path), errors)) {
        conf.texts = &d->s.arena;
        (void)conf_read_map(&conf, conf.root, &ROOT_TABLE, d);
    }
    conf_close(&conf);
}

enum err guard_settings_load(const char *path, const struct guard_overrides *o,
                             struct conf_errors *errors, struct guard_settings **out,
                             char why[GUARD_WHY_MAX])
{
    struct draft d = {.why = ""};
    *out = NULL;
    arena_init(&d.s.arena);
    set_defaults(&d);
    if (path) {
        read_file(&d, path, errors);
    }
    if (errors->error_count > 0) {
        arena_fini(&d.s.arena);
        return ERR_SYNTAX;
    }
    bool is_fine =
        take_urls(&d, o) && take_others(&d, o) && take_command(&d, o->command) && complete(&d);
    if (!is_fine) {
        (void)snprintf(why, GUARD_WHY_MAX, "%s", d.why);
        arena_fini(&d.s.arena);
        return ERR_RANGE;
    }
    *out = mem_alloc(sizeof(**out));
    **out = d.s;
    return ERR_OK;
}

void guard_settings_free(struct guard_settings **s)
{
    if (*s) {
        arena_fini(&(*s)->arena);
        free(*s);
        *s = NULL;
    }
}
