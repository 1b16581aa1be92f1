#pragma once

#include "base/field_line.h"
#include "tiers/account.h"

/*
 * A account as a line of the access log. A field without a value is left out; so every line is
 * shorter than LOG_LINE_MAX, whatever a client has sent. docs/operating.md has the fields.
 * Pure.
 */

void access_line_write(const struct account *r, enum log_format format, struct field_line *out);
