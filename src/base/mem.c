#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifndef ARENA_ASAN
#define ARENA_ASAN 0
#endif

/* Under ASan every piece is a chunk of its own, so that an overrun inside the arena is seen. */
enum {
    /* With its head just what malloc keeps ready for the next one to ask (1,032 bytes): most
     * exchanges and attempts need no more. */
    CHUNK_FIRST = 992,
    CHUNK_MIN = ARENA_ASAN ? 0 : CHUNK_FIRST,
    CHUNK_MAX = 64 * CHUNK_FIRST,
    ALIGNMENT = 16
};

/* Up to here malloc has pieces ready where calloc, in this C library, never looks for them. */
enum { READY_MAX = 1024 };

struct arena_chunk {
    _Alignas(ALIGNMENT) struct arena_chunk *below;
    size_t size;
    size_t used;
};

_Static_assert(sizeof(struct arena_chunk) % ALIGNMENT == 0, "chunk payload must be aligned");

void *mem_alloc(size_t size)
{
    if (size <= READY_MAX) {
        return memset(mem_resize(NULL, size), 0, size);
    }
    void *ptr = calloc(1, size);
    CHECK(ptr != NULL);
    return ptr;
}

void *mem_resize(void *ptr, size_t size)
{
    size = size > 0 ? size : 1;
    void *bigger = ptr ? realloc(ptr, size) : malloc(size);
    CHECK(bigger != NULL);
    return bigger;
}

char *mem_dup(struct str s)
{
    char *copy = mem_alloc(s.len + 1);
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    return copy;
}

void arena_init(struct arena *a)
{
    *a = (struct arena){.top = NULL, .used = 0, .next_size = CHUNK_MIN};
}

static void drop_top(struct arena *a)
{
    struct arena_chunk *chunk = a->top;
    a->top = chunk->below;
    free(chunk);
}

void arena_fini(struct arena *a)
{
    while (a->top) {
        drop_top(a);
    }
    arena_init(a);
}

static void push_chunk(struct arena *a, size_t at_least)
{
    size_t size = at_least > a->next_size ? at_least : a->next_size;
    struct arena_chunk *chunk = malloc(sizeof(*chunk) + size);
    CHECK(chunk != NULL);
    *chunk = (struct arena_chunk){.below = a->top, .size = size, .used = 0};
    a->top = chunk;
    if (a->next_size < CHUNK_MAX) {
        a->next_size *= 2;
    }
}

void *arena_alloc(struct arena *a, size_t size)
{
    CHECK(size < SIZE_MAX / 2);
    size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (ARENA_ASAN || !a->top || a->top->size - a->top->used < rounded) {
        push_chunk(a, ARENA_ASAN ? size : rounded);
    }
    char *ptr = (char *)(a->top + 1) + a->top->used;
    a->top->used += ARENA_ASAN ? size : rounded;
    a->used += rounded;
    return ptr;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

char *arena_chars(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return copy;
}

struct str arena_dup(struct arena *a, struct str s)
{
    return str_of(arena_chars(a, s), s.len);
}

struct str arena_join(struct arena *a, const struct str *parts, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += parts[i].len;
    }
    char *text = arena_alloc(a, len + 1);
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0) {
            memcpy(at, parts[i].ptr, parts[i].len);
            at += parts[i].len;
        }
    }
    *at = '\0';
    return str_of(text, len);
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    CHECK(len >= 0);
    if ((size_t)len < sizeof(small)) {
        return arena_dup(a, str_of(small, (size_t)len));
    }
    char *text = arena_alloc(a, (size_t)len + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return str_of(text, (size_t)len);
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){
        .chunk = a->top, .chunk_used = a->top ? a->top->used : 0, .used = a->used};
}

void arena_rewind(struct arena *a, struct arena_mark mark)
{
    while (a->top != mark.chunk) {
        CHECK(a->top != NULL);
        drop_top(a);
    }
    if (a->top) {
        a->top->used = mark.chunk_used;
    }
    a->used = mark.used;
}
