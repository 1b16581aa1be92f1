#include "gate/swap_notice.h"

#include "gate/admission.h"

/* Two backends may have one model under one name. */
static bool is_of_first_tier(const struct model *m, struct str name)
{
    for (size_t i = 0; i < m->tiers[0].member_count; i++) {
        if (str_eq(m->tiers[0].members[i].model, name)) {
            return true;
        }
    }
    return false;
}

static bool is_swapped(const struct exchange *x)
{
    return x->by.tier > 0 && !is_of_first_tier(x->model, x->by.member->model);
}

static uint64_t hash_conversation(const struct exchange *x)
{
    const struct http_request *q = x->client ? http_conn_request(x->client) : NULL;
    const struct gateway *g = x->worker->gateway;
    struct str client = q ? admission_name(g->settings, q) : STR_NONE;
    uint64_t sum = hash_mix(x->by.member->serving, hash_text(&g->hash_key, client));
    sum = hash_mix(sum, hash_text(&g->hash_key, x->model->name));
    struct str beginning = chat_request_beginning(&x->request, SIZE_MAX);
    return hash_mix(sum, hash_text(&g->hash_key, beginning));
}

struct str swap_notice(struct exchange *x)
{
    if (!is_swapped(x)) {
        return STR_NONE;
    }
    if (!x->has_claimed) {
        x->has_claimed = true;
        x->may_notice = notices_claim(x->worker->gateway->notices, hash_conversation(x),
                                      loop_now_ms(x->worker->loop));
    }
    if (!x->may_notice) {
        return STR_NONE;
    }
    return arena_printf(&x->arena, "Answered by %.*s in place of %.*s",
                        STR_FMT(x->by.member->model),
                        STR_FMT(x->model->tiers[0].members[0].model));
}
