#pragma once

#include <stdbool.h>

/*
 * What was measured about a backend that is to go on with a half answer (design section 5). A
 * good result must be earned anew after a restart; a bad one holds until it is disproved. Pure.
 */

enum ability {
    ABILITY_UNKNOWN, /* not measured yet, or not since it may have changed */
    ABILITY_EXACT,   /* its continuation is what the answer would have been */
    ABILITY_ECHO,    /* the same, behind the half answer repeated */
    ABILITY_DIFFERS, /* it answers in other words */
    ABILITY_NO       /* it refuses, or is never asked */
};

/* "exact" (echoed or not), "differs", "no"; NULL for ABILITY_UNKNOWN. */
const char *ability_name(enum ability a);

/* What is left of it when the backend or its model may be another. */
enum ability ability_doubted(enum ability a);

/* The one that promises less. */
enum ability ability_worse(enum ability a, enum ability b);
