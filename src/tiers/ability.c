#include "tiers/ability.h"

#include <stddef.h>

#include "base/check.h"

const char *ability_name(enum ability a)
{
    switch (a) {
    case ABILITY_UNKNOWN:
        return NULL;
    case ABILITY_EXACT:
    case ABILITY_ECHO:
        return "exact";
    case ABILITY_DIFFERS:
        return "differs";
    case ABILITY_NO:
        return "no";
    }
    BUG("no such ability");
}

/* A seam that expects an echo finds out when there is none any more; one that expects none
 * would give the client the text twice. */
enum ability ability_doubted(enum ability a)
{
    return a == ABILITY_EXACT ? ABILITY_UNKNOWN : a;
}

/* From the best to the worst. */
static unsigned rank(enum ability a)
{
    static const unsigned ranks[] = {[ABILITY_EXACT] = 0,
                                     [ABILITY_ECHO] = 1,
                                     [ABILITY_UNKNOWN] = 2,
                                     [ABILITY_DIFFERS] = 3,
                                     [ABILITY_NO] = 4};
    return ranks[a];
}

enum ability ability_worse(enum ability a, enum ability b)
{
    return rank(a) > rank(b) ? a : b;
}
