#include "llm/dialect.h"

#include "base/check.h"
#include "llm/anthropic.h"
#include "llm/ollama.h"
#include "llm/openai.h"

const struct dialect *dialect_find(struct str name)
{
    static const struct dialect *const all[] = {
        &dialect_vllm, &dialect_llamacpp, &dialect_openai, &dialect_ollama, &dialect_anthropic};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (str_eq(name, str_from(all[i]->name))) {
            return all[i];
        }
    }
    return NULL;
}

bool upstream_error_is_context(const struct upstream_error *e)
{
    static const struct str words[] = {STR_INIT("context_length_exceeded"),
                                       STR_INIT("exceed_context_size"),
                                       STR_INIT("maximum context length"),
                                       STR_INIT("max_model_len="),
                                       STR_INIT("exceeds the available context size"),
                                       STR_INIT("prompt is too long"),
                                       STR_INIT("input length exceeds the context length")};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (str_has(e->code, words[i]) || str_has(e->type, words[i]) ||
            str_has(e->message, words[i])) {
            return true;
        }
    }
    return false;
}

/* The number that stands behind `words` in the text; 0: none. */
static uint32_t number_behind(struct str text, struct str words)
{
    const char *at = memmem(text.ptr, text.len, words.ptr, words.len);
    size_t digits = 0;
    uint64_t number = 0;
    if (text.len == 0 || !at) {
        return 0;
    }
    struct str rest = str_from_at(text, (size_t)(at - text.ptr) + words.len);
    while (digits < rest.len && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9') {
        digits++;
    }
    enum err e = str_to_u64(str_of(rest.ptr, digits), UINT32_MAX, &number);
    return e == ERR_OK ? (uint32_t)number : 0;
}

uint32_t upstream_error_context(const struct upstream_error *e)
{
    static const struct str words[] = {STR_INIT("context length is "),
                                       STR_INIT("max_model_len="), STR_INIT("context size ("),
                                       STR_INIT(" tokens > ")};
    uint32_t number = e->n_ctx;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && number == 0; i++) {
        number = number_behind(e->message, words[i]);
    }
    return number;
}

void reply_init(struct reply *r, const struct dialect *d, const struct chat_request *q,
                struct arena *a, struct str id)
{
    CHECK(q->n >= 1 && q->n <= CHAT_CHOICES_MAX);
    *r = (struct reply){.dialect = d,
                        .arena = a,
                        .choices = q->n,
                        .include_usage = q->include_usage,
                        .id = arena_dup(a, id)};
    arena_init(&r->scratch);
    stencil_init(&r->stencil);
}

void reply_fini(struct reply *r)
{
    arena_fini(&r->scratch);
    stencil_fini(&r->stencil);
}

enum err reply_read_event(struct reply *r, struct str payload, struct reply_event *ev)
{
    arena_fini(&r->scratch);
    *ev = (struct reply_event){.has_content = false};
    enum err e = r->dialect->read_event(r, payload, ev);
    ev->all_finished = ev->all_finished || r->finished >= r->choices;
    return e;
}

enum whole_kind reply_read_whole(struct reply *r, struct str body, struct upstream_error *error)
{
    CHECK(!r->dialect->always_streams);
    arena_fini(&r->scratch);
    return openai_read_whole(r, body, error);
}
