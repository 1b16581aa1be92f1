#include "guard/guard_serve.h"

#include <stdlib.h>
#include <unistd.h>

#include "net/http_server.h"
#include "net/listener.h"
#include "wire/http_entry.h"

enum { HEAD_MAX = 16 * 1024, CONNECTIONS = 64, SECOND = 1000, BODY_MAX = 1024 };

struct guard_serve {
    struct guard_serve_conf conf;
    struct http_server *server;
    struct listener *listener;
    int fd;
    _Atomic uint32_t connections;
};

static void answer(struct http_conn *c, int status, struct str body, bool close)
{
    http_reply_whole(c,
                     &(struct http_reply){.status = status,
                                          .content_type = STR("application/json"),
                                          .extra = STR("Cache-Control: no-store\r\n"),
                                          .close = close},
                     body);
}

static void refuse(struct http_conn *c, int status, const char *why, bool close)
{
    struct arena a;
    arena_init(&a);
    answer(c, status, arena_printf(&a, "{\"error\":{\"message\":\"%s\"}}\n", why), close);
    arena_fini(&a);
}

static void on_head(void *owner, struct http_conn *c)
{
    struct guard_serve *s = owner;
    const struct http_request *q = http_conn_request(c);
    struct str token = s->conf.settings->token;
    if (token.len > 0 && !http_has_token(q, token)) {
        refuse(c, 401, "missing or wrong token", false);
    } else if (token.len == 0 && !http_names_loopback(q)) {
        refuse(c, 403, "Host is not a loopback name", false);
    } else if (!str_eq(q->method, STR("GET")) && !str_eq(q->method, STR("HEAD"))) {
        refuse(c, 405, "only GET here", false);
    }
}

static void on_request(void *owner, struct http_conn *c)
{
    struct guard_serve *s = owner;
    struct str path = http_conn_request(c)->path;
    struct arena a;
    if (str_eq(path, STR("/health"))) {
        answer(c, 200, STR("{\"status\":\"ok\"}\n"), false);
    } else if (str_eq(path, STR("/guard"))) {
        arena_init(&a);
        answer(c, 200, s->conf.tell(s->conf.owner, &a), false);
        arena_fini(&a);
    } else {
        refuse(c, 404, "no such path; there are /guard and /health", false);
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
    struct guard_serve *s = owner;
    http_server_accept(s->server, fd);
}

enum err guard_serve_start(const struct guard_serve_conf *conf, struct guard_serve **out,
                           const char **why)
{
    int fd = -1;
    enum err e = listen_open_alone(&conf->settings->listen, &fd, why);
    if (e != ERR_OK) {
        return e;
    }
    struct guard_serve *s = mem_alloc(sizeof(*s));
    struct http_limits limits = {.header_bytes = HEAD_MAX,
                                 .body_bytes = BODY_MAX,
                                 .connections = CONNECTIONS,
                                 .header_ms = 10 * SECOND,
                                 .body_ms = 10 * SECOND,
                                 .idle_ms = 75 * SECOND,
                                 .send_ms = 10 * SECOND};
    struct http_handler handler = {
        .owner = s, .on_head = on_head, .on_request = on_request, .on_fault = on_fault};
    s->conf = *conf;
    s->fd = fd;
    s->server = http_server_new(conf->loop, &limits, &handler, NULL, &s->connections);
    s->listener = listener_start(conf->loop, fd, on_accept, s);
    *out = s;
    return ERR_OK;
}

void guard_serve_name(const struct guard_serve *s, char *name, size_t size)
{
    listen_name(s->fd, name, size);
}

void guard_serve_stop(struct guard_serve **s)
{
    listener_stop(&(*s)->listener);
    http_server_cut((*s)->server);
    http_server_free(&(*s)->server);
    (void)close((*s)->fd);
    free(*s);
    *s = NULL;
}
