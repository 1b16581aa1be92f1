#pragma once

#include "base/str.h"
#include "llm/dialect.h"

/*
 * The events of a streamed answer that is in memory as a whole, for answers to our own
 * questions. Pure.
 */

/* Calls `on_event` with the payload of each event of `body`, framed as this dialect's streams
 * are; payloads live until the next call. What is not framed well ends the walk. */
void reply_each_event(const struct dialect *d, struct str body,
                      void (*on_event)(void *owner, struct str payload), void *owner);
