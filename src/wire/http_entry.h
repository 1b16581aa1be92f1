#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "wire/http_head.h"

/*
 * Who may ask on a port of ours: by a token, or, on loopback, by the name under which he came.
 * Pure; any thread.
 */

/* What stands behind `Authorization: Bearer`, perhaps nothing; as long as the request lives.
 * False, and *out is untouched: there is no such header. */
bool http_bearer(const struct http_request *q, struct str *out);

/* Whether that is this token, in a time that does not tell how near it was. */
bool http_has_token(const struct http_request *q, struct str token);

/* Whether `Host` is a loopback name (HTTP/1.0 may have none): a page in somebody's browser
 * shall not reach us under a name of its own. */
bool http_names_loopback(const struct http_request *q);
