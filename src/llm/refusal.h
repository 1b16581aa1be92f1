#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "llm/chat_request.h"

/* What becomes of a field of OpenAI's in another dialect. null counts as absent everywhere. */
enum field_handling {
    FIELD_MAPPED,  /* goes to the backend; single values may be refused */
    FIELD_NEUTRAL, /* cannot be expressed: only the value that changes nothing is let through */
    FIELD_IGNORED, /* on purpose */
    FIELD_REFUSED  /* any value is a 400 */
};

/*
 * The 400s of dialects that translate. `param` is the path of the field
 * ("messages[2].content"), cut when it is overlong; texts are made in the arena. Pure.
 */

/* What a backend cannot express. */
struct refusal {
    const char *type; /* of the backend */
    struct str param;
    const char *why; /* ends the message */
};

/* Code unsupported_parameter. Returns ERR_UNSUPPORTED. */
NODISCARD enum err refusal_make(struct arena *a, const struct refusal *r,
                                struct bad_request *bad);

/* A value that no backend could take: code invalid_type, "must be …". Returns ERR_UNSUPPORTED,
 * too: the request cannot be expressed. */
NODISCARD enum err refusal_mistyped(struct arena *a, struct str param, const char *must_be,
                                    struct bad_request *bad);
