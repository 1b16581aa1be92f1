#include "gate/swap_notice.h"

#include "gate/admission.h"
#include "wire/json.h"

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

static bool is_users(struct str message)
{
    struct str role = json_get(message, "role");
    return json_type_of(role) == JSON_STRING &&
           json_key_eq(str_of(role.ptr + 1, role.len - 2), STR("user"));
}

/* What stays the same from turn to turn: all up to the first word of the user. */
static uint64_t hash_beginning(const struct chat_request *q, const struct hash_key *key,
                               uint64_t sum)
{
    struct json_iter it;
    bool is_over = false;
    json_iter_init(&it, q->raw.messages);
    while (!is_over && json_iter_next(&it)) {
        sum = hash_mix(sum, hash_text(key, it.value));
        is_over = is_users(it.value);
    }
    return sum;
}

static uint64_t hash_conversation(const struct exchange *x)
{
    const struct http_request *q = x->client ? http_conn_request(x->client) : NULL;
    const struct gateway *g = x->worker->gateway;
    struct str client = q ? admission_name(g->settings, q) : STR_NONE;
    uint64_t sum = hash_mix(x->by.member->serving, hash_text(&g->hash_key, client));
    sum = hash_mix(sum, hash_text(&g->hash_key, x->model->name));
    return hash_beginning(&x->request, &g->hash_key, sum);
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
