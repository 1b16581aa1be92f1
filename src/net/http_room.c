#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/http_conn_priv.h"

/* From here on memory is worth being kept: what malloc has to give back to the kernel. */
enum { ROOM_LARGE = 128 * 1024, STOCK_BYTES = 16 << 20, STOCK_MS = 5000 };

static void on_stock_due(struct timer *t)
{
    struct http_server *s = container_of(t, struct http_server, stock_timer);
    timer_arm(s->loop, t, stock_trim(&s->stock, loop_now_ms(s->loop)));
}

void http_room_init(struct http_server *s)
{
    stock_init(&s->stock, STOCK_BYTES, STOCK_MS);
    timer_init(&s->stock_timer, on_stock_due);
}

void http_room_fini(struct http_server *s)
{
    timer_drop(s->loop, &s->stock_timer);
    stock_fini(&s->stock);
}

static void take_block(struct http_conn *c, size_t size, size_t most)
{
    struct http_active *a = c->active;
    a->block = stock_take(&c->server->stock, size, most);
    if (a->body_len > 0) {
        memcpy(a->block.ptr, a->body, a->body_len);
    }
    free(a->body);
}

void http_room_grow(struct http_conn *c, size_t size, size_t most)
{
    struct http_active *a = c->active;
    size = size < most ? size : most;
    CHECK(size > a->body_len);
    if (size < ROOM_LARGE) {
        a->body = mem_resize(a->body, size);
        a->body_cap = size;
        return;
    }
    if (a->block.ptr) {
        stock_grow(&a->block, size);
    } else {
        take_block(c, size, most);
    }
    a->body = a->block.ptr;
    a->body_cap = a->block.cap < most ? a->block.cap : most;
}

void http_room_free(struct http_server *s, struct http_active *a)
{
    if (!a->block.ptr) {
        free(a->body);
    } else {
        uint64_t now_ms = loop_now_ms(s->loop);
        stock_give(&s->stock, &a->block, now_ms);
        if (!timer_is_armed(&s->stock_timer)) {
            timer_arm(s->loop, &s->stock_timer, stock_trim(&s->stock, now_ms));
        }
    }
    a->body = NULL;
}
