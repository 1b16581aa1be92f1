#pragma once

#include "gate/attempt.h"

/*
 * What an attempt means for the load of its backend (tiers/loads.h): the work that it is
 * expected to be, less what has come of it; and the slot that it holds.
 */

void attempt_load_begin(struct attempt *a, const struct chat_request *q);

/* So many more tokens have come. */
void attempt_load_tokens(struct attempt *a, uint64_t tokens);

/* The backend is free of it; all its tokens were told. Its slot goes to the next. */
void attempt_load_end(struct attempt *a);
