#pragma once

#include <stdint.h>

#include "base/str.h"
#include "gate/settings.h"

/*
 * Configurations to run exchanges under, drawn from the seed and read by settings_load like
 * anybody's, from a file in memory. Model 0 has all backends; its name is setup_model.
 */

/* Number `number` of the seed; ends the process when it is refused. `show`: prints the text. */
struct settings *setup_load(uint64_t seed, uint64_t number, bool show);

struct str setup_model(void);
