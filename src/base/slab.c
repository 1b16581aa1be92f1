#include "base/slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define KEEPS_NOTHING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEPS_NOTHING 1
#endif
#endif
#ifndef KEEPS_NOTHING
#define KEEPS_NOTHING 0
#endif

void slab_init(struct slab *s, size_t size, uint32_t most)
{
    CHECK(size >= sizeof(void *));
    *s = (struct slab){.size = size, .most = KEEPS_NOTHING ? 0 : most};
}

static void *take_first(struct slab *s)
{
    void *piece = s->first;
    memcpy(&s->first, piece, sizeof(s->first));
    s->kept--;
    return piece;
}

void slab_fini(struct slab *s)
{
    while (s->first) {
        free(take_first(s));
    }
}

void *slab_take(struct slab *s)
{
    return s->first ? memset(take_first(s), 0, s->size) : mem_alloc(s->size);
}

void slab_give(struct slab *s, void *piece)
{
    if (s->kept >= s->most) {
        free(piece);
        return;
    }
    memcpy(piece, &s->first, sizeof(s->first));
    s->first = piece;
    s->kept++;
}
