#include "guard/engine_watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "guard/ask.h"
#include "guard/pulse.h"
#include "wire/engine_report.h"
#include "wire/json.h"

enum { WORDS_MAX = 200, SAID_MAX = 100 };

enum watch_mode { WATCH_RESTS, WATCH_LOADS, WATCH_IS_READY };

/* The ways to ask for one token: a base model without a chat template refuses the first. */
enum { WAY_CHAT, WAY_TEXT, WAY_COUNT };
static const struct str WAYS[WAY_COUNT] = {STR_INIT("/v1/chat/completions"),
                                           STR_INIT("/v1/completions")};

struct watch {
    struct loop *loop;
    const struct guard_settings *settings;
    struct upstream *upstream;
    void (*notify)(void *owner);
    void *owner;

    enum watch_mode mode;
    struct ask health;
    struct ask counters;
    struct ask models;
    struct ask token;
    uint64_t health_due_ms;
    uint64_t counters_due_ms;
    uint64_t token_due_ms; /* loading: the next try */
    uint64_t load_due_ms;
    const struct engine_source *sources; /* where its counters are */
    size_t source_count;
    size_t source; /* the one that is read; source_count: none answers */
    bool is_well;
    bool has_model; /* asked for, found or not */
    size_t way;
    struct str model; /* JSON text */
    struct arena arena;
    struct rand rand;
    struct pulse pulse;
    char words[WORDS_MAX];
};

struct watch *watch_new(struct loop *l, const struct guard_settings *s,
                        void (*notify)(void *owner), void *owner)
{
    struct watch *w = mem_alloc(sizeof(*w));
    w->loop = l;
    w->settings = s;
    w->notify = notify;
    w->owner = owner;
    w->upstream =
        upstream_new(l, &(struct upstream_conf){.host = s->url.host, .port = s->url.port});
    w->sources = engine_sources(s->type, &w->source_count);
    arena_init(&w->arena);
    rand_seed(&w->rand);
    return w;
}

static void close_all(struct watch *w)
{
    ask_close(&w->health);
    ask_close(&w->counters);
    ask_close(&w->models);
    ask_close(&w->token);
}

void watch_free(struct watch **w)
{
    close_all(*w);
    upstream_free(&(*w)->upstream);
    arena_fini(&(*w)->arena);
    free(*w);
    *w = NULL;
}

void watch_rest(struct watch *w)
{
    close_all(w);
    w->mode = WATCH_RESTS;
    w->words[0] = '\0';
}

void watch_load(struct watch *w, uint64_t now_ms)
{
    watch_rest(w);
    w->mode = WATCH_LOADS;
    w->health_due_ms = now_ms;
    w->token_due_ms = now_ms;
    w->load_due_ms = now_ms + w->settings->plan.start_ms;
    w->is_well = false;
    w->has_model = false;
    w->way = WAY_CHAT;
    w->source = 0;
}

void watch_ready(struct watch *w, uint64_t now_ms)
{
    close_all(w);
    w->mode = WATCH_IS_READY;
    w->health_due_ms = now_ms + w->settings->interval_ms;
    w->counters_due_ms = now_ms;
    w->words[0] = '\0';
    pulse_start(&w->pulse, w->settings->hang_ms, now_ms);
}

void watch_suspect(struct watch *w)
{
    if (w->mode == WATCH_IS_READY) {
        pulse_accuse(&w->pulse);
    }
}

const char *watch_words(const struct watch *w)
{
    return w->words;
}

/* --- asking --- */

static void open_at(struct watch *w, struct ask *a, const struct url *url,
                    const struct ask_conf *what)
{
    struct ask_conf conf = *what;
    conf.loop = w->loop;
    conf.upstream = w->upstream;
    conf.url = url;
    conf.bearer = w->settings->api_key;
    conf.notify = w->notify;
    conf.owner = w->owner;
    ask_open(a, &conf);
}

static void ask_health(struct watch *w, uint64_t now_ms)
{
    w->health_due_ms = now_ms + w->settings->interval_ms;
    open_at(w, &w->health, &w->settings->health,
            &(struct ask_conf){.due_ms = now_ms + w->settings->health_ms});
}

static void ask_counters(struct watch *w, uint64_t now_ms)
{
    w->counters_due_ms = now_ms + w->settings->interval_ms;
    open_at(w, &w->counters, &w->settings->url,
            &(struct ask_conf){.target = str_from(w->sources[w->source].path),
                               .due_ms = now_ms + w->settings->health_ms});
}

/* The salt keeps the question out of every cache of prompts. */
static void ask_token(struct watch *w, uint64_t due_ms)
{
    char digits[STR_NUMBER_MAX];
    struct arena a;
    arena_init(&a);
    struct str salt = str_hex64(rand_next(&w->rand), digits);
    struct str prompt =
        w->way == WAY_CHAT
            ? arena_printf(&a,
                           "\"messages\":[{\"role\":\"user\",\"content\":\"%.*s Say yes.\"}]",
                           STR_FMT(salt))
            : arena_printf(&a, "\"prompt\":\"%.*s Say\"", STR_FMT(salt));
    struct str body =
        arena_printf(&a, "{\"model\":%.*s,%.*s,\"temperature\":0,\"max_tokens\":1}",
                     STR_FMT(w->model), STR_FMT(prompt));
    open_at(w, &w->token, &w->settings->url,
            &(struct ask_conf){.target = WAYS[w->way], .json = body, .due_ms = due_ms});
    arena_fini(&a);
}

/* --- health --- */

static void note_error(struct watch *w, const char *what, enum err e)
{
    (void)snprintf(w->words, sizeof(w->words), "%s: %s", what, err_text(e));
}

/* What a server says in its error, made harmless; "" where it says nothing readable. */
static void put_said(struct str body, char out[SAID_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < body.len && len < SAID_MAX - 1; i++) {
        char ch = body.ptr[i];
        out[len++] = ch >= ' ' && ch <= '~' ? ch : ' ';
    }
    out[len] = '\0';
}

static void note_status(struct watch *w, const char *what, const struct ask *a)
{
    char said[SAID_MAX];
    put_said(ask_body(a), said);
    (void)snprintf(w->words, sizeof(w->words), "%s answers %d%s%s", what, a->status,
                   said[0] != '\0' ? ": " : "", said);
}

static void run_health(struct watch *w, uint64_t now_ms)
{
    if (!ask_is_open(&w->health)) {
        if (now_ms >= w->health_due_ms) {
            ask_health(w, now_ms);
        }
        return;
    }
    enum err e = ask_next(&w->health, now_ms);
    if (e == ERR_AGAIN) {
        return;
    }
    w->is_well = e == ERR_OK && w->health.status == 200;
    if (w->is_well) {
        w->words[0] = '\0';
    } else if (e == ERR_OK) {
        note_status(w, "health", &w->health);
    } else {
        note_error(w, "health", e);
    }
    ask_close(&w->health);
    if (w->mode == WATCH_IS_READY) {
        pulse_on_health(&w->pulse, w->is_well, now_ms);
    }
}

/* --- which model --- */

static struct str found_model(const struct ask *a, struct arena *arena)
{
    size_t at = 0;
    struct str body = ask_body(a);
    if (a->status != 200 || json_check(body, &at) != ERR_OK) {
        return STR("\"default\"");
    }
    struct str id = json_path(json_value(body), "data", "0", "id", NULL);
    return json_type_of(id) == JSON_STRING ? arena_dup(arena, id) : STR("\"default\"");
}

static void run_models(struct watch *w, uint64_t now_ms)
{
    if (w->settings->model.len > 0) {
        arena_fini(&w->arena);
        w->model = json_quote(&w->arena, w->settings->model);
        w->has_model = true;
        return;
    }
    if (!ask_is_open(&w->models)) {
        open_at(w, &w->models, &w->settings->url,
                &(struct ask_conf){.target = STR("/v1/models"),
                                   .due_ms = now_ms + w->settings->health_ms});
        return;
    }
    if (ask_next(&w->models, now_ms) != ERR_AGAIN) {
        arena_fini(&w->arena);
        w->model = found_model(&w->models, &w->arena);
        w->has_model = true;
        ask_close(&w->models);
    }
}

/* --- one token --- */

static bool has_choices(struct str body)
{
    size_t at = 0;
    return json_check(body, &at) == ERR_OK &&
           json_type_of(json_path(json_value(body), "choices", "0", NULL)) == JSON_OBJECT;
}

static enum pulse_token judge_token(const struct ask *a, enum err e)
{
    if (e != ERR_OK) {
        return PULSE_TOKEN_NONE;
    }
    if (a->status == 200) {
        return has_choices(ask_body(a)) ? PULSE_TOKEN_CAME : PULSE_TOKEN_NONE;
    }
    bool loads = a->status == 503 && str_has(ask_body(a), STR("Loading model"));
    return loads || a->status == 501 || (a->status >= 400 && a->status <= 499)
               ? PULSE_TOKEN_UNKNOWN
               : PULSE_TOKEN_NONE;
}

/* The question itself is refused: perhaps the other way suits it. */
static void try_other_way(struct watch *w)
{
    int status = w->token.status;
    if (status == 400 || status == 404 || status == 405 || status == 501) {
        w->way = (w->way + 1) % WAY_COUNT;
    }
}

/* True when the answer is there; *word says what it is. */
static bool end_token(struct watch *w, enum pulse_token *word, uint64_t now_ms)
{
    enum err e = ask_next(&w->token, now_ms);
    if (e == ERR_AGAIN) {
        return false;
    }
    *word = judge_token(&w->token, e);
    if (*word != PULSE_TOKEN_CAME && e == ERR_OK) {
        note_status(w, "the question for a token", &w->token);
        try_other_way(w);
    } else if (e != ERR_OK) {
        note_error(w, "the question for a token", e);
    }
    ask_close(&w->token);
    return true;
}

/* The first token may take as long as there is time: cutting the request makes some servers
 * begin to load their model anew. */
static enum watch_news run_loading(struct watch *w, uint64_t now_ms)
{
    enum pulse_token word;
    if (ask_is_open(&w->token)) {
        return end_token(w, &word, now_ms) && word == PULSE_TOKEN_CAME ? WATCH_TOKEN
                                                                       : WATCH_NOTHING;
    }
    run_health(w, now_ms);
    if (!w->is_well || now_ms < w->token_due_ms) {
        return WATCH_NOTHING;
    }
    if (!w->settings->wants_token) {
        return WATCH_TOKEN;
    }
    if (!w->has_model) {
        run_models(w, now_ms);
        return WATCH_NOTHING;
    }
    w->token_due_ms = now_ms + w->settings->interval_ms;
    ask_token(w, w->load_due_ms);
    return WATCH_NOTHING;
}

/* --- ready --- */

static void take_report(struct watch *w, bool is_computing, uint64_t now_ms)
{
    struct engine_report r;
    if (w->counters.status != 200 ||
        w->sources[w->source].read(ask_body(&w->counters), &r) != ERR_OK) {
        w->source += w->pulse.has_counters ? 0 : 1; /* this server does not tell it there */
        pulse_on_silence(&w->pulse, is_computing, now_ms);
        return;
    }
    pulse_on_counters(&w->pulse,
                      &(struct pulse_counters){.progress = r.generated + r.prompt + r.steps,
                                               .in_flight = r.running + r.waiting,
                                               .may_prefill = r.may_prefill,
                                               .is_computing = is_computing},
                      now_ms);
}

static void run_counters(struct watch *w, bool is_computing, uint64_t now_ms)
{
    if (!ask_is_open(&w->counters)) {
        if (w->source < w->source_count && now_ms >= w->counters_due_ms) {
            ask_counters(w, now_ms);
        }
        return;
    }
    enum err e = ask_next(&w->counters, now_ms);
    if (e == ERR_AGAIN) {
        return;
    }
    if (e == ERR_OK) {
        take_report(w, is_computing, now_ms);
    } else {
        pulse_on_silence(&w->pulse, is_computing, now_ms);
    }
    ask_close(&w->counters);
}

/* A backend that makes no tokens (embeddings) can only be judged by its health. */
static void decide_without_token(struct watch *w, uint64_t now_ms)
{
    if (pulse_wants_token(&w->pulse, now_ms)) {
        pulse_on_token(&w->pulse, w->is_well ? PULSE_TOKEN_UNKNOWN : PULSE_TOKEN_NONE, now_ms);
    }
}

static void run_token(struct watch *w, uint64_t now_ms)
{
    enum pulse_token word;
    if (!w->settings->wants_token) {
        decide_without_token(w, now_ms);
    } else if (!ask_is_open(&w->token)) {
        if (pulse_wants_token(&w->pulse, now_ms)) {
            ask_token(w, now_ms + w->settings->probe_ms);
        }
    } else if (end_token(w, &word, now_ms)) {
        pulse_on_token(&w->pulse, word, now_ms);
    }
}

static enum watch_news run_ready(struct watch *w, bool is_computing, uint64_t now_ms)
{
    char asked[WORDS_MAX / 2];
    run_health(w, now_ms);
    run_counters(w, is_computing, now_ms);
    run_token(w, now_ms);
    if (!w->pulse.is_hung) {
        return WATCH_NOTHING;
    }
    (void)snprintf(asked, sizeof(asked), "; a token was asked for, and none came within %u s",
                   (unsigned)w->settings->probe_ms / 1000);
    (void)snprintf(w->words, sizeof(w->words), "hangs: %s%s", pulse_doubt(&w->pulse),
                   w->settings->wants_token ? asked : "");
    return WATCH_HUNG;
}

enum watch_news watch_next(struct watch *w, bool is_computing, uint64_t now_ms)
{
    switch (w->mode) {
    case WATCH_RESTS:
        break;
    case WATCH_LOADS:
        return run_loading(w, now_ms);
    case WATCH_IS_READY:
        return run_ready(w, is_computing, now_ms);
    }
    return WATCH_NOTHING;
}
