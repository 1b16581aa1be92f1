#pragma once

#include "base/mem.h"
#include "base/str.h"

/*
 * What two requests must have in common to be the same one. Pure.
 */

/* The body of a chat request (a checked JSON object) without what does not change its answer:
 * `stream` and `stream_options`, and white space between values. All else stays as it was
 * written, in its order. Lives as long as the arena. */
struct str request_essence(struct str body, struct arena *a);
