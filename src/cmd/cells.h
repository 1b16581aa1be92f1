#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/str.h"

/*
 * A line of a terminal that is as wide as it says: text is measured in columns as the terminal
 * will show it (wcwidth, by the locale's character set), cut where it is too long, never within
 * a character, and colored without being counted. Where the locale has no UTF-8, each character
 * beyond ASCII is a '?'. Pure but for the locale.
 */

struct line {
    struct buf out;
    size_t columns; /* it may be so wide */
    size_t width;   /* it is so wide */
    bool is_utf8;
    bool in_color;
};

void line_begin(struct line *l, size_t columns, bool is_utf8, bool in_color);
void line_fini(struct line *l);

/* Escaped text (cmd/escape.h), as far as the line has room. `color` of cmd/color.h, "": none.
 */
void line_put(struct line *l, struct str text, const char *color);

/* The same in a cell of so many columns: cut with a mark, or filled up with spaces; to the
 * right for numbers. */
struct cell {
    struct str text;
    const char *color; /* NULL: none */
    size_t width;
    bool is_number;
};
void line_cell(struct line *l, const struct cell *c);

/* Spaces up to this column. */
void line_move(struct line *l, size_t column);

/* Columns of an escaped text. */
size_t cells_width(struct str text, bool is_utf8);
