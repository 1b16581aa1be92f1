#include "llm/transcript.h"

#include <inttypes.h>
#include <stdlib.h>

#include "llm/canonical.h"
#include "llm/json_out.h"
#include "llm/members.h"
#include "wire/json.h"

void transcript_init(struct transcript *t, size_t max)
{
    *t = (struct transcript){.left = max, .max = max};
    buf_init(&t->text, max);
    buf_init(&t->reasoning, max);
    buf_init(&t->calls, max);
}

void transcript_fini(struct transcript *t)
{
    buf_fini(&t->text);
    buf_fini(&t->reasoning);
    buf_fini(&t->calls);
    free(t->names);
    transcript_init(t, t->max);
}

static void lose(struct transcript *t)
{
    t->is_lost = true;
    buf_fini(&t->text);
    buf_fini(&t->reasoning);
    buf_fini(&t->calls);
}

/* null counts as absent. */
static size_t size_of(struct str value)
{
    return member_is_given(value) ? value.len : 0;
}

static struct str keep(char **room, struct str value)
{
    struct str kept = str_of(*room, size_of(value));
    if (kept.len > 0) {
        memcpy(*room, value.ptr, kept.len);
    }
    *room += kept.len;
    return kept;
}

static void keep_names(struct transcript *t, struct str chunk)
{
    enum { ID, CREATED, MODEL, FINGERPRINT, COUNT };
    static const struct str names[COUNT] = {[ID] = STR_INIT("id"),
                                            [CREATED] = STR_INIT("created"),
                                            [MODEL] = STR_INIT("model"),
                                            [FINGERPRINT] = STR_INIT("system_fingerprint")};
    struct str value[COUNT];
    size_t size = 0;
    json_pick(NULL, json_value(chunk), names, COUNT, value);
    for (size_t i = 0; i < COUNT; i++) {
        size += size_of(value[i]);
    }
    if (size > t->max) {
        lose(t);
        return;
    }
    t->names = mem_alloc(size);
    char *room = t->names;
    t->id = keep(&room, value[ID]);
    t->created = keep(&room, value[CREATED]);
    t->model = keep(&room, value[MODEL]);
    t->fingerprint = keep(&room, value[FINGERPRINT]);
}

static struct str first_choice(struct str chunk)
{
    return json_path(chunk, "choices", "0", NULL);
}

static void look_at_first_reasoning(struct transcript *t, struct str chunk)
{
    struct str delta = json_get(first_choice(chunk), "delta");
    t->has_reasoning = true;
    t->reasoning_name = json_text_len(json_get(delta, "reasoning_content")) > 0
                            ? "reasoning_content"
                            : "reasoning";
}

/* What stands in the first chunks only is looked for in them only. */
static void look_at_start(struct transcript *t, const struct reply_event *ev)
{
    if (!t->is_begun) {
        t->is_begun = true;
        keep_names(t, ev->tool_chunk.len > 0 ? ev->tool_chunk : ev->chunk);
    }
    /* Behind a seam it may come late, from the first backend that says it; there events are
     * written anew. */
    if (!t->role_sent && (t->pieces == 0 || !ev->is_verbatim)) {
        struct str role = json_path(first_choice(ev->chunk), "delta", "role", NULL);
        t->role_sent = member_is_given(role);
    }
    if (t->pieces == 0 && ev->content.len > 0) {
        t->has_logprobs = member_is_given(json_get(first_choice(ev->chunk), "logprobs"));
    }
    if (ev->has_reasoning && !t->has_reasoning) {
        look_at_first_reasoning(t, ev->chunk);
    }
}

/* An empty text among others is half a character, a token of its own; before the first it comes
 * with the role, and with the last it is the end. */
static bool is_piece(const struct transcript *t, const struct reply_event *ev)
{
    bool is_empty_text = ev->content.ptr != NULL && ev->content.len == 0;
    return ev->content.len > 0 || ev->has_other ||
           (is_empty_text && t->pieces > 0 && !ev->has_finish);
}

static void append(struct transcript *t, struct buf *to, struct str text)
{
    if (text.len > t->left || buf_append(to, text) != ERR_OK) {
        lose(t);
        return;
    }
    t->left -= text.len;
}

static void append_text(struct transcript *t, struct buf *to, struct str raw)
{
    struct arena scratch;
    if (raw.len == 0 || t->is_lost) {
        return;
    }
    arena_init(&scratch);
    append(t, to, canonical_text(raw, &scratch));
    arena_fini(&scratch);
}

static void add_calls(struct transcript *t, const struct reply_event *ev)
{
    if (!t->is_begun) {
        look_at_start(t, ev);
    }
    t->pieces += ev->call_pieces;
    t->untold += ev->call_pieces;
    if (!t->is_lost) {
        append(t, &t->calls, ev->calls);
    }
}

static void note_usage(struct transcript *t, const struct reply_event *ev)
{
    if (ev->prompt_tokens > 0) {
        t->prompt_tokens = ev->prompt_tokens;
    }
    if (ev->completion_tokens > 0) {
        t->told = ev->completion_tokens;
        t->untold = 0;
    }
}

void transcript_add(struct transcript *t, const struct reply_event *ev)
{
    if (ev->chunk.len == 0 && ev->usage_chunk.len == 0 && ev->tool_chunk.len == 0) {
        return;
    }
    if (ev->tool_chunk.len > 0) {
        add_calls(t, ev);
    }
    if (ev->chunk.len > 0) {
        look_at_start(t, ev);
        bool is_counted = is_piece(t, ev);
        t->pieces += is_counted;
        t->untold += is_counted;
        t->has_other = t->has_other || ev->has_unkept || ev->has_tool_call;
        append_text(t, &t->text, ev->content);
        append_text(t, &t->reasoning, ev->reasoning);
    }
    if (ev->has_usage) {
        note_usage(t, ev);
    }
}

struct str transcript_text(const struct transcript *t)
{
    return buf_str(&t->text);
}

struct str transcript_reasoning(const struct transcript *t)
{
    return buf_str(&t->reasoning);
}

struct str transcript_calls(const struct transcript *t)
{
    return buf_str(&t->calls);
}

size_t transcript_text_len(const struct transcript *t)
{
    return buf_len(&t->text);
}

uint64_t transcript_spent(const struct transcript *t)
{
    return t->told + t->untold;
}

bool transcript_is_estimate(const struct transcript *t)
{
    return t->untold > 0;
}

void transcript_count(struct transcript *t, uint64_t tokens)
{
    if (tokens >= transcript_spent(t)) {
        t->told = tokens;
        t->untold = 0;
    }
}

static void put_name(struct json_out *o, const char *key, struct str value)
{
    if (value.len > 0) {
        json_out_member(o, key, value);
    }
}

/* A chunk up to its choices. */
static void begin_chunk(const struct transcript *t, struct json_out *o, struct arena *a)
{
    json_out_init(o, a, 256 + t->id.len + t->model.len + t->fingerprint.len);
    json_out_open(o, '{');
    put_name(o, "id", t->id);
    json_out_member(o, "object", STR("\"chat.completion.chunk\""));
    put_name(o, "created", t->created);
    put_name(o, "model", t->model);
    put_name(o, "system_fingerprint", t->fingerprint);
}

struct str transcript_usage(const struct transcript *t, uint64_t prompt_tokens,
                            uint64_t completion_tokens, struct arena *a)
{
    struct json_out o;
    begin_chunk(t, &o, a);
    json_out_raw(
        &o, arena_printf(a,
                         ",\"choices\":[],\"usage\":{\"prompt_tokens\":%" PRIu64
                         ",\"completion_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}}",
                         prompt_tokens, completion_tokens, prompt_tokens + completion_tokens));
    return json_out_str(&o);
}

struct str transcript_finish(const struct transcript *t, const char *reason, struct arena *a)
{
    struct json_out o;
    begin_chunk(t, &o, a);
    json_out_raw(
        &o,
        STR(",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":"));
    json_out_raw(&o, json_quote(a, str_from(reason)));
    json_out_raw(&o, STR("}]}"));
    return json_out_str(&o);
}
