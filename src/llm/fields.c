#include "llm/fields.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "llm/members.h"
#include "wire/json.h"

/* Names in one set: they are looked for one by one. */
enum { NAMES_MAX = 128 };

void fields_init(struct fields *f, struct fields_budget *budget)
{
    *f = (struct fields){.at = NULL, .budget = budget};
}

void fields_fini(struct fields *f)
{
    for (size_t i = 0; i < f->count; i++) {
        buf_fini(&f->at[i].name);
        buf_fini(&f->at[i].text);
    }
    free(f->at);
    fields_init(f, f->budget);
}

static struct field *find(const struct fields *f, struct str name)
{
    for (size_t i = 0; i < f->count; i++) {
        if (str_eq(buf_str(&f->at[i].name), name)) {
            return &f->at[i];
        }
    }
    return NULL;
}

const struct field *fields_find(const struct fields *f, struct str name)
{
    return find(f, name);
}

static enum err spend(struct fields_budget *budget, struct buf *to, struct str text)
{
    if (text.len > budget->bytes) {
        return ERR_TOO_LARGE;
    }
    budget->bytes -= text.len;
    return buf_append(to, text);
}

static enum field_kind kind_of(struct str value, enum fields_merge how)
{
    if (how == FIELDS_JOIN && json_type_of(value) == JSON_STRING) {
        return FIELD_TEXT;
    }
    bool joins = how == FIELDS_JOIN || how == FIELDS_LIST;
    return joins && json_type_of(value) == JSON_ARRAY ? FIELD_LIST : FIELD_VALUE;
}

static enum err add_field(struct fields *f, struct str name, enum field_kind kind)
{
    if (f->budget->count == 0 || f->count == NAMES_MAX) {
        return ERR_TOO_LARGE;
    }
    if (f->count == f->cap) {
        f->cap = f->cap > 0 ? f->cap * 2 : 8;
        f->at = mem_resize(f->at, f->cap * sizeof(*f->at));
    }
    struct field *field = &f->at[f->count];
    f->count++;
    f->budget->count--;
    field->kind = kind;
    buf_init(&field->text, f->budget->bytes);
    buf_init(&field->name, name.len);
    return spend(f->budget, &field->name, name);
}

static void forget_text(struct field *field, struct fields_budget *budget)
{
    budget->bytes += buf_len(&field->text);
    buf_consume(&field->text, buf_len(&field->text));
}

static enum err join(struct field *field, struct str value, struct fields_budget *budget)
{
    struct json_iter it;
    if (field->kind == FIELD_TEXT) {
        return spend(budget, &field->text, str_of(value.ptr + 1, value.len - 2));
    }
    enum err e = ERR_OK;
    json_iter_init(&it, value);
    while (e == ERR_OK && json_iter_next(&it)) {
        if (buf_len(&field->text) > 0) {
            e = spend(budget, &field->text, STR(","));
        }
        e = e == ERR_OK ? spend(budget, &field->text, it.value) : e;
    }
    return e;
}

enum err fields_add(struct fields *f, struct str name, struct str value, enum fields_merge how)
{
    if (!member_is_given(value)) {
        return ERR_OK;
    }
    if (memchr(name.ptr, '\\', name.len)) {
        return ERR_TYPE;
    }
    enum field_kind kind = kind_of(value, how);
    struct field *field = find(f, name);
    if (field && how == FIELDS_FIRST) {
        return ERR_OK;
    }
    if (!field) {
        enum err e = add_field(f, name, kind);
        if (e != ERR_OK) {
            return e;
        }
        field = &f->at[f->count - 1];
    }
    if (kind == FIELD_VALUE || kind != field->kind) {
        forget_text(field, f->budget);
    }
    field->kind = kind;
    return kind == FIELD_VALUE ? spend(f->budget, &field->text, value)
                               : join(field, value, f->budget);
}

enum err fields_more(struct fields *f, size_t place, struct str text)
{
    CHECK(place < f->count && f->at[place].kind == FIELD_TEXT);
    return spend(f->budget, &f->at[place].text, text);
}

bool field_is_empty(const struct field *field)
{
    return !field || buf_len(&field->text) == 0;
}

static void put(struct buf *out, struct str s)
{
    enum err e = buf_append(out, s);
    CHECK(e == ERR_OK);
}

void field_write(const struct field *field, struct buf *out)
{
    static const struct str open[] = {[FIELD_VALUE] = STR_INIT(""),
                                      [FIELD_TEXT] = STR_INIT("\""),
                                      [FIELD_LIST] = STR_INIT("[")};
    static const struct str close[] = {[FIELD_VALUE] = STR_INIT(""),
                                       [FIELD_TEXT] = STR_INIT("\""),
                                       [FIELD_LIST] = STR_INIT("]")};
    if (!field) {
        put(out, STR("null"));
        return;
    }
    put(out, open[field->kind]);
    put(out, buf_str(&field->text));
    put(out, close[field->kind]);
}

void member_name_write(struct buf *out, struct str name)
{
    if (!str_ends(buf_str(out), STR("{"))) {
        put(out, STR(","));
    }
    put(out, STR("\""));
    put(out, name);
    put(out, STR("\":"));
}

void member_write(struct buf *out, struct str name, const struct field *field)
{
    member_name_write(out, name);
    field_write(field, out);
}

void fields_write_others(struct buf *out, const struct fields *f, const struct str *named,
                         size_t count)
{
    for (size_t i = 0; i < f->count; i++) {
        struct str name = buf_str(&f->at[i].name);
        if (!member_is_one_of(name, named, count) && !field_is_empty(&f->at[i])) {
            member_write(out, name, &f->at[i]);
        }
    }
}
