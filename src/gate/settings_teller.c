#include "base/conf_value.h"
#include "gate/settings_private.h"

/*
 * Who tells of a backend: its `agent`, `dcgm` and `guard`. Each is a URL, or a mapping with
 * one. It is kept as a backend of its own, so that it is asked as those are.
 */

enum {
    URL_BYTES = 2048,
    TOKEN_BYTES = 4096,
    GPUS_MAX = 64,
    GPU_BYTES = 80,
    INTERVAL_LEAST_MS = 50,
    INTERVAL_MOST_MS = 60000,
    INTERVAL_MS = 2000
};

/* What a mapping is read into. */
struct teller_draft {
    struct backend peer;
    const struct str *gpus;
    size_t gpu_count;
};

static void read_url(struct conf *c, const struct conf_node *n, void *into)
{
    struct teller_draft *t = into;
    (void)backend_read_url(c, n, "url", "http://host:8402", &t->peer);
}

/* One of `gpus`: an index or a UUID, as text. */
static bool read_gpu(struct conf *c, const struct conf_node *n, struct str *out)
{
    if (!conf_text(c, n, out)) {
        return false;
    }
    if (out->len == 0 || out->len > GPU_BYTES) {
        conf_error(c, n->start, "a GPU is an index or a UUID, not %s", conf_quote(c, n).ptr);
        return false;
    }
    *out = arena_dup(c->texts, *out);
    return true;
}

static void read_gpus(struct conf *c, const struct conf_node *n, void *into)
{
    struct teller_draft *t = into;
    if (n->kind != CONF_LIST || n->count == 0 || n->count > GPUS_MAX) {
        conf_error(c, n->start, "'gpus' must be a list of 1 to %d indexes or UUIDs", GPUS_MAX);
        return;
    }
    struct str *all = arena_zalloc(c->texts, n->count * sizeof(*all));
    for (size_t i = 0; i < n->count; i++) {
        t->gpu_count += read_gpu(c, n->items[i].value, &all[t->gpu_count]) ? 1 : 0;
    }
    t->gpus = all;
}

static void read_token(struct conf *c, const struct conf_node *n, void *into)
{
    static const struct conf_row ROW = {.name = "token",
                                        .type = CONF_STRING,
                                        .flags = CONF_SECRET,
                                        CONF_FIELD(struct backend, api_key),
                                        .min = 1,
                                        .max = TOKEN_BYTES};
    struct teller_draft *t = into;
    conf_hide(c, n);
    if (conf_read_value(c, n, &ROW, &t->peer) && !access_is_visible(t->peer.api_key)) {
        conf_error(c, n->start, "a token must be visible ASCII without spaces");
    }
}

#define URL_ROW                                                                     \
    {                                                                               \
        .name = "url", .type = CONF_READ, .flags = CONF_REQUIRED, .read = read_url, \
        .help = "http://host[:port] or https://..."                                 \
    }
#define TOKEN_ROW                                                                     \
    {                                                                                 \
        .name = "token", .type = CONF_READ, .flags = CONF_SECRET, .read = read_token, \
        .help = "sent as Authorization: Bearer"                                       \
    }
#define CA_ROW                                                                         \
    {                                                                                  \
        .name = "ca", .type = CONF_PATH, CONF_FIELD(struct teller_draft, peer.tls_ca), \
        .min = 1, .max = URL_BYTES,                                                    \
        .help = "PEM file of the authorities that may sign its certificate"            \
    }
#define INTERVAL_ROW                                                                        \
    {                                                                                       \
        .name = "interval", .type = CONF_DURATION,                                          \
        CONF_FIELD(struct teller_draft, peer.health.interval_ms), .min = INTERVAL_LEAST_MS, \
        .max = INTERVAL_MOST_MS, .fallback = "2s",                                          \
        .help = "between questions; silent for three of them, it is not known any more"     \
    }
#define GPUS_ROW                                                                      \
    {                                                                                 \
        .name = "gpus", .type = CONF_READ, .read = read_gpus,                         \
        .help = "the backend's own of the machine's GPUs, by index or UUID; else all" \
    }

static const struct conf_row AGENT_ROWS[] = {URL_ROW, TOKEN_ROW, CA_ROW, INTERVAL_ROW,
                                             GPUS_ROW};
static const struct conf_row DCGM_ROWS[] = {URL_ROW, TOKEN_ROW, CA_ROW, INTERVAL_ROW, GPUS_ROW};
static const struct conf_row GUARD_ROWS[] = {URL_ROW, TOKEN_ROW, CA_ROW, INTERVAL_ROW};

const struct conf_table AGENT_TABLE = {.what = "a backend's 'agent'", CONF_ROWS(AGENT_ROWS)};
const struct conf_table DCGM_TABLE = {.what = "a backend's 'dcgm'", CONF_ROWS(DCGM_ROWS)};
const struct conf_table GUARD_TABLE = {.what = "a backend's 'guard'", CONF_ROWS(GUARD_ROWS)};

static void read_teller(struct conf *c, const struct conf_node *n, const struct conf_table *t,
                        enum teller which, struct backend *b)
{
    struct teller_draft *draft = arena_zalloc(c->texts, sizeof(*draft));
    struct backend *peer = &draft->peer;
    peer->url = peer->host = peer->host_header = peer->path = peer->api_key = STR("");
    peer->tls_ca = peer->tls_cert = peer->tls_key = STR("");
    peer->name = b->name;
    peer->type = BACKEND_VLLM; /* its credentials go as a bearer token */
    peer->health.interval_ms = INTERVAL_MS;
    if (n->kind == CONF_MAP) {
        (void)conf_read_map(c, n, t, draft);
    } else {
        read_url(c, n, draft);
    }
    if (peer->host.len == 0) {
        return; /* a mistake was noted */
    }
    b->teller[which] = peer;
    if (which != TELLER_GUARD) {
        b->gpus = draft->gpus;
        b->gpu_count = draft->gpu_count;
    }
}

void teller_read_agent(struct conf *c, const struct conf_node *n, void *into)
{
    read_teller(c, n, &AGENT_TABLE, TELLER_AGENT, into);
}

void teller_read_dcgm(struct conf *c, const struct conf_node *n, void *into)
{
    read_teller(c, n, &DCGM_TABLE, TELLER_DCGM, into);
}

void teller_read_guard(struct conf *c, const struct conf_node *n, void *into)
{
    read_teller(c, n, &GUARD_TABLE, TELLER_GUARD, into);
}

void tellers_check(struct conf *c, const struct conf_node *backend, const struct backend *b)
{
    const struct conf_node *dcgm = conf_get(backend, STR("dcgm"));
    if (dcgm && conf_get(backend, STR("agent"))) {
        conf_error(c, dcgm->start, "'agent' and 'dcgm' exclude each other");
    }
    for (size_t i = 0; i < TELLERS; i++) {
        const struct conf_node *n = conf_get(backend, str_from(teller_name((enum teller)i)));
        if (b->teller[i] && b->teller[i]->tls_ca.len > 0 && !b->teller[i]->tls) {
            conf_error(c, n->start, "'ca' needs an https url");
        }
    }
}
