#include "base/field_line.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"

/* Room is kept at the end for the closing brace and the newline. */
static void put(struct field_line *l, const char *text, size_t len)
{
    size_t room = sizeof(l->text) - 4 - l->len;
    len = len < room ? len : room;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_z(struct field_line *l, const char *z)
{
    put(l, z, strlen(z));
}

/* Bytes, not characters: a cut or invalid sequence can do no harm this way. */
static void put_escape(struct field_line *l, unsigned char c)
{
    char code[7];
    if (c == '"' || c == '\\') {
        snprintf(code, sizeof(code), "\\%c", c);
    } else {
        snprintf(code, sizeof(code), "\\u%04x", c);
    }
    put_z(l, code);
}

static void put_escaped(struct field_line *l, struct str s)
{
    size_t len = s.len < LOG_VALUE_MAX ? s.len : LOG_VALUE_MAX;
    size_t done = 0; /* what is in the line; then a run of what needs no escape */
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            continue;
        }
        put(l, s.ptr + done, i - done);
        put_escape(l, c);
        done = i + 1;
    }
    if (len > done) {
        put(l, s.ptr + done, len - done);
    }
    if (len < s.len) {
        put_z(l, "...");
    }
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return s.len > 0;
}

static void put_name(struct field_line *l, const char *name)
{
    if (l->format == LOG_JSON) {
        put_z(l, l->len > 0 ? ",\"" : "{\"");
        put_z(l, name);
        put_z(l, "\":");
    } else {
        put_z(l, l->len > 0 ? " " : "");
        put_z(l, name);
        put_z(l, "=");
    }
}

void field_line_begin(struct field_line *l, enum log_format format)
{
    l->len = 0;
    l->format = format;
}

void field_line_text(struct field_line *l, const char *name, struct str value)
{
    bool is_bare = l->format == LOG_LOGFMT && is_plain(value);
    put_name(l, name);
    put(l, "\"", is_bare ? 0 : 1);
    put_escaped(l, value);
    put(l, "\"", is_bare ? 0 : 1);
}

void field_line_number(struct field_line *l, const char *name, int64_t value)
{
    char digits[STR_NUMBER_MAX];
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    struct str text = str_number(size, digits);
    put_name(l, name);
    put_z(l, value < 0 ? "-" : "");
    put(l, text.ptr, text.len);
}

void field_line_time(struct field_line *l, const char *name, uint64_t wall_ms)
{
    char text[25];
    clock_format(wall_ms, text);
    field_line_text(l, name, str_from(text));
}

void field_line_end(struct field_line *l)
{
    if (l->format == LOG_JSON) {
        l->text[l->len++] = '}';
    }
    l->text[l->len++] = '\n';
}
