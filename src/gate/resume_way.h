#pragma once

#include "llm/resume.h"
#include "tiers/ability.h"
#include "tiers/catalog.h"

/*
 * How a backend is asked to go on with a half answer: by policy, by what was measured of it,
 * and until that is done by what its type is known for. `best` is what the half answer allows
 * (resume_choose). Pure.
 */
enum resume_way resume_way_by(enum resume_policy policy, enum backend_type type,
                              enum ability measured, enum resume_way best);

/* Whether it may be asked for the whole answer again, to skip what the client has of it. Not
 * where that is paid for and will not come in the same words: Anthropic has no `seed`, and what
 * broke was hardly its own model's. */
bool resume_way_may_restart(enum backend_type type);
