#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "net/http_server.h"

/*
 * The status page: the files under web/, at `/` and `/assets/…`. They are the same for
 * everybody and hold nothing of this gateway, so they need no token; what the page shows it
 * asks for itself. Served so that a browser runs nothing but them: a strict
 * Content-Security-Policy.
 */

/* Whether that is a path of the page. */
bool page_has(struct str path);

/* Answers a GET or HEAD of such a path; 304 where the client has it already. */
void page_serve(struct http_conn *c);
