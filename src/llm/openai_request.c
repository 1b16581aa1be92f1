#include "llm/openai_request.h"

#include <inttypes.h>

#include "base/check.h"
#include "llm/json_out.h"
#include "llm/members.h"
#include "wire/json.h"

static void splice(struct json_edit *je, const char *key, struct str old, struct str new)
{
    if (old.len > 0) {
        json_edit_replace(je, old, new);
    } else {
        json_edit_set(je, key, new);
    }
}

/* `limit` less what is spent, never less than `least`. */
static uint64_t lowered(uint64_t limit, uint64_t spent, uint64_t least)
{
    return limit > spent && limit - spent > least ? limit - spent : least;
}

/* When the client gave both limits, either may be the one that the backend obeys: none may
 * rise. */
static void splice_limit(struct json_edit *je, const struct chat_request *q,
                         const struct chat_edit *ed)
{
    uint64_t limit = ed->set_max_tokens ? ed->max_tokens : q->max_tokens;
    bool has_both =
        member_is_given(q->raw.max_tokens) && member_is_given(q->raw.max_completion_tokens);
    if (has_both && chat_request_limit(q) < limit) {
        limit = chat_request_limit(q);
    }
    struct str number = arena_printf(je->arena, "%" PRIu64, lowered(limit, ed->spent, 1));
    if (q->max_is_completion) {
        splice(je, "max_completion_tokens", q->raw.max_completion_tokens, number);
    }
    if (has_both || !q->max_is_completion) {
        splice(je, "max_tokens", q->raw.max_tokens, number);
    }
}

/* Limits of these servers' own, where the client gave some. */
static void splice_own_limits(struct json_edit *je, uint64_t spent)
{
    static const struct {
        struct str name;
        uint64_t least;
    } limits[] = {{STR_INIT("min_tokens"), 0}, {STR_INIT("n_predict"), 1}};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct str old = json_get(je->object, limits[i].name.ptr);
        uint64_t number;
        if (json_u64(old, UINT64_MAX, &number) == ERR_OK && number > limits[i].least) {
            number = lowered(number, spent, limits[i].least);
            json_edit_replace(je, old, arena_printf(je->arena, "%" PRIu64, number));
        }
    }
}

/* The half message becomes the last one, in place of the array's closing bracket. Copied: the
 * transcript that it comes from goes on growing while the request is sent. */
static void splice_partial(struct json_edit *je, struct str partial)
{
    struct json_out o;
    struct str messages = json_get(je->object, "messages");
    CHECK(json_type_of(messages) == JSON_ARRAY);
    json_out_init(&o, je->arena, partial.len + 64);
    json_out_raw(&o, STR(",{\"role\":\"assistant\",\"content\":\""));
    json_out_raw(&o, partial);
    json_out_raw(&o, STR("\"}]"));
    json_edit_replace(je, str_of(messages.ptr + messages.len - 1, 1), json_out_str(&o));
    json_edit_set(je, "continue_final_message", STR("true"));
    json_edit_set(je, "add_generation_prompt", STR("false"));
}

static struct str ask_for_usage(struct str options, struct arena *a)
{
    struct json_edit je;
    struct rope pieces;
    if (!member_is_given(options)) {
        return STR("{\"include_usage\":true}");
    }
    rope_init(&pieces);
    json_edit_init(&je, options, a);
    json_edit_set(&je, "include_usage", STR("true"));
    json_edit_done(&je, &pieces);
    return rope_join(&pieces, a);
}

static void splice_stream(struct json_edit *je, const struct chat_request *q,
                          const struct chat_edit *ed)
{
    struct str options = q->raw.stream_options;
    if (ed->stream != q->stream) {
        splice(je, "stream", q->raw.stream, ed->stream ? STR("true") : STR("false"));
    }
    if (!ed->stream && options.len > 0) {
        json_edit_remove(je, "stream_options");
    }
    if (ed->stream && ed->want_usage && !q->include_usage) {
        splice(je, "stream_options", options, ask_for_usage(options, je->arena));
    }
}

static void splice_spent(struct json_edit *je, const struct chat_request *q,
                         const struct chat_edit *ed)
{
    if (ed->set_max_tokens || (ed->spent > 0 && q->has_max_tokens)) {
        splice_limit(je, q, ed);
    }
    if (ed->spent > 0) {
        splice_own_limits(je, ed->spent);
    }
}

enum err openai_build_continuing(const struct chat_request *q, const struct chat_edit *ed,
                                 struct arena *a, struct rope *out, struct bad_request *bad)
{
    struct json_edit je;
    (void)bad; /* whatever the client may say can be said to these backends */
    json_edit_init(&je, q->body, a);
    splice(&je, "model", q->raw.model, json_quote(a, ed->model));
    splice_spent(&je, q, ed);
    if (ed->set_temperature) {
        splice(&je, "temperature", q->raw.temperature, json_out_number(a, ed->temperature));
    }
    splice_stream(&je, q, ed);
    if (ed->partial.len > 0) {
        splice_partial(&je, ed->partial);
    }
    rope_init(out);
    json_edit_done(&je, out);
    return ERR_OK;
}

enum err openai_build(const struct chat_request *q, const struct chat_edit *ed, struct arena *a,
                      struct rope *out, struct bad_request *bad)
{
    if (ed->partial.len > 0) {
        *bad = (struct bad_request){
            .status = 400,
            .type = "invalid_request_error",
            .code = "unsupported_parameter",
            .message = STR("This backend cannot continue a message of the assistant"),
            .param = STR("messages")};
        return ERR_UNSUPPORTED;
    }
    return openai_build_continuing(q, ed, a, out, bad);
}
