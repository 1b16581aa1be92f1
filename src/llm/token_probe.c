#include "llm/token_probe.h"

#include "base/check.h"
#include "llm/chat_request.h"
#include "llm/reply_events.h"
#include "wire/json.h"

static void make_request(struct str model, uint64_t salt, struct arena *a,
                         struct chat_request *q)
{
    char digits[STR_NUMBER_MAX];
    struct bad_request bad;
    struct str body =
        arena_printf(a,
                     "{\"model\":%.*s,\"messages\":[{\"role\":\"user\",\"content\":"
                     "\"%.*s Say yes.\"}],\"temperature\":0,\"max_tokens\":1,\"stream\":true}",
                     STR_FMT(json_quote(a, model)), STR_FMT(str_hex64(salt, digits)));
    CHECK(chat_request_read(body, a, q, &bad) == ERR_OK);
}

void token_probe_ask(const struct dialect *d, struct str model, uint64_t salt, struct arena *a,
                     struct rope *body)
{
    struct chat_request q;
    struct bad_request bad;
    struct chat_edit edit = {.model = model, .stream = true};
    make_request(model, salt, a, &q);
    CHECK(d->build(&q, &edit, a, body, &bad) == ERR_OK);
}

/* What has been heard of an answer. */
struct hearing {
    struct reply *reply;
    bool has_token;
    bool has_failed;
};

/* One token may be a special one that has no text: a finished answer is one, too. */
static void hear_event(void *owner, struct str payload)
{
    struct hearing *h = owner;
    struct reply_event ev;
    if (reply_read_event(h->reply, payload, &ev) != ERR_OK) {
        h->has_failed = true;
        return;
    }
    h->has_failed = h->has_failed || ev.is_error || ev.is_abort;
    h->has_token = h->has_token || ev.has_content || ev.has_finish;
}

static enum token_answer hear(const struct dialect *d, struct str body)
{
    struct arena a;
    struct chat_request q;
    struct reply r;
    arena_init(&a);
    make_request(STR("m"), 0, &a, &q);
    reply_init(&r, d, &q, &a, STR("probe"));
    struct hearing h = {.reply = &r};
    reply_each_event(d, body, hear_event, &h);
    reply_fini(&r);
    arena_fini(&a);
    return h.has_token && !h.has_failed ? TOKEN_CAME : TOKEN_NONE;
}

enum token_answer token_probe_answer(const struct dialect *d, int status, struct str body)
{
    if (status == 200) {
        return hear(d, body);
    }
    if (status == 503 && str_has(body, STR("Loading model"))) {
        return TOKEN_LOADING;
    }
    if (status == 429 || status == 408) {
        return TOKEN_BUSY;
    }
    return (status >= 400 && status <= 499) || status == 501 ? TOKEN_REFUSED : TOKEN_NONE;
}
