#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/*
 * The members of a JSON object that comes in pieces. Values are kept as the JSON text they came
 * as: two strings are joined by joining what stands between their quotes, two arrays by what
 * stands between their brackets, so nothing is decoded and no number changes. Pure; the budget
 * is shared by all sets of one answer.
 */

struct fields_budget {
    size_t bytes; /* of text that may still come */
    size_t count; /* of members */
};

enum fields_merge {
    FIELDS_FIRST, /* what came first stays */
    FIELDS_LAST,  /* what came last counts */
    FIELDS_LIST,  /* arrays are joined; of anything else the last counts */
    FIELDS_JOIN   /* arrays and strings are joined */
};

enum field_kind { FIELD_VALUE, FIELD_TEXT, FIELD_LIST };

struct field {
    struct buf name; /* raw, as between the quotes */
    struct buf text; /* without quotes (FIELD_TEXT) or brackets (FIELD_LIST) */
    enum field_kind kind;
};

struct fields {
    struct field *at; /* owned, in order of arrival */
    size_t count;
    size_t cap;
    struct fields_budget *budget; /* borrowed: outlives the set */
};

void fields_init(struct fields *f, struct fields_budget *budget);
void fields_fini(struct fields *f);

/* Takes one member in; null and an absent (empty) value change nothing. ERR_TOO_LARGE when the
 * budget is used up or over 128 names, ERR_TYPE for a name with escapes in it (two spellings of
 * a name would pass for two names). */
NODISCARD enum err fields_add(struct fields *f, struct str name, struct str value,
                              enum fields_merge how);

/* Joins more to a FIELD_TEXT of that place in the order of arrival: `text` as it stands between
 * quotes. ERR_TOO_LARGE as above. */
NODISCARD enum err fields_more(struct fields *f, size_t place, struct str text);

/* NULL when there is none. */
const struct field *fields_find(const struct fields *f, struct str name);

/* True when there is nothing in it: no such field, an empty text, an empty list. */
bool field_is_empty(const struct field *field);

/* Appends the value as JSON; `null` for NULL. The buffer's maximum must suffice. */
void field_write(const struct field *field, struct buf *out);

/* Appends a comma where one is due, and `"name":`. */
void member_name_write(struct buf *out, struct str name);

/* The same with the value behind it. */
void member_write(struct buf *out, struct str name, const struct field *field);

/* Every member that is not named here and not empty. */
void fields_write_others(struct buf *out, const struct fields *f, const struct str *named,
                         size_t count);
