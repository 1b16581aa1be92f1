#include "ops/orders.h"

#include "base/check.h"
#include "ops/tell.h"
#include "wire/url.h"

static const struct str PREFIX = STR_INIT("/backends/");

enum { NAME_SHOWN = 80 /* of what the client sent */, NAMES_SHOWN = 20 };

struct order {
    enum operator_word word;
    struct str name; /* decoded; lives in the arena */
};

static bool read_order(struct str path, struct arena *a, struct order *out)
{
    if (!str_starts(path, PREFIX)) {
        return false;
    }
    struct str command = str_from_at(path, PREFIX.len);
    struct str name = str_cut(&command, '/');
    out->name = url_decode(name, false, a);
    return name.len > 0 && operator_word_find(command, &out->word);
}

bool orders_own(struct str path)
{
    struct arena a;
    struct order unused;
    arena_init(&a);
    bool is_ours = read_order(path, &a, &unused);
    arena_fini(&a);
    return is_ours;
}

static const struct backend *find_backend(const struct catalog *c, struct str name)
{
    for (size_t i = 0; i < c->backend_count; i++) {
        if (str_eq(c->backends[i].name, name)) {
            return &c->backends[i];
        }
    }
    return NULL;
}

/* --- answers --- */

static void answer(struct http_conn *c, int status, struct str extra, json_t *body)
{
    struct arena a;
    arena_init(&a);
    struct str text = tell_dump(body, &a);
    http_reply_whole(c,
                     &(struct http_reply){.status = status,
                                          .content_type = STR("application/json"),
                                          .extra = extra},
                     text);
    arena_fini(&a);
}

static json_t *error_body(const char *message, const char *code)
{
    json_t *error = json_object();
    json_t *o = json_object();
    tell_put(error, "message", tell_text(str_from(message)));
    tell_put(error, "code", json_string(code));
    tell_put(o, "error", error);
    return o;
}

static void refuse_unknown(const struct catalog *c, struct http_conn *conn, struct str name)
{
    struct arena a;
    json_t *names = json_array();
    arena_init(&a);
    struct str message =
        arena_printf(&a, "no backend is named '%.*s'; there are",
                     (int)(name.len < NAME_SHOWN ? name.len : NAME_SHOWN), name.ptr);
    for (size_t i = 0; i < c->backend_count; i++) {
        tell_push(names, tell_text(c->backends[i].name));
        if (i < NAMES_SHOWN) {
            message = arena_printf(&a, "%.*s%s %.*s", STR_FMT(message), i > 0 ? "," : "",
                                   STR_FMT(c->backends[i].name));
        }
    }
    json_t *o = error_body(message.ptr, "backend_not_found");
    tell_put(o, "backends", names);
    answer(conn, 404, STR_NONE, o);
    arena_fini(&a);
}

/* --- who may --- */

static struct str header_of(const struct http_request *q, const char *name)
{
    return http_find(q->header, q->header_count, name);
}

/* "scheme://authority" with the authority that the request names as its host. */
static bool is_own_origin(struct str origin, struct str host)
{
    size_t scheme = str_starts_nocase(origin, STR("https://"))  ? sizeof("https://") - 1
                    : str_starts_nocase(origin, STR("http://")) ? sizeof("http://") - 1
                                                                : 0;
    return scheme > 0 && str_eq_nocase(str_from_at(origin, scheme), host);
}

static bool is_cross_site(const struct http_request *q)
{
    struct str origin = header_of(q, "origin");
    return origin.len > 0 && !is_own_origin(origin, header_of(q, "host"));
}

bool orders_admit(const struct status_source *s, struct http_conn *c)
{
    const struct http_request *q = http_conn_request(c);
    struct arena a;
    struct order order;
    bool is_fine = false;
    arena_init(&a);
    if (!read_order(q->path, &a, &order)) {
        answer(c, 404, STR_NONE, error_body("no such path on the admin port", "not_found"));
    } else if (!str_eq(q->method, STR("POST"))) {
        answer(c, 405, STR("Allow: POST\r\n"),
               error_body("the operator's word is given by POST", "method_not_allowed"));
    } else if (header_of(q, "x-fallthrough-action").len == 0) {
        answer(c, 403, STR_NONE,
               error_body("a header X-Fallthrough-Action is missing", "action_header_missing"));
    } else if (is_cross_site(q)) {
        answer(c, 403, STR_NONE,
               error_body("the request comes from another site", "foreign_origin"));
    } else if (!find_backend(s->catalog, order.name)) {
        refuse_unknown(s->catalog, c, order.name);
    } else {
        is_fine = true;
    }
    arena_fini(&a);
    return is_fine;
}

/* --- carrying out --- */

void orders_serve(const struct status_source *s, struct http_conn *c, order_fn *give, void *arg,
                  uint64_t now_ms)
{
    struct arena a;
    struct order order;
    arena_init(&a);
    CHECK(read_order(http_conn_request(c)->path, &a, &order));
    const struct backend *b = find_backend(s->catalog, order.name);
    CHECK(b != NULL);
    bool is_news = give(arg, b, order.word, now_ms);
    struct backend_view v = board_view(s->board, b->index, now_ms);
    const char *word = operator_word_name(v.operator.word);
    json_t *o = json_object();
    tell_put(o, "name", tell_text(b->name));
    tell_put(o, "operator", word ? json_string(word) : json_null());
    tell_put(o, "state", json_string(tell_state(&v)));
    tell_put(o, "in_flight", tell_whole(v.in_flight));
    tell_put(o, "changed", json_boolean(is_news));
    answer(c, 200, STR("Cache-Control: no-store\r\n"), o);
    arena_fini(&a);
}
