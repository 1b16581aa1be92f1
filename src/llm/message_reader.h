#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/refusal.h"

/*
 * A message of OpenAI's, looked at by a dialect that translates it: its fields by a table, and
 * the paths by which a fault in it is named. Pure.
 */

enum message_slot {
    MESSAGE_ROLE,
    MESSAGE_CONTENT,
    MESSAGE_REFUSAL,
    MESSAGE_THINKING,
    MESSAGE_TOOL_CALLS,
    MESSAGE_TOOL_CALL_ID,
    MESSAGE_NAME,
    MESSAGE_NO_SLOT /* read by nobody */
};

struct message_field {
    const char *name;
    enum field_handling handling;
    enum message_slot slot;
};

struct message_reader {
    const char *type;                   /* of the backend */
    const struct message_field *fields; /* borrowed */
    size_t field_count;
    struct arena *arena;              /* borrowed: for paths and refusals */
    struct bad_request *bad;          /* borrowed: filled by whatever refuses */
    size_t message;                   /* index of the message, */
    size_t inner;                     /* of its part or tool call */
    struct str slot[MESSAGE_NO_SLOT]; /* the message's fields; empty: absent or null */
};

/* Fills the slots from a message (an object in checked JSON). ERR_UNSUPPORTED for a field that
 * is refused or not in the table. */
NODISCARD enum err message_read(struct message_reader *m, struct str message);

/* "messages[2].role", "messages[2].content[1].image_url" */
struct str message_path(const struct message_reader *m, const char *field);
struct str message_path_in(const struct message_reader *m, const char *list, const char *inner);

/* As refusal_make and refusal_mistyped. */
NODISCARD enum err message_refuse(struct message_reader *m, struct str param, const char *why);
NODISCARD enum err message_mistyped(struct message_reader *m, struct str param,
                                    const char *must_be);

/* A part or a call of `list`: a member that we would not carry over is refused. `known` ends
 * with NULL. */
NODISCARD enum err message_check_members(struct message_reader *m, const char *list,
                                         struct str object, const char *const *known);
