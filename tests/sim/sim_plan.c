#include "sim_plan.h"

#include <inttypes.h>

#include "base/check.h"
#include "sim_draw.h"

enum { BODY_MAX = 1 << 20, PAD_MAX = 40000, INQUIRY_PROMPT = 10 };

static const struct str marker = STR_INIT("exchange #");

/* --- the question --- */

static void draw_request(struct plan *p, struct rand *r)
{
    p->stream = draw_percent(r, 65);
    p->wants_usage = p->stream && draw_percent(r, 40);
    p->wants_logprobs = draw_percent(r, 12);
    p->has_tools = draw_percent(r, 12);
    p->is_prefilled = draw_percent(r, 4);
    p->is_shaped = draw_percent(r, 5);
    p->is_odd = draw_percent(r, 4);
    p->n = draw_percent(r, 8) ? draw_between(r, 2, PLAN_CHOICES_MAX) : 1;
    p->message_count = draw_between(r, 1, PLAN_MESSAGES_MAX);
}

static struct str make_prompt(const struct plan *p, struct rand *r, struct arena *a)
{
    struct buf out;
    struct said said;
    buf_init(&out, BODY_MAX);
    put_format(&out, "exchange #%" PRIu64 " ", p->number);
    said_make(&said, draw_between(r, 0, 8), 0, r, a);
    put(&out, said.text);
    if (draw_percent(r, 2)) {
        for (uint32_t left = draw_between(r, 1000, PAD_MAX) / 10; left > 0; left--) {
            put(&out, STR(" long pad "));
        }
    }
    struct str prompt = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return prompt;
}

static const char *role_of(const struct plan *p, uint32_t i)
{
    if (i + 1 == p->message_count) {
        return p->is_prefilled ? "assistant" : "user";
    }
    return i == 0 ? "system" : "user";
}

static void put_messages(struct plan *p, struct buf *out, struct rand *r, struct arena *a)
{
    put(out, STR("\"messages\":["));
    for (uint32_t i = 0; i < p->message_count; i++) {
        p->messages[i] = make_prompt(p, r, a);
        put_format(out, "%s{\"role\":\"%s\",\"content\":", i > 0 ? ", " : "", role_of(p, i));
        put_quoted(out, p->messages[i], (enum spelling)rand_below(r, SPELLINGS));
        put(out, STR("}"));
    }
    put(out, STR("]"));
}

static void put_tools(struct buf *out)
{
    put(out, STR(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
                 "\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]"));
}

static void put_options(const struct plan *p, struct buf *out, struct rand *r)
{
    if (p->stream || draw_percent(r, 30)) {
        put_format(out, ",\"stream\":%s", p->stream ? "true" : "false");
    }
    if (p->stream && (p->wants_usage || draw_percent(r, 10))) {
        put_format(out, ", \"stream_options\":{\"include_usage\":%s}",
                   p->wants_usage ? "true" : "false");
    }
    if (p->has_limit) {
        put_format(out, ",\"%s\":%" PRIu64,
                   draw_percent(r, 50) ? "max_tokens" : "max_completion_tokens", p->limit);
    }
    if (draw_percent(r, 40)) {
        put(out, draw_percent(r, 50) ? STR(",\"temperature\":0") : STR(",\"temperature\":0.7"));
    }
    if (p->n > 1) {
        put_format(out, ",\"n\":%u", p->n);
    }
    if (p->stop.len > 0) {
        bool is_list = draw_percent(r, 50);
        put(out, is_list ? STR(",\"stop\":[\"never said\",") : STR(",\"stop\":"));
        put_quoted(out, p->stop, (enum spelling)rand_below(r, SPELLINGS));
        put(out, is_list ? STR("]") : STR(""));
    }
    put(out, p->wants_logprobs ? STR(",\"logprobs\":true,\"top_logprobs\":1") : STR(""));
    put(out, p->is_shaped ? STR(",\"response_format\":{\"type\":\"json_object\"}") : STR(""));
    put(out, p->is_odd ? STR(",\"logit_bias\":{\"50256\":-100}") : STR(""));
    if (p->has_tools) {
        put_tools(out);
    }
}

static void write_body(struct plan *p, struct str model, struct rand *r, struct arena *a)
{
    struct buf out;
    buf_init(&out, BODY_MAX);
    put(&out, draw_percent(r, 20) ? STR(" \r\n{ ") : STR("{"));
    bool is_model_first = draw_percent(r, 70);
    if (is_model_first) {
        put(&out, STR("\"model\": "));
        put_quoted(&out, model, SPELL_PLAIN);
        put(&out, STR(","));
    }
    put_messages(p, &out, r, a);
    put_options(p, &out, r);
    if (!is_model_first) {
        put(&out, STR(",\"model\":"));
        put_quoted(&out, model, SPELL_PLAIN);
    }
    put(&out, draw_percent(r, 20) ? STR(" }\n") : STR("}"));
    p->body = arena_dup(a, buf_str(&out));
    buf_fini(&out);
}

/* --- the answer --- */

static uint32_t draw_length(struct rand *r)
{
    uint32_t kind = rand_below(r, 100);
    if (kind < 2) {
        return 0;
    }
    return kind < 80 ? draw_between(r, 1, 16) : draw_between(r, 1, TOKENS_MAX);
}

static struct str draw_arguments(struct rand *r, struct arena *a)
{
    uint32_t number = rand_below(r, 1000);
    switch (rand_below(r, 4)) {
    case 0:
        return arena_printf(a, "{\"city\":\"Köln \\\"am Rhein\\\"\",\"days\":%u}", number);
    case 1:
        return arena_printf(a, "{\"list\":[1,2,{\"x\":%u}]}", number);
    case 2:
        return arena_printf(a, "{\"n\":%u,\"text\":\"line\\nbreak 😀\"}", number);
    default:
        return STR("{}");
    }
}

static void draw_calls(struct plan *p, struct rand *r, struct arena *a)
{
    p->call_count = draw_between(r, 1, PLAN_CALLS_MAX);
    for (uint32_t i = 0; i < p->call_count; i++) {
        p->calls[i].name = draw_percent(r, 50) ? STR("get_weather") : STR("sum");
        p->calls[i].arguments = draw_arguments(r, a);
    }
}

static void draw_answer(struct plan *p, struct rand *r, struct arena *a)
{
    p->prompt_tokens = draw_between(r, 1, 5000);
    p->is_huge = rand_below(r, 1000) < 2;
    uint32_t pad = p->is_huge ? draw_between(r, 10000, 30000) : 0;
    for (uint32_t i = 0; i < p->n; i++) {
        said_make(&p->content[i], p->is_huge ? TOKENS_MAX : draw_length(r), pad, r, a);
    }
    if (p->n == 1 && draw_percent(r, 10)) {
        said_make(&p->reasoning, draw_between(r, 1, 10), 0, r, a);
    }
    if (p->n == 1 && p->has_tools && draw_percent(r, 70)) {
        draw_calls(p, r, a);
        if (draw_percent(r, 60)) {
            said_make(&p->content[0], 0, 0, r, a);
        }
    }
    bool is_text = p->reasoning.count == 0 && p->call_count == 0;
    p->is_counted = is_text && p->n == 1 && draw_percent(r, 40);
    p->has_limit = is_text && p->n == 1 && draw_percent(r, p->is_counted ? 70 : 40);
    p->has_halves = !p->is_counted && !p->has_limit && draw_percent(r, 20);
    p->limit = p->has_limit ? draw_between(r, 1, TOKENS_MAX * 2) : 0;
    if (p->has_limit && draw_percent(r, 50)) {
        p->limit = draw_between(r, 1, p->content[0].count + 1);
    }
}

/* Two tokens that stand together nowhere before. */
static void draw_stop(struct plan *p, struct rand *r)
{
    const struct said *said = &p->content[0];
    if (p->n > 1 || p->reasoning.count > 0 || p->call_count > 0 || said->count < 2 ||
        p->is_huge || !draw_percent(r, 25)) {
        return;
    }
    uint32_t at = rand_below(r, said->count - 1);
    struct str stop = said_tokens(said, at, at + 2);
    struct str before = said_tokens(said, 0, at + 2);
    if (str_has(str_of(before.ptr, before.len - 1), stop)) {
        return;
    }
    p->stop = stop;
    p->stop_at = at;
    p->is_stop_late = draw_percent(r, 60);
}

uint32_t plan_end(const struct plan *p, uint32_t from)
{
    bool sees_it = p->stop.len > 0 && from <= p->stop_at;
    return sees_it ? p->stop_at + p->is_stop_late : p->content[0].count;
}

/* --- the client --- */

static void draw_manner(struct plan *p, struct rand *r)
{
    p->capacity = 1 << 26;
    if (draw_percent(r, p->is_huge ? 50 : 8)) {
        p->is_slow = true;
        p->capacity = p->is_huge ? draw_between(r, 50000, 400000) : draw_between(r, 60, 4000);
    }
    if (draw_percent(r, 10)) {
        p->leaving = (enum leaving)draw_between(r, LEAVE_CLOSE, LEAVE_BEFORE);
        bool is_early = draw_percent(r, 40);
        p->leave_after = rand_below(r, is_early ? 600 : 6000);
    }
}

void plan_make(struct plan *p, uint64_t number, struct str model, struct rand *r,
               struct arena *a)
{
    *p = (struct plan){.number = number};
    draw_request(p, r);
    draw_answer(p, r, a);
    draw_stop(p, r);
    write_body(p, model, r, a);
    draw_manner(p, r);
    if (draw_percent(r, 50)) {
        p->request_id = arena_printf(a, "sim-%" PRIu64, number);
    }
    if (p->leaving == LEAVE_BEFORE) {
        p->leave_after = rand_below(r, (uint32_t)p->body.len);
    }
}

void plan_make_inquiry(struct plan *p, struct rand *r, struct arena *a)
{
    *p = (struct plan){.n = 1, .is_counted = true, .prompt_tokens = INQUIRY_PROMPT};
    said_make(&p->content[0], TOKENS_MAX, 0, r, a);
}

bool plan_is_too_much(const struct plan *p)
{
    return p->n > 1 || p->is_odd;
}

bool plan_number_of(struct str prompt, uint64_t *number)
{
    if (!str_starts(prompt, marker)) {
        return false;
    }
    struct str rest = str_from_at(prompt, marker.len);
    return str_to_u64(str_cut(&rest, ' '), UINT64_MAX, number) == ERR_OK;
}
