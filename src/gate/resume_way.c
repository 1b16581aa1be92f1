#include "gate/resume_way.h"

#include "base/check.h"

/* llama.cpp and vLLM refuse a continuation that they cannot do; an Ollama template may close
 * the turn silently, so that text in other words would follow. */
static enum resume_way assume(enum resume_policy policy, enum backend_type type)
{
    bool is_unsure = type == BACKEND_OLLAMA && policy == RESUME_POLICY_EXACT;
    return is_unsure ? RESUME_RESTART : RESUME_CONTINUE;
}

static enum resume_way by_measure(enum resume_policy policy, enum backend_type type,
                                  enum ability measured)
{
    switch (measured) {
    case ABILITY_UNKNOWN:
        return assume(policy, type);
    case ABILITY_EXACT:
        return RESUME_CONTINUE;
    case ABILITY_ECHO:
        return RESUME_ECHO;
    case ABILITY_DIFFERS:
        return policy == RESUME_POLICY_EXACT ? RESUME_RESTART : RESUME_CONTINUE;
    case ABILITY_NO:
        return RESUME_RESTART;
    }
    BUG("no such ability");
}

enum resume_way resume_way_by(enum resume_policy policy, enum backend_type type,
                              enum ability measured, enum resume_way best)
{
    if (policy == RESUME_POLICY_EXACT && backend_type_is_paid(type)) {
        return RESUME_NEVER; /* it would be paid for an answer in other words */
    }
    enum resume_way way = best == RESUME_CONTINUE ? by_measure(policy, type, measured) : best;
    return way == RESUME_RESTART && !resume_way_may_restart(type) ? RESUME_NEVER : way;
}

bool resume_way_may_restart(enum backend_type type)
{
    return type != BACKEND_ANTHROPIC;
}
