#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/*
 * host[:port] and [v6][:port], as in Host fields, URLs and listen addresses. Stricter than
 * RFC 3986: names of letters, digits, '-', '.' and '_' only, no escapes, no zones. Pure; slices
 * of the input.
 */

struct authority {
    struct str host; /* without brackets; may be empty (":80"), which the caller judges */
    bool is_ipv6;
    bool has_port;
    uint16_t port; /* 0 … 65535; 0 without one */
};

/* ERR_SYNTAX, or ERR_RANGE for a port over 65535; *why names the part. */
NODISCARD enum err authority_parse(struct str text, struct authority *out, const char **why);
