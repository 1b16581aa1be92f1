#include "cmd/cells.h"

#include <wchar.h>

#include "base/check.h"
#include "base/utf8.h"
#include "cmd/color.h"

enum { LINE_MAX = 1 << 20 };

/* One character as it is shown. */
struct glyph {
    struct str bytes;
    size_t width;
};

static struct glyph take_glyph(struct str *text, bool is_utf8)
{
    uint32_t code = 0;
    size_t len = utf8_read(*text, &code);
    struct glyph g = {.bytes = STR("?"), .width = 1};
    bool is_ascii = len == 1 && code >= ' ' && code < 0x7f;
    int width = is_ascii ? 1 : is_utf8 && len > 1 ? wcwidth((wchar_t)code) : -1;
    if (width >= 0) {
        g = (struct glyph){.bytes = str_of(text->ptr, len), .width = (size_t)width};
    }
    *text = str_from_at(*text, len > 0 ? len : 1);
    return g;
}

size_t cells_width(struct str text, bool is_utf8)
{
    size_t width = 0;
    while (text.len > 0) {
        width += take_glyph(&text, is_utf8).width;
    }
    return width;
}

void line_begin(struct line *l, size_t columns, bool is_utf8, bool in_color)
{
    *l = (struct line){.columns = columns, .is_utf8 = is_utf8, .in_color = in_color};
    buf_init(&l->out, LINE_MAX);
}

void line_fini(struct line *l)
{
    buf_fini(&l->out);
}

/* No window has lines of a megabyte. */
static void append(struct line *l, struct str bytes)
{
    CHECK(buf_append(&l->out, bytes) == ERR_OK);
}

/* At most so many columns; true: all of it. */
static bool append_text(struct line *l, struct str text, size_t columns)
{
    size_t left = columns < l->columns - l->width ? columns : l->columns - l->width;
    while (text.len > 0) {
        struct glyph g = take_glyph(&text, l->is_utf8);
        if (g.width > left) {
            return false;
        }
        append(l, g.bytes);
        left -= g.width;
        l->width += g.width;
    }
    return true;
}

static void append_color(struct line *l, const char *color)
{
    if (l->in_color && color && color[0] != '\0') {
        append(l, str_from(color));
    }
}

static void end_color(struct line *l, const char *color)
{
    append_color(l, color && color[0] != '\0' ? COLOR_OFF : "");
}

void line_put(struct line *l, struct str text, const char *color)
{
    append_color(l, color);
    (void)append_text(l, text, l->columns);
    end_color(l, color);
}

void line_move(struct line *l, size_t column)
{
    while (l->width < column && l->width < l->columns) {
        append(l, STR(" "));
        l->width++;
    }
}

void line_cell(struct line *l, const struct cell *c)
{
    size_t from = l->width;
    size_t end = from + c->width < l->columns ? from + c->width : l->columns;
    size_t room = end - from;
    size_t width = cells_width(c->text, l->is_utf8);
    if (c->is_number && width < room) {
        line_move(l, end - width);
    }
    append_color(l, c->color);
    if (width <= room) {
        (void)append_text(l, c->text, room);
    } else if (room > 0) {
        (void)append_text(l, c->text, room - 1);
        line_move(l, end - 1); /* of a wide character only half would have had room */
        (void)append_text(l, l->is_utf8 ? STR("…") : STR("~"), 1);
    }
    end_color(l, c->color);
    line_move(l, end);
}
