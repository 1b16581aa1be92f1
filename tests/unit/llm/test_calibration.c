#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "llm/calibration.h"
#include "llm/ollama.h"
#include "llm/openai.h"
#include "quotes.h"
#include "wire/json.h"

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

/* --- the judgement --- */

static void judges_what_came_for_a_half(void **state)
{
    static const struct {
        const char *rest;
        bool rest_is_cut;
        const char *came;
        bool came_is_cut;
        enum calibration_result expected;
    } rows[] = {
        {" over the hill", false, " over the hill", false, CALIBRATION_EXACT},
        {" over the hill", true, " over the hill", true, CALIBRATION_EXACT},
        {" over the hill", true, " over the hill", false, CALIBRATION_EXACT},
        /* Tokens counted differently: one of two that were cut off goes on longer. */
        {" over the hill", true, " over the hill and far", true, CALIBRATION_EXACT},
        {" over the hill", true, " over the hill.", false, CALIBRATION_EXACT},
        {" over the hill", true, " over the h", true, CALIBRATION_EXACT},
        {" over the hill", false, " over the h", true, CALIBRATION_EXACT},
        /* But an answer that ended by itself neither goes on nor ends sooner. */
        {" over the hill", false, " over the hill and far", true, CALIBRATION_DIFFERS},
        {" over the hill", true, " over the h", false, CALIBRATION_DIFFERS},
        {" over the hill", false, " over the h", false, CALIBRATION_DIFFERS},
        /* So short it would prove nothing. */
        {" over the hill", true, " over", true, CALIBRATION_DIFFERS},
        {" over the hill", true, "", true, CALIBRATION_DIFFERS},
        {" over the hill", true, "", false, CALIBRATION_DIFFERS},
        {" over the hill", true, " under the hill", true, CALIBRATION_DIFFERS},
        {" over the hill", true, "over the hill", true, CALIBRATION_DIFFERS},
        {" over the hill", true, "  over the hill", true, CALIBRATION_DIFFERS},
        {" over the hill", true, " over the hilt", true, CALIBRATION_DIFFERS},
        /* Repeated first. */
        {" over the hill", true, "A fox jumps over the hill", true, CALIBRATION_ECHO},
        {" over the hill", true, "A fox jumps over the hill and", true, CALIBRATION_ECHO},
        {" over the hill", false, "A fox jumps over the hill", false, CALIBRATION_ECHO},
        {" over the hill", false, "A fox jumps over the hill and", false, CALIBRATION_DIFFERS},
        {" over the hill", true, "A fox jumps", false, CALIBRATION_DIFFERS},
        {" over the hill", true, "A fox jumps under the hill", true, CALIBRATION_DIFFERS},
        {" over the hill", true, "A fox over the hill", true, CALIBRATION_DIFFERS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct calibration_half half = {.partial = STR("A fox jumps"),
                                        .rest = str_from(rows[i].rest),
                                        .is_cut_by_length = rows[i].rest_is_cut};
        enum calibration_result got =
            calibration_judge(&half, str_from(rows[i].came), rows[i].came_is_cut);
        if (got != rows[i].expected) {
            fail_msg("row %zu: '%s' for '%s' is %d", i, rows[i].came, rows[i].rest, (int)got);
        }
    }
}

/* --- a server that is asked --- */

enum manner {
    CONTINUES,
    ECHOES,
    STARTS_OVER, /* the template closed the turn */
    REPHRASES,
    REFUSES,
    ECHOES_ONCE, /* at the first cut only */
    THINKS       /* the continuation comes as reasoning */
};

struct server {
    const struct dialect *dialect;
    const char *const *words; /* tokens, ends with NULL */
    enum manner manner;
    int status;         /* of a refusal */
    unsigned asked;     /* so far */
    unsigned limit;     /* tokens of a whole answer */
    struct str partial; /* of the last request; canonical */
    uint64_t max_tokens;
};

static struct str last_partial(struct str body)
{
    struct json_iter it;
    struct str last = STR_NONE;
    json_iter_init(&it, json_get(body, "messages"));
    while (json_iter_next(&it)) {
        last = it.value;
    }
    if (!str_eq(json_get(last, "role"), STR("\"assistant\""))) {
        return STR_NONE;
    }
    struct str text = json_get(last, "content");
    return str_of(text.ptr + 1, text.len - 2);
}

static void say(struct server *s, struct buf *out, const char *text, const char *as,
                const char *finish)
{
    struct str line;
    if (s->dialect->framing == REPLY_NDJSON) {
        line =
            arena_printf(&arena,
                         "{'model':'m','created_at':'t','message':{'role':'assistant',"
                         "'%s':'%s'},'done':%s%s%s%s}\n",
                         as, text, finish ? "true" : "false", finish ? ",'done_reason':'" : "",
                         finish ? finish : "", finish ? "'" : "");
    } else {
        line = arena_printf(&arena,
                            "data: {'id':'c','choices':[{'index':0,'delta':{'%s':'%s'},"
                            "'finish_reason':%s%s%s}]}\n\n",
                            as, text, finish ? "'" : "null", finish ? finish : "",
                            finish ? "'" : "");
    }
    assert_int_equal(buf_append(out, quotes(&arena, line.ptr)), ERR_OK);
}

/* The words from `at` on, at most so many. */
static void say_words(struct server *s, struct buf *out, size_t at, uint64_t most)
{
    const char *as = s->manner == THINKS && s->partial.len > 0
                         ? (s->dialect->framing == REPLY_NDJSON ? "thinking" : "reasoning")
                         : "content";
    uint64_t said = 0;
    for (; s->words[at + said] && said < most; said++) {
        say(s, out, s->words[at + said], as, NULL);
    }
    say(s, out, "", "content", s->words[at + said] ? "length" : "stop");
    if (s->dialect->framing == REPLY_SSE) {
        assert_int_equal(buf_append(out, STR("data: [DONE]\n\n")), ERR_OK);
    }
}

static void answer(struct server *s, struct buf *out)
{
    static const char *const other[] = {"Well", ",", " to", " begin", " with", NULL};
    size_t at = 0;
    size_t len = 0;
    for (; s->words[at] && len < s->partial.len; at++) {
        len += strlen(s->words[at]);
    }
    assert_int_equal(len, s->partial.len); /* cut where a piece ended */
    if (s->partial.len > 0 && s->manner == REPHRASES) {
        s->words = other;
        at = 0;
    }
    bool echoes = s->manner == ECHOES || (s->manner == ECHOES_ONCE && s->asked == 2);
    if (s->partial.len > 0 && echoes) {
        say(s, out, arena_dup(&arena, s->partial).ptr, "content", NULL);
    }
    say_words(s, out, s->manner == STARTS_OVER ? 0 : at, s->max_tokens);
}

static void read_request(struct server *s, struct str body)
{
    size_t at;
    assert_int_equal(json_check(body, &at), ERR_OK);
    struct str limit = s->dialect->framing == REPLY_NDJSON
                           ? json_path(body, "options", "num_predict", NULL)
                           : json_get(body, "max_tokens");
    assert_int_equal(json_u64(limit, 1000, &s->max_tokens), ERR_OK);
    assert_true(str_eq(json_get(body, "model"), STR("\"m\"")));
    assert_true(json_is_true(json_get(body, "stream")));
    s->partial = arena_dup(&arena, last_partial(body));
    s->max_tokens = s->limit < s->max_tokens && s->partial.len == 0 ? s->limit : s->max_tokens;
    if (s->partial.len > 0 && s->dialect->framing == REPLY_SSE) {
        assert_true(json_is_true(json_get(body, "continue_final_message")));
    }
}

static enum calibration_result calibrate(struct server *s)
{
    struct calibration c;
    enum calibration_result result;
    calibration_init(&c, s->dialect, STR("m"), &arena);
    do {
        struct rope asked;
        struct buf out;
        buf_init(&out, 1 << 20);
        calibration_ask(&c, &arena, &asked);
        struct str body = rope_join(&asked, &arena);
        calibration_ask(&c, &arena, &asked);
        assert_true(str_eq(rope_join(&asked, &arena), body)); /* may be asked again */
        s->asked++;
        assert_true(s->asked <= 6);
        read_request(s, body);
        bool refuses = s->manner == REFUSES && s->partial.len > 0;
        if (!refuses) {
            answer(s, &out);
        }
        result = calibration_answer(&c, refuses ? s->status : 200, buf_str(&out));
        buf_fini(&out);
    } while (result == CALIBRATION_GO_ON);
    return result;
}

static const char *const STORY[] = {
    "Once",  " upon", " a",  " time",          " there", " was",   " a", " light",
    "house", "\\n",   " of", " \\\"stone\\\"", " and",   " light", ".",  NULL};

static const struct dialect *const dialects[] = {&dialect_vllm, &dialect_llamacpp,
                                                 &dialect_ollama};

static void assert_result(const char *const *words, enum manner manner, unsigned limit,
                          enum calibration_result expected)
{
    for (size_t i = 0; i < 3; i++) {
        struct server s = {.dialect = dialects[i],
                           .words = words,
                           .manner = manner,
                           .status = 400,
                           .limit = limit};
        enum calibration_result got = calibrate(&s);
        if (got != expected) {
            fail_msg("%s, manner %d: %d", dialects[i]->name, (int)manner, (int)got);
        }
    }
}

static void tells_servers_apart(void **state)
{
    static const struct {
        enum manner manner;
        enum calibration_result expected;
    } rows[] = {{CONTINUES, CALIBRATION_EXACT},     {ECHOES, CALIBRATION_ECHO},
                {REPHRASES, CALIBRATION_DIFFERS},   {REFUSES, CALIBRATION_REFUSED},
                {ECHOES_ONCE, CALIBRATION_DIFFERS}, {THINKS, CALIBRATION_DIFFERS}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_result(STORY, rows[i].manner, 9, rows[i].expected);
        assert_result(STORY, rows[i].manner, 24, rows[i].expected);
    }
}

/* A server that begins anew gives the same bytes as an echo, and the same seam fits it. What it
 * cannot do is give all of it with the tokens that are left. */
static void one_that_starts_over_is_not_taken_for_one_that_goes_on(void **state)
{
    (void)state;
    assert_result(STORY, STARTS_OVER, 24, CALIBRATION_ECHO);
    assert_result(STORY, STARTS_OVER, 3, CALIBRATION_ECHO);
    for (size_t i = 0; i < 3; i++) {
        struct server s = {
            .dialect = dialects[i], .words = STORY, .manner = STARTS_OVER, .limit = 12};
        assert_true(calibrate(&s) != CALIBRATION_EXACT);
    }
}

static void asks_three_times_and_for_what_is_left_only(void **state)
{
    (void)state;
    struct server s = {.dialect = &dialect_vllm, .words = STORY, .limit = 12};
    assert_int_equal(calibrate(&s), CALIBRATION_EXACT);
    assert_int_equal(s.asked, 3);
    assert_int_equal(s.max_tokens, CALIBRATION_TOKENS - 8);
    assert_true(str_eq(s.partial, STR("Once upon a time there was a light")));
}

static void asks_something_else_where_an_answer_tells_nothing(void **state)
{
    static const char *const short_one[] = {"Yes", ".", NULL};
    static const char *const endless[] = {"ha", "ha", "ha", "ha", "ha", "ha", "ha", "ha", NULL};
    (void)state;
    assert_result(short_one, CONTINUES, 24, CALIBRATION_UNCLEAR);
    assert_result(endless, CONTINUES, 24, CALIBRATION_UNCLEAR);
    struct server s = {.dialect = &dialect_vllm, .words = short_one, .limit = 24};
    assert_int_equal(calibrate(&s), CALIBRATION_UNCLEAR);
    assert_int_equal(s.asked, 2);
}

/* Cut where an echo would begin like the rest, nothing could be told. */
static void does_not_cut_where_an_echo_could_not_be_told(void **state)
{
    static const char *const words[] = {"la", "la", " the", " song", " goes", " on", NULL};
    (void)state;
    assert_result(words, CONTINUES, 24, CALIBRATION_EXACT);
    assert_result(words, ECHOES, 24, CALIBRATION_ECHO);
}

/* --- answers that are none --- */

static enum calibration_result first_answer(const struct dialect *d, int status,
                                            const char *body)
{
    struct calibration c;
    calibration_init(&c, d, STR("m"), &arena);
    return calibration_answer(&c, status, quotes(&arena, body));
}

#define CHUNK(text, finish)                                           \
    "data: {'id':'c','choices':[{'index':0,'delta':{'content':'" text \
    "'},'finish_reason':" finish "}]}\n\n"
#define BEGUN CHUNK("One", "null") CHUNK(" two", "null") CHUNK(" three", "null")

static void learns_nothing_from_what_is_no_answer(void **state)
{
    static const struct {
        int status;
        const char *body;
    } rows[] = {
        {400, "{'error':{'message':'no such parameter'}}"},
        {401, ""},
        {404, "{'error':{'message':'no such model'}}"},
        {429, ""},
        {500, ""},
        {503, "{'error':{'message':'Loading model'}}"},
        {200, ""},
        {200, "{}"},
        {200, "<html>"},
        {200, BEGUN},
        {200, BEGUN "data: [DONE]\n\n"},
        {200, BEGUN CHUNK("", "'abort'") "data: [DONE]\n\n"},
        {200, BEGUN "data: {'error':{'message':'boom','code':500}}\n\ndata: [DONE]\n\n"},
        {200, "data: {'error':{'message':'boom','code':400}}\n\n"},
        {200, BEGUN "data: {nonsense\n\n" CHUNK("", "'stop'")},
        {200, "{'choices':[{'index':0,'message':{'content':'x'},'finish_reason':'stop'}]}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (first_answer(&dialect_vllm, rows[i].status, rows[i].body) != CALIBRATION_FAILED) {
            fail_msg("%d %s", rows[i].status, rows[i].body);
        }
    }
    assert_int_equal(first_answer(&dialect_vllm, 200, BEGUN CHUNK("", "'stop'")),
                     CALIBRATION_GO_ON);
    assert_int_equal(first_answer(&dialect_ollama, 200, "{'error':'model is gone'}\n"),
                     CALIBRATION_FAILED);
}

/* What comes for the first cut of "One two three". */
static enum calibration_result second_answer(int status, const char *body)
{
    struct calibration c;
    calibration_init(&c, &dialect_vllm, STR("m"), &arena);
    assert_int_equal(calibration_answer(&c, 200, quotes(&arena, BEGUN CHUNK("", "'stop'"))),
                     CALIBRATION_GO_ON);
    return calibration_answer(&c, status, quotes(&arena, body));
}

static void tells_a_refusal_from_a_failure(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum calibration_result expected;
    } rows[] = {
        {400, "", CALIBRATION_REFUSED},
        {422, "", CALIBRATION_REFUSED},
        {501, "", CALIBRATION_REFUSED},
        {200, "data: {'error':{'message':'no','code':400}}\n\n", CALIBRATION_REFUSED},
        {200, "data: {'error':{'message':'no','code':500}}\n\n", CALIBRATION_FAILED},
        {401, "", CALIBRATION_FAILED},
        {404, "", CALIBRATION_FAILED},
        {408, "", CALIBRATION_FAILED},
        {413, "", CALIBRATION_FAILED},
        {429, "", CALIBRATION_FAILED},
        {500, "", CALIBRATION_FAILED},
        {503, "", CALIBRATION_FAILED},
        {200, CHUNK(" two", "null"), CALIBRATION_FAILED},
        {200, CHUNK(" two three", "'stop'"), CALIBRATION_GO_ON},
        {200, CHUNK("", "'stop'"), CALIBRATION_DIFFERS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (second_answer(rows[i].status, rows[i].body) != rows[i].expected) {
            fail_msg("%d %s", rows[i].status, rows[i].body);
        }
    }
}

static void a_thinking_model_tells_nothing(void **state)
{
    (void)state;
    struct calibration c;
    const char *thinks =
        "data: {'choices':[{'index':0,'delta':{'reasoning':'Hm'}}]}\n\n" BEGUN CHUNK("",
                                                                                     "'stop'");
    calibration_init(&c, &dialect_vllm, STR("m"), &arena);
    assert_int_equal(calibration_answer(&c, 200, quotes(&arena, thinks)), CALIBRATION_GO_ON);
    assert_int_equal(calibration_answer(&c, 200, quotes(&arena, thinks)), CALIBRATION_UNCLEAR);
}

/* Two servers may write the same text with other escapes. */
static void compares_texts_not_spellings(void **state)
{
    (void)state;
    struct calibration c;
    calibration_init(&c, &dialect_llamacpp, STR("m"), &arena);
    assert_int_equal(
        calibration_answer(&c, 200,
                           quotes(&arena, CHUNK("A", "null") CHUNK(" gr\\u00fcn", "null")
                                              CHUNK(" \\u0041\\/b", "'stop'"))),
        CALIBRATION_GO_ON);
    assert_int_equal(
        calibration_answer(&c, 200, quotes(&arena, CHUNK(" gr\xc3\xbcn A/b", "'stop'"))),
        CALIBRATION_GO_ON);
    assert_int_equal(calibration_answer(&c, 200, quotes(&arena, CHUNK(" A\\u002fb", "'stop'"))),
                     CALIBRATION_EXACT);
}

#define CALIBRATION_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALIBRATION_TEST(judges_what_came_for_a_half),
        CALIBRATION_TEST(tells_servers_apart),
        CALIBRATION_TEST(one_that_starts_over_is_not_taken_for_one_that_goes_on),
        CALIBRATION_TEST(asks_three_times_and_for_what_is_left_only),
        CALIBRATION_TEST(asks_something_else_where_an_answer_tells_nothing),
        CALIBRATION_TEST(does_not_cut_where_an_echo_could_not_be_told),
        CALIBRATION_TEST(learns_nothing_from_what_is_no_answer),
        CALIBRATION_TEST(tells_a_refusal_from_a_failure),
        CALIBRATION_TEST(a_thinking_model_tells_nothing),
        CALIBRATION_TEST(compares_texts_not_spellings),
    };
    return cmocka_run_group_tests_name("llm/calibration", tests, NULL, NULL);
}
