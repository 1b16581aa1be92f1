#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/*
 * One line of a log, as logfmt or JSON: fields in the order they are put. Values are escaped,
 * so that no name can forge a line, and at most LOG_VALUE_MAX of their bytes are shown. What
 * does not fit into LOG_LINE_MAX bytes is left out. Pure.
 */

enum { LOG_LINE_MAX = 4096, LOG_VALUE_MAX = 1024 };

enum log_format { LOG_LOGFMT, LOG_JSON };

struct field_line {
    char text[LOG_LINE_MAX];
    size_t len;
    enum log_format format;
};

void field_line_begin(struct field_line *l, enum log_format format);
void field_line_text(struct field_line *l, const char *name, struct str value);
void field_line_number(struct field_line *l, const char *name, int64_t value);
void field_line_time(struct field_line *l, const char *name, uint64_t wall_ms);

/* The last one; the text then ends with a line end. */
void field_line_end(struct field_line *l);
