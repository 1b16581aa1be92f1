#include "base/conf_value.h"
#include "gate/settings_private.h"

enum { SHORT_SECRET = 8, SECRET_BYTES = 4096 };

static const char *const PRIORITIES[] = {"high", "normal", "low", NULL};

static const struct conf_row KEY_ROWS[] = {
    {.name = "name",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED,
     CONF_FIELD(struct client_key, name),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .help = "names the client in logs and metrics"},
    {.name = "key",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_SECRET,
     CONF_FIELD(struct client_key, key),
     .min = 1,
     .max = SECRET_BYTES,
     .help = "what the client sends as its API key"},
    {.name = "priority",
     .type = CONF_WORD,
     CONF_FIELD(struct client_key, priority),
     .words = PRIORITIES,
     .fallback = "normal",
     .help = "the highest that it may ask for while requests wait: high, normal or low"},
};
const struct conf_table KEY_TABLE = {.what = "a key", CONF_ROWS(KEY_ROWS)};

bool access_is_visible(struct str secret)
{
    for (size_t i = 0; i < secret.len; i++) {
        if (secret.ptr[i] <= ' ' || secret.ptr[i] > '~') {
            return false;
        }
    }
    return true;
}

void access_check_secret(struct conf *c, const struct conf_node *n, struct str secret)
{
    if (!access_is_visible(secret)) {
        conf_error(c, n->start, "a key must be visible ASCII without spaces");
    } else if (secret.len > 0 && secret.len < SHORT_SECRET) {
        conf_warning(c, n->start, "a key of fewer than %d characters can be guessed",
                     SHORT_SECRET);
    }
}

static bool read_address(struct conf *c, const struct conf_node *n, struct address *out)
{
    struct str text = STR("");
    const char *why = NULL;
    if (!conf_text(c, n, &text)) {
        return false;
    }
    if (address_parse(text, out, &why) != ERR_OK) {
        conf_error(c, n->start, "%s is no address (host:port, [::1]:port or unix:/path): %s",
                   conf_quote(c, n).ptr, why ? why : "malformed");
        return false;
    }
    return true;
}

static bool is_same_address(const struct address *a, const struct address *b)
{
    if (a->is_unix || b->is_unix) {
        return a->is_unix && b->is_unix && str_eq(a->path, b->path);
    }
    return a->port != 0 && a->port == b->port && str_eq_nocase(a->host, b->host);
}

static void add_listen(struct draft *d, const struct conf_node *n, struct address *all)
{
    struct address a;
    if (!read_address(d->conf, n, &a)) {
        return;
    }
    for (size_t i = 0; i < d->s.listen_count; i++) {
        if (is_same_address(&a, &all[i])) {
            conf_error(d->conf, n->start, "%s is listed twice", conf_quote(d->conf, n).ptr);
            return;
        }
    }
    if (!address_is_loopback(&a) && d->s.key_count == 0 && !d->keys) {
        conf_error(d->conf, n->start,
                   "others can reach %s: without 'keys' only a loopback address is allowed",
                   conf_quote(d->conf, n).ptr);
    }
    all[d->s.listen_count++] = a;
}

static void read_listen(struct draft *d)
{
    const struct conf_node *n = d->listen;
    d->s.listen_count = 0; /* the default goes */
    if (n->kind != CONF_LIST) {
        struct address *one = arena_zalloc(&d->s.arena, sizeof(*one));
        d->s.listen = one;
        add_listen(d, n, one);
        return;
    }
    if (n->count == 0 || n->count > LISTEN_MAX) {
        conf_error(d->conf, n->start, "'listen' must have from 1 to %d addresses", LISTEN_MAX);
        return;
    }
    struct address *all = arena_zalloc(&d->s.arena, n->count * sizeof(*all));
    d->s.listen = all;
    for (size_t i = 0; i < n->count; i++) {
        add_listen(d, n->items[i].value, all);
    }
}

static void read_admin(struct draft *d)
{
    if (!read_address(d->conf, d->admin, &d->s.admin)) {
        return;
    }
    if (!address_is_loopback(&d->s.admin) && d->s.admin_token.len == 0) {
        conf_error(d->conf, d->admin->start,
                   "others can reach %s: 'admin' there needs an 'admin_token'",
                   conf_quote(d->conf, d->admin).ptr);
    }
}

static void refuse_shared_address(struct draft *d)
{
    const struct conf_node *n = d->admin ? d->admin : d->listen;
    for (size_t i = 0; n && i < d->s.listen_count; i++) {
        if (is_same_address(&d->s.admin, &d->s.listen[i])) {
            conf_error(d->conf, n->start, "'listen' and 'admin' cannot share an address");
            return;
        }
    }
}

static void check_key(struct draft *d, const struct conf_node *n, const struct client_key *all,
                      size_t i)
{
    const struct conf_node *key = conf_get(n, STR("key"));
    access_check_secret(d->conf, key ? key : n, all[i].key);
    for (size_t j = 0; j < i; j++) {
        if (all[i].name.len > 0 && str_eq(all[j].name, all[i].name)) {
            conf_error(d->conf, n->start, "two keys have the name '%.*s'",
                       STR_FMT(all[i].name));
        }
        if (all[i].key.len > 0 && str_eq(all[j].key, all[i].key)) {
            conf_error(d->conf, n->start, "the same key as that of '%.*s'",
                       STR_FMT(all[j].name));
        }
    }
}

static void read_keys(struct draft *d)
{
    const struct conf_node *n = d->keys;
    if (n->kind != CONF_LIST) {
        conf_hide(d->conf, n);
        conf_error(d->conf, n->start, "'keys' must be a list of {name: ..., key: ...}, not %s",
                   conf_kind_name(n));
        return;
    }
    if (n->count == 0 || n->count > KEYS_MAX) {
        conf_error(d->conf, n->start,
                   "'keys' must have from 1 to %d entries; leave it out for an open port",
                   KEYS_MAX);
        return;
    }
    struct client_key *all = arena_zalloc(&d->s.arena, n->count * sizeof(*all));
    for (size_t i = 0; i < n->count; i++) {
        const struct conf_node *item = n->items[i].value;
        if (item->kind == CONF_SCALAR) {
            conf_hide(d->conf, item);
        }
        all[i] =
            (struct client_key){.name = STR(""), .key = STR(""), .priority = PRIORITY_NORMAL};
        (void)conf_read_map(d->conf, item, &KEY_TABLE, &all[i]);
        check_key(d, item, all, i);
        d->s.has_low_keys = d->s.has_low_keys || all[i].priority == PRIORITY_LOW;
    }
    d->s.keys = all;
    d->s.key_count = n->count;
}

void access_read(struct draft *d)
{
    if (d->keys) {
        read_keys(d);
    }
    if (d->listen) {
        read_listen(d);
    }
    if (d->admin) {
        read_admin(d);
    }
    refuse_shared_address(d);
}
