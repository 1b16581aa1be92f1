#include <stdlib.h>
#include <string.h>

#include "gate/settings_private.h"

/*
 * Which backend serves which model: the pairs of all tiers, each once.
 */

void servings_note(struct draft *d, struct tier_member *member, const struct model *model)
{
    if (d->member_count == d->member_room) {
        d->member_room = d->member_room > 0 ? d->member_room * 2 : 64;
        d->members = mem_resize(d->members, d->member_room * sizeof(*d->members));
    }
    d->members[d->member_count++] = (struct member_ref){.member = member, .model = model};
}

static int order_texts(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int order_members(const void *x, const void *y)
{
    const struct tier_member *a = ((const struct member_ref *)x)->member;
    const struct tier_member *b = ((const struct member_ref *)y)->member;
    if (a->backend != b->backend) {
        return (a->backend->index > b->backend->index) -
               (a->backend->index < b->backend->index);
    }
    return order_texts(a->model, b->model);
}

static bool is_same(const struct serving *s, const struct tier_member *m)
{
    return s->backend == m->backend && str_eq(s->model, m->model);
}

/* The most that one of its models asks for. */
static void take_policy(struct serving *s, const struct stream_policy *p)
{
    bool is_sooner = s->calibrate_ms == 0 || p->calibrate_ms < s->calibrate_ms;
    if (p->calibrate_ms == 0) {
        return;
    }
    s->calibrate_ms = is_sooner ? p->calibrate_ms : s->calibrate_ms;
    s->may_resume = s->may_resume || p->resume != RESUME_POLICY_OFF;
}

static struct serving *add_serving(struct draft *d, struct serving *all,
                                   const struct tier_member *m)
{
    struct catalog *c = &d->s.catalog;
    struct backend *b = &d->backend_array[m->backend->index];
    uint32_t index = (uint32_t)c->serving_count++;
    all[index] = (struct serving){.index = index, .backend = b, .model = m->model};
    b->first_serving = b->serving_count == 0 ? index : b->first_serving;
    b->serving_count++;
    return &all[index];
}

void servings_make(struct draft *d)
{
    struct serving *all = arena_zalloc(&d->s.arena, (d->member_count + 1) * sizeof(*all));
    struct serving *last = NULL;
    if (d->member_count > 0) {
        qsort(d->members, d->member_count, sizeof(*d->members), order_members);
    }
    for (size_t i = 0; i < d->member_count; i++) {
        struct tier_member *m = d->members[i].member;
        if (!last || !is_same(last, m)) {
            last = add_serving(d, all, m);
        }
        m->serving = last->index;
        take_policy(last, &d->members[i].model->streams);
    }
    d->s.catalog.servings = all;
    free(d->members);
    d->members = NULL;
}
