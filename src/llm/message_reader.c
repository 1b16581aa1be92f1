#include "llm/message_reader.h"

#include "llm/members.h"
#include "wire/json.h"

enum { KEY_SHOWN_MAX = 64 };

struct str message_path(const struct message_reader *m, const char *field)
{
    return arena_printf(m->arena, "messages[%zu].%s", m->message, field);
}

struct str message_path_in(const struct message_reader *m, const char *list, const char *inner)
{
    return arena_printf(m->arena, "messages[%zu].%s[%zu].%s", m->message, list, m->inner,
                        inner);
}

/* An unknown key for a path: a hostile one may be of any length. */
static const char *show_key(const struct message_reader *m, struct str key)
{
    return arena_dup(m->arena,
                     str_of(key.ptr, key.len < KEY_SHOWN_MAX ? key.len : KEY_SHOWN_MAX))
        .ptr;
}

enum err message_refuse(struct message_reader *m, struct str param, const char *why)
{
    return refusal_make(m->arena,
                        &(struct refusal){.type = m->type, .param = param, .why = why}, m->bad);
}

enum err message_mistyped(struct message_reader *m, struct str param, const char *must_be)
{
    return refusal_mistyped(m->arena, param, must_be, m->bad);
}

static const struct message_field *find_field(const struct message_reader *m, struct str key)
{
    for (size_t i = 0; i < m->field_count; i++) {
        if (json_key_eq(key, str_from(m->fields[i].name))) {
            return &m->fields[i];
        }
    }
    return NULL;
}

static enum err read_field(struct message_reader *m, const struct json_iter *it)
{
    if (json_type_of(it->value) == JSON_NULL) {
        return ERR_OK;
    }
    const struct message_field *f = find_field(m, it->key);
    if (!f || f->handling == FIELD_REFUSED) {
        return message_refuse(m, message_path(m, show_key(m, it->key)),
                              f ? "it has no such field" : "the field is not known");
    }
    if (f->slot != MESSAGE_NO_SLOT) {
        m->slot[f->slot] = it->value;
    }
    return ERR_OK;
}

enum err message_read(struct message_reader *m, struct str message)
{
    for (size_t i = 0; i < MESSAGE_NO_SLOT; i++) {
        m->slot[i] = STR_NONE;
    }
    struct json_iter it;
    json_iter_init(&it, message);
    enum err e = ERR_OK;
    while (e == ERR_OK && json_iter_next(&it)) {
        e = read_field(m, &it);
    }
    return e;
}

enum err message_check_members(struct message_reader *m, const char *list, struct str object,
                               const char *const *known)
{
    struct json_iter it;
    json_iter_init(&it, object);
    while (json_iter_next(&it)) {
        const char *const *k = known;
        while (*k && !json_key_eq(it.key, str_from(*k))) {
            k++;
        }
        if (!*k && json_type_of(it.value) != JSON_NULL) {
            return message_refuse(m, message_path_in(m, list, show_key(m, it.key)),
                                  "the field is not known");
        }
    }
    return ERR_OK;
}
