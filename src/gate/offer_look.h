#pragma once

#include <stdbool.h>

#include "llm/model_list.h"
#include "llm/model_offer.h"
#include "tiers/offers.h"

/*
 * What one serving's server says that it can take, gathered from two places: the list of models
 * at each look, and the page about the model (llm/model_offer) when something has changed. For
 * gate/calibrator, whose thread it belongs to. Zeroed: nothing is known, as after an outage.
 */

struct offer_look {
    struct model_entry listed; /* as last told */
    struct model_offer told;   /* by the page */
    bool is_told;              /* the page was read */
    uint64_t told_identity;    /* of the model that it was about */
};

/* Whether the page is to be asked: not yet, or of another model. */
bool offer_look_is_due(const struct offer_look *l, uint64_t identity);

/* It was asked, and has answered; NULL: there is no such page, or nothing in it. */
void offer_look_take(struct offer_look *l, const struct model_offer *told, uint64_t identity);

/* Both together. Where they differ on the length, the shorter counts: Ollama's page tells the
 * model's own, its list what is in use. */
struct offer_facts offer_look_facts(const struct offer_look *l);

/* Makes them known; logs what is new. */
void offer_look_publish(const struct offer_look *l, struct offers *to, const struct serving *s);
