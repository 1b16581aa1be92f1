#include "llm/tool_calls.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "llm/members.h"
#include "wire/json.h"

void tool_calls_init(struct tool_calls *tc, struct fields_budget *budget, size_t *left)
{
    *tc = (struct tool_calls){.at = NULL, .budget = budget, .left = left};
}

static void fini_call(struct tool_call *call)
{
    fields_fini(&call->fields);
    fields_fini(&call->function);
}

void tool_calls_fini(struct tool_calls *tc)
{
    for (size_t i = 0; i < tc->count; i++) {
        fini_call(&tc->at[i]);
    }
    free(tc->at);
    tool_calls_init(tc, tc->budget, tc->left);
}

void tool_calls_drop(struct tool_calls *tc, size_t count)
{
    CHECK(count <= tc->count);
    for (size_t i = 0; i < count; i++) {
        fini_call(&tc->at[i]);
    }
    tc->count -= count;
    memmove(tc->at, tc->at + count, tc->count * sizeof(*tc->at));
}

/* --- Taking in --- */

static struct tool_call *find_call(struct tool_calls *tc, uint64_t index)
{
    size_t at = 0;
    while (at < tc->count && tc->at[at].index < index) {
        at++;
    }
    if (at < tc->count && tc->at[at].index == index) {
        return &tc->at[at];
    }
    if (*tc->left == 0) {
        return NULL;
    }
    --*tc->left;
    tc->at = mem_resize(tc->at, (tc->count + 1) * sizeof(*tc->at));
    memmove(&tc->at[at + 1], &tc->at[at], (tc->count - at) * sizeof(*tc->at));
    tc->count++;
    tc->at[at] = (struct tool_call){.index = index};
    fields_init(&tc->at[at].fields, tc->budget);
    fields_init(&tc->at[at].function, tc->budget);
    return &tc->at[at];
}

/* Some servers send an empty name with later pieces. */
enum err function_call_add(struct fields *f, struct str function)
{
    struct json_iter it;
    enum err e = ERR_OK;
    if (!member_is_given(function)) {
        return ERR_OK;
    }
    if (json_type_of(function) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    json_iter_init(&it, function);
    while (e == ERR_OK && json_iter_next(&it)) {
        bool is_arguments = json_key_eq(it.key, STR("arguments"));
        if (is_arguments && member_is_given(it.value) &&
            json_type_of(it.value) != JSON_STRING) {
            return ERR_TYPE;
        }
        if (is_arguments || !str_eq(it.value, STR("\"\""))) {
            e = fields_add(f, it.key, it.value, is_arguments ? FIELDS_JOIN : FIELDS_FIRST);
        }
    }
    return e;
}

static enum err index_of(const struct tool_calls *tc, struct str index, struct str id,
                         uint64_t *out)
{
    if (member_is_given(index)) {
        return json_u64(index, UINT32_MAX, out) == ERR_OK ? ERR_OK : ERR_TYPE;
    }
    bool is_new = json_text_len(id) > 0;
    *out = 0;
    if (tc->count > 0) {
        *out = tc->at[tc->count - 1].index + (is_new ? 1 : 0);
        return ERR_OK;
    }
    return is_new ? ERR_OK : ERR_TYPE;
}

static enum err add_piece(struct tool_calls *tc, struct str piece, uint64_t *index)
{
    static const struct str not_kept[] = {STR_INIT("index"), STR_INIT("function")};
    struct json_iter it;
    if (json_type_of(piece) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    enum err e = index_of(tc, json_get(piece, "index"), json_get(piece, "id"), index);
    if (e != ERR_OK) {
        return e;
    }
    struct tool_call *call = find_call(tc, *index);
    if (!call) {
        return ERR_TOO_LARGE;
    }
    call->pieces++;
    json_iter_init(&it, piece);
    while (e == ERR_OK && json_iter_next(&it)) {
        if (!member_is_one_of(it.key, not_kept, 2) && !str_eq(it.value, STR("\"\""))) {
            e = fields_add(&call->fields, it.key, it.value, FIELDS_FIRST);
        }
    }
    return e == ERR_OK ? function_call_add(&call->function, json_get(piece, "function")) : e;
}

enum err tool_calls_add(struct tool_calls *tc, struct str pieces, uint64_t *last)
{
    struct json_iter it;
    enum err e = ERR_OK;
    if (!member_is_given(pieces)) {
        return ERR_OK;
    }
    if (json_type_of(pieces) != JSON_ARRAY) {
        return ERR_TYPE;
    }
    json_iter_init(&it, pieces);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = add_piece(tc, it.value, last);
    }
    return e;
}

/* --- Writing out --- */

static const struct str call_names[] = {STR_INIT("id"), STR_INIT("type")};
static const struct str function_names[] = {STR_INIT("name"), STR_INIT("arguments")};

static void put(struct buf *out, struct str s)
{
    enum err e = buf_append(out, s);
    CHECK(e == ERR_OK);
}

void function_call_write(const struct fields *f, struct buf *out)
{
    const struct field *arguments = fields_find(f, function_names[1]);
    put(out, STR("{"));
    member_write(out, function_names[0], fields_find(f, function_names[0]));
    if (arguments) {
        member_write(out, function_names[1], arguments);
    } else {
        put(out, STR(",\"arguments\":\"\""));
    }
    fields_write_others(out, f, function_names, 2);
    put(out, STR("}"));
}

void tool_call_write(const struct tool_call *call, struct buf *out)
{
    const struct field *type = fields_find(&call->fields, call_names[1]);
    put(out, STR("{"));
    member_write(out, call_names[0], fields_find(&call->fields, call_names[0]));
    if (type) {
        member_write(out, call_names[1], type);
    } else {
        put(out, STR(",\"type\":\"function\""));
    }
    put(out, STR(",\"function\":"));
    function_call_write(&call->function, out);
    fields_write_others(out, &call->fields, call_names, 2);
    put(out, STR("}"));
}

void tool_call_write_delta(const struct tool_call *call, struct buf *out)
{
    char digits[STR_NUMBER_MAX];
    put(out, STR("{\"index\":"));
    put(out, str_number(call->index, digits));
    fields_write_others(out, &call->fields, NULL, 0);
    put(out, STR(",\"function\":"));
    if (fields_find(&call->function, function_names[0])) {
        function_call_write(&call->function, out);
    } else { /* more of a call that was thought complete */
        put(out, STR("{"));
        fields_write_others(out, &call->function, NULL, 0);
        put(out, STR("}"));
    }
    put(out, STR("}"));
}
