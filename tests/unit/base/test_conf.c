#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/conf_mask.h"
#include "base/conf_rows.h"
#include "base/conf_value.h"

/* One document being read, and what was said about it. */
struct reading {
    struct conf conf;
    struct conf_errors errors;
    bool ok;
    char *said;
    size_t said_len;
};

static void start(struct reading *r, struct str text)
{
    conf_errors_init(&r->errors);
    r->said = NULL;
    r->ok = conf_parse(&r->conf, STR("f.yaml"), text, &r->errors);
}

static const char *tell(struct reading *r)
{
    free(r->said);
    FILE *out = open_memstream(&r->said, &r->said_len);
    conf_errors_print(&r->errors, out);
    (void)fclose(out);
    return r->said;
}

static void end(struct reading *r)
{
    conf_close(&r->conf);
    conf_errors_fini(&r->errors);
    free(r->said);
}

static void assert_tells(const char *text, const char *expected)
{
    struct reading r;
    start(&r, str_from(text));
    assert_string_equal(tell(&r), expected);
    end(&r);
}

static void assert_has(const char *text, const char *piece)
{
    if (!strstr(text, piece)) {
        print_error("'%s' is not in:\n%s\n", piece, text);
        fail();
    }
}

/* --- the tree --- */

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

/* --- values --- */

static void reads_durations(void **state)
{
    static const struct {
        const char *text;
        enum err e;
        uint64_t ms;
    } CASES[] = {
        {"250ms", ERR_OK, 250},
        {"5s", ERR_OK, 5000},
        {"10m", ERR_OK, 600000},
        {"2h", ERR_OK, 7200000},
        {"0", ERR_OK, 0},
        {"0s", ERR_OK, 0},
        {"", ERR_SYNTAX, 0},
        {"5", ERR_SYNTAX, 0},
        {"s", ERR_SYNTAX, 0},
        {"-5s", ERR_SYNTAX, 0},
        {"1.5s", ERR_SYNTAX, 0},
        {"5 s", ERR_SYNTAX, 0},
        {"5S", ERR_SYNTAX, 0},
        {"5sec", ERR_SYNTAX, 0},
        {"5sms", ERR_SYNTAX, 0},
        {"1d", ERR_SYNTAX, 0},
        {"5124095576030h", ERR_OK, 18446744073708000000U},
        {"5124095576031h", ERR_RANGE, 0},
        {"99999999999999999999s", ERR_RANGE, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t ms = 0;
        assert_int_equal(conf_duration(str_from(CASES[i].text), &ms), CASES[i].e);
        assert_int_equal(ms, CASES[i].ms);
    }
}

static void reads_sizes(void **state)
{
    static const struct {
        const char *text;
        enum err e;
        uint64_t bytes;
    } CASES[] = {
        {"512", ERR_OK, 512},
        {"32k", ERR_OK, 32768},
        {"16m", ERR_OK, 16777216},
        {"1g", ERR_OK, 1073741824},
        {"0", ERR_OK, 0},
        {"", ERR_SYNTAX, 0},
        {"k", ERR_SYNTAX, 0},
        {"1K", ERR_SYNTAX, 0},
        {"1kb", ERR_SYNTAX, 0},
        {"1.5m", ERR_SYNTAX, 0},
        {"17179869184g", ERR_RANGE, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t bytes = 0;
        assert_int_equal(conf_size(str_from(CASES[i].text), &bytes), CASES[i].e);
        assert_int_equal(bytes, CASES[i].bytes);
    }
}

static void reads_doubles(void **state)
{
    static const char *const BAD[] = {"",     "inf", "nan", "0x1p3", "1,5",
                                      "1.5x", ".",   "e5",  "- 1"};
    double value = 0;
    (void)state;
    assert_int_equal(conf_double(STR("0.75"), &value), ERR_OK);
    assert_true(value > 0.74 && value < 0.76);
    assert_int_equal(conf_double(STR("-1e1"), &value), ERR_OK);
    assert_true(value < -9.9 && value > -10.1);
    assert_int_equal(conf_double(STR("1e999"), &value), ERR_RANGE);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(conf_double(str_from(BAD[i]), &value), ERR_SYNTAX);
    }
}

static void writes_durations_and_sizes_as_they_are_read(void **state)
{
    char text[32];
    (void)state;
    conf_put_duration(90000, text, sizeof(text));
    assert_string_equal(text, "90s");
    conf_put_duration(3600000, text, sizeof(text));
    assert_string_equal(text, "1h");
    conf_put_duration(0, text, sizeof(text));
    assert_string_equal(text, "0ms");
    conf_put_size(1536, text, sizeof(text));
    assert_string_equal(text, "1536");
    conf_put_size(32768, text, sizeof(text));
    assert_string_equal(text, "32k");
}

static void replaces_variables(void **state)
{
    static const struct {
        const char *text;
        const char *value; /* NULL: refused */
    } CASES[] = {
        {"v: plain", "plain"},
        {"v: ${CONF_A}", "one"},
        {"v: ${CONF_A}-${CONF_B}/${CONF_A}", "one-two/one"},
        {"v: \"${CONF_A} ${CONF_B}\"", "one two"},
        {"v: ${CONF_NONE:-default}", "default"},
        {"v: ${CONF_A:-default}", "one"},
        {"v: ${CONF_EMPTY:-default}", "default"},
        {"v: ${CONF_NONE:-}", ""},
        {"v: ${CONF_EMPTY}", ""},
        {"v: ${CONF_NONE:-http://h:80/[a], {b}", "http://h:80/[a], {b"},
        {"v: $$", "$"},
        {"v: $${CONF_A}", "${CONF_A}"},
        {"v: $$${CONF_A}", "$one"},
        {"v: a$b$", "a$b$"},
        {"v: '${CONF_A}'", "one"},
        {"v: ${CONF_NONE}", NULL},
        {"v: ${}", NULL},
        {"v: ${1A}", NULL},
        {"v: ${CONF A}", NULL},
        {"v: ${CONF_A-x}", NULL},
        {"v: ${CONF_A:x}", NULL},
        {"v: ${CONF_A", NULL},
        {"v: 'x ${'", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct reading r;
        struct str value = STR("");
        start(&r, str_from(CASES[i].text));
        assert_true(r.ok);
        bool ok = conf_text(&r.conf, conf_get(r.conf.root, STR("v")), &value);
        assert_int_equal(ok, CASES[i].value != NULL);
        assert_int_equal(r.errors.error_count, !ok);
        if (ok) {
            assert_string_equal(value.ptr, CASES[i].value);
        }
        end(&r);
    }
}

static void replaces_variables_between_braces_without_quotes(void **state)
{
    struct reading r;
    struct str value = STR("");
    (void)state;
    start(&r, STR("v: {a: ${CONF_A}, l: [${CONF_B}, ${CONF_NONE:-x: {y}], b: $${CONF_A}}\n"));
    assert_true(r.ok);
    const struct conf_node *v = conf_get(r.conf.root, STR("v"));
    assert_true(conf_text(&r.conf, conf_get(v, STR("a")), &value));
    assert_string_equal(value.ptr, "one");
    const struct conf_node *l = conf_get(v, STR("l"));
    assert_int_equal(l->count, 2);
    assert_true(conf_text(&r.conf, l->items[1].value, &value));
    assert_string_equal(value.ptr, "x: {y");
    assert_true(conf_text(&r.conf, conf_get(v, STR("b")), &value));
    assert_string_equal(value.ptr, "${CONF_A}");
    end(&r);
}

static void points_at_the_variable_that_is_not_set(void **state)
{
    struct reading r;
    struct str value = STR("");
    (void)state;
    start(&r, STR("v: {a: http://${CONF_A}:${CONF_NONE}/}\n"));
    assert_false(
        conf_text(&r.conf, conf_get(conf_get(r.conf.root, STR("v")), STR("a")), &value));
    assert_string_equal(tell(&r),
                        "f.yaml:1:25: error: environment variable 'CONF_NONE' is not set\n"
                        "  v: {a: http://${CONF_A}:${CONF_NONE}/}\n"
                        "                          ^\n");
    end(&r);
}

static void masks_nothing_but_what_is_in_variables(void **state)
{
    struct str text = STR("a: {b: ${X:-[1, 2]#}, c: '{}'} # ${ no end");
    char *masked = NULL;
    size_t len = 0;
    struct arena a;
    (void)state;
    arena_init(&a);
    conf_mask(text, &masked, &len);
    assert_int_equal(len, text.len + 3 * 7); /* { : [ , ] # } */
    assert_true(str_eq(conf_unmask(&a, str_of(masked, len)), text));
    free(masked);
    arena_fini(&a);
}

/* Writes `len` bytes to a new file whose name goes to `path`. */
static void write_file(char *path, const char *content, size_t len)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, len), (ssize_t)len);
    (void)close(fd);
}

static bool read_secret(const char *path, struct str *out, struct reading *r)
{
    char text[128];
    int used = snprintf(text, sizeof(text), "v: {file: %s}", path);
    start(r, str_of(text, (size_t)used));
    return conf_secret(&r->conf, conf_get(r->conf.root, STR("v")), out);
}

static void reads_secrets_from_files(void **state)
{
    static const struct {
        const char *content;
        const char *value;
    } CASES[] = {{"s3cret\n", "s3cret"},
                 {"s3cret\r\n", "s3cret"},
                 {"s3cret", "s3cret"},
                 {"a\n\n", "a\n"},
                 {"", ""},
                 {"${CONF_A}\n", "${CONF_A}"}};
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char path[] = "/tmp/test_conf_XXXXXX";
        struct reading r;
        struct str value = STR("");
        write_file(path, CASES[i].content, strlen(CASES[i].content));
        assert_true(read_secret(path, &value, &r));
        assert_string_equal(value.ptr, CASES[i].value);
        end(&r);
        (void)unlink(path);
    }
}

static void bounds_the_size_of_a_secret(void **state)
{
    size_t len = CONF_SECRET_MAX + 1;
    char *content = malloc(len);
    (void)state;
    memset(content, 'x', len);
    for (size_t more = 0; more < 2; more++) {
        char path[] = "/tmp/test_conf_XXXXXX";
        struct reading r;
        struct str value = STR("");
        write_file(path, content, len - 1 + more);
        assert_int_equal(read_secret(path, &value, &r), more == 0);
        assert_int_equal(value.len, more == 0 ? len - 1 : 0);
        if (more > 0) {
            assert_has(tell(&r), "larger than 64 KiB");
        }
        end(&r);
        (void)unlink(path);
    }
    free(content);
}

static void refuses_other_forms_of_secrets(void **state)
{
    static const char *const CASES[] = {"v: {path: x}",
                                        "v: {file: x, more: y}",
                                        "v: {}",
                                        "v: {file: /nonexistent}",
                                        "v: {file: }",
                                        "v: [x]",
                                        "v:"};
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct reading r;
        struct str value = STR("");
        start(&r, str_from(CASES[i]));
        assert_false(conf_secret(&r.conf, conf_get(r.conf.root, STR("v")), &value));
        assert_int_equal(r.errors.error_count, 1);
        end(&r);
    }
}

static void takes_paths_from_the_directory_of_the_file(void **state)
{
    struct conf_errors errors;
    struct conf c;
    (void)state;
    conf_errors_init(&errors);
    assert_true(conf_parse(&c, STR("/etc/ft/f.yaml"), STR("a: b"), &errors));
    assert_string_equal(conf_path(&c, STR("k.pem")).ptr, "/etc/ft/k.pem");
    assert_string_equal(conf_path(&c, STR("/k.pem")).ptr, "/k.pem");
    conf_close(&c);
    assert_true(conf_parse(&c, STR("f.yaml"), STR("a: b"), &errors));
    assert_string_equal(conf_path(&c, STR("k.pem")).ptr, "k.pem");
    conf_close(&c);
    conf_errors_fini(&errors);
}

static void finds_what_was_meant(void **state)
{
    static const struct {
        const char *word;
        const char *candidate;
        bool is_near;
    } CASES[] = {
        {"ulr", "url", true},         {"URL", "url", true},
        {"tpye", "type", true},       {"tiesr", "tiers", true},
        {"tier", "tiers", true},      {"timeoutt", "timeout", true},
        {"xx", "on", false},          {"cat", "url", false},
        {"", "url", false},           {"backend", "backends", true},
        {"helth_", "health", true},   {"halo", "health", false},
        {"api-key", "api_key", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint32_t best = UINT32_MAX;
        assert_int_equal(
            conf_is_nearer(str_from(CASES[i].word), str_from(CASES[i].candidate), &best),
            CASES[i].is_near);
    }
    uint32_t best = UINT32_MAX;
    assert_true(conf_is_nearer(STR("gpu12"), STR("gpu33"), &best));
    assert_true(conf_is_nearer(STR("gpu12"), STR("gpu1"), &best));
    assert_false(conf_is_nearer(STR("gpu12"), STR("gpu2"), &best));
}

/* --- rows --- */

struct inner {
    uint32_t wait_ms;
};

struct outer {
    bool is_on;
    uint32_t count;
    uint64_t large;
    double ratio;
    struct str name;
    struct str secret;
    uint32_t word;
    size_t bytes;
    struct inner inner;
    const struct conf_node *any;
};

static void read_any(struct conf *c, const struct conf_node *n, void *into)
{
    (void)c;
    ((struct outer *)into)->any = n;
}

static const struct conf_row INNER_ROWS[] = {{.name = "wait",
                                              .type = CONF_DURATION,
                                              CONF_FIELD(struct inner, wait_ms),
                                              .min = 10,
                                              .max = 60000}};
static const struct conf_table INNER = {.what = "'inner'", CONF_ROWS(INNER_ROWS)};
static const char *const WORDS[] = {"red", "green", "blue", NULL};
static const struct conf_row OUTER_ROWS[] = {
    {.name = "enabled", .type = CONF_BOOL, CONF_FIELD(struct outer, is_on)},
    {.name = "count",
     .type = CONF_INTEGER,
     CONF_FIELD(struct outer, count),
     .min = 1,
     .max = 9},
    {.name = "large", .type = CONF_INTEGER, CONF_FIELD(struct outer, large)},
    {.name = "ratio", .type = CONF_DOUBLE, CONF_FIELD(struct outer, ratio), .max = 2},
    {.name = "name",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED,
     CONF_FIELD(struct outer, name),
     .min = 1,
     .max = 5},
    {.name = "secret",
     .type = CONF_STRING,
     .flags = CONF_SECRET,
     CONF_FIELD(struct outer, secret)},
    {.name = "word", .type = CONF_WORD, CONF_FIELD(struct outer, word), .words = WORDS},
    {.name = "bytes", .type = CONF_SIZE, CONF_FIELD(struct outer, bytes)},
    {.name = "inner", .type = CONF_TABLE, CONF_FIELD(struct outer, inner), .table = &INNER},
    {.name = "any", .type = CONF_READ, .read = read_any},
    {.name = "later", .type = CONF_LATER},
};
static const struct conf_table OUTER = {.what = "the thing", CONF_ROWS(OUTER_ROWS)};

static void fills_a_struct_from_rows(void **state)
{
    struct reading r;
    struct outer o = {.inner = {.wait_ms = 7}};
    (void)state;
    start(&r,
          STR("enabled: true\ncount: 9\nlarge: 18446744073709551615\nratio: 0.5\nname: "
              "${CONF_A}\nsecret: x\nword: blue\nbytes: 4g\ninner: {wait: 1m}\nany: [1]\n"));
    uint64_t given = conf_read_map(&r.conf, r.conf.root, &OUTER, &o);
    assert_int_equal(given, 0x3ff);
    assert_int_equal(r.errors.error_count, 0);
    assert_true(o.is_on);
    assert_int_equal(o.count, 9);
    assert_int_equal(o.large, UINT64_MAX);
    assert_true(o.ratio > 0.4 && o.ratio < 0.6);
    assert_string_equal(o.name.ptr, "one");
    assert_int_equal(o.word, 2);
    assert_int_equal(o.bytes, 4ULL << 30);
    assert_int_equal(o.inner.wait_ms, 60000);
    assert_int_equal(o.any->count, 1);
    end(&r);
}

static void leaves_fields_without_a_key_alone(void **state)
{
    struct reading r;
    struct outer o = {.count = 3, .inner = {.wait_ms = 7}};
    (void)state;
    start(&r, STR("name: x\ninner: {}\n"));
    assert_int_equal(conf_read_map(&r.conf, r.conf.root, &OUTER, &o), 0x110);
    assert_int_equal(o.count, 3);
    assert_int_equal(o.inner.wait_ms, 7);
    end(&r);
}

static void names_what_is_wrong_with_a_value(void **state)
{
    static const struct {
        const char *text;
        const char *piece;
    } CASES[] = {
        {"enabled: yes", ":1:10: error: 'enabled' must be true or false, not 'yes'\n"},
        {"enabled: [true]", "'enabled' must be true or false, not a list\n"},
        {"count: three", "'count' must be a whole number, not 'three'\n"},
        {"count: 1.5", "'count' must be a whole number, not '1.5'\n"},
        {"count: 0", "'count' must be from 1 to 9, not '0'\n"},
        {"count: 10", "'count' must be from 1 to 9, not '10'\n"},
        {"count: 99999999999999999999999", "'count' must be from 1 to 9"},
        {"count:", ":1:1: error: 'count' must be a whole number, not nothing\n"},
        {"count: ~", "not nothing\n"},
        {"count: {a: 1}", "'count' must be a whole number, not a mapping\n"},
        {"large: -1", "'large' must be a whole number, not '-1'\n"},
        {"large: 18446744073709551616", "'large' must be a smaller number"},
        {"ratio: 2.5", "'ratio' must be from 0 to 2, not '2.5'\n"},
        {"ratio: warm", "'ratio' must be a number, not 'warm'\n"},
        {"name: toolong", "'name' must have from 1 to 5 bytes, not 7\n"},
        {"name: \"\"", "'name' must not be empty\n"},
        {"name: \"a\\0b\"", "'name' must not hold a NUL character\n"},
        {"word: yellow", "'word' must be red, green or blue, not 'yellow'\n"},
        {"bytes: 4gb", "'bytes' must be a size such as 32k, 16m or 1g, not '4gb'\n"},
        {"inner: 5", "expected a mapping ('inner'), got a single value\n"},
        {"inner: {wait: 5}",
         ":1:15: error: 'wait' must be a duration such as 250ms, 5s, 10m or 2h"},
        {"inner: {wait: 2m}", "'wait' must be from 10ms to 1m, not '2m'\n"},
        {"inner: {wiat: 2s}",
         ":1:9: error: unknown key 'wiat' in 'inner'; did you mean 'wait'?\n"},
        {"colour: red", ":1:1: error: unknown key 'colour' in the thing\n"},
        {"later: 1", ":1:1: error: unknown key 'later'; this version does not have it yet\n"},
        {"latr: 1", "unknown key 'latr' in the thing\n"},
        {"count: 1", ":1:1: error: the thing needs 'name'\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct reading r;
        struct outer o = {.count = 3};
        start(&r, str_from(CASES[i].text));
        assert_true(r.ok);
        (void)conf_read_map(&r.conf, r.conf.root, &OUTER, &o);
        assert_has(tell(&r), CASES[i].piece);
        end(&r);
    }
}

static void never_shows_the_value_of_a_secret(void **state)
{
    static const char *const CASES[] = {"secret: [letmein]\nname: x\n",
                                        "secret: {a: letmein}\nname: x\n",
                                        "{secret: letmein, count: x, name: y}\n",
                                        "{secert: letmein, name: y}\n",
                                        "{secret: \"letmein\\0\", name: x}\n",
                                        "{secret: \"${CONF_NONE}letmein\", name: x}\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct reading r;
        struct outer o = {.count = 3};
        start(&r, str_from(CASES[i]));
        assert_true(r.ok);
        (void)conf_read_map(&r.conf, r.conf.root, &OUTER, &o);
        assert_true(r.errors.error_count > 0);
        assert_null(strstr(tell(&r), "letmein"));
        end(&r);
    }
}

static void a_misspelt_key_is_not_also_missing(void **state)
{
    struct reading r;
    struct outer o = {.count = 3};
    (void)state;
    start(&r, STR("nmae: x\n"));
    (void)conf_read_map(&r.conf, r.conf.root, &OUTER, &o);
    assert_string_equal(tell(&r), "f.yaml:1:1: error: unknown key 'nmae' in the thing; did you "
                                  "mean 'name'?\n  nmae: x\n  ^\n");
    end(&r);
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
        cmocka_unit_test(reads_durations),
        cmocka_unit_test(reads_sizes),
        cmocka_unit_test(reads_doubles),
        cmocka_unit_test(writes_durations_and_sizes_as_they_are_read),
        cmocka_unit_test(replaces_variables),
        cmocka_unit_test(replaces_variables_between_braces_without_quotes),
        cmocka_unit_test(points_at_the_variable_that_is_not_set),
        cmocka_unit_test(masks_nothing_but_what_is_in_variables),
        cmocka_unit_test(reads_secrets_from_files),
        cmocka_unit_test(bounds_the_size_of_a_secret),
        cmocka_unit_test(refuses_other_forms_of_secrets),
        cmocka_unit_test(takes_paths_from_the_directory_of_the_file),
        cmocka_unit_test(finds_what_was_meant),
        cmocka_unit_test(fills_a_struct_from_rows),
        cmocka_unit_test(leaves_fields_without_a_key_alone),
        cmocka_unit_test(names_what_is_wrong_with_a_value),
        cmocka_unit_test(never_shows_the_value_of_a_secret),
        cmocka_unit_test(a_misspelt_key_is_not_also_missing),
    };
    setenv("CONF_A", "one", 1);
    setenv("CONF_B", "two", 1);
    setenv("CONF_EMPTY", "", 1);
    unsetenv("CONF_NONE");
    return cmocka_run_group_tests_name("base/conf", tests, NULL, NULL);
}
