#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "llm/chat_request.h"

/*
 * The 400s of the Ollama dialect. `param` is the path of the field ("messages[2].content"), cut
 * when it is overlong; texts are made in the arena. Pure.
 */

/* What such a backend cannot express: code unsupported_parameter. `why` ends the message.
 * Returns ERR_UNSUPPORTED. */
NODISCARD enum err ollama_refuse(struct arena *a, struct str param, const char *why,
                                 struct bad_request *bad);

/* A value that no backend could take: code invalid_type, "must be …". Returns ERR_UNSUPPORTED,
 * too: the request cannot be expressed. */
NODISCARD enum err ollama_mistyped(struct arena *a, struct str param, const char *must_be,
                                   struct bad_request *bad);
