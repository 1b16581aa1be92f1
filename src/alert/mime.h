#pragma once

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * The outer forms of a mail (RFC 5322, 2045, 2047): header fields that can hold any text and
 * stay one field, and bodies in quoted-printable. Lines end with CRLF and have at most 76
 * characters, as far as a word of ASCII is not longer. Whoever calls gives the buffer room for
 * all of it. Pure.
 */

/* "Name: text", whose text is free (a subject). It must be clean (alert/clean). What is not
 * plain ASCII goes as encoded words, and so does what looks like one. */
void mime_text_field(struct buf *b, const char *name, struct str text);

/* "Name: a, b, c" of items that are ASCII without spaces, a line each where need be. */
void mime_list_field(struct buf *b, const char *name, const struct str *items, size_t count);

/* Lines of text, which end with "\n" or CRLF, in quoted-printable. */
void mime_quoted(struct buf *b, struct str text);

/* RFC 4648, with padding; lives as long as the arena. */
struct str mime_base64(struct arena *a, struct str bytes);
