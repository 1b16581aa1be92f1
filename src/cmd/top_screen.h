#pragma once

#include <stdbool.h>
#include <termios.h>

#include "cmd/top_frame.h"

/*
 * The window of a terminal, as long as a command has it to itself: the other screen, no cursor,
 * keys as they are typed. A frame is one write of the lines that have changed, so that nothing
 * flickers and a slow line is not filled. One thread; what was there before comes back with
 * screen_close.
 */

struct screen {
    struct termios before;
    bool has_keys; /* standard input is a terminal, too */
    bool is_open;
    size_t columns;
    size_t rows;
    struct str *shown; /* the lines that stand there, each of the heap */
    size_t shown_count;
};

void screen_open(struct screen *s);

/* May be opened again. Harmless where it is closed. */
void screen_close(struct screen *s);

/* Asks how large the window is now; what stands in it is drawn anew when that has changed. */
void screen_measure(struct screen *s);

/* What stands there is not known any more: all of it is drawn the next time. */
void screen_forget(struct screen *s);

/* False: nobody is there any more. */
bool screen_draw(struct screen *s, const struct top_frame *f);
