#include "tiers/vitals.h"

#include <stddef.h>

#include "base/check.h"

enum { KV_FULL_PERMILLE = 950, UNASKABLE_MS = 600000 };

const char *vital_name(enum vital v)
{
    switch (v) {
    case VITAL_UNKNOWN:
        return NULL;
    case VITAL_IDLE:
        return "idle";
    case VITAL_FLOWING:
        return "flowing";
    case VITAL_BUSY:
        return "busy";
    case VITAL_SUSPECT:
        return "suspect";
    case VITAL_HUNG:
        return "hung";
    }
    BUG("no such vital");
}

void vitals_init(struct vitals *v)
{
    *v = (struct vitals){.owed_ms = UINT64_MAX};
}

/* --- what is seen --- */

static void note_sign(struct vitals *v, uint64_t at_ms)
{
    v->sign_ms = at_ms > v->sign_ms ? at_ms : v->sign_ms;
}

static void note_token(struct vitals *v, uint64_t at_ms)
{
    v->token_ms = at_ms > v->token_ms ? at_ms : v->token_ms;
    note_sign(v, at_ms);
}

static bool owes(const struct vitals *v)
{
    const struct stream_signs *s = &v->streams;
    bool engine_works = v->has_engine && (v->engine.running > 0 || v->engine.waiting > 0);
    return !s->is_loading && (s->in_flight > 0 || s->is_doubted || engine_works);
}

static void note_owed(struct vitals *v, uint64_t now_ms)
{
    if (!owes(v)) {
        v->owed_ms = UINT64_MAX;
    } else if (v->owed_ms == UINT64_MAX) {
        v->owed_ms = now_ms;
    }
}

void vitals_see_streams(struct vitals *v, const struct stream_signs *s, uint64_t now_ms)
{
    v->streams = *s;
    note_token(v, s->content_ms);
    note_owed(v, now_ms);
}

void vitals_see_engine(struct vitals *v, const struct engine_counters *c, uint64_t now_ms)
{
    const struct engine_counters *was = &v->engine;
    bool is_first = v->engine_ms == 0;
    bool has_token = c->generated > was->generated || c->steps > was->steps;
    bool has_moved = has_token || c->prompt > was->prompt ||
                     (c->has_kv && was->has_kv && c->kv_permille != was->kv_permille);
    if (is_first && c->generated > 0) {
        v->moved_ms = now_ms; /* they count, though nobody saw it */
    }
    if (!is_first && has_moved) {
        v->moved_ms = now_ms;
        note_sign(v, now_ms);
    }
    if (!is_first && has_token) {
        note_token(v, now_ms);
    }
    v->engine = *c;
    v->engine_ms = now_ms;
    v->has_engine = true;
    note_owed(v, now_ms);
}

/* --- judging --- */

/* Counters that stand still while our own streams get tokens count nothing. */
static bool can_trust_engine(const struct vitals *v, const struct vitals_policy *p)
{
    return v->has_engine && v->moved_ms != 0 &&
           v->streams.content_ms <= v->moved_ms + p->stale_ms;
}

static uint64_t patience_ms(const struct vitals *v, const struct vitals_policy *p)
{
    bool may_be_prompt = !can_trust_engine(v, p) || v->engine.may_prefill;
    return may_be_prompt && p->prefill_ms > p->hang_after_ms ? p->prefill_ms : p->hang_after_ms;
}

/* Where the silence begins that counts. */
static uint64_t silent_since_ms(const struct vitals *v)
{
    return v->owed_ms > v->sign_ms ? v->owed_ms : v->sign_ms;
}

static uint64_t silence_ms(const struct vitals *v, uint64_t now_ms)
{
    uint64_t since_ms = silent_since_ms(v);
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

bool engine_is_full(const struct engine_counters *c)
{
    return c->waiting > 0 || (c->slots > 0 && c->running >= c->slots) ||
           (c->has_kv && c->kv_permille >= KV_FULL_PERMILLE);
}

static bool is_hung(const struct vitals *v, const struct vitals_policy *p, uint64_t now_ms)
{
    if (p->hang_after_ms == 0 || vitals_is_unaskable(v, now_ms)) {
        return false;
    }
    if (v->word == VITAL_HUNG) {
        return v->token_ms <= v->hung_ms;
    }
    return v->owed_ms != UINT64_MAX && silence_ms(v, now_ms) >= patience_ms(v, p) &&
           v->failed_probe_ms != 0 && v->failed_probe_ms >= silent_since_ms(v);
}

static bool is_suspect(const struct vitals *v, const struct vitals_policy *p, uint64_t now_ms)
{
    return p->hang_after_ms > 0 &&
           (v->streams.is_doubted || silence_ms(v, now_ms) >= patience_ms(v, p) / 2);
}

static enum vital choose(const struct vitals *v, const struct vitals_policy *p, uint64_t now_ms)
{
    if (is_hung(v, p, now_ms)) {
        return VITAL_HUNG;
    }
    if (v->owed_ms == UINT64_MAX) {
        return VITAL_IDLE;
    }
    if (is_suspect(v, p, now_ms)) {
        return VITAL_SUSPECT;
    }
    return v->has_engine && engine_is_full(&v->engine) ? VITAL_BUSY : VITAL_FLOWING;
}

enum vital vitals_judge(struct vitals *v, const struct vitals_policy *p, uint64_t now_ms)
{
    if (v->has_engine && now_ms >= v->engine_ms + p->stale_ms) {
        v->has_engine = false;
        note_owed(v, now_ms);
    }
    enum vital word = choose(v, p, now_ms);
    if (word == VITAL_HUNG && v->word != VITAL_HUNG) {
        v->hung_ms = now_ms;
    }
    v->word = word;
    return word;
}

/* --- generation probes --- */

bool vitals_is_unaskable(const struct vitals *v, uint64_t now_ms)
{
    return now_ms < v->unaskable_until_ms;
}

bool vitals_wants_probe(const struct vitals *v, const struct vitals_policy *p, uint64_t now_ms)
{
    bool is_doubtful = v->word == VITAL_SUSPECT || v->word == VITAL_HUNG;
    return is_doubtful && p->hang_after_ms > 0 && !v->is_probing && !v->streams.is_loading &&
           now_ms >= v->ask_again_ms && !vitals_is_unaskable(v, now_ms);
}

uint32_t vitals_probe_ms(const struct vitals *v, const struct vitals_policy *p, uint64_t now_ms)
{
    uint64_t patience = patience_ms(v, p);
    uint64_t silence = silence_ms(v, now_ms);
    if (silence >= patience) {
        return (uint32_t)(patience / 2);
    }
    uint64_t rest = patience - silence;
    return (uint32_t)(rest > patience / 4 ? rest : patience / 4);
}

void vitals_begin_probe(struct vitals *v, uint64_t now_ms)
{
    CHECK(!v->is_probing);
    v->is_probing = true;
    v->probe_ms = now_ms;
}

/* A tenth of the patience, doubled with each further failure up to half of it. */
static uint64_t pause_ms(const struct vitals *v, const struct vitals_policy *p)
{
    uint64_t pause = p->hang_after_ms / 10;
    for (uint32_t i = 1; i < v->failed_probes && pause < p->hang_after_ms / 2; i++) {
        pause *= 2;
    }
    return pause < p->hang_after_ms / 2 ? pause : p->hang_after_ms / 2;
}

/* One that was late while there were other signs of life stood behind others. */
static void take_silence(struct vitals *v)
{
    if (v->sign_ms >= v->probe_ms) {
        v->failed_probes = 0;
        return;
    }
    v->failed_probe_ms = v->probe_ms;
    v->failed_probes++;
}

void vitals_end_probe(struct vitals *v, const struct vitals_policy *p, enum probe_end end,
                      uint64_t now_ms)
{
    CHECK(v->is_probing);
    v->is_probing = false;
    switch (end) {
    case PROBE_TOKEN:
        v->failed_probes = 0;
        note_token(v, now_ms);
        break;
    case PROBE_SILENT:
        take_silence(v);
        break;
    case PROBE_UNASKABLE:
        v->unaskable_until_ms = now_ms + UNASKABLE_MS;
        break;
    case PROBE_UNTOLD:
        break;
    }
    v->ask_again_ms = now_ms + pause_ms(v, p);
}

/* --- publishing --- */

enum { HAS_ENGINE_BIT = 3, HAS_KV_BIT = 4, KV_BIT = 5, RUNNING_BIT = 16, WAITING_BIT = 40 };

uint64_t vital_pack(const struct vital_view *view)
{
    return (uint64_t)view->vital | (uint64_t)view->has_engine << HAS_ENGINE_BIT |
           (uint64_t)view->has_kv << HAS_KV_BIT |
           (uint64_t)(view->kv_permille & 0x3ff) << KV_BIT |
           (uint64_t)(view->running & VITAL_COUNT_MAX) << RUNNING_BIT |
           (uint64_t)(view->waiting & VITAL_COUNT_MAX) << WAITING_BIT;
}

struct vital_view vital_unpack(uint64_t word)
{
    return (struct vital_view){
        .vital = (enum vital)(word & 7),
        .has_engine = (word >> HAS_ENGINE_BIT & 1) != 0,
        .has_kv = (word >> HAS_KV_BIT & 1) != 0,
        .kv_permille = (uint16_t)(word >> KV_BIT & 0x3ff),
        .running = (uint32_t)(word >> RUNNING_BIT & VITAL_COUNT_MAX),
        .waiting = (uint32_t)(word >> WAITING_BIT & VITAL_COUNT_MAX),
    };
}

static uint32_t bounded(uint32_t count)
{
    return count < VITAL_COUNT_MAX ? count : VITAL_COUNT_MAX;
}

struct vital_view vitals_view(const struct vitals *v)
{
    struct vital_view view = {.vital = v->word, .has_engine = v->has_engine};
    if (v->has_engine) {
        view.has_kv = v->engine.has_kv;
        view.kv_permille = (uint16_t)(v->engine.has_kv ? v->engine.kv_permille : 0);
        view.running = bounded(v->engine.running);
        view.waiting = bounded(v->engine.waiting);
    }
    return view;
}
