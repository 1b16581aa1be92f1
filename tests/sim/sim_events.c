#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "sim_draw.h"
#include "sim_speech.h"

/*
 * Streams. An answer is a list of items, each an event of its own; with several choices their
 * items are mixed.
 */

enum item_kind {
    ITEM_ROLE,
    ITEM_REASONING,
    ITEM_HALF, /* a token that is half a character: it has no text */
    ITEM_TEXT,
    ITEM_CALL,      /* name, and where the type sends calls whole, arguments */
    ITEM_ARGUMENTS, /* a piece of them */
    ITEM_FINISH
};

struct item {
    enum item_kind kind;
    uint32_t choice;
    uint32_t from; /* tokens, or bytes of arguments */
    uint32_t to;
    uint32_t call;
    bool finishes; /* the finish_reason stands in the same event */
};

struct items {
    struct item at[SPEECH_EVENTS_MAX];
    size_t count;
};

static bool is_ollama(const struct speech *s)
{
    return s->ask->type == BACKEND_OLLAMA;
}

/* --- the list --- */

static void add(struct items *list, struct item item)
{
    CHECK(list->count < SPEECH_EVENTS_MAX / PLAN_CHOICES_MAX);
    list->at[list->count++] = item;
}

static void add_tokens(struct speech *s, struct items *list, struct item item, uint32_t to)
{
    const struct plan *p = s->ask->plan;
    uint32_t most = p->is_counted ? 1 : draw_between(s->rand, 1, 4);
    bool has_halves = p->has_halves && draw_percent(s->rand, 50);
    while (item.from < to) {
        uint32_t left = to - item.from;
        uint32_t size = draw_between(s->rand, 1, most);
        item.to = item.from + (size < left ? size : left);
        if (has_halves && item.kind == ITEM_TEXT && draw_percent(s->rand, 20)) {
            add(list, (struct item){.kind = ITEM_HALF, .choice = item.choice});
        }
        add(list, item);
        item.from = item.to;
    }
}

static void add_calls(struct speech *s, struct items *list)
{
    const struct plan *p = s->ask->plan;
    for (uint32_t i = 0; i < p->call_count; i++) {
        uint32_t size = (uint32_t)p->calls[i].arguments.len;
        add(list, (struct item){.kind = ITEM_CALL, .call = i});
        for (uint32_t at = 0; at < size && !is_ollama(s);) {
            uint32_t step = draw_between(s->rand, 1, 12);
            uint32_t to = at + step < size ? at + step : size;
            while (to < size && ((unsigned char)p->calls[i].arguments.ptr[to] & 0xc0) == 0x80) {
                to++; /* not inside a character */
            }
            add(list, (struct item){.kind = ITEM_ARGUMENTS, .call = i, .from = at, .to = to});
            at = to;
        }
    }
}

static void list_choice(struct speech *s, struct items *list, uint32_t choice)
{
    const struct ask *k = s->ask;
    const struct plan *p = k->plan;
    uint32_t to = choice == 0 ? k->to : p->content[choice].count;
    struct item text = {.kind = ITEM_TEXT, .choice = choice, .from = choice == 0 ? k->from : 0};
    if (!is_ollama(s) && draw_percent(s->rand, 85)) {
        add(list, (struct item){.kind = ITEM_ROLE, .choice = choice});
    }
    if (choice == 0 && !k->continues) {
        add_tokens(s, list, (struct item){.kind = ITEM_REASONING}, p->reasoning.count);
    }
    if (k->is_echoing && choice == 0) {
        text.from = 0;
    }
    add_tokens(s, list, text, to);
    if (choice == 0) {
        add_calls(s, list);
    }
    struct item *last = list->count > 0 ? &list->at[list->count - 1] : NULL;
    if (last && last->kind == ITEM_TEXT && !is_ollama(s) && draw_percent(s->rand, 25)) {
        last->finishes = true;
    } else {
        add(list, (struct item){.kind = ITEM_FINISH, .choice = choice, .finishes = true});
    }
}

/* Of all choices, mixed. */
static void list_items(struct speech *s, struct items *out)
{
    struct items *lists = mem_alloc(sizeof(*lists) * PLAN_CHOICES_MAX);
    size_t taken[PLAN_CHOICES_MAX] = {0};
    uint32_t n = s->ask->plan->n;
    size_t left = 0;
    for (uint32_t i = 0; i < n; i++) {
        list_choice(s, &lists[i], i);
        left += lists[i].count;
    }
    out->count = 0;
    for (; left > 0; left--) {
        uint32_t at = rand_below(s->rand, n);
        while (taken[at] == lists[at].count) {
            at = (at + 1) % n;
        }
        out->at[out->count++] = lists[at].at[taken[at]++];
    }
    free(lists);
}

/* --- OpenAI's chunks --- */

static void put_chunk_start(struct speech *s, struct buf *out)
{
    put_format(out,
               "{\"id\":\"%.*s\",\"object\":\"chat.completion.chunk\",\"created\":%" PRIu64,
               STR_FMT(s->id), s->created);
    put(out, STR(",\"model\":"));
    put_quoted(out, s->ask->model, SPELL_PLAIN);
    put(out, s->has_fingerprint ? STR(",\"system_fingerprint\":\"fp_sim\"") : STR(""));
}

static void put_logprobs(struct speech *s, struct buf *out, const struct item *item)
{
    const struct said *said = &s->ask->plan->content[item->choice];
    put(out, STR("{\"content\":["));
    uint32_t to = item->kind == ITEM_HALF ? item->from + 1 : item->to;
    for (uint32_t i = item->from; i < to; i++) {
        put(out, i > item->from ? STR(",{\"token\":") : STR("{\"token\":"));
        put_quoted(out, item->kind == ITEM_HALF ? STR("") : said_tokens(said, i, i + 1),
                   s->spelling);
        put(out, STR(",\"logprob\":-0.5,\"bytes\":null,\"top_logprobs\":[]}"));
    }
    put(out, STR("]}"));
}

static void put_member(struct speech *s, struct buf *out, const char *name, struct str text)
{
    put_format(out, "\"%s\":", name);
    put_quoted(out, text, s->spelling);
}

static void put_call(struct speech *s, struct buf *out, const struct item *item)
{
    const struct plan_call *call = &s->ask->plan->calls[item->call];
    put_format(out, "\"tool_calls\":[{\"index\":%u,", item->call);
    if (item->kind == ITEM_CALL) {
        put_format(out, "\"id\":\"call_%u_%.*s\",\"type\":\"function\",\"function\":{",
                   item->call, STR_FMT(s->id));
        put_member(s, out, "name", call->name);
        put(out, STR(",\"arguments\":\"\"}}]"));
        return;
    }
    put(out, STR("\"function\":{"));
    put_member(s, out, "arguments",
               str_of(call->arguments.ptr + item->from, item->to - item->from));
    put(out, STR("}}]"));
}

static void put_delta(struct speech *s, struct buf *out, const struct item *item)
{
    const struct plan *p = s->ask->plan;
    const char *reasoning = s->ask->type == BACKEND_VLLM ? "reasoning" : "reasoning_content";
    switch (item->kind) {
    case ITEM_ROLE:
        put(out, STR("\"role\":\"assistant\",\"content\":"));
        put(out, s->ask->type == BACKEND_LLAMACPP ? STR("null") : STR("\"\""));
        return;
    case ITEM_REASONING:
        put_member(s, out, reasoning, said_tokens(&p->reasoning, item->from, item->to));
        return;
    case ITEM_HALF:
        put(out, STR("\"content\":\"\""));
        return;
    case ITEM_TEXT:
        put_member(s, out, "content",
                   said_tokens(&p->content[item->choice], item->from, item->to));
        return;
    case ITEM_CALL:
    case ITEM_ARGUMENTS:
        put_call(s, out, item);
        return;
    case ITEM_FINISH:
        return;
    }
}

static const char *reason_of(const struct speech *s, const struct item *item)
{
    return item->choice == 0 ? s->ask->finish : "stop";
}

static void put_chunk(struct speech *s, struct buf *out, const struct item *item)
{
    bool is_text = item->kind == ITEM_TEXT || item->kind == ITEM_HALF;
    put_chunk_start(s, out);
    put_format(out, ",\"choices\":[{\"index\":%u,\"delta\":{", item->choice);
    put_delta(s, out, item);
    put(out, STR("},\"logprobs\":"));
    if (s->ask->plan->wants_logprobs && is_text) {
        put_logprobs(s, out, item);
    } else {
        put(out, STR("null"));
    }
    if (item->finishes) {
        put_format(out, ",\"finish_reason\":\"%s\"}]}", reason_of(s, item));
    } else {
        put(out, STR(",\"finish_reason\":null}]}"));
    }
}

static void put_usage(struct speech *s, struct buf *out)
{
    const struct ask *k = s->ask;
    uint64_t prompt = k->plan->prompt_tokens + k->from;
    uint64_t made = k->to - k->from;
    put_chunk_start(s, out);
    put_format(out,
               ",\"choices\":[],\"usage\":{\"prompt_tokens\":%" PRIu64
               ",\"total_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64 "}}",
               prompt, prompt + made, made);
}

/* --- Ollama's lines --- */

static void put_line_message(struct speech *s, struct buf *out, const struct item *item)
{
    const struct plan *p = s->ask->plan;
    struct str text =
        item->kind == ITEM_TEXT ? said_tokens(&p->content[0], item->from, item->to) : STR("");
    put(out, STR("\"message\":{\"role\":\"assistant\","));
    put_member(s, out, "content", text);
    if (item->kind == ITEM_REASONING) {
        put(out, STR(","));
        put_member(s, out, "thinking", said_tokens(&p->reasoning, item->from, item->to));
    }
    if (item->kind == ITEM_CALL) {
        put(out, STR(",\"tool_calls\":[{\"function\":{"));
        put_member(s, out, "name", p->calls[item->call].name);
        put(out, STR(",\"arguments\":"));
        put(out, p->calls[item->call].arguments);
        put(out, STR("}}]"));
    }
    put(out, STR("}"));
}

static void put_line_end(struct speech *s, struct buf *out)
{
    const struct ask *k = s->ask;
    bool is_cut = str_eq(str_from(k->finish), STR("length"));
    put_format(out,
               ",\"done\":true,\"done_reason\":\"%s\",\"total_duration\":5,"
               "\"prompt_eval_count\":%" PRIu64 ",\"eval_count\":%u}",
               is_cut ? "length" : "stop", k->plan->prompt_tokens + k->from, k->to - k->from);
}

static void put_line(struct speech *s, struct buf *out, const struct item *item)
{
    put(out, STR("{\"model\":"));
    put_quoted(out, s->ask->model, SPELL_PLAIN);
    put(out, STR(",\"created_at\":\"2026-11-21T00:00:00Z\","));
    put_line_message(s, out, item);
    if (s->ask->plan->wants_logprobs && item->kind == ITEM_TEXT) {
        struct str token = said_tokens(&s->ask->plan->content[0], item->from, item->to);
        put(out, STR(",\"logprobs\":[{"));
        put_member(s, out, "token", token);
        put(out, STR(",\"logprob\":-0.5}]"));
    }
    if (item->kind == ITEM_FINISH) {
        put_line_end(s, out);
    } else {
        put(out, STR(",\"done\":false}"));
    }
}

/* --- events --- */

static void put_end_of_line(struct speech *s)
{
    put(&s->body, s->crlf ? STR("\r\n") : STR("\n"));
}

/* What other servers may put around a payload, and decoders must pass over. */
static void put_ornament(struct speech *s)
{
    switch (rand_below(s->rand, 5)) {
    case 0:
        put(&s->body, STR(": ping"));
        put_end_of_line(s);
        put_end_of_line(s);
        return;
    case 1:
        put(&s->body, STR("event: message"));
        put_end_of_line(s);
        return;
    case 2:
        put_format(&s->body, "id: %u", rand_below(s->rand, 1000));
        put_end_of_line(s);
        return;
    case 3:
        put(&s->body, STR(":"));
        put_end_of_line(s);
        return;
    default:
        return;
    }
}

static void put_data(struct speech *s, struct str payload)
{
    struct str rest = payload;
    put(&s->body, draw_percent(s->rand, 90) ? STR("data: ") : STR("data:"));
    if (s->is_pretty && draw_percent(s->rand, 15) && str_has(payload, STR(","))) {
        put(&s->body, str_cut(&rest, ',')); /* behind the id, which holds no comma */
        put(&s->body, STR(","));
        put_end_of_line(s);
        put(&s->body, STR("data: "));
    }
    put(&s->body, rest);
}

/* Returns where in the body the payload ended. */
static size_t put_event(struct speech *s, struct str payload)
{
    if (is_ollama(s)) {
        put(&s->body, payload);
    } else {
        if (s->is_pretty && draw_percent(s->rand, 30)) {
            put_ornament(s);
        }
        put_data(s, payload);
    }
    size_t end = buf_len(&s->body);
    put_end_of_line(s);
    if (!is_ollama(s)) {
        put_end_of_line(s);
    }
    CHECK(s->event_count < SPEECH_EVENTS_MAX);
    s->event_end[s->event_count++] = buf_len(&s->body);
    return end;
}

static void put_done(struct speech *s)
{
    if (!is_ollama(s)) {
        (void)put_event(s, STR("[DONE]"));
    }
}

/* Cut somewhere (not to nothing, which is no event), or with a byte in it that no JSON may
 * have.
 */
static void spoil(struct speech *s, struct buf *payload)
{
    size_t len = buf_len(payload);
    char *text = payload->data + payload->start;
    size_t at = draw_between(s->rand, 1, (uint32_t)len - 1);
    if (draw_percent(s->rand, 50)) {
        payload->end = payload->start + at;
    } else {
        text[at] = draw_percent(s->rand, 50) ? '\xff' : '\x01';
    }
}

static bool is_content(const struct item *item, bool is_last)
{
    return item->kind == ITEM_REASONING || item->kind == ITEM_TEXT || item->kind == ITEM_CALL ||
           item->kind == ITEM_ARGUMENTS || is_last;
}

static void speak_item(struct speech *s, const struct item *item, bool is_last, bool is_bad)
{
    struct buf payload;
    buf_init(&payload, 1 << 20);
    if (is_ollama(s)) {
        put_line(s, &payload, item);
    } else {
        put_chunk(s, &payload, item);
    }
    if (is_bad) {
        spoil(s, &payload);
    }
    size_t end = put_event(s, buf_str(&payload));
    buf_fini(&payload);
    s->is_spoilt = s->is_spoilt || is_bad;
    if (is_content(item, is_last) && s->marks.content == SIZE_MAX && !s->is_spoilt) {
        s->marks.content = end;
    }
    if (is_last && !s->is_spoilt) {
        s->marks.finish_from = end;
        s->marks.finish_to = buf_len(&s->body);
    }
}

static void speak_error_event(struct speech *s)
{
    struct buf payload;
    buf_init(&payload, 4096);
    speak_error(&payload, s->ask, 500, "EngineCore encountered an issue.");
    (void)put_event(s, buf_str(&payload));
    buf_fini(&payload);
    if (draw_percent(s->rand, 60)) {
        put_done(s);
    }
}

/* A finish_reason that means failure, in the words of the type. */
static void speak_abort(struct speech *s)
{
    struct item item = {.kind = ITEM_FINISH, .finishes = true};
    const char *finish = s->ask->finish;
    struct buf payload;
    buf_init(&payload, 4096);
    s->ask->finish = draw_percent(s->rand, 50) ? "abort" : "error";
    if (is_ollama(s)) {
        put(&payload, STR("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":"
                          "\"\"},\"done\":true,\"done_reason\":\"unload\"}"));
    } else {
        put_chunk(s, &payload, &item);
    }
    s->ask->finish = finish;
    (void)put_event(s, buf_str(&payload));
    buf_fini(&payload);
    put_done(s);
}

/* The stream ends here by the fault of the ask. */
static void speak_end_by_fault(struct speech *s)
{
    if (s->ask->fault == SIM_error_event || s->ask->fault == SIM_error_late) {
        speak_error_event(s);
    } else if (s->ask->fault == SIM_abort) {
        speak_abort(s);
    } else if (s->ask->fault == SIM_done_early) {
        put_done(s);
    }
}

static size_t last_finish(const struct items *list)
{
    size_t at = list->count;
    while (at > 0 && !list->at[at - 1].finishes) {
        at--;
    }
    return at - 1;
}

void speak_events(struct speech *s)
{
    const struct ask *k = s->ask;
    struct items *list = mem_alloc(sizeof(*list));
    list_items(s, list);
    size_t last = last_finish(list);
    bool strikes = fault_place(k->fault) == AT_EVENT && k->fault != SIM_error_late;
    size_t at = strikes ? (size_t)k->where * (last + 1) / 65536 : SIZE_MAX;
    bool breaks_off = strikes && k->fault != SIM_bad_event;
    size_t count = breaks_off ? at : list->count;
    for (size_t i = 0; i < count; i++) {
        speak_item(s, &list->at[i], i == last, i == at);
    }
    free(list);
    if (breaks_off || k->fault == SIM_error_late) {
        speak_end_by_fault(s);
        return;
    }
    if (k->wants_usage && !is_ollama(s)) {
        struct buf payload;
        buf_init(&payload, 4096);
        put_usage(s, &payload);
        (void)put_event(s, buf_str(&payload));
        buf_fini(&payload);
    }
    put_done(s);
}
