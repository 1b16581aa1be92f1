#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_reading.h"

static void assert_tells(const char *text, const char *expected)
{
    struct reading r;
    start(&r, str_from(text));
    assert_string_equal(tell(&r), expected);
    end(&r);
}

static void knows_where_everything_stands(void **state)
{
    struct reading r;
    (void)state;
    start(&r, STR("a: {x: \"\xc3\xa9\", y: 5}\nb:\n  - \xc3\xbc: z  # c\n  - [1]\nk:\n"));
    assert_true(r.ok);
    const struct conf_node *a = conf_get(r.conf.root, STR("a"));
    assert_int_equal(a->kind, CONF_MAP);
    const struct conf_node *x = conf_get(a, STR("x"));
    assert_true(str_eq(x->text, STR("\xc3\xa9")));
    assert_false(x->is_plain);
    assert_int_equal(x->start.line, 1);
    assert_int_equal(x->start.column, 8);
    const struct conf_node *y = conf_get(a, STR("y"));
    assert_true(y->is_plain);
    assert_int_equal(y->start.column, 16);
    const struct conf_node *b = conf_get(r.conf.root, STR("b"));
    assert_int_equal(b->kind, CONF_LIST);
    assert_int_equal(b->count, 2);
    assert_int_equal(b->items[0].value->items[0].value->start.line, 3);
    assert_int_equal(b->items[0].value->items[0].value->start.column, 8);
    const struct conf_node *k = conf_get(r.conf.root, STR("k"));
    assert_true(conf_is_null(k));
    assert_int_equal(k->start.line, 5);
    assert_int_equal(r.errors.error_count, 0);
    assert_null(conf_get(r.conf.root, STR("nope")));
    end(&r);
}

static void refuses_every_duplicate_key(void **state)
{
    (void)state;
    assert_tells("a: 1\nb: {x: 1, x: 2}\na: 2\na: 3\n",
                 "f.yaml:2:11: error: key 'x' is given twice, before on line 2\n"
                 "  b: {x: 1, x: 2}\n"
                 "            ^\n"
                 "f.yaml:3:1: error: key 'a' is given twice, before on line 1\n"
                 "  a: 2\n"
                 "  ^\n"
                 "f.yaml:4:1: error: key 'a' is given twice, before on line 3\n"
                 "  a: 3\n"
                 "  ^\n");
}

static void tells_where_the_yaml_is_broken(void **state)
{
    (void)state;
    assert_tells("a: {x: 1\nb: 2\n", "f.yaml:2:2: error: YAML: missing comma in flow mapping\n"
                                     "  b: 2\n"
                                     "   ^\n");
    assert_tells("@a: 1\n", "f.yaml:1:1: error: YAML: plain scalar cannot start with '@'\n"
                            "  @a: 1\n"
                            "  ^\n");
}

static void refuses_what_is_no_configuration(void **state)
{
    static const struct {
        const char *text;
        const char *piece;
    } CASES[] = {
        {"", "f.yaml:1:1: error: the file is empty"},
        {"# only a comment\n", "the file is empty"},
        {"- a\n- b\n", "f.yaml:1:1: error: expected keys such as 'backends:', got a list"},
        {"word\n", "got a single value"},
        {"a: 1\n---\nb: 2\n", "f.yaml:2:1: error: a second document"},
        {"a: !int 1\n", "f.yaml:1:9: error: tags ('!...') are not supported"},
        {"? [x]\n: 1\n", "f.yaml:1:3: error: a key must be a word"},
        {"? {x: 1}\n: 1\n", "f.yaml:1:3: error: a key must be a word"},
        {"? \n: 1\n", "a key must be a word"},
        {"\"\": 1\n", "a key must be a word"},
        {"b: &b {x: 1}\na:\n  <<: *b\n", "f.yaml:3:3: error: merge keys"},
        {"a: *b\n", "f.yaml:1:4: error: alias '*b' without an anchor before it"},
        {"a: &b [*b]\n", "f.yaml:1:8: error: alias '*b' without an anchor before it"},
        {"a: x\001\n", "f.yaml:1:5: error: a control character"},
        {"a: x\177\n", "f.yaml:1:5: error: a control character"},
        {"a: \xc2\x85\n", "f.yaml:1:4: error: a control character"},
        {"a: 1\rb: 2\n", "f.yaml:1:5: error: a carriage return that ends no line"},
        {"a: \xff\n", "f.yaml:1:4: error: not valid UTF-8"},
        {"a: \xc3", "f.yaml:1:4: error: not valid UTF-8"},
        {"a: \xc0\xaf\n", "not valid UTF-8"},
        {"a: \xed\xa0\x80\n", "not valid UTF-8"},
        {"a: \xe0\x80\x80\n", "not valid UTF-8"},
        {"a: \xf4\x90\x80\x80\n", "not valid UTF-8"},
        {"a: \xf4\x8f\xbd\xbb\n", "f.yaml:1:4: error: a private-use character"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct reading r;
        start(&r, str_from(CASES[i].text));
        assert_has(tell(&r), CASES[i].piece);
        assert_true(r.errors.error_count >= 1);
        end(&r);
    }
}

static void refuses_a_nul_byte(void **state)
{
    struct reading r;
    (void)state;
    start(&r, STR("a: \0b\n"));
    assert_false(r.ok);
    assert_has(tell(&r), "f.yaml:1:4: error: a control character");
    end(&r);
}

static void takes_any_utf8_and_crlf_and_a_byte_order_mark(void **state)
{
    struct reading r;
    (void)state;
    start(&r,
          STR("\xef\xbb\xbf"
              "a: \xc3\xa9\xe2\x82\xac\xed\x9f\xbf\xee\x80\x80\xf0\x9f\x98\x80\r\nb: 2\r\n"));
    assert_true(r.ok);
    assert_true(str_eq(conf_get(r.conf.root, STR("b"))->text, STR("2")));
    end(&r);
}

static void resolves_aliases(void **state)
{
    struct reading r;
    (void)state;
    start(&r, STR("a: &x {k: v}\nb: *x\nc: &x other\nd: *x\n"));
    assert_true(r.ok);
    const struct conf_node *b = conf_get(r.conf.root, STR("b"));
    assert_true(str_eq(conf_get(b, STR("k"))->text, STR("v")));
    assert_int_equal(conf_get(b, STR("k"))->start.line, 1);
    assert_true(str_eq(conf_get(r.conf.root, STR("d"))->text, STR("other")));
    end(&r);
}

static void stops_a_billion_laughs(void **state)
{
    char text[4096];
    size_t used = (size_t)snprintf(text, sizeof(text), "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    struct reading r;
    (void)state;
    for (int i = 1; i < 10; i++) {
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used,
                             "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
                             i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    start(&r, str_of(text, used));
    assert_false(r.ok);
    assert_has(tell(&r), "more than 100000 values");
    end(&r);
}

/* `depth` lists within each other, below the root's map. */
static bool reads_nested(size_t depth, char fence)
{
    char text[256] = "a: ";
    struct reading r;
    for (size_t i = 0; i < depth; i++) {
        text[3 + i] = '[';
        text[3 + depth + i] = fence;
    }
    start(&r, str_of(text, 3 + 2 * depth));
    bool ok = r.ok;
    if (!ok) {
        assert_has(tell(&r), "nested more than 32 levels deep");
    }
    end(&r);
    return ok;
}

static void bounds_the_depth(void **state)
{
    (void)state;
    assert_true(reads_nested(CONF_DEPTH_MAX - 1, ']'));
    assert_false(reads_nested(CONF_DEPTH_MAX, ']'));
    assert_false(reads_nested(120, '['));
}

static void counts_the_depth_behind_an_alias(void **state)
{
    char text[512];
    struct reading r;
    (void)state;
    int used = snprintf(text, sizeof(text),
                        "a: &a [[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]\n"
                        "b: [[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]\n");
    start(&r, str_of(text, (size_t)used));
    assert_false(r.ok);
    assert_has(tell(&r), "f.yaml:2:19: error: nested more than 32 levels deep");
    end(&r);
}

static void bounds_the_size_of_a_file(void **state)
{
    size_t len = CONF_FILE_MAX + 1;
    char *text = malloc(len);
    struct reading r;
    (void)state;
    memset(text, '#', len);
    memcpy(text, "a: b\n", 5);
    start(&r, str_of(text, len - 1));
    assert_true(r.ok);
    end(&r);
    start(&r, str_of(text, len));
    assert_false(r.ok);
    assert_string_equal(tell(&r), "f.yaml:1:1: error: is larger than 1 MiB\n");
    end(&r);
    free(text);
}

static void tells_why_a_file_cannot_be_read(void **state)
{
    struct conf c;
    struct reading r = {.said = NULL};
    (void)state;
    conf_errors_init(&r.errors);
    assert_false(conf_open(&c, STR("/nonexistent/x.yaml"), &r.errors));
    assert_string_equal(tell(&r),
                        "/nonexistent/x.yaml:1:1: error: cannot be read: No such file "
                        "or directory\n");
    conf_close(&c);
    conf_errors_fini(&r.errors);
    free(r.said);
}

/* --- mistakes --- */

static void keeps_a_hundred_mistakes_and_counts_the_rest(void **state)
{
    struct reading r;
    (void)state;
    start(&r, STR("a: 1\n"));
    for (uint32_t i = 0; i < CONF_ERRORS_MAX + 5; i++) {
        conf_error(&r.conf, (struct conf_mark){1, i + 1}, "no %u", i);
    }
    assert_int_equal(r.errors.error_count, CONF_ERRORS_MAX + 5);
    assert_has(tell(&r), "no 99\n");
    assert_null(strstr(r.said, "no 100\n"));
    assert_has(r.said, "f.yaml: 5 more are not shown\n");
    end(&r);
}

static void says_a_thing_once_and_in_order(void **state)
{
    struct reading r;
    (void)state;
    start(&r, STR("a: 1\nb: 2\n"));
    conf_warning(&r.conf, (struct conf_mark){2, 4}, "second");
    conf_error(&r.conf, (struct conf_mark){1, 4}, "first");
    conf_error(&r.conf, (struct conf_mark){1, 4}, "first");
    r.conf.is_quiet = true;
    conf_error(&r.conf, (struct conf_mark){1, 1}, "never");
    assert_int_equal(r.errors.error_count, 1);
    assert_int_equal(r.errors.warning_count, 1);
    assert_string_equal(tell(&r), "f.yaml:1:4: error: first\n  a: 1\n     ^\n"
                                  "f.yaml:2:4: warning: second\n  b: 2\n     ^\n");
    end(&r);
}

static void puts_the_caret_below_tabs_and_wide_text(void **state)
{
    struct reading r;
    (void)state;
    start(&r, STR("a:\t{\xc3\xa9: [1, 2]}\n"));
    const struct conf_node *list = conf_get(r.conf.root, STR("a"))->items[0].value;
    conf_error(&r.conf, list->items[1].mark, "here");
    assert_string_equal(
        tell(&r), "f.yaml:1:12: error: here\n  a:\t{\xc3\xa9: [1, 2]}\n    \t        ^\n");
    end(&r);
}

static void shows_a_window_of_a_long_line(void **state)
{
    char text[2048];
    struct reading r;
    (void)state;
    int used = snprintf(text, sizeof(text), "%01000d: x, y", 0);
    start(&r, str_of(text, (size_t)used));
    conf_error(&r.conf, (struct conf_mark){1, 1003}, "here");
    const char *said = tell(&r);
    assert_true(strlen(said) < 300);
    const char *line = strchr(said, '\n') + 1;
    const char *caret = strchr(line, '\n') + 1;
    assert_int_equal(line[strchr(caret, '^') - caret], 'x');
    end(&r);
}

static void keeps_control_characters_from_the_terminal(void **state)
{
    struct reading r;
    (void)state;
    start(&r, STR("\"a\\e[31m\\n\": 1\n"));
    conf_error(&r.conf, r.conf.root->items[0].mark, "key '%.*s'",
               STR_FMT(r.conf.root->items[0].key));
    assert_has(tell(&r), "key 'a?[31m?'\n");
    end(&r);
}

static void blots_out_secrets(void **state)
{
    struct reading r;
    (void)state;
    start(&r, STR("b: {api_key: \"s\xc3\xa9kret\", x: 1, first_token: 10s, k: ${KEY}}\n"
                  "headers: {X: letmein, Y: ${Z:-letmein}}\nplain: letmein\n"));
    const struct conf_node *b = conf_get(r.conf.root, STR("b"));
    conf_error(&r.conf, conf_get(b, STR("x"))->start, "here");
    conf_hide(&r.conf, conf_get(r.conf.root, STR("plain")));
    conf_hide(&r.conf, conf_get(b, STR("k")));
    for (uint32_t line = 2; line <= 3; line++) {
        conf_error(&r.conf, (struct conf_mark){line, 1}, "here");
    }
    assert_string_equal(tell(&r),
                        "f.yaml:1:27: error: here\n"
                        "  b: {api_key: *******\", x: 1, first_token: 10s, k: ${KEY}}\n"
                        "                            ^\n"
                        "f.yaml:2:1: error: here\n"
                        "  headers: {X: *******, Y: *************}\n"
                        "  ^\n"
                        "f.yaml:3:1: error: here\n"
                        "  plain: *******\n"
                        "  ^\n");
    end(&r);
}

static void blots_out_secrets_of_broken_yaml(void **state)
{
    static const char *const CASES[] = {
        "b: {api_key: letmein, x: [}\n", "b: {api_key: letmein\nc: 1\n",
        "Authorization: letmein: x\n",   "my-token: \"letmein\n",
        "password: 'x' letmein\n",       "secret: |\n  letmein\n bad\n",
        "a: {token:\n   letmein: {\n",   "token: let\001letmein\n",
        "token: \xff letmein\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct reading r;
        start(&r, str_from(CASES[i]));
        assert_true(r.errors.error_count > 0);
        assert_null(strstr(tell(&r), "letmein"));
        end(&r);
    }
}

static void tells_references_in_broken_yaml(void **state)
{
    (void)state;
    assert_tells("b: {api_key: ${KEY}, x: @}\n",
                 "f.yaml:1:25: error: YAML: plain scalar cannot start with '@'\n"
                 "  b: {api_key: ${KEY}, x: @}\n"
                 "                          ^\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_where_everything_stands),
        cmocka_unit_test(refuses_every_duplicate_key),
        cmocka_unit_test(tells_where_the_yaml_is_broken),
        cmocka_unit_test(refuses_what_is_no_configuration),
        cmocka_unit_test(refuses_a_nul_byte),
        cmocka_unit_test(takes_any_utf8_and_crlf_and_a_byte_order_mark),
        cmocka_unit_test(resolves_aliases),
        cmocka_unit_test(stops_a_billion_laughs),
        cmocka_unit_test(bounds_the_depth),
        cmocka_unit_test(counts_the_depth_behind_an_alias),
        cmocka_unit_test(bounds_the_size_of_a_file),
        cmocka_unit_test(tells_why_a_file_cannot_be_read),
        cmocka_unit_test(keeps_a_hundred_mistakes_and_counts_the_rest),
        cmocka_unit_test(says_a_thing_once_and_in_order),
        cmocka_unit_test(puts_the_caret_below_tabs_and_wide_text),
        cmocka_unit_test(shows_a_window_of_a_long_line),
        cmocka_unit_test(keeps_control_characters_from_the_terminal),
        cmocka_unit_test(blots_out_secrets),
        cmocka_unit_test(blots_out_secrets_of_broken_yaml),
        cmocka_unit_test(tells_references_in_broken_yaml),
    };
    return cmocka_run_group_tests_name("base/conf", tests, NULL, NULL);
}
