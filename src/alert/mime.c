#include "alert/mime.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"

enum { LINE = 76, WORD_MAX = 200 };

static void put(struct buf *b, struct str s)
{
    CHECK(buf_append(b, s) == ERR_OK);
}

/* --- header fields --- */

/* True when it may stand in a field as it is: words that fit into a line, single spaces. */
static bool is_plain(struct str s)
{
    size_t word = 0;
    bool was_space = true;
    for (size_t i = 0; i < s.len; i++) {
        bool is_space = s.ptr[i] == ' ';
        word = is_space ? 0 : word + 1;
        if (s.ptr[i] < ' ' || s.ptr[i] > '~' || (is_space && was_space) || word > WORD_MAX) {
            return false;
        }
        was_space = is_space;
    }
    return !was_space && !str_has(s, STR("=?"));
}

static void put_words(struct buf *b, size_t column, struct str text)
{
    bool is_first = true;
    while (text.len > 0) {
        struct str word = str_cut(&text, ' ');
        bool folds = !is_first && column + 1 + word.len > LINE;
        put(b, is_first ? STR("") : (folds ? STR("\r\n ") : STR(" ")));
        column = folds ? 1 + word.len : column + word.len + (is_first ? 0 : 1);
        put(b, word);
        is_first = false;
    }
}

/* RFC 2047: words of at most 75 characters, no character torn apart between two. */
static void put_encoded(struct buf *b, size_t column, struct str text)
{
    enum { AROUND = 12 }; /* =?UTF-8?B? and ?= */
    struct arena a;
    arena_init(&a);
    do {
        struct str piece = utf8_cut(text, (LINE - 1 - AROUND - column) / 4 * 3);
        struct str code = mime_base64(&a, piece);
        CHECK(buf_printf(b, "=?UTF-8?B?%.*s?=", STR_FMT(code)) == ERR_OK);
        text = str_from_at(text, piece.len);
        put(b, text.len > 0 ? STR("\r\n ") : STR(""));
        column = 1;
    } while (text.len > 0);
    arena_fini(&a);
}

void mime_text_field(struct buf *b, const char *name, struct str text)
{
    size_t column = strlen(name) + 2;
    CHECK(column < LINE / 2);
    CHECK(buf_printf(b, "%s: ", name) == ERR_OK);
    if (is_plain(text)) {
        put_words(b, column, text);
    } else {
        put_encoded(b, column, text);
    }
    put(b, STR("\r\n"));
}

void mime_list_field(struct buf *b, const char *name, const struct str *items, size_t count)
{
    size_t column = strlen(name) + 1;
    CHECK(buf_printf(b, "%s:", name) == ERR_OK);
    for (size_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count;
        size_t len = items[i].len + (is_last ? 0 : 1);
        bool folds = i > 0 && column + 1 + len > LINE;
        put(b, folds ? STR("\r\n ") : STR(" "));
        put(b, items[i]);
        put(b, is_last ? STR("") : STR(","));
        column = (folds ? 0 : column) + 1 + len;
    }
    put(b, STR("\r\n"));
}

/* --- bodies --- */

/* RFC 2045 6.7: a space or tab must not end a line; a dot at its start is quoted too, so that
 * no server takes it for its own. */
static bool is_literal(struct str line, size_t at, size_t column)
{
    char c = line.ptr[at];
    if (c == ' ' || c == '\t') {
        return at + 1 < line.len;
    }
    return c > ' ' && c <= '~' && c != '=' && !(c == '.' && column == 0);
}

static void put_quoted_line(struct buf *b, struct str line)
{
    size_t column = 0;
    for (size_t i = 0; i < line.len; i++) {
        bool is_as_is = is_literal(line, i, column);
        if (column + (is_as_is ? 1 : 3) > LINE - 1) {
            put(b, STR("=\r\n"));
            column = 0;
            is_as_is = is_literal(line, i, column);
        }
        if (is_as_is) {
            put(b, str_of(line.ptr + i, 1));
        } else {
            CHECK(buf_printf(b, "=%02X", (unsigned char)line.ptr[i]) == ERR_OK);
        }
        column += is_as_is ? 1 : 3;
    }
    put(b, STR("\r\n"));
}

void mime_quoted(struct buf *b, struct str text)
{
    while (text.len > 0) {
        struct str line = str_cut(&text, '\n');
        if (str_ends(line, STR("\r"))) {
            line.len--;
        }
        put_quoted_line(b, line);
    }
}

struct str mime_base64(struct arena *a, struct str bytes)
{
    static const char DIGITS[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = arena_alloc(a, (bytes.len + 2) / 3 * 4 + 1);
    size_t len = 0;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = 0;
        for (size_t j = 0; j < 3; j++) {
            group = group << 8 | (j < have ? (unsigned char)bytes.ptr[i + j] : 0);
        }
        for (size_t j = 0; j < 4; j++) {
            out[len++] = j <= have ? DIGITS[group >> (18 - 6 * j) & 63] : '=';
        }
    }
    out[len] = '\0';
    return str_of(out, len);
}
