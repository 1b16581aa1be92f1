#include "gate/settings.h"

#include <sched.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/conf_value.h"
#include "gate/settings_private.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
enum { KIB = 1024, MIB = 1024 * KIB };
enum {
    WORKERS_MAX = 256,
    CONNECTIONS_MAX = 1000 * 1000,
    PATH_BYTES = 2048,
    TOKEN_BYTES = 4096
};

static const struct conf_row LIMIT_ROWS[] = {
    {.name = "header",
     .type = CONF_SIZE,
     CONF_FIELD(struct http_limits, header_bytes),
     .min = KIB,
     .max = MIB,
     .fallback = "32k",
     .help = "of a request's head; a larger one draws 431"},
    {.name = "body",
     .type = CONF_SIZE,
     CONF_FIELD(struct http_limits, body_bytes),
     .min = KIB,
     .max = 1024 * MIB,
     .fallback = "32m",
     .help = "of a request's body; a larger one draws 413"},
    {.name = "connections",
     .type = CONF_INTEGER,
     CONF_FIELD(struct http_limits, connections),
     .min = 1,
     .max = CONNECTIONS_MAX,
     .fallback = "65536",
     .help = "of clients, at a time"},
    {.name = "header_time",
     .type = CONF_DURATION,
     CONF_FIELD(struct http_limits, header_ms),
     .min = 10,
     .max = HOUR,
     .fallback = "10s",
     .help = "for a request's head, from its first byte"},
    {.name = "body_time",
     .type = CONF_DURATION,
     CONF_FIELD(struct http_limits, body_ms),
     .min = 10,
     .max = HOUR,
     .fallback = "60s",
     .help = "for a request's body, from the end of its head"},
    {.name = "idle_time",
     .type = CONF_DURATION,
     CONF_FIELD(struct http_limits, idle_ms),
     .min = 10,
     .max = HOUR,
     .fallback = "75s",
     .help = "an idle connection is kept"},
    {.name = "send_time",
     .type = CONF_DURATION,
     CONF_FIELD(struct http_limits, send_ms),
     .min = 10,
     .max = HOUR,
     .fallback = "60s",
     .help = "a client may leave an answer unread"},
};
static const struct conf_table LIMITS_TABLE = {.what = "'limits'", CONF_ROWS(LIMIT_ROWS)};

static const char *const LEVELS[] = {"debug", "info", "warn", "error", "off", NULL};
static const char *const FORMATS[] = {"logfmt", "json", NULL};
static const char *const ANNOTATIONS[] = {"body", "headers", "off", NULL};

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
    {.name = "file",
     .type = CONF_STRING,
     CONF_FIELD(struct draft, s.log_file),
     .min = 1,
     .max = PATH_BYTES,
     .fallback = "stderr",
     .help = "stderr, or a file to append to"},
};
static const struct conf_table LOG_TABLE = {.what = "'log'", CONF_ROWS(LOG_ROWS)};

static const struct conf_row TLS_ROWS[] = {
    {.name = "cert",
     .type = CONF_PATH,
     .flags = CONF_REQUIRED,
     CONF_FIELD(struct draft, s.tls_cert),
     .min = 1,
     .max = PATH_BYTES,
     .help = "PEM file of the API port's certificate and its chain"},
    {.name = "key",
     .type = CONF_PATH,
     .flags = CONF_REQUIRED,
     CONF_FIELD(struct draft, s.tls_key),
     .min = 1,
     .max = PATH_BYTES,
     .help = "PEM file of its private key"},
};
static const struct conf_table TLS_TABLE = {.what = "'tls'", CONF_ROWS(TLS_ROWS)};

static uint32_t count_cores(void)
{
    cpu_set_t usable;
    CPU_ZERO(&usable);
    int count = sched_getaffinity(0, sizeof(usable), &usable) == 0 ? CPU_COUNT(&usable) : 1;
    if (count < 1) {
        return 1;
    }
    return count > WORKERS_MAX ? WORKERS_MAX : (uint32_t)count;
}

static void read_workers(struct conf *c, const struct conf_node *n, void *into)
{
    struct draft *d = into;
    struct str text = STR("");
    uint64_t count = 0;
    if (!conf_text(c, n, &text) || str_eq(text, STR("auto"))) {
        return;
    }
    if (str_to_u64(text, WORKERS_MAX, &count) != ERR_OK || count == 0) {
        conf_error(c, n->start, "'workers' must be auto or from 1 to %d, not %s", WORKERS_MAX,
                   conf_quote(c, n).ptr);
        return;
    }
    d->s.workers = (uint32_t)count;
}

static void note_listen(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct draft *)into)->listen = n;
}

static void note_admin(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct draft *)into)->admin = n;
}

static void note_keys(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct draft *)into)->keys = n;
}

static void note_backends(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct draft *)into)->backends = n;
}

static void note_models(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct draft *)into)->models = n;
}

/* The general policies are judged here, into a backend that nobody keeps, and used for each
 * backend. */
static void read_health(struct conf *c, const struct conf_node *n, void *into)
{
    struct health_policy judged = {0};
    ((struct draft *)into)->health = n;
    (void)conf_read_map(c, n, &HEALTH_TABLE, &judged);
}

static void read_deadlines(struct conf *c, const struct conf_node *n, void *into)
{
    struct deadlines judged = {0};
    ((struct draft *)into)->deadlines = n;
    (void)conf_read_map(c, n, &DEADLINES_TABLE, &judged);
}

static void read_breaker(struct conf *c, const struct conf_node *n, void *into)
{
    struct breaker_policy judged = {0};
    ((struct draft *)into)->breaker = n;
    (void)conf_read_map(c, n, &BREAKER_TABLE, &judged);
}

static void read_retry(struct conf *c, const struct conf_node *n, void *into)
{
    struct draft *d = into;
    struct retry_draft judged = {.budget = d->retry_budget};
    d->retry = n;
    (void)conf_read_map(c, n, &RETRY_TABLE, &judged);
    d->retry_budget = judged.budget;
}

static void read_hedge(struct conf *c, const struct conf_node *n, void *into)
{
    policy_read_hedge(c, n, &((struct draft *)into)->hedge);
}

static void read_last_resort(struct conf *c, const struct conf_node *n, void *into)
{
    policy_read_last_resort(c, n, &((struct draft *)into)->last_resort);
}

static void read_degrades(struct conf *c, const struct conf_node *n, void *into)
{
    policy_read_degrades(c, n, ((struct draft *)into)->degrade);
}

static void read_history(struct conf *c, const struct conf_node *n, void *into)
{
    history_read(c, n, &((struct draft *)into)->s.history);
}

static void read_traces(struct conf *c, const struct conf_node *n, void *into)
{
    traces_read(c, n, &((struct draft *)into)->s.traces);
}

static void read_access_log(struct conf *c, const struct conf_node *n, void *into)
{
    access_log_read(c, n, &((struct draft *)into)->s.access_log);
}

static void read_alerts(struct conf *c, const struct conf_node *n, void *into)
{
    alerts_read(c, n, &((struct draft *)into)->s.alerts);
}

static const struct conf_row ROOT_ROWS[] = {
    {.name = "listen",
     .type = CONF_READ,
     .read = note_listen,
     .fallback = "127.0.0.1:8400",
     .help = "address of the API, or a list: host:port, [::1]:port or unix:/path"},
    {.name = "admin",
     .type = CONF_READ,
     .read = note_admin,
     .fallback = "127.0.0.1:8401",
     .help = "address of the status page, the metrics and the admin API"},
    {.name = "admin_token",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct draft, s.admin_token),
     .min = 1,
     .max = TOKEN_BYTES,
     .help = "asked for on the admin port"},
    {.name = "workers",
     .type = CONF_READ,
     .read = read_workers,
     .fallback = "auto",
     .help = "threads that carry traffic; auto is one per core"},
    {.name = "backends",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = note_backends,
     .help = "the servers that can answer, by name"},
    {.name = "models",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = note_models,
     .help = "the names that clients ask for"},
    {.name = "health",
     .type = CONF_READ,
     .read = read_health,
     .help = "how backends are probed; also per backend"},
    {.name = "deadlines",
     .type = CONF_READ,
     .read = read_deadlines,
     .help = "how long things may take; also per backend"},
    {.name = "breaker",
     .type = CONF_READ,
     .read = read_breaker,
     .help = "how a backend that was out of traffic comes back; also per backend"},
    {.name = "panic",
     .type = CONF_BOOL,
     CONF_FIELD(struct draft, may_panic),
     .fallback = "true",
     .help = "whether the least bad backend is tried while none is usable; also per model"},
    {.name = "retry",
     .type = CONF_READ,
     .read = read_retry,
     .help = "what is tried again, and how much; also per backend, the budget per model"},
    {.name = "hedge",
     .type = CONF_READ,
     .read = read_hedge,
     .fallback = "off",
     .help = "a second attempt when the first token is late; off, or a mapping"},
    {.name = "last_resort",
     .type = CONF_READ,
     .read = read_last_resort,
     .fallback = "off",
     .help = "what answers when no backend can; off, or a mapping"},
    {.name = "streams",
     .type = CONF_TABLE,
     CONF_FIELD(struct draft, s.streams),
     .table = &STREAMS_TABLE,
     .help = "how answers are streamed; also per model"},
    {.name = "load",
     .type = CONF_TABLE,
     CONF_FIELD(struct draft, s.load),
     .table = &LOAD_TABLE,
     .help = "how the backends of a tier share the requests; also per model"},
    {.name = "queue",
     .type = CONF_TABLE,
     CONF_FIELD(struct draft, s.queue),
     .table = &QUEUE_TABLE,
     .help = "how requests wait while all backends have max_concurrent; also per model"},
    {.name = "limits",
     .type = CONF_TABLE,
     CONF_FIELD(struct draft, s.limits),
     .table = &LIMITS_TABLE,
     .help = "what clients may ask of the server"},
    {.name = "log",
     .type = CONF_TABLE,
     .table = &LOG_TABLE,
     .help = "what is logged, and where"},
    {.name = "keys",
     .type = CONF_READ,
     .flags = CONF_SECRET,
     .read = note_keys,
     .help = "API keys for clients, as a list; absent: open, on loopback only"},
    {.name = "tls", .type = CONF_TABLE, .table = &TLS_TABLE, .help = "TLS on the API port"},
    {.name = "degrade",
     .type = CONF_READ,
     .read = read_degrades,
     .help = "shorter, cheaper answers, by backend type; also per backend"},
    {.name = "annotate",
     .type = CONF_WORD,
     CONF_FIELD(struct draft, s.annotate),
     .words = ANNOTATIONS,
     .fallback = "body",
     .help = "where answers tell who made them: body, headers or off"},
    {.name = "alerts",
     .type = CONF_READ,
     .read = read_alerts,
     .help = "who is told of incidents: by mail, by webhooks"},
    {.name = "history",
     .type = CONF_READ,
     .read = read_history,
     .help = "where events are kept: a path, or a mapping"},
    {.name = "traces",
     .type = CONF_READ,
     .read = read_traces,
     .help = "where OpenTelemetry spans of the requests go"},
    {.name = "access_log",
     .type = CONF_READ,
     .read = read_access_log,
     .help = "a line for each request: stdout, stderr, a path, or a mapping"},
};
static const struct conf_table ROOT_TABLE = {.what = "the configuration", CONF_ROWS(ROOT_ROWS)};

const struct conf_table *const *settings_tables(size_t *count)
{
    static const struct conf_table *const TABLES[] = {&ROOT_TABLE,
                                                      &BACKEND_TABLE,
                                                      &BACKEND_TLS_TABLE,
                                                      &CAPABILITIES_TABLE,
                                                      &MODEL_TABLE,
                                                      &HEALTH_TABLE,
                                                      &DEADLINES_TABLE,
                                                      &BREAKER_TABLE,
                                                      &RETRY_TABLE,
                                                      &BUDGET_TABLE,
                                                      &HEDGE_TABLE,
                                                      &LAST_RESORT_TABLE,
                                                      &DEGRADE_TABLE,
                                                      &STREAMS_TABLE,
                                                      &LOAD_TABLE,
                                                      &QUEUE_TABLE,
                                                      &LIMITS_TABLE,
                                                      &LOG_TABLE,
                                                      &KEY_TABLE,
                                                      &TLS_TABLE,
                                                      &AGENT_TABLE,
                                                      &DCGM_TABLE,
                                                      &GUARD_TABLE,
                                                      &MANAGED_TABLE,
                                                      &MANAGED_STOP_TABLE,
                                                      &MANAGED_BACKOFF_TABLE,
                                                      &MANAGED_GIVE_UP_TABLE,
                                                      &HISTORY_TABLE,
                                                      &TRACES_TABLE,
                                                      &ACCESS_TABLE,
                                                      &ALERTS_TABLE,
                                                      &EMAIL_TABLE,
                                                      &WEBHOOK_TABLE,
                                                      &ALERT_RATE_TABLE,
                                                      &QUIET_HOURS_TABLE};
    *count = sizeof(TABLES) / sizeof(TABLES[0]);
    return TABLES;
}

static struct address default_address(uint16_t port)
{
    return (struct address){.host = STR("127.0.0.1"), .port = port, .path = STR("")};
}

static void set_defaults(struct draft *d)
{
    struct settings *s = &d->s;
    enum { API_PORT = 8400, ADMIN_PORT = 8401 };
    struct address *listen = arena_alloc(&s->arena, sizeof(*listen));
    *listen = default_address(API_PORT);
    s->listen = listen;
    s->listen_count = 1;
    s->admin = default_address(ADMIN_PORT);
    s->admin_token = s->tls_cert = s->tls_key = STR("");
    s->workers = count_cores();
    s->limits = (struct http_limits){.header_bytes = 32 * KIB,
                                     .body_bytes = 32 * MIB,
                                     .connections = 65536,
                                     .header_ms = 10 * SECOND,
                                     .body_ms = MINUTE,
                                     .idle_ms = 75 * SECOND,
                                     .send_ms = MINUTE};
    s->annotate = ANNOTATE_BODY;
    policy_set_streams(&s->streams);
    policy_set_load(&s->load, &s->queue);
    s->log_level = LOG_INFO;
    s->log_format = LOG_LOGFMT;
    s->log_file = STR("stderr");
    s->access_log.file = STR("");
    history_set(&s->history);
    alerts_set(&s->alerts);
    policy_set_degrade(d->degrade);
    policy_set_retry_budget(&d->retry_budget);
    policy_set_hedge(&d->hedge);
    policy_set_last_resort(&d->last_resort);
    d->may_panic = true;
}

static void check_token(struct draft *d)
{
    const struct conf_node *n = conf_get(d->conf->root, STR("admin_token"));
    if (n) {
        access_check_secret(d->conf, n, d->s.admin_token);
    }
}

static void read_draft(struct draft *d)
{
    (void)conf_read_map(d->conf, d->conf->root, &ROOT_TABLE, d);
    if (!str_eq(d->s.log_file, STR("stderr"))) {
        d->s.log_file = conf_path(d->conf, d->s.log_file);
    }
    d->s.answer_cache_bytes = d->last_resort.cache_bytes;
    check_token(d);
    access_read(d);
    if (d->backends) {
        backends_read(d);
    }
    if (d->models) {
        models_read(d);
    }
}

enum err settings_load(struct str path, struct conf_errors *errors, struct settings **out)
{
    struct conf conf;
    struct draft d = {.conf = &conf};
    *out = NULL;
    arena_init(&d.s.arena);
    if (conf_open(&conf, path, errors)) {
        conf.texts = &d.s.arena;
        set_defaults(&d);
        read_draft(&d);
    }
    conf_close(&conf);
    if (errors->error_count > 0) {
        arena_fini(&d.s.arena);
        return ERR_SYNTAX;
    }
    *out = mem_alloc(sizeof(**out));
    **out = d.s;
    return ERR_OK;
}

void settings_free(struct settings **s)
{
    if (*s) {
        arena_fini(&(*s)->arena);
        free(*s);
        *s = NULL;
    }
}
