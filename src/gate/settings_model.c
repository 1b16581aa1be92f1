#include <stdlib.h>

#include "base/conf_value.h"
#include "gate/settings_private.h"

enum { MODEL_NAME_BYTES = 256 };

/* A name that a model claims for itself. */
struct claim {
    struct str name;
    struct conf_mark at;
    size_t order; /* model names first, then aliases, as in the file */
};

struct claims {
    struct claim *at;
    size_t count;
    size_t room;
};

/* One model while it is read. */
struct model_draft {
    struct draft *d;
    struct model *model;
    const struct conf_node *aliases, *tiers; /* NULL: absent */
    struct stream_policy streams;            /* the file's, but for the keys given here */
    struct load_policy load;                 /* likewise */
    struct queue_policy queue;               /* likewise */
    bool may_panic;                          /* likewise */
    bool *is_taken;                          /* by backend: a tier of this model has it */
};

static void note_aliases(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct model_draft *)into)->aliases = n;
}

static void note_tiers(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct model_draft *)into)->tiers = n;
}

static void read_own_retry(struct conf *c, const struct conf_node *n, void *into)
{
    struct model *model = ((struct model_draft *)into)->model;
    struct retry_draft own = {.budget = model->retry_budget};
    (void)conf_read_map(c, n, &MODEL_RETRY_TABLE, &own);
    model->retry_budget = own.budget;
}

static void read_own_hedge(struct conf *c, const struct conf_node *n, void *into)
{
    policy_read_hedge(c, n, &((struct model_draft *)into)->model->hedge);
}

static void read_own_last_resort(struct conf *c, const struct conf_node *n, void *into)
{
    policy_read_own_last_resort(c, n, &((struct model_draft *)into)->model->last_resort);
}

static const struct conf_row MODEL_ROWS[] = {
    {.name = "aliases",
     .type = CONF_READ,
     .read = note_aliases,
     .help = "further names for it; \"*\" for any name that no model claims"},
    {.name = "tiers",
     .type = CONF_READ,
     .flags = CONF_REQUIRED,
     .read = note_tiers,
     .help = "backends in order of preference, each with its own name for the model"},
    {.name = "retry",
     .type = CONF_READ,
     .read = read_own_retry,
     .help = "its own budget; keys left out are the file's"},
    {.name = "hedge",
     .type = CONF_READ,
     .read = read_own_hedge,
     .help = "its own; keys left out are the file's"},
    {.name = "last_resort",
     .type = CONF_READ,
     .read = read_own_last_resort,
     .help = "its own; keys left out are the file's"},
    {.name = "panic",
     .type = CONF_BOOL,
     CONF_FIELD(struct model_draft, may_panic),
     .help = "its own; the file's where it is left out"},
    {.name = "streams",
     .type = CONF_TABLE,
     CONF_FIELD(struct model_draft, streams),
     .table = &STREAMS_TABLE,
     .help = "its own; keys left out are the file's"},
    {.name = "load",
     .type = CONF_TABLE,
     CONF_FIELD(struct model_draft, load),
     .table = &LOAD_TABLE,
     .help = "its own; keys left out are the file's"},
    {.name = "queue",
     .type = CONF_TABLE,
     CONF_FIELD(struct model_draft, queue),
     .table = &QUEUE_TABLE,
     .help = "its own; keys left out are the file's"},
};
const struct conf_table MODEL_TABLE = {.what = "a model", CONF_ROWS(MODEL_ROWS)};

static void add_claim(struct claims *v, struct str name, struct conf_mark at)
{
    if (v->count == v->room) {
        v->room = v->room > 0 ? v->room * 2 : 64;
        v->at = mem_resize(v->at, v->room * sizeof(*v->at));
    }
    v->at[v->count] = (struct claim){.name = name, .at = at, .order = v->count};
    v->count++;
}

static int order_claims(const void *x, const void *y)
{
    const struct claim *a = x;
    const struct claim *b = y;
    size_t len = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = len > 0 ? memcmp(a->name.ptr, b->name.ptr, len) : 0;
    if (order == 0) {
        order = (a->name.len > b->name.len) - (a->name.len < b->name.len);
    }
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

/* `names` of the claims, the first ones, are models' names, which the tree's keys keep unique.
 */
static void refuse_double_claims(struct draft *d, struct claims *v, size_t names)
{
    if (v->count > 0) {
        qsort(v->at, v->count, sizeof(*v->at), order_claims);
    }
    for (size_t i = 1; i < v->count; i++) {
        const struct claim *first = &v->at[i - 1];
        const struct claim *second = &v->at[i];
        if (!str_eq(first->name, second->name) || second->order < names) {
            continue;
        }
        if (first->order < names) {
            conf_error(d->conf, second->at, "alias '%.*s' is the name of the model on line %u",
                       STR_FMT(second->name), first->at.line);
        } else {
            conf_error(d->conf, second->at, "alias '%.*s' is claimed already on line %u",
                       STR_FMT(second->name), first->at.line);
        }
    }
}

static bool check_name(struct draft *d, struct conf_mark at, struct str name)
{
    bool is_good = name.len > 0 && name.len <= MODEL_NAME_BYTES;
    for (size_t i = 0; i < name.len; i++) {
        is_good = is_good && (unsigned char)name.ptr[i] >= 0x20 && name.ptr[i] != 0x7f;
    }
    if (!is_good) {
        conf_error(d->conf, at,
                   "a model's name has from 1 to %d bytes and no control character",
                   MODEL_NAME_BYTES);
    }
    return is_good;
}

static void read_aliases(struct model_draft *m, struct claims *claims)
{
    struct draft *d = m->d;
    const struct conf_node *n = m->aliases;
    if (n->kind != CONF_LIST || n->count > ALIASES_MAX) {
        conf_error(d->conf, n->start, "'aliases' must be a list of up to %d names, not %s",
                   ALIASES_MAX, n->kind == CONF_LIST ? "more" : conf_quote(d->conf, n).ptr);
        return;
    }
    struct str *all = arena_zalloc(&d->s.arena, (n->count + 1) * sizeof(*all));
    for (size_t i = 0; i < n->count; i++) {
        struct str name = STR("");
        if (!conf_text(d->conf, n->items[i].value, &name) ||
            !check_name(d, n->items[i].mark, name)) {
            continue;
        }
        add_claim(claims, name, n->items[i].mark);
        if (str_eq(name, STR("*"))) {
            m->model->is_wildcard = true;
        } else {
            all[m->model->alias_count++] = name;
        }
    }
    m->model->aliases = all;
}

static const struct backend *find_backend(struct draft *d, struct conf_mark at, struct str name)
{
    struct str meant = STR("");
    uint32_t best = UINT32_MAX;
    for (size_t i = 0; i < d->s.catalog.backend_count; i++) {
        const struct backend *b = &d->backend_array[i];
        if (str_eq(b->name, name)) {
            return b;
        }
        if (conf_is_nearer(name, b->name, &best)) {
            meant = b->name;
        }
    }
    if (meant.len > 0) {
        conf_error(d->conf, at, "unknown backend '%.*s'; did you mean '%.*s'?", STR_FMT(name),
                   STR_FMT(meant));
    } else {
        conf_error(d->conf, at, "unknown backend '%.*s'", STR_FMT(name));
    }
    return NULL;
}

/* A tier's members while they are read. */
struct member_list {
    struct tier_member *at;
    size_t count;
};

static void add_member(struct model_draft *m, struct member_list *v,
                       const struct conf_item *item, struct str backend,
                       const struct conf_node *model)
{
    struct draft *d = m->d;
    struct str name = m->model->name;
    if (model && (!conf_text(d->conf, model, &name) || !check_name(d, model->start, name))) {
        return;
    }
    const struct backend *b = find_backend(d, item->mark, backend);
    if (!b) {
        return;
    }
    d->is_used[b->index] = true;
    if (m->is_taken[b->index]) {
        conf_error(d->conf, item->mark, "backend '%.*s' is in this model's tiers twice",
                   STR_FMT(backend));
        return;
    }
    m->is_taken[b->index] = true;
    v->at[v->count] = (struct tier_member){.backend = b, .model = name};
    servings_note(d, &v->at[v->count], m->model);
    v->count++;
}

static void read_part(struct model_draft *m, struct member_list *v,
                      const struct conf_item *item)
{
    const struct conf_node *n = item->value;
    struct str name = STR("");
    if (n->kind == CONF_SCALAR) {
        if (conf_text(m->d->conf, n, &name)) {
            add_member(m, v, item, name, NULL);
        }
        return;
    }
    if (n->kind == CONF_LIST) {
        conf_error(m->d->conf, n->start, "a list within the list of a tier");
        return;
    }
    for (size_t i = 0; i < n->count; i++) {
        add_member(m, v, &n->items[i], n->items[i].key, n->items[i].value);
    }
}

static size_t count_members(const struct conf_node *n)
{
    if (n->kind != CONF_LIST) {
        return n->kind == CONF_SCALAR ? 1 : n->count;
    }
    size_t count = 0;
    for (size_t i = 0; i < n->count; i++) {
        const struct conf_node *part = n->items[i].value;
        count += part->kind == CONF_MAP ? part->count : 1;
    }
    return count;
}

static void read_tier(struct model_draft *m, const struct conf_item *item, struct tier *tier)
{
    const struct conf_node *n = item->value;
    size_t most = count_members(n);
    if (most == 0) {
        conf_error(m->d->conf, item->mark, "a tier without a backend");
        return;
    }
    if (most > MEMBERS_MAX) {
        conf_error(m->d->conf, item->mark, "more than %d backends in a tier", MEMBERS_MAX);
        return;
    }
    struct member_list v = {.at = arena_zalloc(&m->d->s.arena, most * sizeof(*v.at))};
    if (n->kind == CONF_LIST) {
        for (size_t i = 0; i < n->count; i++) {
            read_part(m, &v, &n->items[i]);
        }
    } else {
        read_part(m, &v, item);
    }
    tier->members = v.at;
    tier->member_count = v.count;
}

static void read_tiers(struct model_draft *m)
{
    const struct conf_node *n = m->tiers;
    if (n->kind != CONF_LIST || n->count == 0) {
        conf_error(m->d->conf, n->start,
                   "'tiers' must be a list such as [gpu1: NAME, cpu: NAME], not %s",
                   n->kind == CONF_LIST ? "an empty one" : conf_kind_name(n));
        return;
    }
    if (n->count > TIERS_MAX) {
        conf_error(m->d->conf, n->start, "more than %d tiers", TIERS_MAX);
        return;
    }
    struct tier *all = arena_zalloc(&m->d->s.arena, n->count * sizeof(*all));
    m->is_taken = mem_alloc(m->d->s.catalog.backend_count * sizeof(bool));
    for (size_t i = 0; i < n->count; i++) {
        read_tier(m, &n->items[i], &all[i]);
    }
    free(m->is_taken);
    m->model->tiers = all;
    m->model->tier_count = n->count;
}

static void read_model(struct draft *d, const struct conf_item *item, struct model *model,
                       struct claims *claims)
{
    struct model_draft m = {.d = d,
                            .model = model,
                            .streams = d->s.streams,
                            .load = d->s.load,
                            .queue = d->s.queue,
                            .may_panic = d->may_panic};
    model->retry_budget = d->retry_budget;
    model->hedge = d->hedge;
    model->last_resort = d->last_resort.policy;
    (void)conf_read_map(d->conf, item->value, &MODEL_TABLE, &m);
    model->streams = m.streams;
    model->load = m.load;
    model->queue = m.queue;
    model->may_panic = m.may_panic;
    if (m.aliases) {
        read_aliases(&m, claims);
    }
    if (m.tiers) {
        read_tiers(&m);
    }
}

/* Not next to mistakes: they may be why it is unused. */
static void warn_of_unused(struct draft *d)
{
    for (size_t i = 0; i < d->s.catalog.backend_count; i++) {
        if (!d->is_used[i] && d->conf->errors->error_count == 0) {
            conf_warning(d->conf, d->backends->items[i].mark, "backend '%.*s' is in no tier",
                         STR_FMT(d->backend_array[i].name));
        }
    }
}

static void read_all(struct draft *d, const struct conf_node *n, struct model *all,
                     struct claims *claims)
{
    for (size_t i = 0; i < n->count; i++) {
        struct str name = n->items[i].key;
        all[i].index = (uint32_t)i;
        all[i].name = arena_dup(&d->s.arena, name);
        if (str_eq(name, STR("*"))) {
            conf_error(d->conf, n->items[i].mark, "'*' is an alias, not a model's name");
        }
        (void)check_name(d, n->items[i].mark, name);
        add_claim(claims, all[i].name, n->items[i].mark);
    }
    for (size_t i = 0; i < n->count; i++) {
        read_model(d, &n->items[i], &all[i], claims);
    }
}

void models_read(struct draft *d)
{
    struct claims claims = {0};
    const struct conf_node *n = d->models;
    if (n->kind != CONF_MAP || n->count == 0) {
        conf_error(d->conf, n->start, "'models' must name at least one: NAME: {tiers: [...]}");
        return;
    }
    if (n->count > MODELS_MAX) {
        conf_error(d->conf, n->start, "more than %d models", MODELS_MAX);
        return;
    }
    struct model *all = arena_zalloc(&d->s.arena, n->count * sizeof(*all));
    read_all(d, n, all, &claims);
    refuse_double_claims(d, &claims, n->count);
    free(claims.at);
    warn_of_unused(d);
    d->s.catalog.models = all;
    d->s.catalog.model_count = n->count;
    servings_make(d);
}
