#include "gate/offer_look.h"

#include "base/log.h"

bool offer_look_is_due(const struct offer_look *l, uint64_t identity)
{
    return !l->is_told || l->told_identity != identity;
}

void offer_look_take(struct offer_look *l, const struct model_offer *told, uint64_t identity)
{
    l->told = told ? *told : (struct model_offer){.context = 0};
    l->is_told = true;
    l->told_identity = identity;
}

static void note(struct offer_facts *f, enum told told, enum feature feature)
{
    f->known |= told != TOLD_NOTHING ? (uint32_t)feature : 0;
    f->can |= told == TOLD_YES ? (uint32_t)feature : 0;
}

struct offer_facts offer_look_facts(const struct offer_look *l)
{
    uint32_t listed = l->listed.context;
    uint32_t told = l->told.context;
    bool is_listed = listed != 0 && (told == 0 || listed < told);
    struct offer_facts f = {.context = is_listed ? listed : told,
                            .embeddings = l->told.embeddings != 0 ? l->told.embeddings
                                                                  : l->listed.embeddings};
    note(&f, l->told.tools, FEATURE_TOOLS);
    note(&f, l->told.vision, FEATURE_VISION);
    return f;
}

static const char *word_of(const struct offer *o, enum feature f)
{
    if ((o->known & f) == 0) {
        return "unknown";
    }
    return (o->can & f) != 0 ? "yes" : "no";
}

void offer_look_publish(const struct offer_look *l, struct offers *to, const struct serving *s)
{
    struct offer_facts facts = offer_look_facts(l);
    if (!offers_learn(to, s->index, &facts)) {
        return;
    }
    struct offer o = offers_of(to, s->index);
    log_info("offer learnt", LOG_STR("backend", s->backend->name), LOG_STR("model", s->model),
             LOG_NUM("context", o.context), LOG_TEXT("tools", word_of(&o, FEATURE_TOOLS)),
             LOG_TEXT("vision", word_of(&o, FEATURE_VISION)));
}
