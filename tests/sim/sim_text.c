#include "sim_text.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "sim_draw.h"

enum { TEXT_MAX = 8 << 20, FORMATTED_MAX = 2048 };

/* --- tokens --- */

static const char *const hard[] = {"\"",   "\\",       "\n",     "\t",   "\r\n",        "/",
                                   "<b>",  "&",        "\x01",   "\x1f", "\x7f",        "é",
                                   "ß",    "中",       "\u2028", "😀",    "👩‍🚀", "\\n",
                                   "\\\"", "{\"a\":[", "data: ", "\n\n", "[DONE]",      "ü"};

/* Most tokens carry their number, so that one that is lost or doubled is noticed. */
static void put_token(struct buf *out, uint32_t number, uint32_t rarity, struct rand *r)
{
    if (rand_below(r, 100) < rarity) {
        put(out, str_from(hard[rand_below(r, sizeof(hard) / sizeof(hard[0]))]));
        return;
    }
    static const struct str before[] = {STR_INIT(" w"), STR_INIT(""), STR_INIT(" the "),
                                        STR_INIT(", "), STR_INIT("-")};
    put(out, before[rand_below(r, sizeof(before) / sizeof(before[0]))]);
    put_format(out, "%u", number);
}

void said_make(struct said *s, uint32_t count, uint32_t pad, struct rand *r, struct arena *a)
{
    struct buf out;
    bool is_monotone = draw_percent(r, 4); /* the same token again and again */
    uint32_t rarity = draw_percent(r, 30) ? 80 : 20;
    CHECK(count <= TOKENS_MAX);
    buf_init(&out, TEXT_MAX);
    s->count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (is_monotone) {
            put(&out, STR(" ha"));
        } else {
            put_token(&out, i, rarity, r);
        }
        for (uint32_t left = pad; left > 0; left -= left < 10 ? left : 10) {
            put(&out, str_of("          ", left < 10 ? left : 10));
        }
        s->end[i] = (uint32_t)buf_len(&out);
    }
    s->text = arena_dup(a, buf_str(&out));
    buf_fini(&out);
}

struct str said_tokens(const struct said *s, uint32_t from, uint32_t to)
{
    uint32_t start = from > 0 ? s->end[from - 1] : 0;
    uint32_t end = to > 0 ? s->end[to - 1] : 0;
    return to > from ? str_of(s->text.ptr + start, end - start) : STR("");
}

bool said_is_prefix(const struct said *s, struct str text, uint32_t *tokens)
{
    uint32_t at = 0;
    while (at < s->count && s->end[at] <= text.len) {
        at++;
    }
    *tokens = at;
    return str_eq(said_tokens(s, 0, at), text);
}

/* --- JSON strings --- */

void put(struct buf *out, struct str s)
{
    enum err e = buf_append(out, s);
    CHECK(e == ERR_OK);
}

void put_format(struct buf *out, const char *format, ...)
{
    char text[FORMATTED_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    CHECK(len >= 0 && (size_t)len < sizeof(text));
    put(out, str_of(text, (size_t)len));
}

static uint32_t decode(const unsigned char *at, size_t *size)
{
    if (at[0] < 0x80) {
        *size = 1;
        return at[0];
    }
    if (at[0] < 0xe0) {
        *size = 2;
        return (at[0] & 0x1fU) << 6 | (at[1] & 0x3fU);
    }
    if (at[0] < 0xf0) {
        *size = 3;
        return (at[0] & 0x0fU) << 12 | (at[1] & 0x3fU) << 6 | (at[2] & 0x3fU);
    }
    *size = 4;
    return (at[0] & 0x07U) << 18 | (at[1] & 0x3fU) << 12 | (at[2] & 0x3fU) << 6 |
           (at[3] & 0x3fU);
}

static void put_escape(struct buf *out, uint32_t code)
{
    if (code > 0xffff) {
        put_format(out, "\\u%04x\\u%04X", 0xd800 + ((code - 0x10000) >> 10),
                   0xdc00 + ((code - 0x10000) & 0x3ff));
    } else {
        put_format(out, "\\u%04x", code);
    }
}

/* The short form of what must be escaped; NULL for others. */
static const char *short_escape(uint32_t code)
{
    switch (code) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

static bool wants_escape(uint32_t code, enum spelling how)
{
    bool is_html = code == '<' || code == '>' || code == '&' || code == 0x2028;
    return code < 0x20 || (how == SPELL_ASCII && code > 0x7e) || (how == SPELL_HTML && is_html);
}

void put_quoted(struct buf *out, struct str text, enum spelling how)
{
    size_t size = 1;
    put(out, STR("\""));
    for (size_t i = 0; i < text.len; i += size) {
        uint32_t code = decode((const unsigned char *)text.ptr + i, &size);
        const char *escape = short_escape(code);
        if (escape) {
            put(out, str_from(escape));
        } else if (wants_escape(code, how)) {
            put_escape(out, code);
        } else if (code == '/' && how == SPELL_SLASH) {
            put(out, STR("\\/"));
        } else {
            put(out, str_of(text.ptr + i, size));
        }
    }
    put(out, STR("\""));
}
