#include "gate/inquiry.h"

#include "base/check.h"
#include "gate/gateway.h"

enum { INQUIRY_HEAD_MAX = 65536 };

static struct str make_head(const struct inquiry_conf *conf, struct arena *a)
{
    struct buf head;
    bool posts = conf->body.len > 0;
    buf_init(&head, REQUEST_HEAD_MAX);
    enum err e = gateway_put_head(conf->backend, posts ? "POST" : "GET", conf->path,
                                  conf->purpose, &head);
    if (posts) {
        e = e ? e
              : buf_printf(&head, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                           conf->body.len);
    }
    e = e ? e
          : buf_append(&head, STR("Accept: application/json, text/event-stream\r\n"
                                  "Connection: close\r\n\r\n"));
    CHECK(e == ERR_OK); /* settings bound every part */
    struct str text = arena_dup(a, buf_str(&head));
    buf_fini(&head);
    return text;
}

void inquiry_open(struct inquiry *q, const struct inquiry_conf *conf)
{
    CHECK(!inquiry_is_open(q));
    *q = (struct inquiry){.due_ms = conf->due_ms};
    arena_init(&q->arena);
    buf_init(&q->answer, conf->answer_max);
    rope_init(&q->body);
    rope_add(&q->body, arena_dup(&q->arena, conf->body));
    q->call = http_call_open(conf->loop,
                             &(struct http_call_conf){.upstream = conf->upstream,
                                                      .head = make_head(conf, &q->arena),
                                                      .body = &q->body,
                                                      .connect_due_ms = conf->connect_due_ms,
                                                      .head_max = INQUIRY_HEAD_MAX,
                                                      .notify = conf->notify,
                                                      .owner = conf->owner});
}

static enum err read_all(struct inquiry *q)
{
    struct str piece;
    enum err e = q->head ? ERR_OK : http_call_head(q->call, &q->head);
    while (e == ERR_OK) {
        e = http_call_body(q->call, &piece);
        if (e == ERR_OK && buf_append(&q->answer, piece) != ERR_OK) {
            return ERR_TOO_LARGE;
        }
    }
    return e == ERR_EOF ? ERR_OK : e;
}

enum err inquiry_next(struct inquiry *q, uint64_t now_ms)
{
    enum err e = read_all(q);
    if (e == ERR_AGAIN && now_ms >= q->due_ms) {
        return ERR_TIMEOUT;
    }
    if (e == ERR_OK) {
        q->status = q->head->status;
    }
    return e;
}

struct str inquiry_body(const struct inquiry *q)
{
    return buf_str(&q->answer);
}

void inquiry_close(struct inquiry *q)
{
    if (q->call) {
        http_call_close(&q->call);
        buf_fini(&q->answer);
        arena_fini(&q->arena);
    }
}
