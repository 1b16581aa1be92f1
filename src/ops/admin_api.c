#include "ops/admin_api.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/listener.h"
#include "ops/events_http.h"
#include "ops/explain.h"
#include "ops/exposition.h"
#include "ops/metrics.h"
#include "ops/model_watch.h"
#include "ops/page.h"
#include "wire/http_entry.h"
#include "wire/url.h"

enum { SAMPLE_MS = 1000, METRICS_MAX = 32 << 20, BODY_MAX = 64 * 1024 };

_Static_assert((size_t)METRICS_MAX < (size_t)HTTP_QUEUE_MAX,
               "a slow scraper must be able to get all of it");

struct admin_api {
    struct admin_api_conf conf;
    struct rates *rates;
    struct model_watch *watch;
    struct events_http *events;
    struct http_server *server;
    struct listener *listener;
    struct timer sample;
    _Atomic uint32_t connections;
};

static void reply(struct http_conn *c, struct str content_type, struct str body)
{
    http_reply_whole(c,
                     &(struct http_reply){.status = 200,
                                          .content_type = content_type,
                                          .extra = STR("Cache-Control: no-store\r\n")},
                     body);
}

static void reply_json(struct http_conn *c, struct str body)
{
    reply(c, STR("application/json"), body);
}

static void refuse(struct http_conn *c, int status, const char *why, bool close)
{
    struct arena a;
    arena_init(&a);
    struct str body = arena_printf(&a, "{\"error\":{\"message\":\"%s\"}}", why);
    http_reply_whole(c,
                     &(struct http_reply){.status = status,
                                          .content_type = STR("application/json"),
                                          .close = close},
                     body);
    arena_fini(&a);
}

static struct str query_value(struct str query, struct str name, struct arena *a)
{
    while (query.len > 0) {
        struct str value = str_cut(&query, '&');
        struct str key = str_cut(&value, '=');
        if (str_eq(key, name)) {
            return url_decode(value, true, a);
        }
    }
    return STR_NONE;
}

static void serve_status(struct admin_api *api, struct http_conn *c, struct arena *a)
{
    bool with_trend =
        str_eq(query_value(http_conn_request(c)->query, STR("trend"), a), STR("1"));
    reply_json(c, status_json(&api->conf.source, with_trend, loop_now_ms(api->conf.loop), a));
}

/* 0 is no feature. */
static uint32_t find_feature(struct str name)
{
    for (unsigned i = 0; i < FEATURES; i++) {
        if (str_eq(name, str_from(feature_name(feature_at(i))))) {
            return feature_at(i);
        }
    }
    return 0;
}

/* `tokens=5000`, `needs=tools,vision`. False: they cannot be read. */
static bool read_needs(struct str query, struct needs *out, struct arena *a)
{
    struct str tokens = query_value(query, STR("tokens"), a);
    struct str names = query_value(query, STR("needs"), a);
    if (tokens.len > 0 && str_to_u64(tokens, CONTEXT_MAX, &out->prompt_tokens) != ERR_OK) {
        return false;
    }
    while (names.len > 0) {
        uint32_t feature = find_feature(str_trim(str_cut(&names, ',')));
        out->features |= feature;
        if (feature == 0) {
            return false;
        }
    }
    return true;
}

static void serve_explain(struct admin_api *api, struct http_conn *c, struct arena *a)
{
    struct str query = http_conn_request(c)->query;
    struct str model = query_value(query, STR("model"), a);
    struct explain_query q = {.asked = model};
    if (!read_needs(query, &q.needs, a)) {
        refuse(c, 400,
               "tokens is a whole number, needs a list of tools, vision, json_schema, logprobs",
               false);
        return;
    }
    if (model.len == 0) {
        refuse(c, 400, "the query must name a model: /explain?model=NAME", false);
        return;
    }
    struct str body = explain_json(&api->conf.source, &q, loop_now_ms(api->conf.loop), a);
    if (body.len == 0) {
        refuse(c, 404, "no model has that name", false);
        return;
    }
    reply_json(c, body);
}

static void serve_health(struct admin_api *api, struct http_conn *c, struct arena *a)
{
    (void)api;
    (void)a;
    reply_json(c, STR("{\"status\":\"ok\"}"));
}

static void serve_metrics(struct admin_api *api, struct http_conn *c, struct arena *a)
{
    struct exposition e;
    (void)a;
    exposition_init(&e, METRICS_MAX);
    if (metrics_write(&api->conf.source, loop_now_ms(api->conf.loop), &e)) {
        reply(c, STR(EXPOSITION_CONTENT_TYPE), buf_str(&e.out));
    } else {
        refuse(c, 500, "more metrics than fit in one answer", false);
    }
    exposition_fini(&e);
}

static void serve_events(struct admin_api *api, struct http_conn *c, struct arena *a)
{
    (void)a;
    const char *why = events_http_serve(api->events, c);
    if (why) {
        refuse(c, 400, why, false);
    }
}

static const struct {
    const char *path;
    void (*serve)(struct admin_api *api, struct http_conn *c, struct arena *a);
} routes[] = {{"/status", serve_status},
              {"/explain", serve_explain},
              {"/metrics", serve_metrics},
              {"/events", serve_events},
              {"/health", serve_health}};

static bool may_enter(const struct admin_api *api, struct http_conn *c)
{
    const struct http_request *q = http_conn_request(c);
    struct str token = api->conf.token;
    if (token.len == 0) {
        return http_names_loopback(q);
    }
    return page_has(q->path) || http_has_token(q, token);
}

static void refuse_method(struct http_conn *c)
{
    http_reply_whole(c,
                     &(struct http_reply){.status = 405,
                                          .content_type = STR("application/json"),
                                          .extra = STR("Allow: GET, HEAD\r\n")},
                     STR("{\"error\":{\"message\":\"only GET here\"}}"));
}

static void on_head(void *owner, struct http_conn *c)
{
    struct admin_api *api = owner;
    struct str method = http_conn_request(c)->method;
    if (!may_enter(api, c)) {
        bool by_token = api->conf.token.len > 0;
        refuse(c, by_token ? 401 : 403,
               by_token ? "missing or wrong admin token" : "Host is not a loopback name",
               false);
    } else if (orders_own(http_conn_request(c)->path)) {
        (void)orders_admit(&api->conf.source, c);
    } else if (!str_eq(method, STR("GET")) && !str_eq(method, STR("HEAD"))) {
        refuse_method(c);
    }
}

static void serve_route(struct admin_api *api, struct http_conn *c)
{
    struct str path = http_conn_request(c)->path;
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (str_eq(path, str_from(routes[i].path))) {
            routes[i].serve(api, c, &a);
            arena_fini(&a);
            return;
        }
    }
    refuse(c, 404, "no such path on the admin port", false);
    arena_fini(&a);
}

static void on_request(void *owner, struct http_conn *c)
{
    struct admin_api *api = owner;
    struct str path = http_conn_request(c)->path;
    if (page_has(path)) {
        page_serve(c);
    } else if (orders_own(path)) {
        orders_serve(&api->conf.source, c, api->conf.order, api->conf.order_arg,
                     loop_now_ms(api->conf.loop));
    } else {
        serve_route(api, c);
    }
}

static void on_fault(void *owner, struct http_conn *c, int status, const char *code,
                     const char *why)
{
    (void)owner;
    (void)code;
    refuse(c, status, why, true);
}

static void on_accept(void *owner, int fd)
{
    struct admin_api *api = owner;
    http_server_accept(api->server, fd);
}

static void on_sample(struct timer *t)
{
    struct admin_api *api = container_of(t, struct admin_api, sample);
    uint64_t now_ms = loop_now_ms(api->conf.loop);
    rates_sample(api->rates, api->conf.source.board, now_ms);
    model_watch_sample(api->watch, api->conf.source.board, api->conf.source.tally, now_ms);
    timer_arm(api->conf.loop, &api->sample, now_ms + SAMPLE_MS);
}

struct admin_api *admin_api_start(const struct admin_api_conf *conf)
{
    struct admin_api *api = mem_alloc(sizeof(*api));
    struct http_handler handler = {
        .owner = api, .on_head = on_head, .on_request = on_request, .on_fault = on_fault};
    struct http_limits limits = conf->limits;
    limits.body_bytes = limits.body_bytes < BODY_MAX ? limits.body_bytes : BODY_MAX;
    api->conf = *conf;
    api->rates = rates_new(conf->source.catalog->backend_count);
    api->conf.source.rates = api->rates;
    api->watch = model_watch_new(conf->source.catalog, loop_now_ms(conf->loop));
    api->conf.source.watch = api->watch;
    api->conf.source.chronicle = conf->chronicle;
    api->events = events_http_start(conf->loop, conf->chronicle);
    api->server = http_server_new(conf->loop, &limits, &handler, NULL, &api->connections);
    api->listener = listener_start(conf->loop, conf->fd, on_accept, api);
    timer_init(&api->sample, on_sample);
    timer_arm(conf->loop, &api->sample, loop_now_ms(conf->loop));
    return api;
}

void admin_api_stop(struct admin_api **api)
{
    struct admin_api *gone = *api;
    *api = NULL;
    listener_stop(&gone->listener);
    events_http_stop(&gone->events);
    http_server_cut(gone->server);
    timer_drop(gone->conf.loop, &gone->sample);
    http_server_free(&gone->server);
    rates_free(&gone->rates);
    model_watch_free(&gone->watch);
    free(gone);
}
