#include "base/conf_rows.h"

#include <inttypes.h>
#include <limits.h>

#include "base/check.h"
#include "base/conf_value.h"

static void store(const struct conf_row *row, void *into, uint64_t value)
{
    char *field = (char *)into + row->offset;
    if (row->width == sizeof(uint64_t)) {
        memcpy(field, &value, sizeof(value));
        return;
    }
    CHECK(row->width == sizeof(uint32_t) && value <= UINT32_MAX);
    uint32_t narrow = (uint32_t)value;
    memcpy(field, &narrow, sizeof(narrow));
}

static void put_bound(const struct conf_row *row, uint64_t value, char *out, size_t size)
{
    if (row->type == CONF_DURATION) {
        conf_put_duration(value, out, size);
    } else if (row->type == CONF_SIZE) {
        conf_put_size(value, out, size);
    } else if (row->type == CONF_PERCENT) {
        conf_put_percent(value, out, size);
    } else {
        (void)snprintf(out, size, "%" PRIu64, value);
    }
}

static bool refuse_range(struct conf *c, const struct conf_node *n, const struct conf_row *row)
{
    char low[32];
    char high[32];
    put_bound(row, row->min, low, sizeof(low));
    put_bound(row, row->max, high, sizeof(high));
    conf_error(c, n->start, "'%s' must be from %s to %s, not %s", row->name, low, high,
               conf_quote(c, n).ptr);
    return false;
}

static bool is_in_range(const struct conf_row *row, uint64_t value)
{
    if (row->max > 0) {
        return value >= row->min && value <= row->max;
    }
    return row->width == sizeof(uint64_t) || value <= UINT32_MAX;
}

static bool refuse_type(struct conf *c, const struct conf_node *n, const struct conf_row *row,
                        const char *expected)
{
    if (row->flags & CONF_SECRET) {
        conf_error(c, n->start, "'%s' must be %s", row->name, expected);
    } else {
        conf_error(c, n->start, "'%s' must be %s, not %s", row->name, expected,
                   conf_is_null(n) ? "nothing" : conf_quote(c, n).ptr);
    }
    return false;
}

static const char *describe(enum conf_type type)
{
    switch (type) {
    case CONF_BOOL:
        return "true or false";
    case CONF_INTEGER:
        return "a whole number";
    case CONF_DOUBLE:
        return "a number";
    case CONF_STRING:
        return "a string";
    case CONF_PATH:
        return "a path";
    case CONF_DURATION:
        return "a duration such as 250ms, 5s, 10m or 2h";
    case CONF_SIZE:
        return "a size such as 32k, 16m or 1g";
    case CONF_PERCENT:
        return "a percentage such as 20% or 2.5%";
    case CONF_WORD:
        return "one of its words";
    case CONF_TABLE:
        return "a mapping";
    case CONF_READ:
    case CONF_LATER:
        break;
    }
    return "something else";
}

static enum err read_number(enum conf_type type, struct str text, uint64_t *value)
{
    if (type == CONF_DURATION) {
        return conf_duration(text, value);
    }
    if (type == CONF_SIZE) {
        return conf_size(text, value);
    }
    if (type == CONF_PERCENT) {
        return conf_percent(text, value);
    }
    return str_to_u64(text, UINT64_MAX, value);
}

static bool read_integer(struct conf *c, const struct conf_node *n, const struct conf_row *row,
                         struct str text, void *into)
{
    uint64_t value = 0;
    enum err e = read_number(row->type, text, &value);
    if (e == ERR_SYNTAX) {
        return refuse_type(c, n, row, describe(row->type));
    }
    if (e != ERR_OK || !is_in_range(row, value)) {
        return row->max > 0 ? refuse_range(c, n, row)
                            : refuse_type(c, n, row, "a smaller number");
    }
    store(row, into, value);
    return true;
}

static bool read_double(struct conf *c, const struct conf_node *n, const struct conf_row *row,
                        struct str text, void *into)
{
    double value = 0;
    enum err e = conf_double(text, &value);
    if (e == ERR_SYNTAX) {
        return refuse_type(c, n, row, describe(row->type));
    }
    bool is_bounded = row->max > 0;
    if (e != ERR_OK || (is_bounded && (value < (double)row->min || value > (double)row->max))) {
        return refuse_range(c, n, row);
    }
    memcpy((char *)into + row->offset, &value, sizeof(value));
    return true;
}

static bool read_bool(struct conf *c, const struct conf_node *n, const struct conf_row *row,
                      struct str text, void *into)
{
    bool value = str_eq(text, STR("true"));
    if (!value && !str_eq(text, STR("false"))) {
        return refuse_type(c, n, row, describe(row->type));
    }
    memcpy((char *)into + row->offset, &value, sizeof(value));
    return true;
}

static bool read_word(struct conf *c, const struct conf_node *n, const struct conf_row *row,
                      struct str text, void *into)
{
    struct str list = STR("");
    for (uint32_t i = 0; row->words[i]; i++) {
        if (str_eq(text, str_from(row->words[i]))) {
            store(row, into, i);
            return true;
        }
        const char *between = i == 0 ? "" : (row->words[i + 1] ? ", " : " or ");
        list = arena_printf(&c->arena, "%.*s%s%s", STR_FMT(list), between, row->words[i]);
    }
    return refuse_type(c, n, row, list.ptr);
}

static bool read_string(struct conf *c, const struct conf_node *n, const struct conf_row *row,
                        struct str text, void *into)
{
    if (row->max > 0 && (text.len < row->min || text.len > row->max)) {
        if (text.len == 0) {
            conf_error(c, n->start, "'%s' must not be empty", row->name);
        } else {
            conf_error(c, n->start,
                       "'%s' must have from %" PRIu64 " to %" PRIu64 " bytes, not %zu",
                       row->name, row->min, row->max, text.len);
        }
        return false;
    }
    if (memchr(text.ptr, '\0', text.len)) {
        conf_error(c, n->start, "'%s' must not hold a NUL character", row->name);
        return false;
    }
    struct str value = row->type == CONF_PATH ? conf_path(c, text) : text;
    memcpy((char *)into + row->offset, &value, sizeof(value));
    return true;
}

bool conf_read_value(struct conf *c, const struct conf_node *n, const struct conf_row *row,
                     void *into)
{
    struct str text = STR("");
    bool is_secret = (row->flags & CONF_SECRET) != 0;
    if (is_secret) {
        conf_hide(c, n);
    }
    if (conf_is_null(n) || (n->kind != CONF_SCALAR && !(is_secret && n->kind == CONF_MAP))) {
        return refuse_type(c, n, row, describe(row->type));
    }
    if (!(is_secret ? conf_secret(c, n, &text) : conf_text(c, n, &text))) {
        return false;
    }
    switch (row->type) {
    case CONF_BOOL:
        return read_bool(c, n, row, text, into);
    case CONF_INTEGER:
    case CONF_DURATION:
    case CONF_SIZE:
    case CONF_PERCENT:
        return read_integer(c, n, row, text, into);
    case CONF_DOUBLE:
        return read_double(c, n, row, text, into);
    case CONF_STRING:
    case CONF_PATH:
        return read_string(c, n, row, text, into);
    case CONF_WORD:
        return read_word(c, n, row, text, into);
    case CONF_TABLE:
    case CONF_READ:
    case CONF_LATER:
        break;
    }
    BUG("not a single value");
}

static void read_row(struct conf *c, const struct conf_item *item, const struct conf_row *row,
                     void *into)
{
    switch (row->type) {
    case CONF_TABLE:
        (void)conf_read_map(c, item->value, row->table, (char *)into + row->offset);
        return;
    case CONF_READ:
        row->read(c, item->value, into);
        return;
    case CONF_LATER:
        conf_error(c, item->mark, "unknown key '%s'; this version does not have it yet",
                   row->name);
        return;
    case CONF_BOOL:
    case CONF_INTEGER:
    case CONF_DOUBLE:
    case CONF_STRING:
    case CONF_PATH:
    case CONF_DURATION:
    case CONF_SIZE:
    case CONF_PERCENT:
    case CONF_WORD:
        (void)conf_read_value(c, item->value, row, into);
        return;
    }
}

static const struct conf_row *find_row(const struct conf_table *t, struct str key)
{
    for (size_t i = 0; i < t->count; i++) {
        if (str_eq(key, str_from(t->rows[i].name))) {
            return &t->rows[i];
        }
    }
    return NULL;
}

/* The row that may have been meant, or NULL. */
static const struct conf_row *refuse_key(struct conf *c, const struct conf_item *item,
                                         const struct conf_table *t)
{
    const struct conf_row *meant = NULL;
    uint32_t best = UINT32_MAX;
    for (size_t i = 0; i < t->count; i++) {
        const struct conf_row *row = &t->rows[i];
        if (row->type != CONF_LATER && conf_is_nearer(item->key, str_from(row->name), &best)) {
            meant = row;
        }
    }
    if (!meant) {
        conf_error(c, item->mark, "unknown key '%.*s' in %s", STR_FMT(item->key), t->what);
        return NULL;
    }
    conf_error(c, item->mark, "unknown key '%.*s' in %s; did you mean '%s'?",
               STR_FMT(item->key), t->what, meant->name);
    if (meant->flags & CONF_SECRET) {
        conf_hide(c, item->value);
    }
    return meant;
}

static void require_rows(struct conf *c, const struct conf_node *n, const struct conf_table *t,
                         uint64_t given)
{
    for (size_t i = 0; i < t->count; i++) {
        if ((t->rows[i].flags & CONF_REQUIRED) && !(given & (1ULL << i))) {
            conf_error(c, n->start, "%s needs '%s'", t->what, t->rows[i].name);
        }
    }
}

static uint64_t get_bit(const struct conf_table *t, const struct conf_row *row)
{
    return 1ULL << (size_t)(row - t->rows);
}

/* The bit of the row that the item gives, or would give but for a slip of the pen. */
static uint64_t read_item(struct conf *c, const struct conf_item *item,
                          const struct conf_table *t, uint64_t given, void *into)
{
    const struct conf_row *row = find_row(t, item->key);
    if (!row) {
        row = refuse_key(c, item, t);
    } else if (!(given & get_bit(t, row))) { /* duplicates are refused with the tree */
        read_row(c, item, row, into);
    }
    return row ? get_bit(t, row) : 0;
}

uint64_t conf_read_map(struct conf *c, const struct conf_node *n, const struct conf_table *t,
                       void *into)
{
    uint64_t given = 0;
    CHECK(t->count <= CHAR_BIT * sizeof(given));
    if (n->kind != CONF_MAP) {
        conf_error(c, n->start, "expected a mapping (%s), got %s", t->what, conf_kind_name(n));
        return 0;
    }
    for (size_t i = 0; i < n->count; i++) {
        given |= read_item(c, &n->items[i], t, given, into);
    }
    require_rows(c, n, t, given);
    return given;
}
