#include "sim_tokens.h"

#include <inttypes.h>
#include <jansson.h>

#include "sim_draw.h"
#include "sim_loop.h"

/* How a server's tokenizer answers, of a hundred. */
enum { ANSWERS_404 = 10, ANSWERS_NOTHING = 20, ANSWERS_LATE = 30 };

static struct str text_of(const json_t *value)
{
    return json_is_string(value) ? str_of(json_string_value(value), json_string_length(value))
                                 : STR_NONE;
}

static bool is_beginning(const struct plan *p, struct str text, struct token_question *out)
{
    uint32_t reasoning = 0;
    if (p->reasoning.count > 0 && str_starts(text, p->reasoning.text)) {
        reasoning = p->reasoning.count;
        text = str_from_at(text, p->reasoning.text.len);
    }
    out->tokens = 0;
    if (!said_is_prefix(&p->content[0], text, &out->given)) {
        return false;
    }
    out->tokens = reasoning + out->given;
    return true;
}

/* Two exchanges may begin with the same words: then it is nobody's. */
static void find_exchange(struct record *rec, struct str text, struct token_question *out)
{
    struct token_question found = {.exchange = NULL};
    for (uint32_t i = 0; i < rec->count; i++) {
        struct sim_exchange *x = &rec->exchanges[i];
        struct token_question one = {.exchange = x};
        if (!is_beginning(&x->plan, text, &one)) {
            continue;
        }
        if (found.exchange) {
            return;
        }
        found = one;
    }
    *out = found;
}

static bool read_conversation(struct record *rec, const json_t *messages,
                              struct token_question *out)
{
    uint64_t number;
    const json_t *first = json_array_get(messages, 0);
    out->is_prompt = true;
    if (!plan_number_of(text_of(json_object_get(first, "content")), &number)) {
        return false;
    }
    out->exchange = record_find(rec, number);
    out->tokens = out->exchange ? out->exchange->plan.prompt_tokens : 0;
    return out->exchange != NULL;
}

static bool read_question(struct record *rec, struct str body, struct token_question *out)
{
    *out = (struct token_question){.exchange = NULL};
    json_t *question = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *messages = json_object_get(question, "messages");
    struct str text = text_of(json_object_get(question, "prompt"));
    if (text.len == 0) {
        text = text_of(json_object_get(question, "content"));
    }
    bool is_fine = text.len > 0;
    if (messages) {
        is_fine = read_conversation(rec, messages, out);
    } else if (is_fine) {
        find_exchange(rec, text, out);
    }
    json_decref(question);
    return is_fine;
}

bool tokens_answer(struct server *sv, struct str body, struct token_question *out,
                   struct reply_script *script)
{
    struct rand *r = &sv->all->rand;
    struct arena *a = &sv->all->arena;
    if (!read_question(sv->all->record, body, out)) {
        record_fail(sv->all->record, NULL, "request to %.*s: tokens of what?",
                    STR_FMT(sv->conf->name));
    }
    out->asked_ms = sim_now_ms();
    bool is_able = sv->tokenizer >= ANSWERS_404 && out->exchange;
    record_trace(sv->all->record, "%.*s: counts %" PRIu64 " tokens%s", STR_FMT(sv->conf->name),
                 out->tokens, is_able ? "" : ", but does not say so");
    if (!is_able) {
        out->exchange = NULL;
        *script = reply_small(404, STR("{\"detail\":\"Not Found\"}"), r, a);
    } else {
        struct str said = arena_printf(a, "{\"count\":%" PRIu64 ",\"tokens\":[]}", out->tokens);
        *script = reply_small(200, said, r, a);
    }
    bool is_late = is_able && sv->tokenizer < ANSWERS_LATE;
    script->first_ms = rand_below(r, is_late ? 300 : 40);
    return !is_able || sv->tokenizer >= ANSWERS_NOTHING;
}
