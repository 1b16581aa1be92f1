#pragma once

#include <stdint.h>

#include "sim_record.h"
#include "sim_server.h"
#include "sim_setup.h"

/*
 * What is allowed: derived from the script, and compared with what the client was given.
 *
 *   whole          the text is that of the script up to where the last backend ended it; every
 *                  other promise of the API holds (one role, one finish_reason, usage …)
 *   honest error   only where no backend was left that could have finished: each was asked and
 *                  its script had no way to a good end, or was known to be DOWN or on hold, or
 *                  cannot take this request, or the time was over. Then what the client was
 *                  given is the beginning of the script's text, and nothing in it looks whole
 *   anything else  is wrong
 */

struct oracle {
    struct record *record;         /* borrowed */
    const struct setup *setup;     /* borrowed */
    const struct servers *servers; /* borrowed */
    uint64_t whole;
    uint64_t resumed; /* of those: by more than one backend */
    uint64_t errors;  /* instead of an answer */
    uint64_t broken;  /* in the middle of one */
    uint64_t left;
    uint64_t cut; /* by the end of the gateway */
};

/* An exchange has ended for its client. */
void oracle_judge(struct oracle *o, struct sim_exchange *x);

/* All is quiet: nothing may still be under way for exchanges that have ended. */
void oracle_judge_quiet(struct oracle *o);
