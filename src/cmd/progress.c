#include "cmd/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cmd/status_table.h"

enum { SILENT_MS = 1000, SPARSE_MS = 10000, COLUMNS_DEFAULT = 80 };

void progress_begin(struct progress *p)
{
    const char *terminal = getenv("TERM");
    bool is_dumb = !terminal || strcmp(terminal, "dumb") == 0;
    *p = (struct progress){.is_terminal = isatty(STDERR_FILENO) == 1 && !is_dumb,
                           .started_ms = clock_mono_ms()};
}

/* One less than there are: a line that is full may wrap. */
static size_t columns(void)
{
    struct winsize size;
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return (is_known ? size.ws_col : COLUMNS_DEFAULT) - 1;
}

void progress_tell(struct progress *p, struct str text)
{
    uint64_t now_ms = clock_mono_ms();
    if (now_ms < p->started_ms + SILENT_MS) {
        return;
    }
    if (p->is_terminal) {
        (void)fprintf(stderr, "\r%.*s\033[K", STR_FMT(utf8_cut(text, columns())));
        (void)fflush(stderr);
        p->is_shown = true;
    } else if (now_ms >= (p->told_ms > 0 ? p->told_ms : p->started_ms) + SPARSE_MS) {
        (void)fprintf(stderr, "%.*s\n", STR_FMT(text));
        p->told_ms = now_ms;
    }
}

void progress_clear(struct progress *p)
{
    if (p->is_shown) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
        p->is_shown = false;
    }
}

void progress_took(const struct progress *p, char *out, size_t size)
{
    uint64_t seconds = (clock_mono_ms() - p->started_ms) / 1000;
    status_table_duration(seconds > 0 ? (double)seconds : 0, out, size);
}
