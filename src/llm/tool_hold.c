#include "llm/tool_hold.h"

#include "base/check.h"
#include "llm/canonical.h"
#include "llm/json_out.h"
#include "llm/members.h"
#include "wire/json.h"
#include "wire/json_edit.h"

enum { FIELDS_MAX = 8192 };

void tool_hold_init(struct tool_hold *h)
{
    h->budget = (struct fields_budget){.bytes = TOOL_HOLD_MAX, .count = FIELDS_MAX};
    h->left = TOOL_HOLD_CALLS;
    tool_calls_init(&h->open, &h->budget, &h->left);
}

void tool_hold_fini(struct tool_hold *h)
{
    tool_calls_fini(&h->open);
}

struct str tool_record_next(struct str *records)
{
    struct str line = str_cut(records, '\n');
    return str_of(line.ptr, line.len + 1);
}

static struct str edited(const struct json_edit *je, struct arena *a)
{
    struct rope pieces;
    rope_init(&pieces);
    json_edit_done(je, &pieces);
    return rope_join(&pieces, a);
}

/* --- What an event brings --- */

static struct str first_choice(struct str chunk)
{
    return json_path(chunk, "choices", "0", NULL);
}

/* The chunk without its pieces of calls; empty when nothing else is in it. */
static struct str without_calls(const struct reply_event *ev, struct str delta, bool keeps_role,
                                struct arena *a)
{
    struct json_edit chunk;
    struct json_edit rest;
    bool is_needed =
        keeps_role || ev->content.len > 0 || ev->has_other || ev->has_finish || ev->has_usage;
    if (!is_needed) {
        return STR_NONE;
    }
    json_edit_init(&rest, delta, a);
    json_edit_remove(&rest, "tool_calls");
    if (!keeps_role) {
        json_edit_remove(&rest, "role");
    }
    json_edit_init(&chunk, ev->chunk, a);
    json_edit_replace(&chunk, delta, edited(&rest, a));
    return edited(&chunk, a);
}

/* --- What is complete --- */

static struct str text_of(const struct fields *f, struct str name, struct arena *a)
{
    const struct field *field = fields_find(f, name);
    struct str text = field ? buf_str(&field->text) : STR_NONE;
    if (field && field->kind == FIELD_VALUE && json_type_of(text) == JSON_STRING) {
        text = str_of(text.ptr + 1, text.len - 2);
    }
    return canonical_text(text, a);
}

/* Servers space and escape the same arguments differently; what is no JSON counts as it is. */
static struct str arguments_of(const struct fields *f, struct arena *a)
{
    size_t at;
    struct str text = text_of(f, STR("arguments"), a);
    struct str json = canonical_unescape(text, a);
    return json_check(json, &at) == ERR_OK ? canonical_json(json, a) : text;
}

/* "name\targuments\n": neither can have control characters in its canonical form. */
static struct str record_of(const struct tool_call *call, struct arena *a)
{
    struct str parts[] = {text_of(&call->function, STR("name"), a), STR("\t"),
                          arguments_of(&call->function, a), STR("\n")};
    return arena_join(a, parts, sizeof(parts) / sizeof(parts[0]));
}

/* A chunk of the same answer as `like`, with these choices. */
static struct str chunk_like(struct str like, struct str choices, struct arena *a)
{
    struct json_edit je;
    json_edit_init(&je, like, a);
    json_edit_set(&je, "choices", choices);
    json_edit_remove(&je, "usage");
    return edited(&je, a);
}

static void put(struct buf *out, struct str s)
{
    enum err e = buf_append(out, s);
    CHECK(e == ERR_OK);
}

/* The first `count` calls, and the role where there is one, become a chunk before the event's
 * own. */
static void release(struct tool_hold *h, size_t count, struct str role, struct arena *a,
                    struct reply_event *ev)
{
    struct buf choices;
    buf_init(&choices, 2 * (size_t)TOOL_HOLD_MAX);
    put(&choices, STR("[{\"index\":0,\"delta\":{"));
    if (role.len > 0) {
        put(&choices, STR("\"role\":"));
        put(&choices, role);
        put(&choices, STR(","));
    }
    put(&choices, STR("\"tool_calls\":["));
    for (size_t i = 0; i < count; i++) {
        struct str joined[] = {ev->calls, record_of(&h->open.at[i], a)};
        put(&choices, i > 0 ? STR(",") : STR(""));
        tool_call_write_delta(&h->open.at[i], &choices);
        ev->calls = arena_join(a, joined, 2);
        ev->call_pieces += h->open.at[i].pieces;
    }
    put(&choices, STR("]},\"logprobs\":null,\"finish_reason\":null}]"));
    ev->tool_chunk = chunk_like(ev->chunk, buf_str(&choices), a);
    buf_fini(&choices);
    tool_calls_drop(&h->open, count);
}

/* How many, from the first, are complete: those before the one that was touched last. */
static size_t complete_count(const struct tool_hold *h, bool is_over, uint64_t last)
{
    size_t count = 0;
    while (count < h->open.count && (is_over || h->open.at[count].index < last)) {
        count++;
    }
    return count;
}

/* Pieces leave the event, complete calls come into it. */
static enum err swap_pieces(struct tool_hold *h, struct arena *a, struct reply_event *ev)
{
    struct str like = ev->chunk;
    struct str delta = json_get(first_choice(like), "delta");
    struct str role = json_get(delta, "role");
    bool has_role = member_is_given(role);
    uint64_t last = 0;
    enum err e = tool_calls_add(&h->open, json_get(delta, "tool_calls"), &last);
    if (e != ERR_OK) {
        return e;
    }
    size_t count = complete_count(h, ev->has_finish, last);
    if (count > 0) {
        release(h, count, has_role ? role : STR_NONE, a, ev);
    }
    ev->has_tool_call = false;
    ev->has_other = ev->has_reasoning || ev->has_unkept;
    ev->is_verbatim = false;
    ev->chunk = without_calls(ev, delta, has_role && count == 0, a);
    return ERR_OK;
}

enum err tool_hold_event(struct tool_hold *h, struct arena *a, struct reply_event *ev)
{
    enum err e = ERR_OK;
    if (ev->has_tool_call) {
        e = swap_pieces(h, a, ev);
    } else if (h->open.count > 0 && ev->has_finish) {
        release(h, h->open.count, STR_NONE, a, ev);
    }
    bool gives = ev->tool_chunk.len > 0 || ev->content.len > 0 || ev->has_other;
    ev->is_held = ev->has_content && !gives;
    return e;
}
