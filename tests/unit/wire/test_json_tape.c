#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "wire/json.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void expect_str(struct str got, struct str want)
{
    if (!str_eq(got, want)) {
        fail_msg("\"%.*s\", not \"%.*s\"", STR_FMT(got), STR_FMT(want));
    }
}

static void fill(struct json_tape *tape, struct str text)
{
    size_t at = 0;
    enum err e = json_check_tape(text, tape, &at);
    if (e != ERR_OK) {
        fail_msg("%.*s: %s at %zu", STR_FMT(text), err_name(e), at);
    }
    assert_in_range(tape->count, 1, JSON_TAPE_MAX);
    expect_str(json_tape_root(tape), json_value(text));
}

/* By the tape and by the text, at every depth: the same slices. */
static void expect_same_walks(struct str value, const struct json_tape *tape)
{
    struct json_iter plain;
    struct json_iter taped;
    json_iter_init(&plain, value);
    json_iter_init_on(&taped, tape, value);
    while (json_iter_next(&plain)) {
        assert_true(json_iter_next(&taped));
        assert_ptr_equal(taped.value.ptr, plain.value.ptr);
        expect_str(taped.value, plain.value);
        expect_str(taped.key, plain.key);
        assert_ptr_equal(taped.whole.ptr, plain.whole.ptr);
        expect_str(taped.whole, plain.whole);
        assert_int_equal(taped.key_has_escape, plain.key_has_escape);
        expect_same_walks(plain.value, tape);
    }
    assert_false(json_iter_next(&taped));
    assert_false(json_iter_next(&taped));
}

static const char chunk[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795230927,"
    "\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" the\"},"
    "\"logprobs\":null,\"finish_reason\":null}]}";

static void holds_all_of_a_small_text(void **state)
{
    (void)state;
    struct json_tape tape;
    fill(&tape, STR("{\"id\":7,\"choices\":[{\"delta\":{}}]}"));
    static const uint32_t sizes[] = {5, 1, 3, 2, 1};
    assert_int_equal(tape.count, COUNT_OF(sizes));
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_int_equal(tape.node[i].size, sizes[i]);
        assert_true(tape.node[i].has_inside);
    }
    expect_str(tape.node[1].key, STR("id"));
    expect_str(tape.node[1].value, STR("7"));
    expect_str(tape.node[3].key, STR_NONE);
    expect_str(tape.node[3].value, STR("{\"delta\":{}}"));
}

static void tells_where_no_array_can_be(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool may_hold;
    } rows[] = {
        {"[]", false},
        {"[1,\"[\",{\"a\":{}}]", false},
        {"{\"a\":\"x\",\"b\":{\"c\":null}}", false},
        {"[[]]", true},
        {"[{\"a\":\"x\"},{\"a\":[]}]", true},
        {"[[[[[1]]]]]", true},
        {"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":7}}}}}", true}, /* too deep to know */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_tape tape;
        fill(&tape, str_from(rows[i].text));
        if (json_tape_may_hold_array(&tape, json_tape_root(&tape)) != rows[i].may_hold) {
            fail_msg("%s", rows[i].text);
        }
    }
}

static void does_not_tell_of_what_it_does_not_hold(void **state)
{
    (void)state;
    struct json_tape tape;
    struct str text = STR("{\"a\":{\"b\":1}}");
    fill(&tape, text);
    assert_false(json_tape_may_hold_array(&tape, str_of(text.ptr + 5, 7)));
    assert_true(json_tape_may_hold_array(&tape, str_of(text.ptr + 5, 6)));
    assert_true(json_tape_may_hold_array(NULL, text));
}

static void walks_as_the_text_does(void **state)
{
    (void)state;
    static const char *const texts[] = {
        chunk,
        "1",
        " \"a\" ",
        " [ ] ",
        "{ }",
        " [ 1 , [ ] , { \"a\\n\" : [ true , null ] , \"b\" : \"\\\\\" } , -1.5e3 ] ",
        "{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":[1,{\"x\":2},3]}}}}},\"z\":[[[[[[[0]]],1]]],2]}",
        "[[[[[{\"key\":1}]]]],2,[3]]",
        "{\"a\":{\"b\":1,\"b\":2},\"c\":[{},[],\"\"]}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct json_tape tape;
        fill(&tape, str_from(texts[i]));
        expect_same_walks(str_from(texts[i]), &tape);
        expect_same_walks(json_tape_root(&tape), &tape);
    }
}

static void leaves_out_what_is_too_deep(void **state)
{
    (void)state;
    struct json_tape tape;
    struct str text = STR("[[[[[[[1]]]]]]]");
    fill(&tape, text);
    assert_int_equal(tape.count, JSON_TAPE_DEPTH + 1);
    assert_true(tape.node[JSON_TAPE_DEPTH - 1].has_inside);
    assert_false(tape.node[JSON_TAPE_DEPTH].has_inside);
    expect_str(tape.node[JSON_TAPE_DEPTH].value, STR("[[[1]]]"));
    expect_same_walks(text, &tape);
}

/* {"a":[[0,0,…],[0,0,…],…],"b":1} with `lists` lists of `each`. */
static struct str make_lists(struct buf *b, size_t lists, size_t each)
{
    buf_init(b, 1 << 20);
    assert_int_equal(buf_append(b, STR("{\"a\":[")), ERR_OK);
    for (size_t i = 0; i < lists; i++) {
        assert_int_equal(buf_append(b, i > 0 ? STR(",[") : STR("[")), ERR_OK);
        for (size_t k = 0; k < each; k++) {
            assert_int_equal(buf_append(b, k > 0 ? STR(",0") : STR("0")), ERR_OK);
        }
        assert_int_equal(buf_append(b, STR("]")), ERR_OK);
    }
    assert_int_equal(buf_append(b, STR("],\"b\":1}")), ERR_OK);
    return buf_str(b);
}

static void gives_up_the_inside_of_what_does_not_fit(void **state)
{
    (void)state;
    for (size_t lists = 0; lists < 70; lists++) {
        for (size_t each = 0; each < 70; each += 3) {
            struct buf b;
            struct json_tape tape;
            struct str text = make_lists(&b, lists, each);
            fill(&tape, text);
            /* The top level is always there. */
            assert_true(tape.node[0].has_inside);
            assert_int_equal(tape.node[0].size, tape.count);
            expect_str(tape.node[tape.count - 1].value, STR("1"));
            size_t all = 3 + lists + lists * each;
            assert_true(tape.count == all || all > JSON_TAPE_MAX / 2);
            assert_true(tape.count <= all);
            expect_same_walks(text, &tape);
            buf_fini(&b);
        }
    }
}

static void keeps_only_the_whole_of_a_text_with_too_many_members(void **state)
{
    (void)state;
    for (size_t members = JSON_TAPE_MAX - 3; members < JSON_TAPE_MAX + 3; members++) {
        struct buf b;
        struct json_tape tape;
        buf_init(&b, 1 << 16);
        for (size_t i = 0; i < members; i++) {
            assert_int_equal(buf_printf(&b, "%s\"k%zu\":%zu", i > 0 ? "," : "{", i, i), ERR_OK);
        }
        assert_int_equal(buf_append(&b, STR("}")), ERR_OK);
        struct str text = buf_str(&b);
        fill(&tape, text);
        assert_int_equal(tape.node[0].has_inside, members < JSON_TAPE_MAX);
        expect_same_walks(text, &tape);
        static const struct str names[] = {STR_INIT("k0"), STR_INIT("k60"), STR_INIT("k99")};
        struct str value[3];
        json_pick(&tape, text, names, 3, value);
        expect_str(value[0], STR("0"));
        expect_str(value[1], STR("60"));
        assert_int_equal(value[2].len, 0);
        buf_fini(&b);
    }
}

static void picks_members(void **state)
{
    (void)state;
    static const struct str names[] = {STR_INIT("model"), STR_INIT("n"), STR_INIT(""),
                                       STR_INIT("mode1")};
    static const struct {
        const char *text;
        const char *want[4];
    } rows[] = {
        {"{\"model\":\"a\",\"n\":1,\"\":[]}", {"\"a\"", "1", "[]", ""}},
        {"{\"m\\u006fdel\":1,\"\\u006e\":{\"n\":2}}", {"1", "{\"n\":2}", "", ""}},
        {"{\"mode1\":1,\"mode\":2,\"modell\":3}", {"", "", "", "1"}},
        {"{\"n\\u0000\":1,\"mode\\\\l\":2}", {"", "", "", ""}},
        {"[1,\"n\"]", {"", "", "", ""}},
        {"\"n\"", {"", "", "", ""}},
        {"{}", {"", "", "", ""}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_tape tape;
        struct str value[2][4];
        fill(&tape, str_from(rows[i].text));
        json_pick(&tape, json_tape_root(&tape), names, 4, value[0]);
        json_pick(NULL, str_from(rows[i].text), names, 4, value[1]);
        for (size_t k = 0; k < 4; k++) {
            expect_str(value[0][k], str_from(rows[i].want[k]));
            expect_str(value[1][k], str_from(rows[i].want[k]));
        }
    }
}

static void picks_the_last_of_a_nested_key_given_twice(void **state)
{
    (void)state;
    struct json_tape tape;
    struct str name = STR("b");
    struct str value;
    fill(&tape, STR("{\"a\":{\"b\":1,\"\\u0062\":2,\"b\":3,\"c\":4}}"));
    json_pick(&tape, tape.node[1].value, &name, 1, &value);
    expect_str(value, STR("3"));
    json_pick(NULL, tape.node[1].value, &name, 1, &value);
    expect_str(value, STR("3"));
}

static void picks_from_what_is_not_on_the_tape(void **state)
{
    (void)state;
    struct json_tape tape;
    struct str name = STR("a");
    struct str value;
    fill(&tape, STR("[1]"));
    json_pick(&tape, STR("{\"a\":2}"), &name, 1, &value);
    expect_str(value, STR("2"));
    json_pick(&tape, STR_NONE, &name, 1, &value);
    assert_int_equal(value.len, 0);
}

static void is_empty_after_an_error(void **state)
{
    (void)state;
    struct json_tape tape;
    struct str value;
    struct str name = STR("a");
    size_t at;
    assert_int_equal(json_check_tape(STR("{\"a\":1,\"a\":2}"), &tape, &at), ERR_DUPLICATE);
    assert_int_equal(at, 7);
    assert_int_equal(tape.count, 0);
    assert_int_equal(json_tape_root(&tape).len, 0);
    assert_int_equal(json_check_tape(STR_NONE, &tape, &at), ERR_SYNTAX);
    assert_int_equal(at, 0);
    json_pick(&tape, STR("{\"a\":1}"), &name, 1, &value);
    expect_str(value, STR("1"));
}

/* Verdict and place as json_check's for every text cut short, from memory of that size. */
static void judges_as_without_a_tape(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(chunk); len++) {
        char *copy = malloc(len > 0 ? len : 1);
        struct json_tape tape;
        size_t at = SIZE_MAX;
        size_t taped_at = SIZE_MAX;
        assert_non_null(copy);
        memcpy(copy, chunk, len);
        enum err e = json_check(str_of(copy, len), &at);
        assert_int_equal(json_check_tape(str_of(copy, len), &tape, &taped_at), e);
        assert_int_equal(taped_at, at);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_all_of_a_small_text),
        cmocka_unit_test(tells_where_no_array_can_be),
        cmocka_unit_test(does_not_tell_of_what_it_does_not_hold),
        cmocka_unit_test(walks_as_the_text_does),
        cmocka_unit_test(leaves_out_what_is_too_deep),
        cmocka_unit_test(gives_up_the_inside_of_what_does_not_fit),
        cmocka_unit_test(keeps_only_the_whole_of_a_text_with_too_many_members),
        cmocka_unit_test(picks_members),
        cmocka_unit_test(picks_the_last_of_a_nested_key_given_twice),
        cmocka_unit_test(picks_from_what_is_not_on_the_tape),
        cmocka_unit_test(is_empty_after_an_error),
        cmocka_unit_test(judges_as_without_a_tape),
    };
    return cmocka_run_group_tests_name("wire/json_tape", tests, NULL, NULL);
}
