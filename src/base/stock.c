#include "base/stock.h"

#include <sys/mman.h>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define STOCK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STOCK_ASAN 1
#endif
#endif
#ifdef STOCK_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* Sizes are rounded up to this, so that bodies of about one size fit each other's blocks. */
enum { GRAIN = 64 * 1024 };

/* In the first bytes of a block that is kept. */
struct kept_block {
    struct list_node node;
    size_t cap;
    uint64_t since_ms;
};

/* Under ASan nobody may touch what is kept, but for what we have written into it. */
static void forbid(const struct kept_block *k)
{
#ifdef STOCK_ASAN
    ASAN_POISON_MEMORY_REGION(k + 1, k->cap - sizeof(*k));
#else
    (void)k;
#endif
}

static void allow(const struct kept_block *k)
{
#ifdef STOCK_ASAN
    ASAN_UNPOISON_MEMORY_REGION(k, k->cap);
#else
    (void)k;
#endif
}

static size_t round_up(size_t size)
{
    CHECK(size > 0 && size <= SIZE_MAX - GRAIN);
    return (size + GRAIN - 1) / GRAIN * GRAIN;
}

static struct kept_block *block_at(struct list_node *n)
{
    return container_of(n, struct kept_block, node);
}

/* The one that was given back first, or NULL. */
static struct kept_block *oldest(const struct stock *s)
{
    struct list_node *n = list_last(&s->kept);
    return n ? block_at(n) : NULL;
}

static struct block map_block(size_t size)
{
    size_t cap = round_up(size);
    void *ptr = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(ptr != MAP_FAILED);
    return (struct block){ptr, cap};
}

static void unmap(void *ptr, size_t cap)
{
    CHECK(munmap(ptr, cap) == 0);
}

static void unlink_block(struct stock *s, struct kept_block *k)
{
    list_remove(&s->kept, &k->node);
    s->kept_bytes -= k->cap;
    allow(k);
}

/* The oldest first, until no more than so many bytes are kept. */
static void let_go(struct stock *s, size_t most)
{
    struct kept_block *k = oldest(s);
    while (k && s->kept_bytes > most) {
        unlink_block(s, k);
        unmap(k, k->cap);
        k = oldest(s);
    }
}

void stock_init(struct stock *s, size_t keep_bytes, uint64_t keep_ms)
{
    s->keep_bytes = keep_bytes;
    s->keep_ms = keep_ms;
    s->kept_bytes = 0;
    list_init(&s->kept);
}

void stock_fini(struct stock *s)
{
    let_go(s, 0);
}

/* The smallest that has room for `wish`; when none has, the largest. */
static struct kept_block *choose(struct stock *s, size_t wish)
{
    struct kept_block *best = NULL;
    list_each(&s->kept, n, next)
    {
        struct kept_block *k = block_at(n);
        size_t cap = best ? best->cap : 0;
        if (cap < wish ? k->cap > cap : k->cap >= wish && k->cap < cap) {
            best = k;
        }
    }
    return best;
}

struct block stock_take(struct stock *s, size_t least, size_t wish)
{
    struct kept_block *k = choose(s, wish);
    if (!k || k->cap < least) {
        return map_block(least);
    }
    unlink_block(s, k);
    return (struct block){(char *)k, k->cap};
}

void stock_grow(struct block *b, size_t size)
{
    if (size <= b->cap) {
        return;
    }
    size_t cap = round_up(size);
    void *ptr = mremap(b->ptr, b->cap, cap, MREMAP_MAYMOVE);
    CHECK(ptr != MAP_FAILED);
    *b = (struct block){ptr, cap};
}

void stock_give(struct stock *s, struct block *b, uint64_t now_ms)
{
    if (!b->ptr) {
        return;
    }
    if (b->cap > s->keep_bytes) {
        unmap(b->ptr, b->cap);
    } else {
        let_go(s, s->keep_bytes - b->cap);
        struct kept_block *k = (struct kept_block *)(void *)b->ptr;
        *k = (struct kept_block){.cap = b->cap, .since_ms = now_ms};
        list_push_front(&s->kept, &k->node);
        s->kept_bytes += k->cap;
        forbid(k);
    }
    *b = (struct block){NULL, 0};
}

uint64_t stock_trim(struct stock *s, uint64_t now_ms)
{
    const struct kept_block *k = oldest(s);
    while (k && k->since_ms + s->keep_ms <= now_ms) {
        let_go(s, s->kept_bytes - 1);
        k = oldest(s);
    }
    return k ? k->since_ms + s->keep_ms : STOCK_NEVER;
}
