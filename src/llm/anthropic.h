#pragma once

#include "llm/dialect.h"

/*
 * Anthropic's Messages API: a chat request becomes a POST /v1/messages body, its events become
 * OpenAI chunks. What cannot be expressed is refused with 400; docs/anthropic.md lists every
 * field. Pure.
 */

extern const struct dialect dialect_anthropic;
