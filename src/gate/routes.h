#pragma once

#include "net/http_server.h"

struct worker;

/*
 * The API port: which method and path is served by what, who may ask, and the answers that need
 * no backend. Exact allow-list: everything else is 404 or 405 in the dialect of the path, and
 * touches no backend.
 */

/* Callbacks for the worker's HTTP server; the worker must outlive it. */
struct http_handler routes_handler(struct worker *w);
