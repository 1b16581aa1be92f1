#include "wire/sse.h"

#include <stdint.h>
#include <string.h>

/*
 * An item ends at its blank line. Where that line is a CR, a LF may still belong to it: when
 * the line before ended in LF or CRLF the next byte is waited for, since such a sender
 * completes the pair. When it ended in a lone CR the item ends here and a LF that follows is
 * dropped: waiting would hold back a CR-only sender's last event. Either way the split does not
 * matter.
 *
 * A comment at the start of an item is an item of its own. It ends before the next line, or
 * behind it when that is blank, so the byte after it is waited for.
 */

enum { FIRST_WINDOW = 512 };

/* Where in its lines an item is. */
enum place {
    AT_START,      /* no byte yet */
    IN_LINE,       /* in a line that is not blank */
    AFTER_CR,      /* behind the CR of such a line: a LF may belong to it */
    AFTER_LINE,    /* behind a whole line */
    AFTER_BLANK_CR /* behind the CR of the blank line: a LF may belong to it */
};

/* The end of an item that was looked for in the bytes that came. */
struct ending {
    size_t len; /* how many of the bytes are the item's */
    bool is_found;
    bool may_have_lf; /* a LF right behind them is to be dropped */
};

void sse_init(struct sse_decoder *d, size_t max)
{
    *d = (struct sse_decoder){.taken = 0};
    buf_init(&d->carry, max);
    /* Less than was offered since the last keep: the caller's reads bound it. */
    buf_init(&d->joined, SIZE_MAX / 2);
}

void sse_fini(struct sse_decoder *d)
{
    buf_fini(&d->carry);
    buf_fini(&d->joined);
}

/* The part of an event that came with earlier bytes. */
static struct str held_part(const struct sse_decoder *d)
{
    return str_from_at(buf_str(&d->carry), d->taken);
}

static enum place place_after(struct str held)
{
    if (held.len == 0) {
        return AT_START;
    }
    const char *last = held.ptr + held.len - 1;
    if (*last == '\n') {
        return AFTER_LINE;
    }
    if (*last != '\r') {
        return IN_LINE;
    }
    return held.len == 1 || last[-1] == '\n' ? AFTER_BLANK_CR : AFTER_CR;
}

/*
 * To the first CR or LF, or to the end. Looks in windows that grow, lest a sender of many short
 * lines that end in CR has us search for a LF to the far end from each of them.
 */
static const char *find_line_end(const char *p, const char *end)
{
    for (size_t window = FIRST_WINDOW; p < end; window *= 2) {
        size_t len = (size_t)(end - p) < window ? (size_t)(end - p) : window;
        const char *lf = memchr(p, '\n', len);
        const char *cr = memchr(p, '\r', lf ? (size_t)(lf - p) : len);
        if (cr || lf) {
            return cr ? cr : lf;
        }
        p += len;
    }
    return end;
}

/* One byte between lines: true when the item ends, with ends->len saying where. */
static bool step(enum place *place, char c, bool is_comment, struct ending *ends)
{
    bool is_line_end = c == '\n' || c == '\r';
    if (*place == AFTER_BLANK_CR) {
        ends->len += c == '\n';
        return true;
    }
    if (*place == AFTER_CR && c == '\n') {
        *place = AFTER_LINE;
        ends->len++;
        return false;
    }
    if (!is_line_end && is_comment && *place != AT_START) {
        return true;
    }
    ends->len++;
    if (c == '\n' || (c == '\r' && *place == AFTER_CR)) {
        ends->may_have_lf = c == '\r';
        return true;
    }
    *place = c == '\r' ? AFTER_BLANK_CR : IN_LINE;
    return false;
}

/* To behind the end of the line, when that has come. */
static void pass_line(enum place *place, struct str in, struct ending *ends)
{
    const char *end = in.ptr + in.len;
    const char *stop = find_line_end(in.ptr + ends->len, end);
    ends->len = (size_t)(stop - in.ptr);
    if (stop < end) {
        *place = *stop == '\n' ? AFTER_LINE : AFTER_CR;
        ends->len++;
    }
}

/* Where the item that began with `held` ends in `in`. */
static struct ending find_ending(struct str held, struct str in)
{
    struct ending ends = {.len = 0};
    enum place place = place_after(held);
    bool is_comment = str_starts(held.len > 0 ? held : in, STR(":"));
    while (ends.len < in.len && !ends.is_found) {
        if (place == IN_LINE) {
            pass_line(&place, in, &ends);
        } else {
            ends.is_found = step(&place, in.ptr[ends.len], is_comment, &ends);
        }
    }
    return ends;
}

/* Cuts the first line off *rest; *line is without its end. */
static bool next_line(struct str *rest, struct str *line)
{
    if (rest->len == 0) {
        return false;
    }
    const char *end = rest->ptr + rest->len;
    const char *stop = find_line_end(rest->ptr, end);
    *line = str_of(rest->ptr, (size_t)(stop - rest->ptr));
    size_t used = line->len + (stop < end);
    if (end - stop >= 2 && stop[0] == '\r' && stop[1] == '\n') {
        used++;
    }
    *rest = str_from_at(*rest, used);
    return true;
}

/* A field's value: what is behind the colon and one space. */
static bool take_field(struct str line, struct str name, struct str *value)
{
    if (!str_starts(line, name)) {
        return false;
    }
    struct str rest = str_from_at(line, name.len);
    if (rest.len > 0 && rest.ptr[0] != ':') {
        return false;
    }
    rest = str_from_at(rest, 1);
    *value = str_from_at(rest, rest.len > 0 && rest.ptr[0] == ' ');
    return true;
}

/*
 * The payload of several data lines. `rest` bytes may still come to be joined before the next
 * keep: with room for all of them the payloads given out already stay where they are.
 */
static enum err join_data(struct sse_decoder *d, struct str raw, size_t rest, struct str *data)
{
    char *room;
    struct str line;
    struct str value;
    struct str before = STR_NONE;
    size_t from = buf_len(&d->joined);
    d->has_joined = true;
    enum err e = buf_reserve(&d->joined, raw.len + rest, &room);
    while (e == ERR_OK && next_line(&raw, &line)) {
        if (!take_field(line, STR("data"), &value)) {
            continue;
        }
        e = buf_append(&d->joined, before);
        if (e == ERR_OK) {
            e = buf_append(&d->joined, value);
        }
        before = STR("\n");
    }
    *data = str_from_at(buf_str(&d->joined), from);
    return e;
}

/* One line that starts with "data:", ended twice in the same way. */
static bool is_plain(struct str raw, struct str line)
{
    if (!str_starts(raw, STR("data:"))) {
        return false;
    }
    return (raw.len == line.len + 2 && str_ends(raw, STR("\n\n"))) ||
           (raw.len == line.len + 4 && str_ends(raw, STR("\r\n\r\n")));
}

static enum err read_item(struct sse_decoder *d, struct str raw, size_t rest,
                          struct sse_event *ev)
{
    struct str lines = raw;
    struct str line;
    struct str first = STR_NONE;
    size_t data_count = 0;
    *ev = (struct sse_event){.kind = SSE_COMMENT, .raw = raw};
    while (next_line(&lines, &line)) {
        first = first.ptr ? first : line;
        if (take_field(line, STR("data"), &ev->data)) {
            data_count++;
        } else {
            take_field(line, STR("event"), &ev->name);
        }
    }
    if (data_count > 0) {
        ev->kind = SSE_EVENT;
        ev->is_plain = is_plain(raw, first);
    }
    return data_count > 1 ? join_data(d, raw, rest, &ev->data) : ERR_OK;
}

/* The usual case, a plain event that came in one piece, without a look at every line. */
static bool take_plain(const struct sse_decoder *d, struct str *in, struct sse_event *ev)
{
    const struct str field = STR("data:");
    if (!str_starts(*in, field)) {
        return false;
    }
    const char *from = in->ptr + field.len;
    const char *end = in->ptr + in->len;
    const char *stop = find_line_end(from, end);
    size_t blank = 2;
    if (end - stop < 2 || memcmp(stop, "\n\n", 2) != 0) {
        blank = 4;
        if (end - stop < 4 || memcmp(stop, "\r\n\r\n", 4) != 0) {
            return false;
        }
    }
    struct str data = str_of(from, (size_t)(stop - from));
    struct str raw = str_of(in->ptr, field.len + data.len + blank);
    if (raw.len > d->carry.max) {
        return false;
    }
    data = str_from_at(data, data.len > 0 && data.ptr[0] == ' ');
    *ev = (struct sse_event){.kind = SSE_EVENT, .data = data, .raw = raw, .is_plain = true};
    *in = str_from_at(*in, raw.len);
    return true;
}

static enum err take_any(struct sse_decoder *d, struct str *in, struct sse_event *ev)
{
    struct str held = held_part(d);
    struct ending ends = find_ending(held, *in);
    struct str raw = str_of(in->ptr, ends.len);
    if (!ends.is_found) {
        return ERR_AGAIN;
    }
    if (raw.len > d->carry.max) {
        return ERR_TOO_LARGE;
    }
    if (held.len > 0) {
        enum err e = buf_append(&d->carry, raw);
        if (e != ERR_OK) {
            return e;
        }
        raw = buf_str(&d->carry);
        d->taken = raw.len;
    }
    *in = str_from_at(*in, ends.len);
    d->after_cr = ends.may_have_lf;
    return read_item(d, raw, in->len, ev);
}

/* False while what came may yet become a byte order mark. */
static bool skip_mark(struct sse_decoder *d, struct str *in)
{
    const struct str mark = STR("\xef\xbb\xbf");
    size_t held = buf_len(&d->carry);
    size_t count = 0;
    while (held + count < mark.len && count < in->len &&
           in->ptr[count] == mark.ptr[held + count]) {
        count++;
    }
    if (held + count < mark.len && count == in->len) {
        return false;
    }
    if (held + count == mark.len) {
        buf_consume(&d->carry, held);
        *in = str_from_at(*in, count);
    }
    d->started = true;
    return true;
}

enum err sse_next(struct sse_decoder *d, struct str *in, struct sse_event *ev)
{
    if (in->len == 0) {
        return ERR_AGAIN;
    }
    if (d->after_cr) {
        *in = str_from_at(*in, in->ptr[0] == '\n');
        d->after_cr = false;
    }
    if (!d->started && !skip_mark(d, in)) {
        return ERR_AGAIN;
    }
    if (held_part(d).len == 0 && take_plain(d, in, ev)) {
        return ERR_OK;
    }
    return take_any(d, in, ev);
}

enum err sse_keep(struct sse_decoder *d, struct str *in)
{
    buf_consume(&d->carry, d->taken);
    d->taken = 0;
    if (d->has_joined) {
        buf_consume(&d->joined, buf_len(&d->joined));
        d->has_joined = false;
    }
    if (in->len == 0) {
        return ERR_OK;
    }
    enum err e = buf_append(&d->carry, *in);
    if (e == ERR_OK) {
        *in = str_from_at(*in, in->len);
    }
    return e;
}

bool sse_is_inside(const struct sse_decoder *d)
{
    struct str held = held_part(d);
    return held.len > 0 && held.ptr[0] != ':' && held.ptr[0] != '\n' && held.ptr[0] != '\r';
}
