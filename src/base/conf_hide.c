#include "base/conf_private.h"

/* ${NAME} and nothing else: no secret. */
static bool is_reference(struct str text)
{
    if (!str_starts(text, STR("${")) || !str_ends(text, STR("}"))) {
        return false;
    }
    struct str name = str_of(text.ptr + 2, text.len - 3);
    return !str_has(name, STR(":")) && !str_has(name, STR("}"));
}

void conf_hide(struct conf *c, const struct conf_node *n)
{
    if (n->kind == CONF_SCALAR && !is_reference(n->text)) {
        conf_errors_blot(c->errors, n->start, n->end);
    }
    for (size_t i = 0; n->kind != CONF_SCALAR && i < n->count; i++) {
        if (!str_eq(n->items[i].key, STR("file"))) {
            conf_hide(c, n->items[i].value);
        }
    }
}

static bool has_nocase(struct str s, struct str word)
{
    for (size_t i = 0; i + word.len <= s.len; i++) {
        if (str_eq_nocase(str_of(s.ptr + i, word.len), word)) {
            return true;
        }
    }
    return false;
}

static bool speaks_of_secrets(struct str key)
{
    static const struct str WORDS[] = {STR_INIT("key"),    STR_INIT("token"),
                                       STR_INIT("secret"), STR_INIT("passw"),
                                       STR_INIT("auth"),   STR_INIT("cookie")};
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (has_nocase(key, WORDS[i])) {
            return true;
        }
    }
    return false;
}

/* first_token: 10s, max_tokens: 200. */
static bool is_measure(struct str text)
{
    enum { LONGEST = 7 };
    return text.len <= LONGEST && text.len > 0 &&
           (text.ptr[0] == '-' || (text.ptr[0] >= '0' && text.ptr[0] <= '9'));
}

void conf_hide_keys(struct conf *c, const struct conf_node *n)
{
    for (size_t i = 0; n->kind != CONF_SCALAR && i < n->count; i++) {
        const struct conf_node *value = n->items[i].value;
        bool is_secret = value->kind == CONF_SCALAR && !is_measure(value->text) &&
                         speaks_of_secrets(n->items[i].key);
        if (is_secret || str_eq(n->items[i].key, STR("headers"))) {
            conf_hide(c, value);
        } else {
            conf_hide_keys(c, value);
        }
    }
}

static bool is_key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-';
}

/* A mapping, a list or a reference is no secret itself. */
static bool is_open(struct str value)
{
    return str_starts(value, STR("{")) || str_starts(value, STR("[")) ||
           str_starts(value, STR("${"));
}

/* Where the value of the first suspicious key of the line starts; line.len if there is none. */
static size_t find_secret(struct str line)
{
    size_t word = 0;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];
        if (c == ':' && speaks_of_secrets(str_of(line.ptr + word, i - word)) &&
            !is_open(str_trim(str_from_at(line, i + 1)))) {
            return i + 1;
        }
        if (!is_key_character(c) && c != '"' && c != '\'') {
            word = i + 1;
        }
    }
    return line.len;
}

static size_t count_indent(struct str line)
{
    size_t n = 0;
    while (n < line.len && line.ptr[n] == ' ') {
        n++;
    }
    return n;
}

void conf_hide_lines(struct conf *c)
{
    size_t inside = SIZE_MAX; /* indent of a suspicious key whose value may go on below it */
    struct conf_errors *e = c->errors;
    for (uint32_t i = 1; i <= e->line_count; i++) {
        uint32_t from = e->line_at[i - 1];
        struct str line = str_of(c->source + from, e->line_at[i] - from);
        size_t indent = count_indent(line);
        size_t secret = find_secret(line);
        if (indent <= inside) {
            inside = secret < line.len ? indent : SIZE_MAX;
        } else if (inside != SIZE_MAX) {
            secret = indent;
        }
        conf_errors_blot(e, conf_errors_mark(e, from + secret),
                         conf_errors_mark(e, e->line_at[i]));
    }
}
