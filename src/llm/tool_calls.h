#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "llm/fields.h"

/*
 * The tool calls of one choice from the pieces that a stream brings: a call is named by its
 * index; its id, type and function name come once, its arguments in pieces. Values stay the
 * JSON text that they came as, and members that we do not know are kept. Pure.
 */

struct tool_call {
    uint64_t index;
    uint64_t pieces;        /* that it was made of */
    struct fields fields;   /* id, type, and what we do not know */
    struct fields function; /* name, arguments, and what we do not know */
};

struct tool_calls {
    struct tool_call *at; /* owned, sorted by index */
    size_t count;
    struct fields_budget *budget; /* borrowed: outlives it */
    size_t *left; /* calls that may still come; borrowed, shared like the budget */
};

void tool_calls_init(struct tool_calls *tc, struct fields_budget *budget, size_t *left);
void tool_calls_fini(struct tool_calls *tc); /* empty again */

/*
 * Takes in a delta's `tool_calls` (checked JSON; null and nothing change nothing). A piece
 * without an index is a call of its own when it has an id, else it belongs to the last one.
 * *last: the index of the last piece, when there was one. ERR_TYPE when its shape is not one,
 * ERR_TOO_LARGE over the budgets.
 */
NODISCARD enum err tool_calls_add(struct tool_calls *tc, struct str pieces, uint64_t *last);

/* Takes the first `count` calls out. */
void tool_calls_drop(struct tool_calls *tc, size_t count);

/* A call as an element of `message.tool_calls`: with every member that clients expect. */
void tool_call_write(const struct tool_call *call, struct buf *out);

/* A call as an element of `delta.tool_calls`: with its index, and what it has. */
void tool_call_write_delta(const struct tool_call *call, struct buf *out);

/* The old form: one `function_call` whose members are these. */
NODISCARD enum err function_call_add(struct fields *f, struct str function);
void function_call_write(const struct fields *f, struct buf *out);
