#include <stdlib.h>

#include <libfyaml.h>

#include "base/conf_mask.h"
#include "base/conf_private.h"

enum { ANCHORS_MAX = 100 };

/* An anchor and the finished node that it names: no alias can lead in a circle. */
struct anchor {
    struct str name;
    const struct conf_node *node;
};

struct builder {
    struct conf *conf;
    struct fy_parser *parser;
    size_t node_count; /* what is behind an alias counts at each use */
    uint32_t depth;
    struct anchor anchors[ANCHORS_MAX];
    size_t anchor_count;
};

struct items {
    struct conf_item *at;
    size_t count;
    size_t room;
};

static const struct conf_mark NOWHERE = {0, 0};

static bool build_next(struct builder *b, struct conf_node **out);

static struct conf_mark convert_mark(const struct fy_mark *m, struct conf_mark otherwise)
{
    if (!m) {
        return otherwise;
    }
    return (struct conf_mark){.line = (uint32_t)m->line + 1, .column = (uint32_t)m->column + 1};
}

static struct str copy_token(struct builder *b, struct fy_token *token)
{
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : NULL;
    if (!text) {
        return STR("");
    }
    struct str copy = arena_dup(&b->conf->arena, str_of(text, len));
    return conf_unmask(&b->conf->arena, copy);
}

static bool count_nodes(struct builder *b, struct conf_mark at, size_t more)
{
    b->node_count += more;
    if (b->node_count > CONF_NODES_MAX) {
        conf_error(b->conf, at, "more than %d values, those behind aliases counted at each use",
                   CONF_NODES_MAX);
        return false;
    }
    return true;
}

static bool check_depth(struct builder *b, struct conf_mark at, uint32_t depth)
{
    if (depth > CONF_DEPTH_MAX) {
        conf_error(b->conf, at, "nested more than %d levels deep", CONF_DEPTH_MAX);
        return false;
    }
    return true;
}

/* The depth of the tree below n, itself included, if it is a list or map. */
static uint32_t measure(const struct conf_node *n, size_t *count)
{
    uint32_t deepest = 0;
    (*count)++;
    for (size_t i = 0; i < n->count; i++) {
        uint32_t depth = measure(n->items[i].value, count);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + (n->kind != CONF_SCALAR);
}

static bool resolve_alias(struct builder *b, struct fy_event *e, struct conf_node *n)
{
    struct str name = copy_token(b, e->alias.anchor);
    struct conf_mark at = convert_mark(fy_event_start_mark(e), NOWHERE);
    at.column -= at.column > 1; /* the star */
    for (size_t i = b->anchor_count; i > 0; i--) {
        const struct anchor *a = &b->anchors[i - 1];
        if (str_eq(a->name, name)) {
            size_t count = 0;
            uint32_t depth = b->depth + measure(a->node, &count);
            *n = *a->node;
            return count_nodes(b, at, count) && check_depth(b, at, depth);
        }
    }
    conf_error(b->conf, at, "alias '*%.*s' without an anchor before it", STR_FMT(name));
    return false;
}

/* Quotes belong to what is pointed at; libfyaml's mark is behind the first. */
static void read_scalar(struct builder *b, struct fy_event *e, struct conf_node *n)
{
    enum fy_node_style style = fy_event_get_node_style(e);
    bool is_quoted = style == FYNS_SINGLE_QUOTED || style == FYNS_DOUBLE_QUOTED;
    n->kind = CONF_SCALAR;
    n->is_plain = !is_quoted && style != FYNS_LITERAL && style != FYNS_FOLDED;
    n->text = copy_token(b, e->scalar.value);
    n->start.column -= is_quoted && n->start.column > 1;
}

static bool refuse_tag(struct builder *b, struct fy_event *e, struct conf_mark at)
{
    if (fy_event_get_tag_token(e)) {
        conf_error(b->conf, at, "tags ('!...') are not supported");
        return false;
    }
    return true;
}

static bool read_event(struct builder *b, struct fy_event *e, struct conf_node *n)
{
    if (e->type == FYET_ALIAS) {
        return resolve_alias(b, e, n);
    }
    n->start = convert_mark(fy_event_start_mark(e), NOWHERE);
    n->end = convert_mark(fy_event_end_mark(e), n->start);
    if (e->type == FYET_SCALAR) {
        read_scalar(b, e, n);
    } else {
        n->kind = e->type == FYET_MAPPING_START ? CONF_MAP : CONF_LIST;
    }
    return refuse_tag(b, e, n->start) && count_nodes(b, n->start, 1);
}

static bool add_anchor(struct builder *b, struct str name, const struct conf_node *n)
{
    if (name.len == 0) {
        return true;
    }
    if (b->anchor_count == ANCHORS_MAX) {
        conf_error(b->conf, n->start, "more than %d anchors", ANCHORS_MAX);
        return false;
    }
    b->anchors[b->anchor_count++] = (struct anchor){.name = name, .node = n};
    return true;
}

static void push_item(struct items *v, struct conf_item item)
{
    if (v->count == v->room) {
        v->room = v->room > 0 ? v->room * 2 : 8;
        v->at = mem_resize(v->at, v->room * sizeof(*v->at));
    }
    v->at[v->count++] = item;
}

static int order_keys(const void *x, const void *y)
{
    const struct conf_item *a = *(const struct conf_item *const *)x;
    const struct conf_item *b = *(const struct conf_item *const *)y;
    size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = len > 0 ? memcmp(a->key.ptr, b->key.ptr, len) : 0;
    if (order == 0) {
        order = (a->key.len > b->key.len) - (a->key.len < b->key.len);
    }
    return order != 0 ? order : (a > b) - (a < b);
}

static void refuse_duplicates(struct builder *b, const struct items *v)
{
    const struct conf_item **sorted = mem_alloc(v->count * sizeof(struct conf_item *));
    for (size_t i = 0; i < v->count; i++) {
        sorted[i] = &v->at[i];
    }
    qsort(sorted, v->count, sizeof(struct conf_item *), order_keys);
    for (size_t i = 1; i < v->count; i++) {
        if (str_eq(sorted[i]->key, sorted[i - 1]->key)) {
            conf_error(b->conf, sorted[i]->mark, "key '%.*s' is given twice, before on line %u",
                       STR_FMT(sorted[i]->key), sorted[i - 1]->mark.line);
        }
    }
    free(sorted);
}

/* A value that is not written has no place of its own: it takes its key's. */
static void place_missing(struct conf_node *n, struct conf_mark at)
{
    if (n->start.line == 0) {
        n->start = at;
        n->end = at;
    }
}

static bool is_good_key(struct builder *b, const struct conf_node *key, struct conf_mark map)
{
    if (key->kind != CONF_SCALAR || key->start.line == 0 || key->text.len == 0) {
        conf_error(b->conf, key->start.line > 0 ? key->start : map, "a key must be a word");
        return false;
    }
    if (key->is_plain && str_eq(key->text, STR("<<"))) {
        conf_error(b->conf, key->start, "merge keys ('<<') are not supported");
        return false;
    }
    return true;
}

static bool fill_map(struct builder *b, struct conf_node *map, struct items *v)
{
    for (;;) {
        struct conf_node *key = NULL;
        struct conf_node *value = NULL;
        if (!build_next(b, &key)) {
            return false;
        }
        if (!key) {
            refuse_duplicates(b, v);
            return true;
        }
        if (!build_next(b, &value) || !value) {
            return false;
        }
        place_missing(value, key->start);
        if (is_good_key(b, key, map->start)) {
            push_item(v, (struct conf_item){key->text, key->start, value});
        }
    }
}

static bool fill_list(struct builder *b, struct conf_node *list, struct items *v)
{
    for (;;) {
        struct conf_node *value = NULL;
        if (!build_next(b, &value)) {
            return false;
        }
        if (!value) {
            return true;
        }
        place_missing(value, list->start);
        push_item(v, (struct conf_item){STR(""), value->start, value});
    }
}

static bool fill(struct builder *b, struct conf_node *n)
{
    struct items v = {0};
    b->depth++;
    bool ok = check_depth(b, n->start, b->depth) &&
              (n->kind == CONF_MAP ? fill_map(b, n, &v) : fill_list(b, n, &v));
    if (ok && v.count > 0) {
        struct conf_item *kept = arena_alloc(&b->conf->arena, v.count * sizeof(*kept));
        memcpy(kept, v.at, v.count * sizeof(*kept));
        n->items = kept;
        n->count = v.count;
    }
    free(v.at);
    b->depth--;
    return ok;
}

/* *out stays NULL at the end of the list or map that is being filled. */
static bool build_next(struct builder *b, struct conf_node **out)
{
    struct fy_event *e = fy_parser_parse(b->parser);
    if (!e) {
        return false;
    }
    if (e->type == FYET_MAPPING_END || e->type == FYET_SEQUENCE_END) {
        fy_parser_event_free(b->parser, e);
        return true;
    }
    struct conf_node *n = arena_zalloc(&b->conf->arena, sizeof(*n));
    struct str anchor = copy_token(b, fy_event_get_anchor_token(e));
    bool is_open = e->type == FYET_MAPPING_START || e->type == FYET_SEQUENCE_START;
    bool is_alias = e->type == FYET_ALIAS;
    bool ok = read_event(b, e, n);
    fy_parser_event_free(b->parser, e);
    if (ok && is_open) {
        ok = fill(b, n);
    }
    *out = n;
    return ok && (is_alias || add_anchor(b, anchor, n));
}

/* The next event's type, the event being of no further use; FYET_NONE on a mistake. */
static enum fy_event_type skip_event(struct builder *b, struct conf_mark *at)
{
    struct fy_event *e = fy_parser_parse(b->parser);
    if (!e) {
        return FYET_NONE;
    }
    enum fy_event_type type = e->type;
    *at = convert_mark(fy_event_start_mark(e), NOWHERE);
    fy_parser_event_free(b->parser, e);
    return type;
}

static bool build_root(struct builder *b)
{
    struct conf_mark at = NOWHERE;
    struct conf_node *root = NULL;
    if (skip_event(b, &at) != FYET_STREAM_START) {
        return false;
    }
    enum fy_event_type type = skip_event(b, &at);
    if (type == FYET_STREAM_END) {
        conf_error(b->conf, (struct conf_mark){1, 1}, "the file is empty");
        return false;
    }
    if (type != FYET_DOCUMENT_START || !build_next(b, &root) || !root) {
        return false;
    }
    if (skip_event(b, &at) != FYET_DOCUMENT_END) {
        return false;
    }
    type = skip_event(b, &at);
    if (type == FYET_DOCUMENT_START) {
        conf_error(b->conf, at, "a second document ('---'); one file holds one");
    } else if (type != FYET_STREAM_END) {
        return false;
    }
    place_missing(root, (struct conf_mark){1, 1});
    b->conf->root = root;
    return true;
}

static void note_syntax_errors(struct conf *c, struct fy_diag *diag)
{
    size_t before = c->errors->error_count;
    void *walk = NULL;
    for (;;) {
        const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &walk);
        if (!e) {
            break;
        }
        struct conf_mark at = {.line = e->line > 0 ? (uint32_t)e->line : 0,
                               .column = e->column > 0 ? (uint32_t)e->column : 1};
        conf_error(c, at, "YAML: %s", e->msg);
    }
    if (c->errors->error_count == before) {
        conf_error(c, NOWHERE, "YAML cannot be read");
    }
}

static bool refuse_other_roots(struct conf *c)
{
    if (c->root->kind == CONF_MAP) {
        return true;
    }
    conf_error(c, c->root->start, "expected keys such as 'backends:', got %s",
               conf_kind_name(c->root));
    c->root = NULL;
    return false;
}

static bool run_parser(struct conf *c, struct fy_diag *diag)
{
    struct fy_parse_cfg cfg = {.diag = diag};
    cfg.flags = (enum fy_parse_cfg_flags)(FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE);
    struct builder b = {.conf = c, .parser = fy_parser_create(&cfg)};
    size_t before = c->errors->error_count;
    bool ok = b.parser && fy_parser_set_string(b.parser, c->masked, c->masked_len) == 0 &&
              build_root(&b);
    if (!ok && c->errors->error_count == before) {
        note_syntax_errors(c, diag);
    }
    fy_parser_destroy(b.parser);
    return ok;
}

bool conf_build_tree(struct conf *c)
{
    struct fy_diag_cfg cfg;
    fy_diag_cfg_default(&cfg);
    cfg.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&cfg);
    if (!diag) {
        conf_error(c, NOWHERE, "YAML cannot be read");
        return false;
    }
    fy_diag_set_collect_errors(diag, true);
    bool ok = run_parser(c, diag) && refuse_other_roots(c);
    fy_diag_destroy(diag);
    return ok;
}
