#pragma once

#include <jansson.h>

#include "base/mem.h"
#include "base/str.h"

/*
 * What `fallthrough top` shows: from the answer of /status, the last events, and the size of
 * the window to the lines that fill it. The important comes first, and keeps its place in a
 * small window: models that nobody can serve, the worst backends; then what fits. Pure but for
 * the locale (cmd/cells.h); members that are missing or of another type do no harm.
 */

enum top_sort { TOP_WORST, TOP_NAME, TOP_IN_FLIGHT, TOP_TOKENS, TOP_FIRST_TOKEN };
enum { TOP_SORTS = 5 };

/* What the person at it has chosen, and what surrounds it. */
struct top_view {
    size_t columns;
    size_t rows;
    bool is_utf8;
    bool in_color;
    bool is_paused;
    enum top_sort sort;
    size_t scroll;          /* backends that are above the window; kept in its bounds */
    size_t page;            /* backends that fit into it */
    struct str gateway;     /* its address */
    struct str clock;       /* "05:24:02", of the figures */
    struct str problem;     /* why there are no newer ones; "": there are */
    double problem_since_s; /* for so long */
};

struct top_line {
    struct str text;
    size_t width; /* columns; never more than the window has */
};

struct top_frame {
    struct top_line *lines;
    size_t count; /* as many as the window has rows */
};

/* `status` of /status, `events` of /events, each NULL while there is none. Corrects v->scroll
 * and tells v->page. The lines live as long as the arena. */
struct top_frame top_frame_make(const json_t *status, const json_t *events, struct top_view *v,
                                struct arena *a);

/* "worst", "name", … */
const char *top_sort_name(enum top_sort s);

/* Takes in what was typed. False: to leave. */
bool top_view_keys(struct top_view *v, struct str typed);
