#include "tiers/degrade.h"

static void cap_tokens(struct degrade_plan *plan, const struct degrade_policy *p,
                       bool has_requested, uint64_t requested)
{
    if (!p->has_max_tokens || (has_requested && requested <= p->max_tokens)) {
        return;
    }
    uint64_t wanted = has_requested ? requested : DEGRADE_ASSUMED_TOKENS;
    plan->set_max_tokens = true;
    plan->max_tokens = wanted < p->max_tokens ? wanted : p->max_tokens;
}

static void fix_temperature(struct degrade_plan *plan, const struct degrade_policy *p,
                            bool has_temperature, double temperature)
{
    if (!p->has_temperature || (has_temperature && temperature == p->temperature)) {
        return;
    }
    plan->set_temperature = true;
    plan->temperature = p->temperature;
}

struct degrade_plan degrade_decide(const struct degrade_policy *p, bool has_requested,
                                   uint64_t requested, bool has_temperature, double temperature)
{
    struct degrade_plan plan = {0};
    cap_tokens(&plan, p, has_requested, requested);
    fix_temperature(&plan, p, has_temperature, temperature);
    plan.is_degraded = plan.set_max_tokens || plan.set_temperature || p->notice.len > 0;
    return plan;
}

const char *degrade_words(const struct degrade_plan *plan)
{
    if (plan->set_max_tokens && plan->set_temperature) {
        return "max_tokens,temperature";
    }
    if (plan->set_max_tokens) {
        return "max_tokens";
    }
    if (plan->set_temperature) {
        return "temperature";
    }
    return plan->is_degraded ? "notice" : "";
}
