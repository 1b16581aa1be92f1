#include "base/doomed.h"

#include <stdlib.h>

#include "base/mem.h"

enum { FIRST_CAP = 64 };

void doomed_add(struct doomed *d, struct slab *to, void *piece)
{
    if (d->count == d->cap) {
        d->cap = d->cap > 0 ? d->cap * 2 : FIRST_CAP;
        d->pieces = mem_resize(d->pieces, d->cap * sizeof(d->pieces[0]));
    }
    d->pieces[d->count++] = (struct doomed_piece){.ptr = piece, .slab = to};
}

void doomed_free(struct doomed *d)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct doomed_piece *p = &d->pieces[i];
        if (p->slab) {
            slab_give(p->slab, p->ptr);
        } else {
            free(p->ptr);
        }
    }
    d->count = 0;
}

void doomed_fini(struct doomed *d)
{
    doomed_free(d);
    free(d->pieces);
    *d = (struct doomed){.pieces = NULL};
}
