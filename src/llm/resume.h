#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "llm/chat_request.h"
#include "llm/dialect.h"
#include "llm/transcript.h"

/*
 * In which way a broken answer can go on at a backend of a given kind. What the request itself
 * allows; whether the backend does it well is measured elsewhere. Pure; reads the request's
 * body, so it is for the moment of a break and not for every request.
 */

/* The assistant's half message can be sent along and will be continued: one choice, text that
 * no grammar holds to a form, the last word not the assistant's already, the client not playing
 * with the same switches, a dialect that knows how. */
bool resume_can_continue(const struct chat_request *q, const struct dialect *d);

enum resume_way {
    RESUME_CONTINUE, /* chat_edit.partial, SEAM_CONTINUE */
    RESUME_ECHO,     /* the same for a backend that repeats the partial first: SEAM_ECHO */
    RESUME_RESTART,  /* a fresh request, SEAM_RESTART */
    RESUME_NEVER     /* too long, several choices, or kinds given that cannot be compared */
};

/* The half answer goes along with the request. */
static inline bool resume_sends_partial(enum resume_way way)
{
    return way == RESUME_CONTINUE || way == RESUME_ECHO;
}

/* The best way by what is to be continued, never RESUME_ECHO. Nothing given yet, or reasoning:
 * from the beginning. */
enum resume_way resume_choose(const struct transcript *t, const struct chat_request *q,
                              const struct dialect *d);

/* Tokens that may still be made by the limits of request and edit, less edit->spent; UINT64_MAX
 * without a limit. 0: nothing is to be asked for, the answer ends with "length"
 * (transcript_finish). */
uint64_t resume_left(const struct chat_request *q, const struct chat_edit *ed);
