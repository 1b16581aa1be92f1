#include "wire/prom_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 64 };

static bool is_name_char(char c)
{
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return is_letter || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

static struct str take_name(struct str *line)
{
    size_t len = 0;
    while (len < line->len && is_name_char(line->ptr[len])) {
        len++;
    }
    struct str name = str_of(line->ptr, len);
    *line = str_from_at(*line, len);
    return name;
}

/* A brace inside quotes ends nothing; a backslash there takes the next byte along. */
static size_t labels_length(struct str text)
{
    bool is_quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_quoted && c == '\\') {
            i++;
        } else if (c == '"') {
            is_quoted = !is_quoted;
        } else if (c == '}' && !is_quoted) {
            return i;
        }
    }
    return text.len;
}

/* False: the braces are not closed. */
static bool take_labels(struct str *line, struct str *labels)
{
    *labels = STR_NONE;
    if (line->len == 0 || line->ptr[0] != '{') {
        return true;
    }
    struct str inside = str_from_at(*line, 1);
    size_t len = labels_length(inside);
    if (len == inside.len) {
        return false;
    }
    *labels = str_of(inside.ptr, len);
    *line = str_from_at(inside, len + 1);
    return true;
}

static bool read_number(struct str text, double *out)
{
    static const char allowed[] = "0123456789+-.eE";
    char digits[NUMBER_MAX];
    char *end;
    if (text.len == 0 || text.len >= sizeof(digits)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!memchr(allowed, text.ptr[i], sizeof(allowed) - 1)) {
            return false;
        }
    }
    memcpy(digits, text.ptr, text.len);
    digits[text.len] = '\0';
    *out = strtod(digits, &end);
    return end == digits + text.len && isfinite(*out);
}

static bool read_sample(struct str line, struct prom_sample *out)
{
    out->name = take_name(&line);
    if (out->name.len == 0 || !take_labels(&line, &out->labels)) {
        return false;
    }
    if (line.len == 0 || (line.ptr[0] != ' ' && line.ptr[0] != '\t')) {
        return false;
    }
    line = str_trim(line);
    size_t len = 0;
    while (len < line.len && line.ptr[len] != ' ' && line.ptr[len] != '\t') {
        len++;
    }
    return read_number(str_of(line.ptr, len), &out->value);
}

bool prom_next(struct str *in, struct prom_sample *out)
{
    while (in->len > 0) {
        struct str line = str_cut(in, '\n');
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
            line.len--;
        }
        if (read_sample(str_trim(line), out)) {
            return true;
        }
    }
    return false;
}
