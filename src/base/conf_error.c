#include <stdarg.h>
#include <stdlib.h>

#include "base/conf_private.h"

enum {
    SHOWN_WIDTH = 160, /* characters of a source line */
    SHOWN_BEFORE = 80  /* of them before the caret, in lines that are longer */
};

struct conf_error {
    struct conf_error *next;
    struct conf_mark at;
    bool is_warning;
    struct str message;
};

void conf_errors_init(struct conf_errors *e)
{
    *e = (struct conf_errors){.path = STR("configuration")};
    arena_init(&e->arena);
}

void conf_errors_fini(struct conf_errors *e)
{
    free(e->shown);
    free(e->line_at);
    arena_fini(&e->arena);
    e->shown = NULL;
    e->line_at = NULL;
    e->line_count = 0;
    e->first = NULL;
}

static void index_lines(struct conf_errors *e, struct str source)
{
    uint32_t count = 1;
    for (size_t i = 0; i < source.len; i++) {
        count += source.ptr[i] == '\n';
    }
    e->line_at = mem_alloc((count + 1) * sizeof(uint32_t));
    e->line_count = count;
    count = 1;
    for (size_t i = 0; i < source.len; i++) {
        if (source.ptr[i] == '\n') {
            e->line_at[count++] = (uint32_t)(i + 1);
        }
    }
    e->line_at[count] = (uint32_t)source.len;
}

void conf_errors_source(struct conf_errors *e, struct str path, struct str source)
{
    free(e->shown);
    free(e->line_at);
    e->path = arena_dup(&e->arena, path);
    e->shown = mem_dup(source);
    index_lines(e, source);
}

static bool is_before(struct conf_mark a, struct conf_mark b)
{
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

static bool is_same(const struct conf_error *x, struct conf_mark at, struct str message)
{
    return x->at.line == at.line && x->at.column == at.column && str_eq(x->message, message);
}

/* Names in messages come from the file: no control character of theirs may reach a terminal. */
static struct str copy_message(struct arena *a, struct str message)
{
    char *copy = arena_alloc(a, message.len + 1);
    for (size_t i = 0; i < message.len; i++) {
        unsigned char c = (unsigned char)message.ptr[i];
        copy[i] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
    }
    copy[message.len] = '\0';
    return str_of(copy, message.len);
}

void conf_errors_add(struct conf_errors *e, struct conf_mark at, bool is_warning,
                     struct str message)
{
    struct str copy = copy_message(&e->arena, message);
    struct conf_error **link = &e->first;
    while (*link && !is_before(at, (*link)->at)) {
        if (is_same(*link, at, copy)) {
            return;
        }
        link = &(*link)->next;
    }
    if (is_warning) {
        e->warning_count++;
    } else {
        e->error_count++;
    }
    if (e->kept >= CONF_ERRORS_MAX) {
        return;
    }
    struct conf_error *x = arena_alloc(&e->arena, sizeof(*x));
    *x =
        (struct conf_error){.next = *link, .at = at, .is_warning = is_warning, .message = copy};
    *link = x;
    e->kept++;
}

/* The line without its end; empty for one that there is not. */
static struct str get_line(const struct conf_errors *e, uint32_t line)
{
    if (line == 0 || line > e->line_count) {
        return STR("");
    }
    uint32_t from = e->line_at[line - 1];
    struct str s = str_of(e->shown + from, e->line_at[line] - from);
    while (s.len > 0 && (s.ptr[s.len - 1] == '\n' || s.ptr[s.len - 1] == '\r')) {
        s.len--;
    }
    return s;
}

static bool continues_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The byte in the shown source where the mark points; NUL bytes are what a blotted character
 * left. */
size_t conf_errors_byte(const struct conf_errors *e, struct conf_mark at)
{
    if (at.line == 0 || at.line > e->line_count) {
        return at.line == 0 ? 0 : e->line_at[e->line_count];
    }
    size_t byte = e->line_at[at.line - 1];
    size_t end = e->line_at[at.line];
    uint32_t column = 1;
    while (byte < end && column < at.column) {
        byte++;
        while (byte < end && (continues_character(e->shown[byte]) || e->shown[byte] == '\0')) {
            byte++;
        }
        column++;
    }
    return byte;
}

struct conf_mark conf_errors_mark(const struct conf_errors *e, size_t byte)
{
    uint32_t low = 1;
    uint32_t high = e->line_count;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (e->line_at[middle - 1] <= byte) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    uint32_t column = 1;
    for (size_t i = e->line_at[low - 1]; i < byte; i++) {
        column += !continues_character(e->shown[i]) && e->shown[i] != '\0';
    }
    return (struct conf_mark){.line = low, .column = column};
}

void conf_errors_blot(struct conf_errors *e, struct conf_mark start, struct conf_mark end)
{
    size_t from = conf_errors_byte(e, start);
    size_t to = conf_errors_byte(e, end);
    for (size_t i = from; i < to; i++) {
        char c = e->shown[i];
        if (continues_character(c)) {
            e->shown[i] = '\0';
        } else if (c != '\n' && c != '\r' && c != ' ' && c != '\0') {
            e->shown[i] = '*';
        }
    }
}

void conf_errors_clean(struct conf_errors *e, size_t byte)
{
    for (size_t i = byte; e->shown[i] != '\0' && e->shown[i] != '\n'; i++) {
        if ((unsigned char)e->shown[i] >= 0x80) {
            e->shown[i] = '?';
        }
    }
}

static void put_character(FILE *out, char c)
{
    if (c != '\0') {
        bool is_control = ((unsigned char)c < 0x20 && c != '\t') || (unsigned char)c == 0x7f;
        (void)fputc(is_control ? '?' : c, out);
    }
}

/* Prints characters `from` up to `to` (from 1) of the line, or as much white space. */
static void put_piece(FILE *out, struct str line, uint32_t from, uint32_t to)
{
    uint32_t column = 0;
    for (size_t i = 0; i < line.len; i++) {
        if (!continues_character(line.ptr[i]) && line.ptr[i] != '\0') {
            column++;
        }
        if (column >= from && column < to) {
            put_character(out, line.ptr[i]);
        }
    }
}

static void put_gap(FILE *out, struct str line, uint32_t from, uint32_t to)
{
    uint32_t column = 0;
    for (size_t i = 0; i < line.len && column + 1 < to; i++) {
        if (continues_character(line.ptr[i]) || line.ptr[i] == '\0') {
            continue;
        }
        column++;
        if (column >= from) {
            (void)fputc(line.ptr[i] == '\t' ? '\t' : ' ', out);
        }
    }
}

static void put_source(const struct conf_errors *e, struct conf_mark at, FILE *out)
{
    struct str line = get_line(e, at.line);
    bool is_long = at.column > SHOWN_WIDTH;
    uint32_t from = is_long ? at.column - SHOWN_BEFORE : 1;
    (void)fputs(is_long ? "  ..." : "  ", out);
    put_piece(out, line, from, from + SHOWN_WIDTH);
    (void)fputs(is_long ? "\n     " : "\n  ", out);
    put_gap(out, line, from, at.column);
    (void)fputs("^\n", out);
}

void conf_errors_print(const struct conf_errors *e, FILE *out)
{
    for (const struct conf_error *x = e->first; x; x = x->next) {
        bool has_place = x->at.line > 0 && e->shown;
        (void)fprintf(out, "%.*s:%u:%u: %s: %.*s\n", STR_FMT(e->path),
                      has_place ? x->at.line : 1, has_place ? x->at.column : 1,
                      x->is_warning ? "warning" : "error", STR_FMT(x->message));
        if (has_place) {
            put_source(e, x->at, out);
        }
    }
    size_t all = e->error_count + e->warning_count;
    if (all > e->kept) {
        (void)fprintf(out, "%.*s: %zu more are not shown\n", STR_FMT(e->path), all - e->kept);
    }
}

bool conf_errors_at(const struct conf_errors *e, size_t place, struct conf_mistake *out)
{
    const struct conf_error *x = e->first;
    while (x && place > 0) {
        x = x->next;
        place--;
    }
    if (x) {
        bool has_place = x->at.line > 0 && e->shown;
        *out = (struct conf_mistake){.at = has_place ? x->at : (struct conf_mark){0, 0},
                                     .is_warning = x->is_warning,
                                     .message = x->message};
    }
    return x != NULL;
}

static void note(struct conf *c, struct conf_mark at, bool is_warning, const char *format,
                 va_list args) __attribute__((format(printf, 4, 0)));

static void note(struct conf *c, struct conf_mark at, bool is_warning, const char *format,
                 va_list args)
{
    char text[1024];
    (void)vsnprintf(text, sizeof(text), format, args);
    if (!c->is_quiet) {
        conf_errors_add(c->errors, at, is_warning, str_from(text));
    }
}

void conf_error(struct conf *c, struct conf_mark at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(c, at, false, format, args);
    va_end(args);
}

void conf_warning(struct conf *c, struct conf_mark at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(c, at, true, format, args);
    va_end(args);
}
