#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

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

#define MESSAGES "'messages':[{'role':'user','content':'Hi'}"

static struct chat_request ask(const char *members)
{
    struct chat_request q;
    struct bad_request bad;
    struct str body = arena_printf(&arena, "{'model':'m'," MESSAGES "]%s}", members);
    assert_int_equal(chat_request_read(quotes(&arena, body.ptr), &arena, &q, &bad), ERR_OK);
    return q;
}

static struct str build(const struct dialect *d, const struct chat_request *q,
                        const struct chat_edit *ed)
{
    struct rope out;
    struct bad_request bad;
    size_t at;
    assert_int_equal(d->build(q, ed, &arena, &out, &bad), ERR_OK);
    struct str built = rope_join(&out, &arena);
    assert_int_equal(json_check(built, &at), ERR_OK);
    return built;
}

static void assert_str(struct str s, struct str expected)
{
    if (!str_eq(s, expected)) {
        fail_msg("got %.*s, not %.*s", STR_FMT(s), STR_FMT(expected));
    }
}

#define PARTIAL .model = STR_INIT("big"), .stream = true, .partial = STR_INIT("On\\nce ")
#define FLAGS ",'continue_final_message':true,'add_generation_prompt':false"

struct row {
    const char *members; /* of the client's body, behind model and messages */
    struct chat_edit edit;
    const char *expected; /* likewise */
};

static const struct row rows[] = {
    {",'stream':true", {PARTIAL}, ",'stream':true" FLAGS},
    {",'stream':true", {PARTIAL, .spent = 7}, ",'stream':true" FLAGS},
    /* limits are lowered by what is spent, in every name they have */
    {",'stream':true,'max_tokens':50",
     {PARTIAL, .spent = 7},
     ",'stream':true,'max_tokens':43" FLAGS},
    {",'stream':true,'max_completion_tokens':50,'min_tokens':10",
     {PARTIAL, .spent = 7},
     ",'stream':true,'max_completion_tokens':43,'min_tokens':3" FLAGS},
    {",'stream':true,'max_tokens':40,'max_completion_tokens':50",
     {PARTIAL, .spent = 7},
     ",'stream':true,'max_tokens':33,'max_completion_tokens':33" FLAGS},
    {",'stream':true,'max_tokens':null,'n_predict':20",
     {PARTIAL, .spent = 7},
     ",'stream':true,'max_tokens':null,'n_predict':13" FLAGS},
    {",'stream':true,'n_predict':-1,'min_tokens':null",
     {PARTIAL, .spent = 7},
     ",'stream':true,'n_predict':-1,'min_tokens':null" FLAGS},
    {",'stream':true,'max_tokens':7,'min_tokens':7,'n_predict':7",
     {PARTIAL, .spent = 7},
     ",'stream':true,'max_tokens':1,'min_tokens':0,'n_predict':1" FLAGS},
    {",'stream':true,'max_tokens':8",
     {PARTIAL, .spent = 7},
     ",'stream':true,'max_tokens':1" FLAGS},
    {",'stream':true,'max_tokens':8", {PARTIAL}, ",'stream':true,'max_tokens':8" FLAGS},
    /* so is the cap of a degraded tier */
    {",'stream':true,'max_tokens':900",
     {PARTIAL, .spent = 7, .set_max_tokens = true, .max_tokens = 200},
     ",'stream':true,'max_tokens':193" FLAGS},
    {",'stream':true",
     {PARTIAL, .spent = 7, .set_max_tokens = true, .max_tokens = 200},
     ",'stream':true" FLAGS ",'max_tokens':193"},
    {",'stream':true,'max_tokens':100,'max_completion_tokens':900",
     {PARTIAL, .spent = 7, .set_max_tokens = true, .max_tokens = 200},
     ",'stream':true,'max_tokens':93,'max_completion_tokens':93" FLAGS},
};

/* Members that were added stand in the order in which build asked for them. */
static struct str expected_body(const struct row *row)
{
    struct str text = arena_printf(
        &arena, "{'model':'big'," MESSAGES ",{'role':'assistant','content':'On\\nce '}]%s}",
        row->expected);
    return quotes(&arena, text.ptr);
}

static bool has_same_members(struct str a, struct str b)
{
    struct json_iter it;
    size_t count = 0;
    json_iter_init(&it, a);
    while (json_iter_next(&it)) {
        char *key = mem_dup(it.key);
        bool is_same = str_eq(json_get(b, key), it.value);
        free(key);
        if (!is_same) {
            return false;
        }
        count++;
    }
    json_iter_init(&it, b);
    while (json_iter_next(&it)) {
        count--;
    }
    return count == 0;
}

static void puts_the_half_message_last_and_lowers_the_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct chat_request q = ask(rows[i].members);
        struct str wanted = expected_body(&rows[i]);
        struct str built = build(&dialect_vllm, &q, &rows[i].edit);
        if (!has_same_members(built, wanted)) {
            fail_msg("got %.*s, not %.*s", STR_FMT(built), STR_FMT(wanted));
        }
        assert_str(build(&dialect_llamacpp, &q, &rows[i].edit), built);
    }
}

static void keeps_the_messages_and_copies_the_partial(void **state)
{
    char partial[] = "half \xc3\xa9";
    struct chat_request q = ask(",'stream':true");
    struct chat_edit edit = {.model = STR("m"), .stream = true, .partial = str_from(partial)};
    struct rope out;
    struct bad_request bad;
    (void)state;
    assert_int_equal(dialect_vllm.build(&q, &edit, &arena, &out, &bad), ERR_OK);
    bool is_inside = false;
    struct str messages = json_get(q.body, "messages");
    for (size_t i = 0; i < out.count; i++) {
        const struct str *p = &out.piece[i];
        is_inside = is_inside || (p->ptr <= messages.ptr &&
                                  p->ptr + p->len >= messages.ptr + messages.len - 1);
    }
    assert_true(is_inside);
    /* The transcript that it is a slice of may move while the request is being sent. */
    memset(partial, '!', sizeof(partial) - 1);
    struct str last = json_path(rope_join(&out, &arena), "messages", "1", "content", NULL);
    assert_str(last, STR("\"half \xc3\xa9\""));
}

static void lowers_limits_without_a_partial_too(void **state)
{
    struct chat_request q = ask(",'max_tokens':9,'min_tokens':5");
    struct chat_edit edit = {.model = STR("m"), .spent = 4};
    (void)state;
    struct str built = build(&dialect_openai, &q, &edit);
    assert_str(json_get(built, "max_tokens"), STR("5"));
    assert_str(json_get(built, "min_tokens"), STR("1"));
    assert_int_equal(json_get(built, "continue_final_message").len, 0);
}

static void asks_openai_itself_for_no_continuation(void **state)
{
    struct chat_request q = ask("");
    struct chat_edit edit = {.model = STR("m"), .partial = STR("x")};
    struct rope out;
    struct bad_request bad;
    (void)state;
    assert_false(dialect_openai.can_continue);
    assert_true(dialect_vllm.can_continue && dialect_llamacpp.can_continue);
    assert_int_equal(dialect_openai.build(&q, &edit, &arena, &out, &bad), ERR_UNSUPPORTED);
    assert_int_equal(bad.status, 400);
    assert_str(bad.param, STR("messages"));
    edit.partial = STR_NONE;
    assert_int_equal(dialect_openai.build(&q, &edit, &arena, &out, &bad), ERR_OK);
}

static void makes_every_edit_at_once(void **state)
{
    struct chat_request q = ask(",'max_tokens':100,'max_completion_tokens':90,'min_tokens':9,"
                                "'n_predict':80,'temperature':1,'stream':false,"
                                "'stream_options':{'x':1}");
    struct chat_edit edit = {PARTIAL,
                             .spent = 3,
                             .set_max_tokens = true,
                             .max_tokens = 50,
                             .set_temperature = true,
                             .want_usage = true};
    (void)state;
    struct str built = build(&dialect_vllm, &q, &edit);
    assert_str(json_get(built, "max_completion_tokens"), STR("47"));
    assert_str(json_get(built, "max_tokens"), STR("47"));
    assert_str(json_get(built, "min_tokens"), STR("6"));
    assert_str(json_get(built, "n_predict"), STR("77"));
    assert_str(json_get(built, "temperature"), STR("0"));
    assert_str(json_get(built, "stream"), STR("true"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(puts_the_half_message_last_and_lowers_the_limits, begin,
                                        end),
        cmocka_unit_test_setup_teardown(keeps_the_messages_and_copies_the_partial, begin, end),
        cmocka_unit_test_setup_teardown(lowers_limits_without_a_partial_too, begin, end),
        cmocka_unit_test_setup_teardown(asks_openai_itself_for_no_continuation, begin, end),
        cmocka_unit_test_setup_teardown(makes_every_edit_at_once, begin, end),
    };
    return cmocka_run_group_tests_name("llm/openai_request", tests, NULL, NULL);
}
