#include "llm/calibration.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "llm/canonical.h"
#include "llm/chat_request.h"
#include "llm/reply_events.h"
#include "wire/json.h"

enum { PIECES_MAX = 128, PIECES_MIN = 3 };

/* Questions whose answers are text that hardly repeats itself. */
static const char *const prompts[] = {"Tell me a story about a lighthouse.",
                                      "Why is the sky blue?"};
enum { PROMPTS = sizeof(prompts) / sizeof(prompts[0]) };

void calibration_init(struct calibration *c, const struct dialect *d, struct str model,
                      struct arena *a)
{
    *c = (struct calibration){.dialect = d, .model = model, .arena = a};
}

/* --- asking --- */

static void make_request(const struct calibration *c, struct arena *a, struct chat_request *q)
{
    struct bad_request bad;
    struct str body =
        arena_printf(a,
                     "{\"model\":%.*s,\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
                     "\"temperature\":0,\"max_tokens\":%d,\"stream\":true}",
                     STR_FMT(json_quote(a, c->model)), prompts[c->prompt], CALIBRATION_TOKENS);
    CHECK(chat_request_read(body, a, q, &bad) == ERR_OK);
}

void calibration_ask(const struct calibration *c, struct arena *a, struct rope *body)
{
    struct chat_request q;
    struct bad_request bad;
    struct chat_edit edit = {.model = c->model, .stream = true};
    make_request(c, a, &q);
    if (c->whole.ptr) {
        edit.partial = str_of(c->whole.ptr, c->cut[c->cuts_done].at);
        edit.spent = c->cut[c->cuts_done].spent;
    }
    CHECK(c->dialect->build(&q, &edit, a, body, &bad) == ERR_OK);
}

/* --- reading an answer --- */

struct heard {
    struct buf text; /* canonical */
    size_t end[PIECES_MAX];
    size_t count;
    bool is_finished;
    bool is_cut_by_length;
    bool has_other; /* reasoning, tool calls */
    bool is_broken; /* an error, or nothing that we understand */
    int status;     /* of the error, 0: it did not say */
};

/* Some server's piece without text ends no token. */
static void hear_text(struct heard *h, struct str raw, struct arena *a)
{
    if (raw.len == 0 || h->count == PIECES_MAX) {
        return;
    }
    if (buf_append(&h->text, canonical_text(raw, a)) != ERR_OK) {
        h->is_broken = true;
        return;
    }
    h->end[h->count++] = buf_len(&h->text);
}

/* Who listens to which answer. */
struct hearing {
    struct heard *heard;
    struct reply *reply;
};

static void hear_event(void *owner, struct str payload)
{
    struct heard *h = ((struct hearing *)owner)->heard;
    struct reply *r = ((struct hearing *)owner)->reply;
    struct reply_event ev;
    if (h->is_broken || reply_read_event(r, payload, &ev) != ERR_OK) {
        h->is_broken = true;
        return;
    }
    if (ev.is_error || ev.is_abort) {
        h->is_broken = true;
        h->status = ev.is_error ? ev.error.status : 0;
        return;
    }
    h->has_other = h->has_other || ev.has_other;
    hear_text(h, ev.content, &r->scratch);
    if (ev.has_finish) {
        struct str reason = json_path(ev.chunk, "choices", "0", "finish_reason", NULL);
        h->is_cut_by_length = str_eq(reason, STR("\"length\""));
        h->is_finished = ev.all_finished;
    }
}

static void hear(const struct calibration *c, struct str body, struct heard *h)
{
    struct arena a;
    struct chat_request q;
    struct reply r;
    arena_init(&a);
    *h = (struct heard){.count = 0};
    buf_init(&h->text, body.len + 1);
    make_request(c, &a, &q);
    reply_init(&r, c->dialect, &q, &a, STR("calibration"));
    reply_each_event(c->dialect, body, hear_event, &(struct hearing){h, &r});
    reply_fini(&r);
    arena_fini(&a);
}

/* --- the first answer --- */

static struct calibration_half half_at(const struct calibration *c, size_t at)
{
    return (struct calibration_half){.partial = str_of(c->whole.ptr, at),
                                     .rest = str_from_at(c->whole, at),
                                     .is_cut_by_length = c->is_cut_by_length};
}

/* An echo cannot be taken for a continuation: the two begin differently. */
static bool is_telling(const struct calibration_half *half)
{
    size_t common = half->partial.len < half->rest.len ? half->partial.len : half->rest.len;
    return common > 0 && memcmp(half->partial.ptr, half->rest.ptr, common) != 0;
}

/* The first telling cut behind so many pieces. */
static bool choose_cut(struct calibration *c, const struct heard *h, size_t pieces,
                       unsigned which)
{
    for (size_t i = pieces > 0 ? pieces : 1; i < h->count; i++) {
        struct calibration_half half = half_at(c, h->end[i - 1]);
        if (is_telling(&half)) {
            c->cut[which].at = h->end[i - 1];
            c->cut[which].spent = i;
            return true;
        }
    }
    return false;
}

static bool take_whole(struct calibration *c, const struct heard *h)
{
    if (h->has_other || h->count < PIECES_MIN) {
        return false;
    }
    c->whole = arena_dup(c->arena, buf_str(&h->text));
    c->is_cut_by_length = h->is_cut_by_length;
    c->cuts_done = 0;
    return choose_cut(c, h, h->count / 3, 0) && choose_cut(c, h, h->count - h->count / 3, 1) &&
           c->cut[0].at < c->cut[1].at;
}

static enum calibration_result ask_otherwise(struct calibration *c)
{
    c->whole = STR_NONE;
    c->prompt++;
    if (c->prompt < PROMPTS) {
        return CALIBRATION_GO_ON;
    }
    c->prompt = 0;
    return CALIBRATION_UNCLEAR;
}

/* --- the continuations --- */

static bool agrees(const struct calibration_half *half, struct str came, bool is_cut_by_length)
{
    struct str rest = half->rest;
    size_t common = rest.len < came.len ? rest.len : came.len;
    if (common == 0 || memcmp(rest.ptr, came.ptr, common) != 0) {
        return false;
    }
    if (came.len > rest.len) {
        return half->is_cut_by_length;
    }
    return came.len == rest.len || (is_cut_by_length && came.len * 2 >= rest.len);
}

enum calibration_result calibration_judge(const struct calibration_half *half, struct str came,
                                          bool came_is_cut_by_length)
{
    if (agrees(half, came, came_is_cut_by_length)) {
        return CALIBRATION_EXACT;
    }
    bool is_echo = str_starts(came, half->partial) &&
                   agrees(half, str_from_at(came, half->partial.len), came_is_cut_by_length);
    return is_echo ? CALIBRATION_ECHO : CALIBRATION_DIFFERS;
}

static enum calibration_result take_continuation(struct calibration *c, const struct heard *h)
{
    struct calibration_half half = half_at(c, c->cut[c->cuts_done].at);
    enum calibration_result result =
        calibration_judge(&half, buf_str(&h->text), h->is_cut_by_length);
    if (h->has_other || result == CALIBRATION_DIFFERS) {
        return CALIBRATION_DIFFERS;
    }
    bool is_echoed = result == CALIBRATION_ECHO;
    if (c->cuts_done > 0 && is_echoed != c->is_echoed) {
        return CALIBRATION_DIFFERS; /* no seam fits both */
    }
    c->is_echoed = is_echoed;
    c->cuts_done++;
    return c->cuts_done < CALIBRATION_CUTS ? CALIBRATION_GO_ON : result;
}

/* What a server says that knows the model and will not continue its answer. Anything else may
 * have another reason. */
static bool is_refusal(int status)
{
    return status == 400 || status == 422 || status == 501;
}

static enum calibration_result fail(const struct calibration *c, int status)
{
    return c->whole.ptr && is_refusal(status) ? CALIBRATION_REFUSED : CALIBRATION_FAILED;
}

enum calibration_result calibration_answer(struct calibration *c, int status, struct str body)
{
    struct heard h;
    enum calibration_result result;
    if (status != 200) {
        return fail(c, status);
    }
    hear(c, body, &h);
    if (h.is_broken || !h.is_finished) {
        result = fail(c, h.status);
    } else if (c->whole.ptr) {
        result = take_continuation(c, &h);
    } else {
        result = take_whole(c, &h) ? CALIBRATION_GO_ON : ask_otherwise(c);
    }
    buf_fini(&h.text);
    return result;
}
