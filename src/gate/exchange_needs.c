#include "base/log.h"
#include "gate/exchange_priv.h"

/*
 * What a request needs of whoever serves it: room for its tokens, and abilities.
 */

static const struct {
    enum feature feature;
    struct str param; /* of the request: where it is asked for */
} wishes[FEATURES] = {{FEATURE_TOOLS, STR_INIT("tools")},
                      {FEATURE_VISION, STR_INIT("messages[].content image_url")},
                      {FEATURE_JSON_SCHEMA, STR_INIT("response_format")},
                      {FEATURE_LOGPROBS, STR_INIT("logprobs")}};

static struct offers *offers_for(const struct exchange *x)
{
    return board_offers(x->worker->gateway->board);
}

void exchange_set_needs(struct exchange *x)
{
    const struct chat_request *q = &x->request;
    uint32_t features = (q->wants.tools ? (uint32_t)FEATURE_TOOLS : 0) |
                        (q->wants.vision ? (uint32_t)FEATURE_VISION : 0) |
                        (q->wants.json_schema ? (uint32_t)FEATURE_JSON_SCHEMA : 0) |
                        (q->wants.logprobs ? (uint32_t)FEATURE_LOGPROBS : 0);
    x->needs = (struct needs){.features = features};
}

const struct needs *exchange_needs(struct exchange *x)
{
    uint64_t asked = x->request.has_max_tokens ? x->request.max_tokens : 0;
    uint64_t spent = x->has_begun ? transcript_spent(&x->transcript) : 0;
    uint64_t given = x->has_begun ? transcript_text_len(&x->transcript) : 0;
    uint64_t prompt_bytes = x->request.text_bytes + given;
    uint64_t max_tokens = asked > spent ? asked - spent : 0;
    /* While it waits in a line other workers read them, and nothing changes. */
    if (x->needs.prompt_bytes != prompt_bytes || x->needs.max_tokens != max_tokens) {
        x->needs.prompt_bytes = prompt_bytes;
        x->needs.max_tokens = max_tokens;
    }
    return &x->needs;
}

/* Others whose context is known to be no longer need not be asked. */
void exchange_note_refusal(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    uint32_t serving = a->pick.member->serving;
    uint32_t limit = upstream_error_context(&a->error);
    if (limit > 0 && offers_learn_limit(offers_for(x), serving, limit)) {
        log_info("context learnt from a refusal", LOG_STR("backend", a->backend->name),
                 LOG_STR("model", a->pick.member->model), LOG_NUM("context", limit));
    }
    uint32_t context = offers_of(offers_for(x), serving).context;
    if (context > x->needs.refused_context) {
        x->needs.refused_context = context;
    }
}

/* Images are tokens that are no text, and what a resume was given is not in text_bytes. */
void exchange_note_prompt(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    if (a->reply.has_usage && !a->has_seam && !x->request.wants.vision) {
        offers_note_prompt(offers_for(x), a->pick.member->serving, x->request.text_bytes,
                           a->reply.prompt_tokens);
    }
}

/* --- what nobody can --- */

/* Over all members of the model's tiers. */
struct lack {
    uint32_t members;
    uint32_t incapable;
    uint32_t of_all; /* features that all of the incapable lack */
    uint32_t of_any; /* that some of them lack */
};

static void add_lack(struct lack *l, uint32_t missing)
{
    l->members++;
    if (missing != 0) {
        l->incapable++;
        l->of_all &= missing;
        l->of_any |= missing;
    }
}

static struct lack find_lack(const struct exchange *x)
{
    struct lack l = {.of_all = UINT32_MAX};
    for (size_t t = 0; t < x->model->tier_count; t++) {
        const struct tier *tier = &x->model->tiers[t];
        for (size_t i = 0; i < tier->member_count; i++) {
            struct offer o = offers_of(offers_for(x), tier->members[i].serving);
            add_lack(&l, fit_missing(&x->needs, &o));
        }
    }
    return l;
}

/* The first of these features. */
static size_t first_of(uint32_t features)
{
    size_t i = 0;
    while (i + 1 < FEATURES && (features & wishes[i].feature) == 0) {
        i++;
    }
    return i;
}

static struct bad_request refuse_wish(struct exchange *x, const struct lack *l)
{
    size_t i = first_of(l->of_all != 0 ? l->of_all : l->of_any);
    const char *together = l->of_all != 0 ? "" : " together with the rest of the request";
    return (struct bad_request){
        .status = 400,
        .type = "invalid_request_error",
        .code = "unsupported_parameter",
        .param = wishes[i].param,
        .message =
            arena_printf(&x->arena, "No backend of the model '%.*s' supports %s%s.",
                         STR_FMT(x->model->name), feature_name(wishes[i].feature), together)};
}

bool exchange_is_impossible(struct exchange *x)
{
    struct lack l = find_lack(x);
    if (l.incapable + x->unmappable_count != l.members) {
        return false;
    }
    if (x->unmappable.status == 0) {
        x->unmappable = refuse_wish(x, &l);
    }
    return true;
}
