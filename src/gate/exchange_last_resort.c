#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "gate/admission.h"
#include "gate/answer.h"
#include "gate/answer_cache.h"
#include "gate/exchange_priv.h"
#include "gate/exchange_tally.h"
#include "gate/report.h"
#include "llm/essence.h"
#include "llm/whole_stream.h"
#include "wire/json.h"

/*
 * The last resort (off by default): where no backend can answer, the answer that an identical
 * request got earlier, or a fixed text. Answers are kept as one chat.completion each, whatever
 * the client had asked for, so that they can be given again as a stream or as one body.
 */

enum { MINUTE_S = 60, HOUR_S = 60 * MINUTE_S };
enum { REQUEST_MAX = 4 << 20 }; /* a larger one would hold up its worker while it is hashed */

/* Nothing was used for it. */
static const struct str no_usage =
    STR_INIT("{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}");

static struct answer_key key_of(const struct exchange *x)
{
    const struct gateway *g = x->worker->gateway;
    struct arena a;
    arena_init(&a);
    struct str client = admission_name(g->settings, http_conn_request(x->client));
    struct answer_key key =
        answer_cache_key(g->answer_cache, client, request_essence(x->request.body, &a));
    arena_fini(&a);
    return key;
}

static bool may_be_kept(const struct exchange *x)
{
    return x->model->last_resort.cache_ms > 0 && x->request.body.len <= REQUEST_MAX;
}

/* --- keeping --- */

void last_resort_listen(struct exchange *x)
{
    if (may_be_kept(x) && x->request.stream) {
        x->kept = assembly_new_within(answer_cache_most(x->worker->gateway->answer_cache));
    }
}

void last_resort_hear(struct exchange *x, struct str chunk)
{
    /* What does not fit, or cannot be put together, is not kept; the client gets it all. */
    if (x->kept && chunk.len > 0 && assembly_add(x->kept, chunk) != ERR_OK) {
        assembly_free(&x->kept);
    }
}

/* Only whole answers of one backend in its own words: a degraded one would be given again when
 * a better one could have been kept, a mended one has two authors. A backend that is a gateway
 * itself marks what is degraded. */
static bool is_worth_keeping(const struct exchange *x, struct str body)
{
    return may_be_kept(x) && !x->by.plan.is_degraded && x->resumes == 0 && !x->is_resuming &&
           !json_is_true(json_get(body, "_degraded"));
}

void last_resort_keep(struct exchange *x, struct str body)
{
    uint64_t now_ms = exchange_now(x);
    if (is_worth_keeping(x, body)) {
        struct answer_key key = key_of(x);
        answer_cache_put(x->worker->gateway->answer_cache, &key, body, now_ms,
                         now_ms + x->model->last_resort.cache_ms);
    }
}

void last_resort_keep_heard(struct exchange *x)
{
    if (x->kept) {
        struct arena a;
        arena_init(&a);
        last_resort_keep(x, assembly_json(x->kept, &a));
        arena_fini(&a);
        assembly_free(&x->kept);
    }
}

/* --- giving --- */

/* Before the client has it, so that whoever got it finds it counted. */
static void note(struct exchange *x, enum last_resort kind)
{
    log_warn("answered as a last resort", LOG_NUM("x", x->serial),
             LOG_STR("model", x->model->name), LOG_TEXT("kind", last_resort_name(kind)),
             LOG_NUM("age_s", x->by.age_s), LOG_STR("attempts", x->trail),
             LOG_NUM("took_ms", exchange_now(x) - x->started_ms));
    report_last_resort(x, kind);
    exchange_tally_last_resort(x, kind);
}

static void give_stream(struct exchange *x, struct str chunk, struct str usage)
{
    x->is_committed = true;
    answer_begin_stream(x);
    struct str parts[] = {answer_annotated_event(x, chunk), STR("data: "), usage, STR("\n\n")};
    answer_stream(x, parts, usage.len > 0 ? 4 : 1, true);
}

/* In the shape that this client asked for. False: it cannot be told as a stream. */
static bool give(struct exchange *x, struct str body, enum last_resort kind)
{
    struct str chunk;
    struct str usage;
    if (!x->request.stream) {
        note(x, kind);
        answer_whole(x, body);
        return true;
    }
    if (whole_as_chunk(body, x->request.include_usage, &x->arena, &chunk, &usage) != ERR_OK) {
        return false;
    }
    note(x, kind);
    give_stream(x, chunk, usage);
    return true;
}

static struct str created(struct arena *a)
{
    return arena_printf(a, "%llu", (unsigned long long)(clock_wall_ms() / 1000));
}

/* The kept answer under names of its own. */
static struct str renew(struct exchange *x, struct str kept)
{
    struct json_edit ed;
    struct rope rope;
    json_edit_init(&ed, kept, &x->arena);
    json_edit_set(&ed, "id", json_quote(&x->arena, x->reply_id));
    json_edit_set(&ed, "created", created(&x->arena));
    if (json_type_of(json_get(kept, "usage")) != JSON_OBJECT) {
        json_edit_set(&ed, "usage", no_usage);
    }
    rope_init(&rope);
    json_edit_done(&ed, &rope);
    return arena_dup(&x->arena, rope_join(&rope, &x->arena));
}

/* "3 min" */
static struct str age_words(uint64_t age_s, struct arena *a)
{
    uint64_t unit_s = age_s < MINUTE_S ? 1 : age_s < HOUR_S ? MINUTE_S : HOUR_S;
    const char *unit = unit_s == 1 ? "s" : unit_s == MINUTE_S ? "min" : "h";
    return arena_printf(a, "%llu %s", (unsigned long long)(age_s / unit_s), unit);
}

static bool answer_from_memory(struct exchange *x)
{
    struct answer_cache *cache = x->worker->gateway->answer_cache;
    if (!may_be_kept(x)) {
        return false;
    }
    struct answer_key key = key_of(x);
    struct kept_answer *kept = answer_cache_get(cache, &key, exchange_now(x));
    if (!kept) {
        return false;
    }
    struct str body = renew(x, kept->body);
    uint64_t age_s = (exchange_now(x) - kept->made_ms) / 1000;
    answer_cache_release(cache, &kept);
    x->by = (struct answerer){
        .kind = ANSWERER_CACHE,
        .age_s = age_s,
        .notice = arena_printf(&x->arena,
                               "Answered from memory, %.*s old: all backends are unavailable",
                               STR_FMT(age_words(age_s, &x->arena)))};
    return give(x, body, LAST_RESORT_CACHE);
}

/* As many choices as were asked for. */
static struct str message_choices(struct exchange *x)
{
    struct str text = json_quote(&x->arena, x->model->last_resort.message);
    struct buf out;
    enum err e = ERR_OK;
    buf_init(&out, x->request.n * (text.len + 128));
    for (uint32_t i = 0; i < x->request.n && e == ERR_OK; i++) {
        e = buf_printf(&out,
                       "%s{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":%.*s},"
                       "\"logprobs\":null,\"finish_reason\":\"stop\"}",
                       i > 0 ? "," : "", i, STR_FMT(text));
    }
    CHECK(e == ERR_OK);
    struct str choices = arena_dup(&x->arena, buf_str(&out));
    buf_fini(&out);
    return choices;
}

static struct str message_body(struct exchange *x)
{
    struct arena *a = &x->arena;
    struct str parts[] = {STR("{\"id\":"),
                          json_quote(a, x->reply_id),
                          STR(",\"object\":\"chat.completion\",\"created\":"),
                          created(a),
                          STR(",\"model\":"),
                          json_quote(a, x->request.model),
                          STR(",\"choices\":["),
                          message_choices(x),
                          STR("],\"usage\":"),
                          no_usage,
                          STR("}")};
    return arena_join(a, parts, sizeof(parts) / sizeof(parts[0]));
}

static bool answer_by_message(struct exchange *x)
{
    if (x->model->last_resort.message.len == 0) {
        return false;
    }
    x->by = (struct answerer){
        .kind = ANSWERER_MESSAGE,
        .notice = STR("A fixed text of this gateway: all backends are unavailable")};
    return give(x, message_body(x), LAST_RESORT_MESSAGE);
}

bool last_resort_answer(struct exchange *x)
{
    return !x->is_committed && client_error_is_all_down(&x->error) &&
           (answer_from_memory(x) || answer_by_message(x));
}
