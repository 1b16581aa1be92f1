#pragma once

#include <stdbool.h>

/*
 * Color for people at a terminal: never into a file or a pipe, not when NO_COLOR is set and not
 * empty (no-color.org), not on a terminal that calls itself dumb.
 */

#define COLOR_RED "\033[31m"
#define COLOR_GREEN "\033[32m"
#define COLOR_YELLOW "\033[33m"
#define COLOR_CYAN "\033[36m"
#define COLOR_BOLD "\033[1m"
#define COLOR_OFF "\033[0m"

/* Whether standard output should be colored. */
bool color_is_wanted(void);
