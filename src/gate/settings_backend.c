#include "base/conf_value.h"
#include "gate/settings_private.h"
#include "tiers/fit.h"
#include "tiers/flow.h"

enum { API_KEY_BYTES = 4096, URL_BYTES = 2048, HEADER_BYTES = 8192, FLOW_MOST = 100000 };
enum { CONCURRENT_MAX = 1000 * 1000, WEIGHT_MAX = 1000 };

static void read_type(struct conf *c, const struct conf_node *n, void *into)
{
    struct backend *b = into;
    struct str text = STR("");
    if (!conf_text(c, n, &text) || type_find(text, &b->type)) {
        return;
    }
    conf_error(c, n->start,
               "'type' must be vllm, ollama, llamacpp, openai or anthropic, not %s",
               conf_quote(c, n).ptr);
}

static void take_url(struct conf *c, struct backend *b, const struct url *u)
{
    const char *open = u->is_ipv6 ? "[" : "";
    const char *close = u->is_ipv6 ? "]" : "";
    b->tls = u->tls;
    b->host = u->host;
    b->port = u->port;
    b->path = u->path.len > 0 ? u->path : STR("");
    b->host_header = arena_printf(c->texts, "%s%.*s%s", open, STR_FMT(u->host), close);
    if (u->has_port) {
        b->host_header = arena_printf(c->texts, "%.*s:%u", STR_FMT(b->host_header), u->port);
    }
}

bool backend_read_url(struct conf *c, const struct conf_node *n, const char *key,
                      const char *example, struct backend *b)
{
    const struct conf_row row = {.name = key,
                                 .type = CONF_STRING,
                                 CONF_FIELD(struct backend, url),
                                 .min = 1,
                                 .max = URL_BYTES};
    struct url u;
    const char *why = NULL;
    if (!conf_read_value(c, n, &row, b)) {
        return false;
    }
    if (url_parse(b->url, &u, &why) != ERR_OK) {
        conf_error(c, n->start, "'%s' is no URL such as %s: %s", key, example,
                   why ? why : "malformed");
        return false;
    }
    take_url(c, b, &u);
    return true;
}

static void read_url(struct conf *c, const struct conf_node *n, void *into)
{
    struct backend *b = into;
    if (backend_read_url(c, n, "url", "http://host:8000", b) && str_ends(b->path, STR("/v1"))) {
        conf_warning(c, n->start, "the API's own path is added to 'url': leave out the '/v1'");
    }
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];
        bool is_word =
            (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
        if (!is_word && (ch == '\0' || !strchr("!#$%&'*+-.^_`|~", ch))) {
            return false;
        }
    }
    return s.len > 0;
}

/* What belongs to the connection or the message, not to the operator. */
static bool is_ours(struct str name)
{
    static const struct str OURS[] = {
        STR_INIT("host"),
        STR_INIT("content-length"),
        STR_INIT("content-type"),
        STR_INIT("content-encoding"),
        STR_INIT("transfer-encoding"),
        STR_INIT("accept-encoding"),
        STR_INIT("connection"),
        STR_INIT("keep-alive"),
        STR_INIT("proxy-connection"),
        STR_INIT("proxy-authenticate"),
        STR_INIT("proxy-authorization"),
        STR_INIT("te"),
        STR_INIT("trailer"),
        STR_INIT("upgrade"),
        STR_INIT("expect"),
    };
    for (size_t i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++) {
        if (str_eq_nocase(name, OURS[i])) {
            return true;
        }
    }
    return false;
}

static bool is_header_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.ptr[i];
        if ((ch < 0x20 && ch != '\t') || ch == 0x7f) {
            return false;
        }
    }
    return str_trim(s).len == s.len;
}

static bool check_header_name(struct conf *c, const struct conf_item *item)
{
    if (!is_token(item->key)) {
        conf_error(c, item->mark, "'%.*s' cannot be the name of a header", STR_FMT(item->key));
        return false;
    }
    if (is_ours(item->key)) {
        conf_error(c, item->mark, "header '%.*s' is set by fallthrough itself",
                   STR_FMT(item->key));
        return false;
    }
    return true;
}

bool header_read(struct conf *c, const struct conf_item *item, struct str *value)
{
    conf_hide(c, item->value);
    if (!check_header_name(c, item) || !conf_secret(c, item->value, value)) {
        return false;
    }
    if (value->len > HEADER_BYTES || !is_header_value(*value)) {
        conf_error(c, item->value->start,
                   "the value of header '%.*s' must be one line of up to %d bytes, without "
                   "spaces around it",
                   STR_FMT(item->key), HEADER_BYTES);
        return false;
    }
    return true;
}

static void read_header(struct conf *c, const struct conf_item *item, struct backend *b,
                        struct backend_header *all)
{
    struct str value = STR("");
    if (!header_read(c, item, &value)) {
        return;
    }
    for (size_t i = 0; i < b->header_count; i++) {
        if (str_eq_nocase(all[i].name, item->key)) {
            conf_error(c, item->mark, "header '%.*s' is given twice", STR_FMT(item->key));
            return;
        }
    }
    all[b->header_count++] =
        (struct backend_header){.name = arena_dup(c->texts, item->key), .value = value};
}

void backend_read_headers(struct conf *c, const struct conf_node *n, void *into)
{
    struct backend *b = into;
    if (n->kind != CONF_MAP) {
        conf_hide(c, n);
        conf_error(c, n->start, "'headers' must be a mapping of names to values, not %s",
                   conf_kind_name(n));
        return;
    }
    if (n->count > HEADERS_MAX) {
        conf_error(c, n->start, "more than %d headers", HEADERS_MAX);
        return;
    }
    struct backend_header *all = arena_zalloc(c->texts, (n->count + 1) * sizeof(*all));
    b->headers = all;
    for (size_t i = 0; i < n->count; i++) {
        read_header(c, &n->items[i], b, all);
    }
}

static void read_own_degrade(struct conf *c, const struct conf_node *n, void *into)
{
    struct backend *b = into;
    policy_read_degrade(c, n, &b->degrade);
}

static void read_min_flow(struct conf *c, const struct conf_node *n, void *into)
{
    struct backend *b = into;
    struct str text = STR("");
    double value = 0;
    if (!conf_text(c, n, &text)) {
        return;
    }
    if (conf_double(text, &value) != ERR_OK || value < FLOW_LEAST || value > FLOW_MOST) {
        conf_error(c, n->start,
                   "'min_tokens_per_second' must be a number from %.1f to %d, not %s",
                   FLOW_LEAST, FLOW_MOST, conf_quote(c, n).ptr);
        return;
    }
    b->min_tokens_per_second = value;
}

static const struct conf_row BACKEND_TLS_ROWS[] = {
    {.name = "ca",
     .type = CONF_PATH,
     CONF_FIELD(struct backend, tls_ca),
     .min = 1,
     .max = URL_BYTES,
     .help = "PEM file of the authorities that may sign the backend's certificate"},
    {.name = "cert",
     .type = CONF_PATH,
     CONF_FIELD(struct backend, tls_cert),
     .min = 1,
     .max = URL_BYTES,
     .help = "PEM file of our certificate for the backend"},
    {.name = "key",
     .type = CONF_PATH,
     CONF_FIELD(struct backend, tls_key),
     .min = 1,
     .max = URL_BYTES,
     .help = "PEM file of its private key"},
};
const struct conf_table BACKEND_TLS_TABLE = {.what = "a backend's 'tls'",
                                             CONF_ROWS(BACKEND_TLS_ROWS)};

static const struct conf_row BACKEND_ROWS[] = {
    {.name = "type",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = read_type,
     .help = "vllm, ollama, llamacpp, openai or anthropic"},
    {.name = "url",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = read_url,
     .help = "http://host[:port][/prefix] or https://...; the API's path is added to it"},
    {.name = "api_key",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct backend, api_key),
     .min = 1,
     .max = API_KEY_BYTES,
     .help = "sent as Authorization: Bearer; anthropic: as x-api-key"},
    {.name = "headers",
     .type = CONF_READ,
     .flags = CONF_SECRET,
     .read = backend_read_headers,
     .help = "further headers of each request to it"},
    {.name = "tls",
     .type = CONF_TABLE,
     .table = &BACKEND_TLS_TABLE,
     .help = "for an https url"},
    {.name = "health",
     .type = CONF_TABLE,
     CONF_FIELD(struct backend, health),
     .table = &HEALTH_TABLE,
     .help = "its own; keys left out are the file's"},
    {.name = "deadlines",
     .type = CONF_TABLE,
     CONF_FIELD(struct backend, deadlines),
     .table = &DEADLINES_TABLE,
     .help = "its own; keys left out are the file's"},
    {.name = "breaker",
     .type = CONF_TABLE,
     CONF_FIELD(struct backend, breaker),
     .table = &BREAKER_TABLE,
     .help = "its own; keys left out are the file's"},
    {.name = "min_tokens_per_second",
     .type = CONF_READ,
     .read = read_min_flow,
     .help = "a stream with less of them over 10 s counts as stalled"},
    {.name = "retry",
     .type = CONF_TABLE,
     CONF_FIELD(struct backend, retry),
     .table = &BACKEND_RETRY_TABLE,
     .help = "its own; keys left out are the file's"},
    {.name = "degrade",
     .type = CONF_READ,
     .read = read_own_degrade,
     .help = "its own in place of its type's; off for none"},
    {.name = "context",
     .type = CONF_SIZE,
     CONF_FIELD(struct backend, offer.context),
     .min = 1,
     .max = CONTEXT_MAX,
     .help = "tokens of prompt and answer together; else it is learnt"},
    {.name = "capabilities",
     .type = CONF_READ,
     .read = offer_read_capabilities,
     .help = "what it can and cannot do; what is left out is learnt"},
    {.name = "max_concurrent",
     .type = CONF_INTEGER,
     CONF_FIELD(struct backend, max_concurrent),
     .min = 1,
     .max = CONCURRENT_MAX,
     .help = "attempts at it at a time, of all workers together; without it any number"},
    {.name = "weight",
     .type = CONF_INTEGER,
     CONF_FIELD(struct backend, weight),
     .min = 1,
     .max = WEIGHT_MAX,
     .fallback = "1",
     .help = "how much it bears, relative to the others of its tier"},
    {.name = "agent",
     .type = CONF_READ,
     .read = teller_read_agent,
     .help = "the GPU agent of its machine: a URL, or a mapping"},
    {.name = "dcgm",
     .type = CONF_READ,
     .read = teller_read_dcgm,
     .help = "dcgm-exporter of its machine, in place of an agent"},
    {.name = "guard",
     .type = CONF_READ,
     .read = teller_read_guard,
     .help = "the guard of its process: a URL, or a mapping"},
    {.name = "managed",
     .type = CONF_TABLE,
     CONF_FIELD(struct backend, managed),
     .table = &MANAGED_TABLE,
     .help = "its process is started and stopped by the gateway"},
};
const struct conf_table BACKEND_TABLE = {.what = "a backend", CONF_ROWS(BACKEND_ROWS)};

static void apply_general(struct draft *d, const struct conf_node *n,
                          const struct conf_table *t, void *into)
{
    if (n && n->kind == CONF_MAP) {
        (void)conf_read_map(d->conf, n, t, into);
    }
}

/* Built-in default, then the type's, then the file's; the backend's own comes last. The file's
 * mistakes were noted when the root was read. */
static void set_defaults(struct draft *d, const struct conf_node *n, struct backend *b)
{
    const struct conf_node *type = conf_get(n, STR("type"));
    d->conf->is_quiet = true;
    if (type) {
        read_type(d->conf, type, b);
    }
    policy_set_defaults(b->type, b);
    b->degrade = d->degrade[b->type];
    apply_general(d, d->health, &HEALTH_TABLE, &b->health);
    apply_general(d, d->breaker, &BREAKER_TABLE, &b->breaker);
    apply_general(d, d->deadlines, &DEADLINES_TABLE, &b->deadlines);
    apply_general(d, d->retry, &BACKEND_RETRY_TABLE, &b->retry);
    d->conf->is_quiet = false;
}

static void check_tls(struct draft *d, const struct conf_node *n, const struct backend *b)
{
    const struct conf_node *tls = conf_get(n, STR("tls"));
    if (!tls) {
        return;
    }
    if (b->host.len > 0 && !b->tls) {
        conf_error(d->conf, tls->start, "'tls' needs an https url");
    }
    if ((b->tls_cert.len > 0) != (b->tls_key.len > 0)) {
        conf_error(d->conf, tls->start, "'cert' and 'key' go together");
    }
}

static void check_authorization(struct draft *d, const struct conf_node *n,
                                const struct backend *b)
{
    const struct conf_node *headers = conf_get(n, STR("headers"));
    if (!headers || headers->kind != CONF_MAP || b->api_key.len == 0) {
        return;
    }
    for (size_t i = 0; i < headers->count; i++) {
        if (str_eq_nocase(headers->items[i].key, STR("authorization"))) {
            conf_error(d->conf, headers->items[i].mark,
                       "header 'Authorization' and 'api_key' exclude each other");
        }
    }
}

static void check_api_key(struct draft *d, const struct conf_node *n, const struct backend *b)
{
    const struct conf_node *key = conf_get(n, STR("api_key"));
    if (key && !access_is_visible(b->api_key)) {
        conf_error(d->conf, key->start, "an API key must be visible ASCII without spaces");
    }
}

static void check_name(struct draft *d, const struct conf_item *item)
{
    bool is_good = item->key.len <= NAME_MAX_BYTES;
    for (size_t i = 0; i < item->key.len; i++) {
        char ch = item->key.ptr[i];
        bool is_word =
            (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
        is_good = is_good && (is_word || ch == '.' || ch == '_' || ch == '-');
    }
    if (!is_good) {
        conf_error(d->conf, item->mark,
                   "a backend's name has up to %d letters, digits, '.', '_' and '-'",
                   NAME_MAX_BYTES);
    }
}

static void read_backend(struct draft *d, const struct conf_item *item, struct backend *b)
{
    b->name = arena_dup(&d->s.arena, item->key);
    b->url = b->host = b->host_header = b->path = b->api_key = STR("");
    b->tls_ca = b->tls_cert = b->tls_key = STR("");
    b->weight = 1;
    managed_set_defaults(&b->managed);
    check_name(d, item);
    set_defaults(d, item->value, b);
    (void)conf_read_map(d->conf, item->value, &BACKEND_TABLE, b);
    b->health.down_gap_ms = b->breaker.trial_ms;
    b->health.down_gap_max_ms = b->breaker.trial_max_ms;
    check_tls(d, item->value, b);
    check_authorization(d, item->value, b);
    check_api_key(d, item->value, b);
    tellers_check(d->conf, item->value, b);
    managed_check(d, item->value, b);
}

void backends_read(struct draft *d)
{
    const struct conf_node *n = d->backends;
    if (n->kind != CONF_MAP || n->count == 0) {
        conf_error(d->conf, n->start,
                   "'backends' must name at least one: NAME: {type: ..., url: ...}");
        return;
    }
    if (n->count > BACKENDS_MAX) {
        conf_error(d->conf, n->start, "more than %d backends", BACKENDS_MAX);
        return;
    }
    d->backend_array = arena_zalloc(&d->s.arena, n->count * sizeof(struct backend));
    d->is_used = arena_zalloc(&d->s.arena, n->count * sizeof(bool));
    for (size_t i = 0; i < n->count; i++) {
        d->backend_array[i].index = (uint32_t)i;
        read_backend(d, &n->items[i], &d->backend_array[i]);
    }
    d->s.catalog.backends = d->backend_array;
    d->s.catalog.backend_count = n->count;
}
