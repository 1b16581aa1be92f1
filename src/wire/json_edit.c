#include "wire/json_edit.h"

#include <string.h>

#include "base/check.h"
#include "wire/json.h"

void rope_init(struct rope *r)
{
    r->count = 0;
    r->len = 0;
}

void rope_add(struct rope *r, struct str piece)
{
    if (piece.len == 0) {
        return;
    }
    CHECK(r->count < ROPE_MAX);
    r->piece[r->count++] = piece;
    r->len += piece.len;
}

struct str rope_join(const struct rope *r, struct arena *a)
{
    if (r->count == 1) {
        return r->piece[0];
    }
    char *text = arena_alloc(a, r->len + 1);
    size_t len = 0;
    for (size_t i = 0; i < r->count; i++) {
        memcpy(text + len, r->piece[i].ptr, r->piece[i].len);
        len += r->piece[i].len;
    }
    text[len] = '\0';
    return str_of(text, len);
}

/* Where members are appended, too. */
static const char *closing_brace(const struct json_edit *ed)
{
    return ed->object.ptr + ed->object.len - 1;
}

void json_edit_init(struct json_edit *ed, struct str object, struct arena *arena)
{
    ed->object = json_value(object);
    ed->arena = arena;
    ed->count = 0;
    CHECK(ed->object.len >= 2 && json_type_of(ed->object) == JSON_OBJECT);
}

/* Keeps the changes in the order of the text, equal places in the order of the calls. */
static void add_change(struct json_edit *ed, struct json_change change)
{
    CHECK(ed->count < JSON_EDITS_MAX);
    size_t at = ed->count++;
    for (; at > 0 && ed->change[at - 1].from > change.from; at--) {
        ed->change[at] = ed->change[at - 1];
    }
    ed->change[at] = change;
}

void json_edit_replace(struct json_edit *ed, struct str inside, struct str value)
{
    CHECK(value.len > 0 && inside.len > 0);
    CHECK(inside.ptr > ed->object.ptr && inside.ptr + inside.len <= closing_brace(ed));
    add_change(ed, (struct json_change){
                       .from = inside.ptr, .to = inside.ptr + inside.len, .text = value});
}

void json_edit_set(struct json_edit *ed, const char *key, struct str value)
{
    struct str old = json_get(ed->object, key);
    if (old.len > 0) {
        json_edit_replace(ed, old, value);
        return;
    }
    json_edit_add(ed, key, value);
}

void json_edit_add(struct json_edit *ed, const char *key, struct str value)
{
    const struct str name[] = {STR(",\""), str_from(key), STR("\":")};
    CHECK(value.len > 0);
    add_change(ed, (struct json_change){.from = closing_brace(ed),
                                        .to = closing_brace(ed),
                                        .name = arena_join(ed->arena, name, 3),
                                        .text = value});
}

void json_edit_remove(struct json_edit *ed, const char *key)
{
    struct json_iter it;
    const char *from = ed->object.ptr + 1;
    json_iter_init(&it, ed->object);
    while (json_iter_next(&it)) {
        const char *to = it.value.ptr + it.value.len;
        if (json_key_eq(it.key, str_from(key))) {
            /* With the comma before it; the first member's comma is json_edit_done's affair. */
            add_change(ed, (struct json_change){.from = from, .to = to});
            return;
        }
        from = to;
    }
}

static bool is_removal(const struct json_change *change)
{
    return change->text.len == 0;
}

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n') {
        p++;
    }
    return p;
}

/* Whoever follows the members taken out at the front has no comma before it any more. */
static const char *skip_comma(const char *p)
{
    const char *next = skip_space(p);
    return *next == ',' ? next + 1 : p;
}

void json_edit_done(const struct json_edit *ed, struct rope *out)
{
    const char *at = ed->object.ptr;        /* all before it is in *out or left out */
    const char *front = ed->object.ptr + 1; /* no member was kept before it */
    const char *brace = closing_brace(ed);
    size_t i = 0;
    for (; i < ed->count && ed->change[i].from < brace; i++) {
        const struct json_change *change = &ed->change[i];
        if (change->from > at) {
            rope_add(out, str_of(at, (size_t)(change->from - at)));
        }
        CHECK(change->from >= at || is_removal(change) || change->to <= at);
        if (is_removal(change) && change->from <= front) {
            front = skip_comma(change->to);
            at = front;
        } else if (change->to > at) {
            rope_add(out, change->text);
            at = change->to;
        }
    }
    rope_add(out, str_of(at, (size_t)(brace - at)));
    bool is_bare = skip_space(front) == brace;
    for (; i < ed->count; i++) {
        rope_add(out, str_from_at(ed->change[i].name, is_bare));
        rope_add(out, ed->change[i].text);
        is_bare = false;
    }
    rope_add(out, str_of(brace, 1));
}
