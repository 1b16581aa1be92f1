#include "base/conf_value.h"
#include "gate/settings_private.h"

/*
 * Who is told of each request: `traces`, a collector of OpenTelemetry's protocol, and
 * `access_log`, a file.
 */

enum {
    PATH_BYTES = 2048,
    SERVICE_BYTES = 255,
    QUEUE = 2048,
    QUEUE_LEAST = 16,
    QUEUE_MOST = 1000 * 1000,
    TIMEOUT_MS = 10000,
    TIMEOUT_LEAST_MS = 100,
    TIMEOUT_MOST_MS = 60000
};

/* What the mapping is read into. */
struct trace_draft {
    struct backend peer; /* first: headers and tls are read as a backend's */
    struct trace_policy policy;
};

static void read_otlp(struct conf *c, const struct conf_node *n, void *into)
{
    struct trace_draft *t = into;
    if (backend_read_url(c, n, "otlp", "http://127.0.0.1:4318", &t->peer) &&
        t->peer.path.len == 0) {
        t->peer.path = STR("/v1/traces");
    }
}

static const struct conf_row TRACES_ROWS[] = {
    {.name = "otlp",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = read_otlp,
     .help = "URL of the collector; without a path /v1/traces is added"},
    {.name = "sample",
     .type = CONF_DOUBLE,
     CONF_FIELD(struct trace_draft, policy.sample),
     .min = 0,
     .max = 1,
     .fallback = "1",
     .help = "share of the requests that are traced, where the client has not decided"},
    {.name = "service",
     .type = CONF_STRING,
     CONF_FIELD(struct trace_draft, policy.service),
     .min = 1,
     .max = SERVICE_BYTES,
     .fallback = "fallthrough",
     .help = "service.name of the spans"},
    {.name = "headers",
     .type = CONF_READ,
     .flags = CONF_SECRET,
     .read = backend_read_headers,
     .help = "of each request to the collector"},
    {.name = "queue",
     .type = CONF_INTEGER,
     CONF_FIELD(struct trace_draft, policy.queue),
     .min = QUEUE_LEAST,
     .max = QUEUE_MOST,
     .fallback = "2048",
     .help = "requests whose spans may wait for the collector; more are dropped"},
    {.name = "timeout",
     .type = CONF_DURATION,
     CONF_FIELD(struct trace_draft, policy.timeout_ms),
     .min = TIMEOUT_LEAST_MS,
     .max = TIMEOUT_MOST_MS,
     .fallback = "10s",
     .help = "for the collector's answer"},
    {.name = "tls",
     .type = CONF_TABLE,
     .table = &BACKEND_TLS_TABLE,
     .help = "for an https url of the collector"},
};
const struct conf_table TRACES_TABLE = {.what = "'traces'", CONF_ROWS(TRACES_ROWS)};

static void check_tls(struct conf *c, const struct conf_node *n, const struct backend *peer)
{
    const struct conf_node *tls = conf_get(n, STR("tls"));
    if (tls && peer->host.len > 0 && !peer->tls) {
        conf_error(c, tls->start, "'tls' needs an https url");
    }
    if (tls && (peer->tls_cert.len > 0) != (peer->tls_key.len > 0)) {
        conf_error(c, tls->start, "'cert' and 'key' go together");
    }
}

void traces_read(struct conf *c, const struct conf_node *n, struct trace_policy *out)
{
    struct trace_draft *t = arena_zalloc(c->texts, sizeof(*t));
    struct backend *peer = &t->peer;
    peer->name = STR("traces");
    peer->url = peer->host = peer->host_header = peer->path = peer->api_key = STR("");
    peer->tls_ca = peer->tls_cert = peer->tls_key = STR("");
    t->policy = (struct trace_policy){
        .sample = 1, .service = STR("fallthrough"), .queue = QUEUE, .timeout_ms = TIMEOUT_MS};
    (void)conf_read_map(c, n, &TRACES_TABLE, t);
    if (n->kind == CONF_MAP) {
        check_tls(c, n, peer);
    }
    *out = t->policy;
    out->collector = peer;
}

/* --- the access log --- */

static const char *const FORMATS[] = {"logfmt", "json", NULL};

static const struct conf_row ACCESS_ROWS[] = {
    {.name = "file",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED,
     CONF_FIELD(struct access_policy, file),
     .min = 1,
     .max = PATH_BYTES,
     .help = "stdout, stderr, or a file to append to"},
    {.name = "format",
     .type = CONF_WORD,
     CONF_FIELD(struct access_policy, format),
     .words = FORMATS,
     .fallback = "logfmt",
     .help = "logfmt or json"},
};
const struct conf_table ACCESS_TABLE = {.what = "'access_log'", CONF_ROWS(ACCESS_ROWS)};

void access_log_read(struct conf *c, const struct conf_node *n, struct access_policy *out)
{
    out->format = LOG_LOGFMT;
    if (n->kind == CONF_MAP) {
        (void)conf_read_map(c, n, &ACCESS_TABLE, out);
    } else if (n->kind != CONF_SCALAR || conf_is_null(n)) {
        conf_error(c, n->start,
                   "expected stdout, stderr, a path, or a mapping of file and format, not %s",
                   conf_kind_name(n));
    } else if (!conf_text(c, n, &out->file)) {
        return;
    }
    bool is_stream = str_eq(out->file, STR("stdout")) || str_eq(out->file, STR("stderr"));
    if (out->file.len > 0 && !is_stream) {
        out->file = conf_path(c, out->file);
    }
}
