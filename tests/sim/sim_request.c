#include "sim_request.h"

#include <inttypes.h>
#include <jansson.h>

enum { ASSUMED_TOKENS = 500 }; /* what a cap is taken of where the client named no limit */

struct reading {
    struct record *record;
    struct sim_exchange *exchange; /* NULL: it is a question of the gateway's own */
    const struct backend *backend;
    struct ask *ask;
    json_t *body;
};

static struct str text_of(const json_t *value)
{
    return json_is_string(value) ? str_of(json_string_value(value), json_string_length(value))
                                 : STR_NONE;
}

static bool wrong(const struct reading *rd, const char *what)
{
    record_fail(rd->record, rd->exchange, "request to %.*s: %s", STR_FMT(rd->backend->name),
                what);
    return false;
}

static bool find_exchange(struct reading *rd)
{
    uint64_t number;
    const json_t *first = json_array_get(json_object_get(rd->body, "messages"), 0);
    if (!plan_number_of(text_of(json_object_get(first, "content")), &number)) {
        return true;
    }
    rd->exchange = record_find(rd->record, number);
    return rd->exchange ? true : wrong(rd, "of an exchange that there is not");
}

/* The lowest one of all that servers understand; none: false. */
static bool find_limit(const json_t *body, uint64_t *limit)
{
    const json_t *given[] = {json_object_get(body, "max_tokens"),
                             json_object_get(body, "max_completion_tokens"),
                             json_object_get(json_object_get(body, "options"), "num_predict")};
    *limit = UINT64_MAX;
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        uint64_t number = (uint64_t)json_integer_value(given[i]);
        if (json_is_integer(given[i]) && number < *limit) {
            *limit = number;
        }
    }
    return *limit != UINT64_MAX;
}

static bool read_partial(struct reading *rd, const json_t *message)
{
    const struct plan *p = rd->ask->plan;
    struct ask *k = rd->ask;
    bool is_assistant = str_eq(text_of(json_object_get(message, "role")), STR("assistant"));
    struct str partial = text_of(json_object_get(message, "content"));
    bool is_flagged = json_is_true(json_object_get(rd->body, "continue_final_message")) &&
                      json_is_false(json_object_get(rd->body, "add_generation_prompt"));
    k->continues = true;
    if (!is_assistant || partial.len == 0) {
        return wrong(rd, "a message too many");
    }
    if (k->type == BACKEND_OPENAI) {
        return wrong(rd, "it cannot continue a half message");
    }
    if (k->type != BACKEND_OLLAMA && !is_flagged) {
        return wrong(rd, "a half message without the flags that ask for its continuation");
    }
    if (!said_is_prefix(&p->content[0], partial, &k->from)) {
        return wrong(rd, "the half message is not what backends have said");
    }
    return true;
}

/* The question is its own; only a half answer behind it must be right. */
static bool read_inquiry(struct reading *rd)
{
    const json_t *messages = json_object_get(rd->body, "messages");
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    rd->ask->has_limit = find_limit(rd->body, &rd->ask->limit);
    rd->ask->streams = json_is_true(json_object_get(rd->body, "stream"));
    bool is_half = str_eq(text_of(json_object_get(last, "role")), STR("assistant"));
    return !is_half || read_partial(rd, last);
}

static bool read_messages(struct reading *rd)
{
    const struct plan *p = rd->ask->plan;
    const json_t *messages = json_object_get(rd->body, "messages");
    size_t count = json_array_size(messages);
    if (count < p->message_count || count > p->message_count + 1) {
        return wrong(rd, "it has not as many messages as the client's");
    }
    for (uint32_t i = 0; i < p->message_count; i++) {
        const json_t *message = json_array_get(messages, i);
        if (!str_eq(text_of(json_object_get(message, "content")), p->messages[i])) {
            return wrong(rd, "a message is not the client's");
        }
    }
    return count == p->message_count || read_partial(rd, json_array_get(messages, count - 1));
}

static bool read_limit(struct reading *rd)
{
    const struct plan *p = rd->ask->plan;
    const struct degrade_policy *d = &rd->backend->degrade;
    struct ask *k = rd->ask;
    bool is_capped = d->has_max_tokens && !(p->has_limit && p->limit <= d->max_tokens);
    uint64_t wanted = p->has_limit ? p->limit : UINT64_MAX;
    if (is_capped) {
        wanted = p->has_limit ? p->limit : ASSUMED_TOKENS;
        wanted = wanted < d->max_tokens ? wanted : d->max_tokens;
    }
    if (!k->continues) {
        rd->exchange->counted = 0; /* the answer may begin anew */
    }
    k->has_limit = find_limit(rd->body, &k->limit);
    if (k->has_limit != (wanted != UINT64_MAX)) {
        return wrong(rd, k->has_limit ? "a limit that nobody wanted" : "the limit is missing");
    }
    if (!k->has_limit) {
        return true;
    }
    bool is_measured = rd->exchange->counted == k->from && !p->has_halves;
    bool is_exact = p->is_counted || !k->continues || is_measured;
    uint64_t left = wanted > k->from ? wanted - k->from : 1;
    bool is_right = is_exact ? k->limit == left : k->limit >= 1 && k->limit <= wanted;
    if (!is_right) {
        record_fail(rd->record, rd->exchange,
                    "request to %.*s: max_tokens is %" PRIu64 ", not %" PRIu64 " (%" PRIu64
                    " less %u)",
                    STR_FMT(rd->backend->name), k->limit, left, wanted, k->from);
    }
    return is_right;
}

static bool read_options(struct reading *rd)
{
    const struct plan *p = rd->ask->plan;
    struct ask *k = rd->ask;
    const json_t *n = json_object_get(rd->body, "n");
    const json_t *options = json_object_get(rd->body, "stream_options");
    k->streams = json_is_true(json_object_get(rd->body, "stream"));
    k->wants_usage = json_is_true(json_object_get(options, "include_usage"));
    if (k->type == BACKEND_OLLAMA && !k->streams) {
        return wrong(rd, "Ollama is asked for no stream");
    }
    if (k->type == BACKEND_OLLAMA && plan_is_too_much(p)) {
        return wrong(rd, "Ollama cannot express it");
    }
    if (p->stream && !k->streams) {
        return wrong(rd, "the client asked for a stream");
    }
    if (p->n > 1 && json_integer_value(n) != p->n) {
        return wrong(rd, "n is not the client's");
    }
    const json_t *stop = json_object_get(rd->body, "stop");
    if (k->type != BACKEND_OLLAMA && (p->stop.len > 0) != (stop != NULL)) {
        return wrong(rd, "stop is not the client's");
    }
    if (p->has_tools != (json_array_size(json_object_get(rd->body, "tools")) > 0)) {
        return wrong(rd, "tools are not the client's");
    }
    if (p->wants_logprobs != json_is_true(json_object_get(rd->body, "logprobs"))) {
        return wrong(rd, "logprobs are not the client's");
    }
    return true;
}

static bool read_all(struct reading *rd, const struct plan *inquiry)
{
    if (!rd->body) {
        return wrong(rd, "it is no JSON");
    }
    if (!find_exchange(rd)) {
        return false;
    }
    rd->ask->plan = rd->exchange ? &rd->exchange->plan : inquiry;
    if (!str_eq(text_of(json_object_get(rd->body, "model")), rd->ask->model)) {
        return wrong(rd, "the model is not as the backend knows it");
    }
    if (!rd->exchange) {
        return read_inquiry(rd);
    }
    return read_messages(rd) && read_limit(rd) && read_options(rd);
}

bool request_read(struct record *rec, const struct backend *b, const struct plan *inquiry,
                  struct str body, struct ask *k, struct sim_exchange **x)
{
    struct reading rd = {.record = rec, .backend = b, .ask = k};
    rd.body = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    bool is_fine = read_all(&rd, inquiry);
    json_decref(rd.body);
    *x = rd.exchange;
    return is_fine;
}
