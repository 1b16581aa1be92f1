#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

enum { FIRST_SIZE = 512 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.data = NULL, .max = max};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

static void slide_to_front(struct buf *b)
{
    memmove(b->data, b->data + b->start, buf_len(b));
    b->end -= b->start;
    b->start = 0;
}

static void grow(struct buf *b, size_t needed)
{
    size_t cap = b->cap > 0 ? b->cap : FIRST_SIZE;
    while (cap < needed) {
        cap *= 2;
    }
    b->cap = cap < b->max ? cap : b->max;
    b->data = mem_resize(b->data, b->cap);
}

enum err buf_reserve(struct buf *b, size_t size, char **room)
{
    size_t len = buf_len(b);
    if (size > b->max || len > b->max - size) {
        return ERR_TOO_LARGE;
    }
    if (b->cap - b->end < size && b->start > 0) {
        slide_to_front(b);
    }
    if (!b->data || b->cap - b->end < size) {
        grow(b, len + size);
    }
    *room = b->data + b->end;
    return ERR_OK;
}

void buf_added(struct buf *b, size_t size)
{
    CHECK(size <= b->cap - b->end);
    b->end += size;
}

enum err buf_append(struct buf *b, struct str s)
{
    char *room;
    enum err e = buf_reserve(b, s.len, &room);
    if (e == ERR_OK && s.len > 0) {
        memcpy(room, s.ptr, s.len);
        buf_added(b, s.len);
    }
    return e;
}

void buf_consume(struct buf *b, size_t size)
{
    CHECK(size <= buf_len(b));
    b->start += size;
    if (b->start == b->end) {
        b->start = 0;
        b->end = 0;
    }
}

enum err buf_printf(struct buf *b, const char *format, ...)
{
    char *room;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(len >= 0);
    enum err e = buf_reserve(b, (size_t)len + 1, &room);
    if (e != ERR_OK) {
        return e;
    }
    va_start(args, format);
    vsnprintf(room, (size_t)len + 1, format, args);
    va_end(args);
    buf_added(b, (size_t)len);
    return ERR_OK;
}
