#include "llm/seam.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "llm/blank.h"
#include "llm/canonical.h"
#include "llm/json_out.h"
#include "llm/members.h"
#include "llm/tool_hold.h"
#include "wire/json.h"
#include "wire/json_edit.h"

/* What of an event is new to the client. */
struct fresh {
    struct str content; /* escaped */
    struct str reasoning;
    bool is_cut; /* not all of the event is */
};

/* How much of the text comes again. */
static struct seam_known known_text(enum seam_mode mode, struct str text)
{
    switch (mode) {
    case SEAM_CONTINUE:
        return (struct seam_known){.len = 0};
    case SEAM_TAIL:
        return (struct seam_known){.at = blank_trim(text), .len = text.len};
    case SEAM_ECHO:
    case SEAM_RESTART:
        return (struct seam_known){.len = text.len};
    }
    BUG("no such mode");
}

void seam_init(struct seam *s, const struct transcript *t, enum seam_mode mode,
               const struct chat_request *q, struct arena *a)
{
    struct str text = transcript_text(t);
    bool restarts = mode == SEAM_RESTART;
    CHECK(!t->is_lost);
    *s = (struct seam){.transcript = t,
                       .mode = mode,
                       .spent = restarts ? 0 : transcript_spent(t),
                       .role_sent = t->role_sent,
                       .has_text = text.len > 0,
                       .text = known_text(mode, text),
                       .reasoning = {.len = restarts ? transcript_reasoning(t).len : 0},
                       .calls = {.len = restarts ? transcript_calls(t).len : 0}};
    /* From the beginning the backend sees all of the text by itself. */
    stops_init(&s->stops, restarts ? STR_NONE : json_get(q->body, "stop"), text, a);
}

bool seam_is_caught_up(const struct seam *s)
{
    return s->text.at == s->text.len && s->reasoning.at == s->reasoning.len &&
           s->calls.at == s->calls.len;
}

/* What comes is not new as long as something must be repeated. White space that the partial
 * ends in need not be where no text follows it. */
static bool is_behind(const struct seam *s)
{
    return s->mode != SEAM_TAIL && !seam_is_caught_up(s);
}

/* --- What is new --- */

static enum err skip_known(struct seam_known *k, struct str known, struct str piece,
                           struct str *rest)
{
    size_t left = k->len - k->at;
    size_t common = piece.len < left ? piece.len : left;
    if (!str_eq(str_of(known.ptr + k->at, common), str_of(piece.ptr, common))) {
        return ERR_RANGE;
    }
    k->at += common;
    *rest = common > 0 ? str_from_at(piece, common) : piece;
    return ERR_OK;
}

static enum err take_reasoning(struct seam *s, struct str piece, struct fresh *fresh)
{
    if (piece.len == 0) {
        return ERR_OK;
    }
    if (s->mode != SEAM_RESTART) {
        return ERR_RANGE;
    }
    enum err e = skip_known(&s->reasoning, transcript_reasoning(s->transcript), piece,
                            &fresh->reasoning);
    if (e != ERR_OK) {
        return e;
    }
    fresh->is_cut = fresh->is_cut || fresh->reasoning.len < piece.len;
    return fresh->reasoning.len > 0 && s->has_text ? ERR_RANGE : ERR_OK;
}

static enum err take_content(struct seam *s, struct str piece, struct fresh *fresh)
{
    if (piece.len > 0 && s->reasoning.at < s->reasoning.len) {
        return ERR_RANGE;
    }
    enum err e = skip_known(&s->text, transcript_text(s->transcript), piece, &fresh->content);
    fresh->is_cut = fresh->is_cut || fresh->content.len < piece.len;
    if (e == ERR_OK && fresh->content.len > 0 && s->calls.at < s->calls.len) {
        return ERR_RANGE;
    }
    return e;
}

static enum err take(struct seam *s, struct arena *a, const struct reply_event *ev,
                     struct fresh *fresh)
{
    enum err e = take_reasoning(s, canonical_text(ev->reasoning, a), fresh);
    if (e == ERR_OK) {
        e = take_content(s, canonical_text(ev->content, a), fresh);
    }
    bool must_be_new = ev->has_finish || ev->has_tool_call || ev->has_unkept;
    return e == ERR_OK && must_be_new && is_behind(s) ? ERR_RANGE : e;
}

/* --- One value by another --- */

static struct str edited(const struct json_edit *je, struct arena *a)
{
    struct rope pieces;
    rope_init(&pieces);
    json_edit_done(je, &pieces);
    return rope_join(&pieces, a);
}

/* Between quotes again. */
static struct str quoted(struct str escaped, struct arena *a)
{
    struct json_out o;
    json_out_init(&o, a, escaped.len + 2);
    json_out_raw(&o, STR("\""));
    json_out_raw(&o, escaped);
    json_out_raw(&o, STR("\""));
    return json_out_str(&o);
}

static void set_name(struct json_edit *je, const char *key, struct str value)
{
    if (value.len > 0) {
        json_edit_set(je, key, value);
    } else {
        json_edit_remove(je, key);
    }
}

static void set_names(const struct seam *s, struct json_edit *je)
{
    const struct transcript *t = s->transcript;
    set_name(je, "id", t->id);
    set_name(je, "created", t->created);
    set_name(je, "model", t->model);
    set_name(je, "system_fingerprint", t->fingerprint);
}

/* --- Usage --- */

static void set_number(struct json_edit *je, const char *key, uint64_t number)
{
    json_edit_set(je, key, arena_printf(je->arena, "%" PRIu64, number));
}

/* The prompt that the client asked with: what this backend was sent holds the text before the
 * seam, too. Some servers do not count what they had in their cache. */
static uint64_t prompt_of_client(const struct seam *s, uint64_t told)
{
    uint64_t known = s->transcript->prompt_tokens;
    return known > 0 ? known : told > s->spent ? told - s->spent : told;
}

/* Of a prompt not more can come from the cache than it has. */
static void clamp_cached(struct json_edit *je, uint64_t prompt)
{
    struct str cached = json_path(je->object, "prompt_tokens_details", "cached_tokens", NULL);
    uint64_t number;
    if (json_u64(cached, UINT64_MAX, &number) == ERR_OK && number > prompt) {
        json_edit_replace(je, cached, arena_printf(je->arena, "%" PRIu64, prompt));
    }
}

static struct str sum_usage(struct str usage, const struct reply_event *ev, struct arena *a)
{
    struct json_edit je;
    json_edit_init(&je, usage, a);
    set_number(&je, "prompt_tokens", ev->prompt_tokens);
    set_number(&je, "completion_tokens", ev->completion_tokens);
    set_number(&je, "total_tokens", ev->prompt_tokens + ev->completion_tokens);
    clamp_cached(&je, ev->prompt_tokens);
    return edited(&je, a);
}

static void sum_tokens(const struct seam *s, struct reply_event *ev)
{
    if (ev->has_usage && s->mode != SEAM_RESTART) {
        ev->prompt_tokens = prompt_of_client(s, ev->prompt_tokens);
        ev->completion_tokens += s->spent;
    }
}

static void set_usage(const struct seam *s, struct json_edit *je, const struct reply_event *ev)
{
    struct str usage = json_get(je->object, "usage");
    if (s->mode != SEAM_RESTART && json_type_of(usage) == JSON_OBJECT) {
        json_edit_replace(je, usage, sum_usage(usage, ev, je->arena));
    }
}

/* --- Chunks --- */

static struct str find_choice(struct str chunk)
{
    struct json_iter it;
    uint64_t index;
    json_iter_init(&it, json_get(chunk, "choices"));
    while (json_iter_next(&it)) {
        struct str value = json_get(it.value, "index");
        if (!member_is_given(value) || (json_u64(value, 0, &index) == ERR_OK)) {
            return it.value;
        }
    }
    return STR_NONE;
}

/* Under the name by which the client had it first; servers differ. */
static void set_reasoning(const struct seam *s, struct json_edit *je, struct str text)
{
    static const char *const names[] = {"reasoning", "reasoning_content"};
    const char *kept = s->transcript->reasoning_name;
    for (size_t i = 0; i < 2; i++) {
        bool is_there = json_get(je->object, names[i]).len > 0;
        bool is_wanted = kept ? strcmp(kept, names[i]) == 0 : is_there;
        if (is_wanted) {
            json_edit_set(je, names[i], quoted(text, je->arena));
        } else if (is_there) {
            json_edit_remove(je, names[i]);
        }
    }
}

static struct str rewrite_delta(const struct seam *s, struct str delta,
                                const struct reply_event *ev, const struct fresh *fresh,
                                struct arena *a)
{
    struct json_edit je;
    json_edit_init(&je, delta, a);
    if (s->role_sent) {
        json_edit_remove(&je, "role");
    }
    if (fresh->is_cut && ev->content.ptr) {
        json_edit_set(&je, "content", quoted(fresh->content, a));
    }
    if (ev->reasoning.len > 0) {
        set_reasoning(s, &je, fresh->reasoning);
    }
    return edited(&je, a);
}

static void set_choice(const struct seam *s, struct json_edit *je, const struct reply_event *ev,
                       const struct fresh *fresh)
{
    struct str choice = find_choice(je->object);
    struct str delta = json_get(choice, "delta");
    struct str logprobs = json_get(choice, "logprobs");
    if (json_type_of(delta) == JSON_OBJECT) {
        json_edit_replace(je, delta, rewrite_delta(s, delta, ev, fresh, je->arena));
    }
    if (fresh->is_cut && member_is_given(logprobs)) {
        /* They tell of tokens that the client had already. */
        json_edit_replace(je, logprobs, STR("null"));
    }
}

static struct str rewrite(const struct seam *s, const struct reply_event *ev,
                          const struct fresh *fresh, struct arena *a)
{
    struct json_edit je;
    json_edit_init(&je, ev->chunk, a);
    set_names(s, &je);
    set_choice(s, &je, ev, fresh);
    set_usage(s, &je, ev);
    return edited(&je, a);
}

static struct str rewrite_usage_chunk(const struct seam *s, const struct reply_event *ev,
                                      struct arena *a)
{
    struct json_edit je;
    json_edit_init(&je, ev->usage_chunk, a);
    set_names(s, &je);
    set_usage(s, &je, ev);
    return edited(&je, a);
}

/* Half a character has no text, but a token. */
static bool has_logprobs(struct str choice)
{
    return json_type_of(json_get(choice, "logprobs")) == JSON_OBJECT;
}

/* Anything that the client has not had: a delta that is empty, or was emptied, is dropped. */
static bool is_news(const struct seam *s, const struct reply_event *ev,
                    const struct fresh *fresh)
{
    if (fresh->content.len > 0 || fresh->reasoning.len > 0 || ev->has_finish ||
        ev->has_tool_call || ev->has_unkept) {
        return true;
    }
    struct str choice = find_choice(ev->chunk);
    if (choice.len == 0) {
        return ev->has_usage;
    }
    bool brings_role =
        !s->role_sent && member_is_given(json_path(choice, "delta", "role", NULL));
    return brings_role || (!fresh->is_cut && seam_is_caught_up(s) && has_logprobs(choice));
}

static void drop(struct reply_event *ev)
{
    ev->chunk = STR_NONE;
    ev->content = STR_NONE;
    ev->reasoning = STR_NONE;
    ev->is_verbatim = false;
}

/* --- Tool calls --- */

/* Whether this call is new to the client; ERR_RANGE when it is another than what it has. */
static enum err take_call(struct seam *s, struct str record, bool *is_new)
{
    struct str rest;
    enum err e = skip_known(&s->calls, transcript_calls(s->transcript), record, &rest);
    if (e != ERR_OK) {
        return e;
    }
    *is_new = rest.len > 0;
    bool is_partly_known = *is_new && rest.len < record.len;
    return is_partly_known || (*is_new && is_behind(s)) ? ERR_RANGE : ERR_OK;
}

/* The calls of the event that are new, as the elements of a list: the same names, or none. */
static enum err take_calls(struct seam *s, struct reply_event *ev, struct json_out *fresh)
{
    struct json_iter it;
    struct str records = ev->calls;
    bool is_new = false;
    json_iter_init(&it, json_get(json_get(find_choice(ev->tool_chunk), "delta"), "tool_calls"));
    json_out_open(fresh, '[');
    while (json_iter_next(&it)) {
        struct str record = tool_record_next(&records);
        enum err e = take_call(s, record, &is_new);
        if (e != ERR_OK) {
            return e;
        }
        if (is_new) {
            json_out_element(fresh, it.value);
        } else {
            ev->calls = records;
        }
    }
    json_out_close(fresh, ']');
    return ERR_OK;
}

static struct str rewrite_calls(const struct seam *s, struct str chunk, struct str calls,
                                struct arena *a)
{
    struct json_edit je;
    struct json_edit delta;
    struct str old = json_get(find_choice(chunk), "delta");
    json_edit_init(&delta, old, a);
    json_edit_set(&delta, "tool_calls", calls);
    if (s->role_sent) {
        json_edit_remove(&delta, "role");
    }
    json_edit_init(&je, chunk, a);
    set_names(s, &je);
    json_edit_replace(&je, old, edited(&delta, a));
    return edited(&je, a);
}

static enum err pass_calls(struct seam *s, struct arena *a, struct reply_event *ev)
{
    struct json_out fresh;
    json_out_init(&fresh, a, ev->tool_chunk.len);
    enum err e = take_calls(s, ev, &fresh);
    if (e != ERR_OK) {
        return e;
    }
    if (ev->calls.len == 0) {
        ev->tool_chunk = STR_NONE;
        ev->call_pieces = 0;
        return ERR_OK;
    }
    ev->tool_chunk = rewrite_calls(s, ev->tool_chunk, json_out_str(&fresh), a);
    s->role_sent = true;
    return ERR_OK;
}

static void end_by_stop(struct seam *s, struct arena *a, struct reply_event *ev)
{
    drop(ev);
    s->is_stopped = true;
    ev->tool_chunk = STR_NONE;
    ev->chunk = transcript_finish(s->transcript, "stop", a);
    ev->usage_chunk = STR_NONE;
    ev->has_usage = false;
    ev->has_finish = true;
    ev->all_finished = true;
    ev->is_done = true;
}

static enum err pass_chunk(struct seam *s, struct arena *a, struct reply_event *ev)
{
    struct fresh fresh = {.is_cut = false};
    enum err e = take(s, a, ev, &fresh);
    if (e != ERR_OK) {
        return e;
    }
    if (stops_add(&s->stops, fresh.content, a)) {
        end_by_stop(s, a, ev);
        return ERR_OK;
    }
    if (!is_news(s, ev, &fresh)) {
        drop(ev);
        return ERR_OK;
    }
    ev->chunk = rewrite(s, ev, &fresh, a);
    ev->is_verbatim = false;
    /* What was emptied here, or comes with the role, is no token without text. */
    bool is_no_token = fresh.content.len == 0 && (fresh.is_cut || !s->role_sent);
    ev->content = is_no_token ? STR_NONE : fresh.content;
    ev->reasoning = fresh.reasoning;
    s->role_sent = true;
    return ERR_OK;
}

enum err seam_event(struct seam *s, struct arena *a, struct reply_event *ev)
{
    enum err e = ERR_OK;
    if (s->is_stopped) {
        drop(ev);
        ev->tool_chunk = STR_NONE;
        ev->usage_chunk = STR_NONE;
        return ERR_OK;
    }
    sum_tokens(s, ev);
    if (ev->tool_chunk.len > 0) {
        e = pass_calls(s, a, ev);
    }
    if (e == ERR_OK && ev->chunk.len > 0) {
        e = pass_chunk(s, a, ev);
    }
    if (e == ERR_OK && ev->usage_chunk.len > 0) {
        ev->usage_chunk = rewrite_usage_chunk(s, ev, a);
    }
    return e;
}
