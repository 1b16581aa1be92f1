#include <stdlib.h>

#include "base/check.h"
#include "gate/answer.h"
#include "gate/exchange_account.h"
#include "gate/exchange_priv.h"
#include "gate/inquiry.h"
#include "llm/token_count.h"

/*
 * How many tokens an answer has, where the backend that made them can no longer tell: a chunk
 * may hold several. A backend of the model that has the tokenizer is asked; its answer is not
 * waited for long.
 */

enum {
    COUNT_MS = 250,     /* for all questions about one break, or one end */
    COUNT_ONE_MS = 125, /* for one of them: another may know it */
    COUNT_TEXT_MAX = 1 << 20,
    COUNT_ANSWER_MAX = 16 << 20, /* it lists every token */
    BYTES_A_TOKEN = 4
};

struct counting {
    struct inquiry inquiry;
    struct tried asked;
    uint64_t due_ms; /* of this one */
    enum counted what;
    const struct step *next;
};

static void on_counted(void *owner)
{
    exchange_wake(owner, WAKE_UPSTREAM);
}

/* --- whom to ask --- */

/* The name that the backend of the last content knows the model by. */
static struct str name_at_answerer(const struct exchange *x)
{
    const struct model *m = x->model;
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t i = 0; i < m->tiers[t].member_count; i++) {
            if (m->tiers[t].members[i].backend == x->by.backend) {
                return m->tiers[t].members[i].model;
            }
        }
    }
    return STR_NONE;
}

/* Who has certainly the same tokenizer comes first, the one that broke last among these; 0:
 * cannot be asked. */
static unsigned judge_tokenizer(const struct exchange *x, const struct tier_member *member,
                                enum counted what)
{
    const struct backend *b = member->backend;
    const struct dialect *d = gateway_dialect(b);
    struct backend_view v = board_view(x->worker->gateway->board, b->index, exchange_now(x));
    bool is_able = d->count_path && (what == COUNTED_TEXT || d->counts_messages) &&
                   !tried_has(&x->counting->asked, b->index);
    is_able = is_able && v.operator.word == OPERATOR_NONE;
    if (!is_able || v.state == STATE_DOWN || v.hold_until_ms > exchange_now(x)) {
        return 0;
    }
    if (b == x->by.backend) {
        return 2;
    }
    bool is_sibling =
        b->type == x->by.backend->type && str_eq(member->model, name_at_answerer(x));
    return is_sibling ? 3 : 1;
}

static const struct tier_member *find_tokenizer(const struct exchange *x, enum counted what)
{
    const struct model *m = x->model;
    const struct tier_member *best = NULL;
    unsigned best_points = 0;
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t i = 0; i < m->tiers[t].member_count; i++) {
            unsigned points = judge_tokenizer(x, &m->tiers[t].members[i], what);
            if (points > best_points) {
                best = &m->tiers[t].members[i];
                best_points = points;
            }
        }
    }
    return best;
}

/* --- asking --- */

static struct str question(const struct exchange *x, const struct tier_member *at,
                           enum counted what, struct arena *a)
{
    const struct dialect *d = gateway_dialect(at->backend);
    const struct str parts[] = {transcript_reasoning(&x->transcript),
                                transcript_text(&x->transcript)};
    if (what == COUNTED_PROMPT) {
        return token_count_ask_prompt(d, at->model, &x->request, a);
    }
    return token_count_ask(d, at->model, parts, a);
}

/* What is known already, or cannot be asked for as it is. */
static bool is_worth_asking(const struct exchange *x, enum counted what)
{
    const struct transcript *t = &x->transcript;
    size_t size = transcript_text_len(t) + transcript_reasoning(t).len;
    if (what == COUNTED_PROMPT) {
        return t->prompt_tokens == 0 && x->request.prompt_bytes <= COUNT_TEXT_MAX;
    }
    return x->keeps_transcript && transcript_is_estimate(t) && size > 0 &&
           size <= COUNT_TEXT_MAX && transcript_calls(t).len == 0 && !t->has_other;
}

static void ask(struct exchange *x, const struct tier_member *at)
{
    struct arena a;
    struct counting *c = x->counting;
    const struct backend *b = at->backend;
    tried_add(&c->asked, b->index);
    c->due_ms = exchange_now(x) + COUNT_ONE_MS;
    c->due_ms = c->due_ms < x->count_due_ms ? c->due_ms : x->count_due_ms;
    arena_init(&a);
    inquiry_open(&c->inquiry, &(struct inquiry_conf){.loop = x->worker->loop,
                                                     .backend = b,
                                                     .upstream = x->worker->upstreams[b->index],
                                                     .path = gateway_dialect(b)->count_path,
                                                     .purpose = "tokens",
                                                     .body = question(x, at, c->what, &a),
                                                     .answer_max = COUNT_ANSWER_MAX,
                                                     .connect_due_ms = c->due_ms,
                                                     .due_ms = c->due_ms,
                                                     .notify = on_counted,
                                                     .owner = x});
    arena_fini(&a);
}

/* The next one that may know it. False: there is none, or no time. */
static bool ask_next(struct exchange *x)
{
    const struct tier_member *at = find_tokenizer(x, x->counting->what);
    if (!at || exchange_now(x) >= x->count_due_ms || x->counting->asked.count == TRIED_MAX) {
        return false;
    }
    ask(x, at);
    return true;
}

const struct step *exchange_count(struct exchange *x, enum counted what,
                                  const struct step *next)
{
    uint64_t now_ms = exchange_now(x);
    if ((x->counted & what) || !is_worth_asking(x, what)) {
        return NULL;
    }
    if (x->counted == 0) {
        x->count_due_ms = now_ms + COUNT_MS < x->due_ms ? now_ms + COUNT_MS : x->due_ms;
    }
    x->counted |= what;
    x->counting = mem_alloc(sizeof(*x->counting));
    x->counting->what = what;
    x->counting->next = next;
    if (ask_next(x)) {
        return &step_count;
    }
    exchange_stop_counting(x);
    return NULL;
}

uint64_t exchange_count_due_ms(const struct exchange *x)
{
    return x->counting->due_ms;
}

void exchange_stop_counting(struct exchange *x)
{
    if (x->counting) {
        inquiry_close(&x->counting->inquiry);
        free(x->counting);
        x->counting = NULL;
    }
}

/* False: that was no answer. */
static bool take(struct exchange *x, const struct counting *c)
{
    uint64_t tokens = 0;
    if (c->inquiry.status != 200 ||
        token_count_read(inquiry_body(&c->inquiry), &tokens) != ERR_OK) {
        return false;
    }
    if (c->what == COUNTED_PROMPT) {
        x->transcript.prompt_tokens = tokens;
    } else {
        transcript_count(&x->transcript, tokens);
    }
    return true;
}

const struct step *count_run(struct exchange *x)
{
    struct counting *c = x->counting;
    enum err e = inquiry_next(&c->inquiry, exchange_now(x));
    if (e == ERR_AGAIN) {
        return NULL;
    }
    if (e != ERR_OK || !take(x, c)) {
        inquiry_close(&c->inquiry);
        if (ask_next(x)) {
            return NULL;
        }
    }
    const struct step *next = c->next;
    exchange_stop_counting(x);
    return next;
}

/* --- usage of our own --- */

bool exchange_lacks_usage(const struct exchange *x)
{
    const struct attempt *a = x->attempt;
    bool is_wanted = !x->request.stream || x->request.include_usage;
    bool is_backends_end = a->event.is_done && !(a->has_seam && a->seam.is_stopped);
    return is_wanted && !x->usage_told && !is_backends_end;
}

const struct step *exchange_end_with_usage(struct exchange *x)
{
    exchange_note_good(x);
    x->counted = 0;
    x->pieces = x->attempt->tokens;
    attempt_close(&x->attempt);
    return &step_usage;
}

static struct str usage_chunk(struct exchange *x)
{
    uint64_t prompt = x->transcript.prompt_tokens;
    uint64_t completion = x->keeps_transcript ? transcript_spent(&x->transcript) : x->pieces;
    if (prompt == 0) {
        prompt = x->request.prompt_bytes / BYTES_A_TOKEN + 1;
    }
    exchange_account_usage(x, prompt, completion);
    return transcript_usage(&x->transcript, prompt, completion, &x->arena);
}

const struct step *usage_run(struct exchange *x)
{
    const struct step *asks = exchange_count(x, COUNTED_TEXT, &step_usage);
    asks = asks ? asks : exchange_count(x, COUNTED_PROMPT, &step_usage);
    if (asks) {
        return asks;
    }
    exchange_note_whole(x);
    struct str chunk = usage_chunk(x);
    if (x->request.stream) {
        const struct str event[] = {STR("data: "), chunk, STR("\n\n")};
        answer_stream(x, event, 3, true);
        return &step_done;
    }
    enum err e = assembly_add(x->assembly, chunk);
    CHECK(e == ERR_OK); /* a chunk of our own making, and no text */
    answer_whole(x, assembly_json(x->assembly, &x->arena));
    return &step_done;
}
