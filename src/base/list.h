#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Intrusive doubly linked ring. A node knows whether it is linked; the list owns its count, so
 * no hand-kept number can disagree with it. Not thread-safe.
 */

struct list_node {
    struct list_node *prev;
    struct list_node *next;
};

struct list {
    struct list_node ring;
    size_t count;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->ring.prev = &l->ring;
    l->ring.next = &l->ring;
    l->count = 0;
}

static inline bool list_is_linked(const struct list_node *n)
{
    return n->next != NULL;
}

static inline void list_push_back(struct list *l, struct list_node *n)
{
    n->prev = l->ring.prev;
    n->next = &l->ring;
    l->ring.prev->next = n;
    l->ring.prev = n;
    l->count++;
}

static inline void list_push_front(struct list *l, struct list_node *n)
{
    n->prev = &l->ring;
    n->next = l->ring.next;
    l->ring.next->prev = n;
    l->ring.next = n;
    l->count++;
}

/* The node must be linked in l. */
static inline void list_remove(struct list *l, struct list_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = NULL;
    n->next = NULL;
    l->count--;
}

/* First node, or NULL. */
static inline struct list_node *list_first(const struct list *l)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): sees no unlinking through the ring. */
    return l->count > 0 ? l->ring.next : NULL;
}

/* Last node, or NULL. */
static inline struct list_node *list_last(const struct list *l)
{
    return l->count > 0 ? l->ring.prev : NULL;
}

/* Unlinks and returns the first node, or NULL. */
static inline struct list_node *list_pop_front(struct list *l)
{
    struct list_node *n = list_first(l);
    if (n) {
        list_remove(l, n);
    }
    return n;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): `node` and `after` are names to be declared. */
/* Walks while the body may unlink `node` itself. */
#define list_each(l, node, after)                                                          \
    for (struct list_node *node = (l)->ring.next, *after = node->next; node != &(l)->ring; \
         node = after, after = node->next)
/* NOLINTEND(bugprone-macro-parentheses) */
