#include "base/conf_value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

struct unit {
    struct str name;
    uint64_t factor;
};

/* The largest first: that is how they are written. */
static const struct unit TIMES[] = {{STR_INIT("h"), 3600 * 1000},
                                    {STR_INIT("m"), 60 * 1000},
                                    {STR_INIT("s"), 1000},
                                    {STR_INIT("ms"), 1}};
static const struct unit SIZES[] = {{STR_INIT("g"), 1U << 30},
                                    {STR_INIT("m"), 1U << 20},
                                    {STR_INIT("k"), 1U << 10},
                                    {STR_INIT(""), 1}};
static const struct unit LONG_SIZES[] = {{STR_INIT("GiB"), 1U << 30},
                                         {STR_INIT("MiB"), 1U << 20},
                                         {STR_INIT("KiB"), 1U << 10},
                                         {STR_INIT("B"), 1}};
enum { UNITS = 4 };
/* Only read: people say 36h as often as 1d. */
static const struct unit DAYS[UNITS] = {{STR_INIT("d"), 24U * 3600 * 1000}};

static const struct unit *find_unit(const struct unit *units, struct str name)
{
    for (size_t i = 0; i < UNITS && units[i].factor > 0; i++) {
        if (str_eq(units[i].name, name)) {
            return &units[i];
        }
    }
    return NULL;
}

static enum err read_units(struct str text, const struct unit *units, uint64_t *value)
{
    size_t digits = 0;
    uint64_t number = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    const struct unit *unit = find_unit(units, str_from_at(text, digits));
    enum err e = str_to_u64(str_of(text.ptr, digits), UINT64_MAX, &number);
    if (e != ERR_OK || !unit) {
        return unit ? e : ERR_SYNTAX;
    }
    if (number > UINT64_MAX / unit->factor) {
        return ERR_RANGE;
    }
    *value = number * unit->factor;
    return ERR_OK;
}

enum err conf_duration(struct str text, uint64_t *ms)
{
    if (str_eq(text, STR("0"))) {
        *ms = 0;
        return ERR_OK;
    }
    return read_units(text, str_ends(text, STR("d")) ? DAYS : TIMES, ms);
}

enum err conf_size(struct str text, uint64_t *bytes)
{
    return read_units(text, str_ends(text, STR("B")) ? LONG_SIZES : SIZES, bytes);
}

/* Up to two digits behind the point, as hundredths. */
static enum err read_hundredths(struct str text, uint64_t *value)
{
    uint64_t number = 0;
    if (text.len == 0 || text.len > 2 || str_to_u64(text, UINT64_MAX, &number) != ERR_OK) {
        return ERR_SYNTAX;
    }
    *value = text.len == 1 ? number * 10 : number;
    return ERR_OK;
}

enum err conf_percent(struct str text, uint64_t *per_10k)
{
    uint64_t whole = 0;
    uint64_t hundredths = 0;
    if (text.len == 0 || text.ptr[text.len - 1] != '%') {
        return ERR_SYNTAX;
    }
    struct str rest = str_of(text.ptr, text.len - 1);
    struct str before = str_cut(&rest, '.');
    bool has_point = before.len < text.len - 1;
    if (has_point && read_hundredths(rest, &hundredths) != ERR_OK) {
        return ERR_SYNTAX;
    }
    enum err e = str_to_u64(before, UINT64_MAX, &whole);
    if (e == ERR_OK && whole >= UINT64_MAX / 100) {
        e = ERR_RANGE;
    }
    if (e == ERR_OK) {
        *per_10k = whole * 100 + hundredths;
    }
    return e;
}

enum err conf_double(struct str text, double *value)
{
    char copy[64];
    char *end = NULL;
    if (text.len == 0) {
        return ERR_SYNTAX;
    }
    if (text.len >= sizeof(copy)) {
        return ERR_RANGE;
    }
    for (size_t i = 0; i < text.len; i++) {
        /* strtod would also take "inf", "nan", hexadecimal and leading space. */
        if (text.ptr[i] == '\0' || !strchr("0123456789+-.eE", text.ptr[i])) {
            return ERR_SYNTAX;
        }
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    double number = strtod(copy, &end);
    if (*end != '\0') {
        return ERR_SYNTAX;
    }
    if (!isfinite(number)) {
        return ERR_RANGE;
    }
    *value = number;
    return ERR_OK;
}

static void put_units(uint64_t value, const struct unit *units, char *out, size_t size)
{
    size_t i = 0;
    while (i + 1 < UNITS && (value == 0 || value % units[i].factor != 0)) {
        i++;
    }
    (void)snprintf(out, size, "%llu%s", (unsigned long long)(value / units[i].factor),
                   units[i].name.ptr);
}

void conf_put_duration(uint64_t ms, char *out, size_t size)
{
    put_units(ms, TIMES, out, size);
}

void conf_put_size(uint64_t bytes, char *out, size_t size)
{
    put_units(bytes, SIZES, out, size);
}

void conf_put_percent(uint64_t per_10k, char *out, size_t size)
{
    unsigned long long whole = per_10k / 100;
    unsigned hundredths = (unsigned)(per_10k % 100);
    if (hundredths == 0) {
        (void)snprintf(out, size, "%llu%%", whole);
    } else {
        (void)snprintf(out, size, "%llu.%02u%%", whole, hundredths);
    }
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return s.len > 0;
}

/* Replaces one ${…}; `inside` is what stands between the braces, `all` the whole of it. */
static bool put_variable(struct conf *c, const struct conf_node *n, struct str all,
                         struct buf *out)
{
    struct str inside = str_of(all.ptr + 2, all.len - 3);
    struct str rest = inside;
    struct str name = str_cut(&rest, ':');
    bool has_default = name.len < inside.len && str_starts(rest, STR("-"));
    if (!is_name(name) || (name.len < inside.len && !has_default)) {
        conf_error(c, conf_find(c, n, all),
                   "expected ${NAME} or ${NAME:-default} (a dollar sign itself is $$)");
        return false;
    }
    struct str value = str_from(getenv(arena_dup(&c->arena, name).ptr));
    if (!value.ptr && !has_default) {
        conf_error(c, conf_find(c, n, all), "environment variable '%.*s' is not set",
                   STR_FMT(name));
        return false;
    }
    if (value.len == 0 && has_default) {
        value = str_from_at(rest, 1);
    }
    if (buf_append(out, value) != ERR_OK) {
        conf_error(c, n->start, "longer than 64 KiB");
        return false;
    }
    return true;
}

/* The length of what is at the front of s: "$$", "${…}", a lone "$", or text up to the next
 * "$"; 0 for a "${" that does not end. */
static size_t measure_piece(struct str s)
{
    if (s.ptr[0] != '$') {
        const char *next = memchr(s.ptr, '$', s.len);
        return next ? (size_t)(next - s.ptr) : s.len;
    }
    if (s.len > 1 && s.ptr[1] == '$') {
        return 2;
    }
    if (s.len < 2 || s.ptr[1] != '{') {
        return 1;
    }
    const char *end = memchr(s.ptr, '}', s.len);
    return end ? (size_t)(end - s.ptr) + 1 : 0;
}

static bool put_piece(struct conf *c, const struct conf_node *n, struct str piece,
                      struct buf *out)
{
    if (str_starts(piece, STR("${"))) {
        return put_variable(c, n, piece, out);
    }
    if (str_eq(piece, STR("$$"))) {
        piece.len = 1;
    }
    if (buf_append(out, piece) != ERR_OK) {
        conf_error(c, n->start, "longer than 64 KiB");
        return false;
    }
    return true;
}

static bool substitute(struct conf *c, const struct conf_node *n, struct buf *out)
{
    struct str rest = n->text;
    while (rest.len > 0) {
        size_t len = measure_piece(rest);
        if (len == 0) {
            conf_error(c, conf_find(c, n, rest),
                       "'${' without '}' (a dollar sign itself is $$)");
            return false;
        }
        if (!put_piece(c, n, str_of(rest.ptr, len), out)) {
            return false;
        }
        rest = str_from_at(rest, len);
    }
    return true;
}

bool conf_text(struct conf *c, const struct conf_node *n, struct str *out)
{
    struct buf text;
    if (n->kind != CONF_SCALAR || conf_is_null(n)) {
        conf_error(c, n->start, "expected a value, got %s", conf_kind_name(n));
        return false;
    }
    buf_init(&text, CONF_SECRET_MAX);
    bool ok = substitute(c, n, &text);
    if (ok) {
        *out = arena_dup(c->texts, buf_str(&text));
    }
    if (text.data) {
        explicit_bzero(text.data, text.cap);
    }
    buf_fini(&text);
    return ok;
}

struct str conf_path(struct conf *c, struct str path)
{
    const char *slash = memrchr(c->path.ptr, '/', c->path.len);
    if (str_starts(path, STR("/")) || !slash) {
        return arena_dup(c->texts, path);
    }
    return arena_printf(c->texts, "%.*s/%.*s", (int)(slash - c->path.ptr), c->path.ptr,
                        STR_FMT(path));
}

static bool read_secret_file(struct conf *c, const struct conf_node *n, struct str path,
                             struct str *out)
{
    char *content = NULL;
    size_t len = 0;
    enum err e = conf_read_file(conf_path(c, path).ptr, CONF_SECRET_MAX, &content, &len);
    if (e != ERR_OK) {
        conf_error(c, n->start, "file '%.*s': %s", STR_FMT(path),
                   e == ERR_TOO_LARGE ? "larger than 64 KiB" : strerror(errno));
        return false;
    }
    size_t end = len;
    end -= end > 0 && content[end - 1] == '\n';
    end -= end > 0 && content[end - 1] == '\r';
    *out = arena_dup(c->texts, str_of(content, end));
    explicit_bzero(content, len);
    free(content);
    return true;
}

bool conf_secret(struct conf *c, const struct conf_node *n, struct str *out)
{
    if (n->kind != CONF_MAP) {
        return conf_text(c, n, out);
    }
    struct str path = STR("");
    const struct conf_node *file = conf_get(n, STR("file"));
    if (!file || n->count != 1) {
        conf_error(c, n->start, "expected a value or {file: PATH}");
        return false;
    }
    return conf_text(c, file, &path) && read_secret_file(c, file, path, out);
}

struct str conf_quote(struct conf *c, const struct conf_node *n)
{
    enum { LONGEST = 40 };
    struct str s = n->text;
    if (n->kind != CONF_SCALAR) {
        return str_from(conf_kind_name(n));
    }
    if (s.len <= LONGEST) {
        return arena_printf(&c->arena, "'%.*s'", STR_FMT(s));
    }
    s.len = LONGEST;
    while (s.len > 0 && ((unsigned char)s.ptr[s.len] & 0xc0) == 0x80) {
        s.len--;
    }
    return arena_printf(&c->arena, "'%.*s...'", STR_FMT(s));
}

static char fold(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

enum { WORD_MAX = 64 };

/* Rows of the table of distances: this letter's and those of the two before. */
struct distances {
    uint32_t *row;
    const uint32_t *above;
    const uint32_t *above2;
};

static void fill_row(const struct distances *d, struct str a, uint32_t i, struct str b)
{
    char x = fold(a.ptr[i - 1]);
    d->row[0] = i;
    for (uint32_t j = 1; j <= b.len; j++) {
        char y = fold(b.ptr[j - 1]);
        bool is_swap = i > 1 && j > 1 && x == fold(b.ptr[j - 2]) && y == fold(a.ptr[i - 2]);
        d->row[j] = least(least(d->above[j], d->row[j - 1]) + 1, d->above[j - 1] + (x != y));
        d->row[j] = is_swap ? least(d->row[j], d->above2[j - 2] + 1) : d->row[j];
    }
}

/* Optimal string alignment: a swap of neighbours is one edit. Both at most WORD_MAX long. */
static uint32_t measure_distance(struct str a, struct str b)
{
    uint32_t rows[3][WORD_MAX + 1] = {{0}};
    for (uint32_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (uint32_t i = 1; i <= a.len; i++) {
        const struct distances d = {rows[i % 3], rows[(i + 2) % 3], rows[(i + 1) % 3]};
        fill_row(&d, a, i, b);
    }
    return rows[a.len % 3][b.len];
}

bool conf_is_nearer(struct str word, struct str candidate, uint32_t *best)
{
    if (word.len > WORD_MAX || candidate.len > WORD_MAX) {
        return false;
    }
    uint32_t distance = measure_distance(word, candidate);
    /* Two edits make any word of three letters or fewer into any other. */
    bool is_near = distance <= 2 && (size_t)distance * 2 < candidate.len;
    if (!is_near || distance >= *best) {
        return false;
    }
    *best = distance;
    return true;
}
