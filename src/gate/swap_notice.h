#pragma once

#include "gate/exchange.h"

/*
 * A silent swap of models made visible: a notice on the first answer, within some minutes, that
 * a conversation gets from another model than the first tier's.
 */

/* "Answered by MODEL in place of MODEL", or empty: the first tier's model answers, or this
 * conversation was told. The same for the whole of an exchange; lives as long as it. Call it
 * while the client is there. */
struct str swap_notice(struct exchange *x);
