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
