#pragma once

#include <stdbool.h>

#include "base/conf.h"

/* What conf.c, conf_error.c and conf_parse.c share. */

/* Takes a copy of the source to show lines from. */
void conf_errors_source(struct conf_errors *e, struct str path, struct str source);

/* Notes one message; those said before at the same place are dropped. */
void conf_errors_add(struct conf_errors *e, struct conf_mark at, bool is_warning,
                     struct str message);

/* Overwrites the shown source from `start` to `end`. */
void conf_errors_blot(struct conf_errors *e, struct conf_mark start, struct conf_mark end);

/* Makes what is shown of the line from this byte on printable, when it is not UTF-8. */
void conf_errors_clean(struct conf_errors *e, size_t byte);

/* Where in the source the mark points; its end for one past it. */
size_t conf_errors_byte(const struct conf_errors *e, struct conf_mark at);

/* The place of a byte of the source. */
struct conf_mark conf_errors_mark(const struct conf_errors *e, size_t byte);

/* Makes the tree from c->masked; false when the YAML cannot be read further. */
NODISCARD bool conf_build_tree(struct conf *c);

/* Blots out the values of keys whose names speak of secrets: in a tree, or, when there is none,
 * to the end of their lines. */
void conf_hide_keys(struct conf *c, const struct conf_node *n);
void conf_hide_lines(struct conf *c);
