#include "sim_speech.h"

#include <inttypes.h>

#include "sim_draw.h"

enum { SPEECH_MAX = 16 << 20 };

void speech_init(struct speech *s, struct ask *k, struct rand *r, struct arena *a)
{
    uint32_t serial = rand_below(r, 100000);
    *s = (struct speech){.ask = k, .rand = r};
    s->spelling = (enum spelling)rand_below(r, SPELLINGS);
    s->id = arena_printf(a, "chatcmpl-b%u-%u", k->backend, serial);
    s->created = 1790000000 + serial;
    s->has_fingerprint = draw_percent(r, 40);
    s->crlf = draw_percent(r, 15);
    s->is_pretty = draw_percent(r, 25);
    s->marks = (struct ask_marks){SIZE_MAX, SIZE_MAX, SIZE_MAX};
    buf_init(&s->body, SPEECH_MAX);
}

void speech_fini(struct speech *s)
{
    buf_fini(&s->body);
}

/* As servers do: so many tokens as may be made, and "length" when the end was not among them.
 * Calls come behind the whole text: what is to make any is not cut before. */
void speech_decide(struct ask *k)
{
    uint32_t count = plan_end(k->plan, k->from);
    uint64_t left = count - k->from;
    bool is_cut = k->has_limit && left > 0 && k->limit <= left && k->plan->call_count == 0;
    k->to = is_cut ? k->from + (uint32_t)k->limit : count;
    k->finish = is_cut ? "length" : k->plan->call_count > 0 ? "tool_calls" : "stop";
}

/* --- plain JSON --- */

static void put_calls(struct speech *s)
{
    const struct plan *p = s->ask->plan;
    for (uint32_t i = 0; i < p->call_count; i++) {
        put_format(&s->body,
                   "%s{\"id\":\"call_%u\",\"type\":\"function\",\"function\":{\"name\":",
                   i > 0 ? "," : ",\"tool_calls\":[", i);
        put_quoted(&s->body, p->calls[i].name, s->spelling);
        put(&s->body, STR(",\"arguments\":"));
        put_quoted(&s->body, p->calls[i].arguments, s->spelling);
        put(&s->body, STR("}}"));
    }
    put(&s->body, p->call_count > 0 ? STR("]") : STR(""));
}

static void put_logprobs(struct speech *s, const struct said *said, uint32_t from, uint32_t to)
{
    put(&s->body, STR("{\"content\":["));
    for (uint32_t i = from; i < to; i++) {
        put(&s->body, i > from ? STR(",{\"token\":") : STR("{\"token\":"));
        put_quoted(&s->body, said_tokens(said, i, i + 1), s->spelling);
        put(&s->body, STR(",\"logprob\":-0.5,\"bytes\":null,\"top_logprobs\":[]}"));
    }
    put(&s->body, STR("]}"));
}

static void put_choice(struct speech *s, uint32_t choice)
{
    const struct ask *k = s->ask;
    const struct said *said = &k->plan->content[choice];
    uint32_t from = choice == 0 && !k->is_echoing ? k->from : 0;
    uint32_t to = choice == 0 ? k->to : said->count;
    const char *finish = choice == 0 ? k->finish : "stop";
    finish = k->fault == SIM_abort ? "abort" : finish;
    put_format(&s->body, "%s{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":",
               choice > 0 ? "," : "", choice);
    put_quoted(&s->body, said_tokens(said, from, to), s->spelling);
    if (choice == 0 && !k->continues && k->plan->reasoning.count > 0) {
        put(&s->body, STR(",\"reasoning_content\":"));
        put_quoted(&s->body, k->plan->reasoning.text, s->spelling);
    }
    if (choice == 0) {
        put_calls(s);
    }
    put(&s->body, STR("},\"logprobs\":"));
    if (k->plan->wants_logprobs) {
        put_logprobs(s, said, from, to);
    } else {
        put(&s->body, STR("null"));
    }
    if (k->fault == SIM_no_finish || k->fault == SIM_done_early) {
        put(&s->body, STR(",\"finish_reason\":null}"));
    } else {
        put_format(&s->body, ",\"finish_reason\":\"%s\"}", finish);
    }
}

void speak_plain(struct speech *s)
{
    const struct ask *k = s->ask;
    uint64_t prompt = k->plan->prompt_tokens + k->from;
    uint64_t made = k->to - k->from;
    if (k->fault == SIM_error_event || k->fault == SIM_error_late) {
        speak_error(&s->body, k, 500, "EngineCore encountered an issue.");
        return;
    }
    put_format(&s->body,
               "{\"id\":\"%.*s\",\"object\":\"chat.completion\",\"created\":%" PRIu64
               ",\"model\":",
               STR_FMT(s->id), s->created);
    put_quoted(&s->body, k->model, SPELL_PLAIN);
    put(&s->body, STR(",\"choices\":["));
    for (uint32_t i = 0; i < k->plan->n; i++) {
        put_choice(s, i);
    }
    put_format(&s->body,
               "],\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64
               ",\"total_tokens\":%" PRIu64 "}}",
               prompt, made, prompt + made);
    if (k->fault == SIM_bad_event) {
        s->body.end = s->body.start + rand_below(s->rand, (uint32_t)buf_len(&s->body));
    } else if (fault_place(k->fault) != AT_EVENT) {
        s->marks.content = s->marks.finish_from = s->marks.finish_to = buf_len(&s->body);
    }
}

/* --- errors --- */

void speak_error(struct buf *out, const struct ask *k, int status, const char *message)
{
    bool is_number = k->type != BACKEND_OPENAI;
    if (k->type == BACKEND_OLLAMA) {
        put(out, STR("{\"error\":"));
        put_quoted(out, str_from(message), SPELL_PLAIN);
        put(out, STR("}"));
        return;
    }
    put(out, STR("{\"error\":{\"message\":"));
    put_quoted(out, str_from(message), SPELL_PLAIN);
    put(out, STR(",\"type\":\"sim_error\",\"param\":null,\"code\":"));
    if (is_number) {
        put_format(out, "%d}}", status);
    } else {
        put(out, STR("\"sim_code\"}}"));
    }
}
