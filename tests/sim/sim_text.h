#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"

/*
 * What the scripted model says: texts made of tokens, with all that is hard to carry (escapes,
 * characters of several bytes, quotes, control characters), and how servers write it as JSON.
 */

enum { TOKENS_MAX = 80 };

struct said {
    struct str text;
    uint32_t end[TOKENS_MAX]; /* where each token ends in it */
    uint32_t count;
};

/* A text of so many tokens, each followed by `pad` spaces; lives as long as the arena. */
void said_make(struct said *s, uint32_t count, uint32_t pad, struct rand *r, struct arena *a);

/* Tokens from … to-1 as text; a slice. */
struct str said_tokens(const struct said *s, uint32_t from, uint32_t to);

/* How many tokens `text` is, where it is the beginning of it up to a token's end. */
bool said_is_prefix(const struct said *s, struct str text, uint32_t *tokens);

/* How servers differ in writing the same string. */
enum spelling {
    SPELL_PLAIN, /* UTF-8, only what must be escaped is */
    SPELL_ASCII, /* all else as \uXXXX, surrogates too (Python) */
    SPELL_HTML,  /* < > & escaped (Go) */
    SPELL_SLASH, /* \/ (PHP) */
    SPELLINGS
};

/* These write to memory that has no limit that the simulation could reach. */
void put(struct buf *out, struct str s);
void put_format(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* With quotes. */
void put_quoted(struct buf *out, struct str text, enum spelling how);
