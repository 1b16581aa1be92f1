#include "guard/ask.h"

#include "base/check.h"

enum { HEAD_MAX = 64 * 1024, REQUEST_MAX = 64 * 1024 };

static struct str authority(const struct url *u, struct arena *a)
{
    const char *open = u->is_ipv6 ? "[" : "";
    const char *close = u->is_ipv6 ? "]" : "";
    return arena_printf(a, "%s%.*s%s:%u", open, STR_FMT(u->host), close, (unsigned)u->port);
}

static enum err put_head(struct ask *a, const struct ask_conf *c)
{
    struct buf *out = &a->request;
    enum err e = buf_printf(out, "%s %.*s%.*s HTTP/1.1\r\n", c->json.len > 0 ? "POST" : "GET",
                            STR_FMT(c->url->path), STR_FMT(c->target));
    e = e ? e : http_put_header(out, "Host", authority(c->url, &a->arena));
    if (c->bearer.len > 0) {
        e = e ? e
              : http_put_header(out, "Authorization",
                                arena_printf(&a->arena, "Bearer %.*s", STR_FMT(c->bearer)));
    }
    if (c->json.len > 0) {
        e = e ? e
              : buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                           c->json.len);
    }
    return e ? e
             : buf_append(out, STR("User-Agent: fallthrough-guard/" FALLTHROUGH_VERSION "\r\n"
                                   "Connection: close\r\n\r\n"));
}

void ask_open(struct ask *a, const struct ask_conf *c)
{
    CHECK(!ask_is_open(a));
    *a = (struct ask){.due_ms = c->due_ms};
    arena_init(&a->arena);
    buf_init(&a->body, ASK_BODY_MAX);
    buf_init(&a->request, REQUEST_MAX);
    CHECK(put_head(a, c) == ERR_OK); /* settings bound every part */
    rope_init(&a->rope);
    rope_add(&a->rope, arena_dup(&a->arena, c->json));
    a->call = http_call_open(c->loop, &(struct http_call_conf){
                                          .upstream = c->upstream,
                                          .head = buf_str(&a->request),
                                          .body = c->json.len > 0 ? &a->rope : NULL,
                                          .connect_due_ms = c->due_ms,
                                          .head_max = HEAD_MAX,
                                          .notify = c->notify,
                                          .owner = c->owner,
                                      });
}

static enum err read_all(struct ask *a)
{
    const struct http_response *head = NULL;
    enum err e = http_call_head(a->call, &head);
    a->was_connected = a->was_connected || http_call_is_connected(a->call);
    while (e == ERR_OK) {
        struct str piece;
        a->status = head->status;
        e = http_call_body(a->call, &piece);
        if (e == ERR_OK && buf_append(&a->body, piece) != ERR_OK) {
            return ERR_TOO_LARGE;
        }
    }
    return e == ERR_EOF ? ERR_OK : e;
}

enum err ask_next(struct ask *a, uint64_t now_ms)
{
    enum err e = read_all(a);
    return e == ERR_AGAIN && now_ms >= a->due_ms ? ERR_TIMEOUT : e;
}

struct str ask_body(const struct ask *a)
{
    return buf_str(&a->body);
}

void ask_close(struct ask *a)
{
    if (a->call) {
        http_call_close(&a->call);
        buf_fini(&a->body);
        buf_fini(&a->request);
        arena_fini(&a->arena);
    }
}
