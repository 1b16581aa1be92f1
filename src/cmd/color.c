#include "cmd/color.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool color_is_wanted(void)
{
    const char *refused = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && (!refused || refused[0] == '\0') &&
           !(terminal && strcmp(terminal, "dumb") == 0);
}
