#include "tiers/draw.h"

#include "tiers/loads.h"

/* How many attempts in flight one recent failure weighs as much as. */
enum { FAILURE_LOAD = 4 };

void draw_init(struct draw *d)
{
    d->offered = 0;
}

void draw_put(struct draw *d, uint32_t place, const struct pick_query *q,
              const struct tier_member *member, const struct backend_view *v)
{
    uint64_t failures = (uint64_t)FAILURE_LOAD * v->recent_failures;
    uint64_t load = loads_of(board_loads(q->board), member->backend->index, v->in_flight);
    d->kept[place].member = member;
    uint64_t part = advice_spares(v->advice) ? SPARED_PART : 1;
    d->kept[place].load = (load + (failures + 1) * LOAD_UNIT) * part;
}

/* The first is less loaded than the second, for what it bears: <0, 0, >0. */
static int draw_compare(const struct draw *d)
{
    uint64_t first = d->kept[0].load * balance_weight(d->kept[1].member->backend);
    uint64_t second = d->kept[1].load * balance_weight(d->kept[0].member->backend);
    return (first > second) - (first < second);
}

const struct tier_member *draw_best(const struct draw *d, struct rand *rand)
{
    if (d->offered == 1) {
        return d->kept[0].member;
    }
    int order = draw_compare(d);
    return d->kept[order == 0 ? rand_below(rand, 2) : order > 0 ? 1 : 0].member;
}

void entrants_init(struct entrants *f, const struct pick_query *q)
{
    enum load_kind kind = q->model->load.kind;
    bool needs_key = kind == LOAD_PREFIX || kind == LOAD_SESSION;
    f->kind = needs_key && !q->has_key ? LOAD_LEAST : kind;
    f->draw.offered = 0;
    f->count = 0;
}

void entrants_offer(struct entrants *f, const struct pick_query *q,
                    const struct tier_member *member, const struct backend_view *v,
                    struct rand *rand)
{
    struct draw *d = &f->draw;
    if (f->kind != LOAD_LEAST) {
        if (f->count < BALANCE_MAX) {
            f->all[f->count++] = (struct candidate){
                .member = member,
                .load = v->in_flight + (uint64_t)FAILURE_LOAD * v->recent_failures,
                .is_spared = advice_spares(v->advice)};
        }
        return;
    }
    uint32_t place = d->offered < 2 ? d->offered : rand_below(rand, d->offered + 1);
    d->offered++;
    if (place < 2) {
        draw_put(d, place, q, member, v);
    }
}

bool entrants_is_empty(const struct entrants *f)
{
    return f->draw.offered == 0 && f->count == 0;
}

const struct tier_member *entrants_best(const struct entrants *f, const struct pick_query *q,
                                        uint32_t tier, struct rand *rand)
{
    if (f->kind == LOAD_LEAST) {
        return draw_best(&f->draw, rand);
    }
    struct balance b = {.kind = f->kind, .key = q->key};
    if (f->kind == LOAD_ROUND_ROBIN) {
        b.turn = loads_turn(board_loads(q->board), q->model->index, tier);
    }
    return balance_choose(&b, f->all, f->count, rand);
}
