#include "cmd/top_screen.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"

enum { COLUMNS_DEFAULT = 80, ROWS_DEFAULT = 24, SIDE_MOST = 2000, FRAME_MAX = 16 << 20 };

/* The other screen, no cursor, no wrapping; and back. */
static const struct str ENTER = STR_INIT("\033[?1049h\033[?25l\033[?7l\033[2J");
static const struct str LEAVE = STR_INIT("\033[?7h\033[?25h\033[?1049l");

/* Terminals that know it show all of a frame at once; others ignore it. */
static const struct str FRAME_BEGIN = STR_INIT("\033[?2026h");
static const struct str FRAME_END = STR_INIT("\033[?2026l");

static bool put_bytes(struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes.ptr, bytes.len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        bytes = str_from_at(bytes, n > 0 ? (size_t)n : 0);
    }
    return true;
}

static void take_keys(struct screen *s)
{
    s->has_keys = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &s->before) == 0;
    if (s->has_keys) {
        struct termios keys = s->before;
        keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals are still made of keys */
        keys.c_iflag &= ~(tcflag_t)(IXON);
        keys.c_cc[VMIN] = 1;
        keys.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
    }
}

void screen_open(struct screen *s)
{
    *s = (struct screen){.is_open = true};
    take_keys(s);
    (void)put_bytes(ENTER);
    screen_measure(s);
}

void screen_close(struct screen *s)
{
    if (!s->is_open) {
        return;
    }
    s->is_open = false;
    screen_forget(s);
    (void)put_bytes(LEAVE);
    if (s->has_keys) {
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &s->before);
    }
}

void screen_forget(struct screen *s)
{
    for (size_t i = 0; i < s->shown_count; i++) {
        free((void *)(uintptr_t)s->shown[i].ptr);
    }
    free(s->shown);
    s->shown = NULL;
    s->shown_count = 0;
}

static size_t bound(size_t side, size_t otherwise)
{
    return side == 0 ? otherwise : side < SIDE_MOST ? side : SIDE_MOST;
}

void screen_measure(struct screen *s)
{
    struct winsize size = {0};
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    size_t columns = bound(size.ws_col, COLUMNS_DEFAULT);
    size_t rows = bound(size.ws_row, ROWS_DEFAULT);
    if (columns != s->columns || rows != s->rows) {
        screen_forget(s);
    }
    s->columns = columns;
    s->rows = rows;
}

/* --- drawing --- */

static void append(struct buf *out, struct str bytes)
{
    CHECK(buf_append(out, bytes) == ERR_OK);
}

/* A line that is full is not cleared behind its end: the cursor still stands on its last
 * column. */
static void append_line(struct buf *out, size_t row, const struct top_line *line,
                        size_t columns)
{
    CHECK(buf_printf(out, "\033[%zu;1H", row + 1) == ERR_OK);
    append(out, line->text);
    if (line->width < columns) {
        append(out, STR("\033[K"));
    }
}

static void keep(struct screen *s, const struct top_frame *f)
{
    screen_forget(s);
    s->shown = mem_alloc(sizeof(s->shown[0]) * (f->count + 1));
    s->shown_count = f->count;
    for (size_t i = 0; i < f->count; i++) {
        struct str text = f->lines[i].text;
        s->shown[i] = str_of(mem_dup(text), text.len);
    }
}

bool screen_draw(struct screen *s, const struct top_frame *f)
{
    struct buf out;
    bool is_new = s->shown_count != f->count;
    size_t changed = 0;
    buf_init(&out, FRAME_MAX);
    append(&out, FRAME_BEGIN);
    if (is_new) {
        append(&out, STR("\033[2J"));
    }
    for (size_t i = 0; i < f->count; i++) {
        if (is_new || !str_eq(s->shown[i], f->lines[i].text)) {
            append_line(&out, i, &f->lines[i], s->columns);
            changed++;
        }
    }
    append(&out, FRAME_END);
    bool is_there = changed == 0 || put_bytes(buf_str(&out));
    keep(s, f);
    buf_fini(&out);
    return is_there;
}
