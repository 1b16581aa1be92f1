#pragma once

#include "base/mem.h"
#include "base/str.h"

/*
 * Changes to a checked JSON object without rebuilding it: the result is a list of slices, most
 * of them of the original text, ready for writev. Used for requests (model, max_tokens) and
 * replies
 * (_backend). Pure; any thread.
 *
 *     json_edit_init(&ed, body, arena);
 *     json_edit_set(&ed, "model", json_quote(arena, name));
 *     json_edit_done(&ed, &rope);
 */

enum { ROPE_MAX = 40 };

/* Text in pieces, in order. The pieces are borrowed: they live as long as what they were cut
 * from. */
struct rope {
    struct str piece[ROPE_MAX];
    size_t count;
    size_t len; /* of all pieces together */
};

void rope_init(struct rope *r);

/* Adds a piece at the end; empty ones are skipped. Passing ROPE_MAX is our own bug (CHECK). */
void rope_add(struct rope *r, struct str piece);

/* All pieces in one, in the arena (no copy when there is only one piece). */
struct str rope_join(const struct rope *r, struct arena *a);

enum { JSON_EDITS_MAX = 12 };

struct json_change {
    const char *from; /* first byte to leave out */
    const char *to;   /* first byte to keep again */
    struct str name;  /* of a member that is added: its comma, name and colon */
    struct str text;  /* what stands there instead; empty: a member is taken out */
};

struct json_edit {
    struct str object; /* borrowed */
    struct arena *arena;
    struct json_change change[JSON_EDITS_MAX]; /* in the order of the text */
    size_t count;
};

/* `object` is a whole checked text, an object (so no key of it is there twice). */
void json_edit_init(struct json_edit *ed, struct str object, struct arena *arena);

/* Gives top-level member `key` (plain ASCII, no escapes needed) the value `value` (JSON text,
 * borrowed): in place when it is there, before the closing brace when it is not. */
void json_edit_set(struct json_edit *ed, const char *key, struct str value);

/* The same for a member that is known not to be there: nothing is searched. */
void json_edit_add(struct json_edit *ed, const char *key, struct str value);

/* Takes top-level member `key` out, with its comma; nothing when it is not there. */
void json_edit_remove(struct json_edit *ed, const char *key);

/* Replaces one value inside (a slice of the object, as json_path returned it) by `value`. */
void json_edit_replace(struct json_edit *ed, struct str inside, struct str value);

/* The edited text as pieces added to *out. Each key may be edited once. */
void json_edit_done(const struct json_edit *ed, struct rope *out);
