#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "wire/json.h"
#include "wire/json_edit.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A row's edits in short: "-key" takes out, "key=value" sets; blanks between them. */
static void edit_as_told(struct json_edit *ed, struct str orders, struct arena *a)
{
    while (orders.len > 0) {
        struct str value = str_cut(&orders, ' ');
        struct str key = str_cut(&value, '=');
        if (key.ptr[0] == '-') {
            json_edit_remove(ed, arena_dup(a, str_from_at(key, 1)).ptr);
        } else {
            json_edit_set(ed, arena_dup(a, key).ptr, value);
        }
    }
}

static void expect_edit(const char *object, const char *orders, const char *want)
{
    struct arena a;
    struct json_edit ed;
    struct rope rope;
    size_t at;
    arena_init(&a);
    assert_int_equal(json_check(str_from(object), &at), ERR_OK);
    json_edit_init(&ed, str_from(object), &a);
    edit_as_told(&ed, str_from(orders), &a);
    rope_init(&rope);
    json_edit_done(&ed, &rope);
    struct str got = rope_join(&rope, &a);
    if (!str_eq(got, str_from(want))) {
        fail_msg("%s with %s: %.*s, not %s", object, orders, STR_FMT(got), want);
    }
    assert_int_equal(rope.len, got.len);
    assert_int_equal(json_check(got, &at), ERR_OK);
    arena_fini(&a);
}

static void edits_members(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"{\"a\":1,\"b\":2}", "", "{\"a\":1,\"b\":2}"},
        {" {\"a\":1} ", "a=2", "{\"a\":2}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "b=[4] a=\"x\"", "{\"a\":\"x\",\"b\":[4],\"c\":3}"},
        {"{\"a\" : {\"b\":1} , \"b\" : 2 }", "b=3", "{\"a\" : {\"b\":1} , \"b\" : 3 }"},
        {"{\"m\\u006fdel\":1}", "model=2", "{\"m\\u006fdel\":2}"},
        /* added */
        {"{}", "a=1", "{\"a\":1}"},
        {"{ }", "a=1 b=2", "{ \"a\":1,\"b\":2}"},
        {"{\"a\":1}", "b=2 c=3", "{\"a\":1,\"b\":2,\"c\":3}"},
        {"{\"a\":{\"b\":1} }", "b=2 a=0", "{\"a\":0 ,\"b\":2}"},
        /* taken out */
        {"{\"a\":1}", "-a", "{}"},
        {"{ \"a\" : 1 }", "-a", "{ }"},
        {"{\"a\":1}", "-b", "{\"a\":1}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-a", "{\"b\":2,\"c\":3}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-b", "{\"a\":1,\"c\":3}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-c", "{\"a\":1,\"b\":2}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-a -b", "{\"c\":3}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-b -a", "{\"c\":3}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-b -c", "{\"a\":1}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-a -c", "{\"b\":2}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-c -a -b", "{}"},
        {"{ \"a\" : 1 , \"b\" : 2 , \"c\" : 3 }", "-a -b", "{ \"c\" : 3 }"},
        {"{ \"a\" : 1 , \"b\" : 2 , \"c\" : 3 }", "-b -c", "{ \"a\" : 1 }"},
        /* together */
        {"{\"a\":1}", "-a b=2", "{\"b\":2}"},
        {"{\"a\":1,\"b\":2}", "c=3 -a -b", "{\"c\":3}"},
        {"{ \"a\":1 , \"b\":2 }", "c=3 -a -b d=4", "{ \"c\":3,\"d\":4}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-a b=5 -c d=6", "{\"b\":5,\"d\":6}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "a=5 -b -c d=6", "{\"a\":5,\"d\":6}"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        expect_edit(rows[i][0], rows[i][1], rows[i][2]);
    }
}

static void takes_as_many_edits_as_it_says(void **state)
{
    (void)state;
    expect_edit("{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0,\"f\":0}",
                "a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1 k=1 l=1",
                "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,"
                "\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1}");
    expect_edit("{}", "a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 j=1 k=1 l=1",
                "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,"
                "\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1}");
}

static void replaces_a_value_inside(void **state)
{
    (void)state;
    struct arena a;
    struct json_edit ed;
    struct rope rope;
    struct str object = STR("{\"id\":\"x\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}");
    arena_init(&a);
    json_edit_init(&ed, object, &a);
    json_edit_replace(&ed, json_path(object, "choices", "0", "delta", "content", NULL),
                      STR("\"hello\""));
    json_edit_set(&ed, "id", STR("\"y\""));
    rope_init(&rope);
    json_edit_done(&ed, &rope);
    struct str got = rope_join(&rope, &a);
    struct str want = STR("{\"id\":\"y\",\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}");
    assert_true(str_eq(got, want));
    arena_fini(&a);
}

static void a_member_taken_out_takes_the_change_inside_along(void **state)
{
    (void)state;
    struct arena a;
    struct json_edit ed;
    struct rope rope;
    struct str object = STR("{\"a\":{\"b\":1},\"c\":2,\"d\":{\"e\":3}}");
    arena_init(&a);
    json_edit_init(&ed, object, &a);
    json_edit_replace(&ed, json_path(object, "a", "b", NULL), STR("9"));
    json_edit_replace(&ed, json_path(object, "d", "e", NULL), STR("9"));
    json_edit_remove(&ed, "a");
    json_edit_remove(&ed, "d");
    rope_init(&rope);
    json_edit_done(&ed, &rope);
    assert_true(str_eq(rope_join(&rope, &a), STR("{\"c\":2}")));
    arena_fini(&a);
}

static void borrows_what_is_not_changed(void **state)
{
    (void)state;
    struct arena a;
    struct json_edit ed;
    struct rope rope;
    struct str object = STR("{\"model\":\"a\",\"messages\":[1,2,3]}");
    arena_init(&a);
    json_edit_init(&ed, object, &a);
    json_edit_set(&ed, "model", STR("\"b\""));
    rope_init(&rope);
    rope_add(&rope, STR("before "));
    json_edit_done(&ed, &rope);
    assert_int_equal(rope.count, 5);
    assert_ptr_equal(rope.piece[1].ptr, object.ptr);
    assert_ptr_equal(rope.piece[3].ptr, object.ptr + strlen("{\"model\":\"a\""));
    assert_int_equal(arena_used(&a), 0);
    arena_fini(&a);
}

static void a_rope_skips_empty_pieces_and_joins_the_rest(void **state)
{
    (void)state;
    struct arena a;
    struct rope rope;
    struct str one = STR("one");
    arena_init(&a);
    rope_init(&rope);
    assert_int_equal(rope_join(&rope, &a).len, 0);
    rope_add(&rope, STR_NONE);
    rope_add(&rope, one);
    rope_add(&rope, STR(""));
    assert_int_equal(rope.count, 1);
    assert_ptr_equal(rope_join(&rope, &a).ptr, one.ptr);
    for (int i = 1; i < ROPE_MAX; i++) {
        rope_add(&rope, STR("+"));
    }
    assert_int_equal(rope.count, ROPE_MAX);
    assert_int_equal(rope.len, 3 + ROPE_MAX - 1);
    struct str all = rope_join(&rope, &a);
    assert_int_equal(all.len, rope.len);
    assert_memory_equal(all.ptr, "one++++", 7);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_members),
        cmocka_unit_test(takes_as_many_edits_as_it_says),
        cmocka_unit_test(replaces_a_value_inside),
        cmocka_unit_test(a_member_taken_out_takes_the_change_inside_along),
        cmocka_unit_test(borrows_what_is_not_changed),
        cmocka_unit_test(a_rope_skips_empty_pieces_and_joins_the_rest),
    };
    return cmocka_run_group_tests_name("wire/json_edit", tests, NULL, NULL);
}
