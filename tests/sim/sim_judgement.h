#pragma once

#include "sim_oracle.h"
#include "sim_reading.h"

/* The oracle from inside: sim_oracle.c judges whole answers, sim_judgement.c errors. */

struct judgement {
    struct oracle *oracle;
    struct sim_exchange *x;
    const struct model *model;
    struct reading rd;
    uint64_t due_ms;
    bool is_committed; /* the client was given something of an answer */
};

void judgement_wrong(const struct judgement *j, const char *what);

/* An error, or a break with an error at its end: was there nobody who could have done better?
 */
void judgement_check_error(struct judgement *j);
