#include "gate/routes.h"
#include "gate/report.h"

#include "base/check.h"
#include "base/log.h"
#include "gate/admission.h"
#include "gate/answer.h"
#include "gate/exchange.h"
#include "gate/exchange_account.h"
#include "gate/worker.h"
#include "llm/client_reply.h"
#include "wire/json.h"
#include "wire/url.h"

struct route {
    const char *method;
    const char *path; /* exact, or a prefix when it ends in '/' */
    bool is_open;     /* needs no key */
    void (*serve)(struct worker *w, struct http_conn *c);
};

static void serve_health(struct worker *w, struct http_conn *c)
{
    const struct catalog *catalog = &w->gateway->settings->catalog;
    uint64_t now_ms = loop_now_ms(w->loop);
    for (size_t i = 0; i < catalog->model_count; i++) {
        if (pick_can_serve(&catalog->models[i], w->gateway->board, now_ms)) {
            answer_small(w, c, 200, STR_NONE, STR("{\"status\":\"ok\"}"));
            return;
        }
    }
    answer_small(w, c, 503, STR_NONE, STR("{\"status\":\"down\"}"));
}

static void serve_ready(struct worker *w, struct http_conn *c)
{
    if (w->gateway->draining) {
        answer_small(w, c, 503, STR_NONE, STR("{\"status\":\"draining\"}"));
        return;
    }
    serve_health(w, c);
}

static struct str model_object(struct worker *w, struct str name, struct arena *a)
{
    return arena_printf(
        a, "{\"id\":%.*s,\"object\":\"model\",\"created\":%llu,\"owned_by\":\"fallthrough\"}",
        STR_FMT(json_quote(a, name)), (unsigned long long)(w->gateway->started_wall_ms / 1000));
}

static void serve_models(struct worker *w, struct http_conn *c)
{
    const struct catalog *catalog = &w->gateway->settings->catalog;
    struct arena a;
    struct buf body;
    arena_init(&a);
    buf_init(&body, 16 << 20);
    enum err e = buf_append(&body, STR("{\"object\":\"list\",\"data\":["));
    for (size_t i = 0; i < catalog->model_count; i++) {
        const struct model *m = &catalog->models[i];
        e = e ? e
              : buf_printf(&body, "%s%.*s", i > 0 ? "," : "",
                           STR_FMT(model_object(w, m->name, &a)));
        for (size_t j = 0; j < m->alias_count; j++) {
            e = e ? e : buf_printf(&body, ",%.*s", STR_FMT(model_object(w, m->aliases[j], &a)));
        }
    }
    e = e ? e : buf_append(&body, STR("]}"));
    CHECK(e == ERR_OK); /* settings bound names and their number */
    exchange_account_other(w, c, 200, NULL);
    answer_small(w, c, 200, STR_NONE, buf_str(&body));
    buf_fini(&body);
    arena_fini(&a);
}

static void refuse_unknown_model(struct worker *w, struct http_conn *c, struct str name,
                                 struct arena *a)
{
    struct str message = arena_printf(a, "The model '%.*s' does not exist.", STR_FMT(name));
    exchange_account_other(w, c, 404, "model_not_found");
    answer_refuse(w, c,
                  &(struct client_error){.status = 404,
                                         .type = "invalid_request_error",
                                         .code = "model_not_found",
                                         .param = STR("model"),
                                         .message = message},
                  STR_NONE);
}

static void serve_model(struct worker *w, struct http_conn *c)
{
    struct arena a;
    arena_init(&a);
    struct str tail = str_from_at(http_conn_request(c)->path, sizeof("/v1/models/") - 1);
    struct str name = url_decode(tail, false, &a);
    if (catalog_find_model(&w->gateway->settings->catalog, name)) {
        exchange_account_other(w, c, 200, NULL);
        answer_small(w, c, 200, STR_NONE, model_object(w, name, &a));
    } else {
        refuse_unknown_model(w, c, name, &a);
    }
    arena_fini(&a);
}

static const struct route routes[] = {
    {"POST", "/v1/chat/completions", false, exchange_start},
    {"GET", "/v1/models", false, serve_models},
    {"GET", "/v1/models/", false, serve_model},
    {"GET", "/health", true, serve_health},
    {"GET", "/ready", true, serve_ready},
};

static bool path_matches(const struct route *r, struct str path)
{
    struct str own = str_from(r->path);
    bool is_prefix = own.len > 1 && own.ptr[own.len - 1] == '/';
    return is_prefix ? path.len > own.len && str_starts(path, own) : str_eq(path, own);
}

static bool method_matches(const struct route *r, struct str method)
{
    struct str own = str_from(r->method);
    return str_eq(method, own) || (str_eq(method, STR("HEAD")) && str_eq(own, STR("GET")));
}

/* The route, or NULL with the error to give. */
static const struct route *find_route(const struct http_request *q, struct client_error *e,
                                      const char **allow)
{
    const struct route *near = NULL;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (path_matches(&routes[i], q->path)) {
            near = &routes[i];
            if (method_matches(&routes[i], q->method)) {
                return &routes[i];
            }
        }
    }
    bool is_tunnel = str_eq(q->method, STR("CONNECT"));
    *e = (struct client_error){.status = near || is_tunnel ? 405 : 404,
                               .type = "invalid_request_error",
                               .code = near ? "method_not_allowed" : "not_found",
                               .message = near ? STR("Method not allowed for this path.")
                                               : STR("No such path on this gateway.")};
    *allow = near ? near->method : NULL;
    return NULL;
}

static bool may_enter(const struct settings *s, const struct http_request *q)
{
    return s->key_count == 0 || admission_key(s, q) != NULL;
}

static void on_head(void *owner, struct http_conn *c)
{
    struct worker *w = owner;
    const struct http_request *q = http_conn_request(c);
    struct client_error e;
    const char *allow = NULL;
    const struct route *r = find_route(q, &e, &allow);
    if (r && (r->is_open || may_enter(w->gateway->settings, q))) {
        return;
    }
    if (r) {
        e = (struct client_error){.status = 401,
                                  .type = "invalid_request_error",
                                  .code = "invalid_api_key",
                                  .message = STR("Missing or wrong API key.")};
        report_key(w->gateway, e.status);
        exchange_account_other(w, c, e.status, e.code);
        answer_refuse(w, c, &e, STR("WWW-Authenticate: Bearer\r\n"));
        return;
    }
    struct arena a;
    exchange_account_other(w, c, e.status, e.code);
    arena_init(&a);
    answer_refuse(w, c, &e, allow ? arena_printf(&a, "Allow: %s\r\n", allow) : STR_NONE);
    arena_fini(&a);
}

static void on_request(void *owner, struct http_conn *c)
{
    struct client_error e;
    const char *allow = NULL;
    const struct route *r = find_route(http_conn_request(c), &e, &allow);
    CHECK(r != NULL); /* on_head has refused the others */
    r->serve(owner, c);
}

static void on_fault(void *owner, struct http_conn *c, int status, const char *code,
                     const char *why)
{
    struct worker *w = owner;
    log_debug("request refused", LOG_TEXT("peer", http_conn_peer(c)), LOG_NUM("status", status),
              LOG_TEXT("reason", why));
    exchange_account_other(w, c, status, code);
    answer_fault(w, c,
                 &(struct client_error){.status = status,
                                        .type = status >= 500 ? "service_unavailable"
                                                              : "invalid_request_error",
                                        .code = code,
                                        .message = str_from(why)},
                 status == 503 ? STR("Retry-After: 1\r\n") : STR_NONE);
}

struct http_handler routes_handler(struct worker *w)
{
    return (struct http_handler){
        .owner = w, .on_head = on_head, .on_request = on_request, .on_fault = on_fault};
}
