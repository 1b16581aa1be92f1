#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

/*
 * The chunks of one stream are alike but for a few letters of text:
 *
 *      {"id":"x","choices":[{"delta":{"content":"|the|"},"finish_reason":null}]}
 *      '---------------- before ----------------' text '-------- after ---------'
 *
 * A stencil remembers one chunk that was read in full. A later one that differs only inside
 * that string is valid JSON and means the same but for this text, so it need not be read again.
 * Pure.
 */

struct stencil {
    /* private: */
    struct buf frame; /* what is before the text, then what is after it; empty: none */
    size_t before;    /* bytes, with the opening quote */
};

void stencil_init(struct stencil *s);
void stencil_fini(struct stencil *s);

/* Remembers a chunk whose `text` (a slice of it, not empty) stands between two quotes. One that
 * is too long is not remembered. */
void stencil_keep(struct stencil *s, struct str chunk, struct str text);

/* Forgets it. */
void stencil_drop(struct stencil *s);

/* True when the chunk differs from the one that was kept only in its text, which is valid and
 * not empty; then *text is that slice of it. False says nothing about the chunk. */
bool stencil_fits(const struct stencil *s, struct str chunk, struct str *text);
