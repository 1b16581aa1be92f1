#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "gate/settings.h"

/*
 * Configurations to run exchanges under, drawn from the seed and read by settings_load like
 * anybody's, from a file in memory. Its one model has all backends. What the scripts and the
 * oracle must know of it is told here, so that they do not depend on how settings keep it.
 */

enum setup_resume { SETUP_EXACT, SETUP_ANY, SETUP_OFF };

struct setup {
    struct settings *settings; /* owned */
    const struct model *model;
    enum setup_resume resume;
    bool marks_bodies;    /* annotate: body */
    bool hedges;          /* a second attempt when the first token is late … */
    uint32_t hedge_share; /* … in a hundred exchanges at most */
    bool has_slots;       /* some backends have max_concurrent */
    uint32_t queue_max;
    uint32_t queue_wait_ms;
    uint32_t echo_percent; /* of backends that repeat what they are to continue */
    bool knows_echo;       /* the gateway has measured it */
};

/* Number `number` of the seed; ends the process when it is refused. `show`: prints the text. */
void setup_load(struct setup *s, uint64_t seed, uint64_t number, bool show);
void setup_unload(struct setup *s);

struct str setup_model(void);
