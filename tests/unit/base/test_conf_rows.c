#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/conf_rows.h"
#include "conf_reading.h"

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
    uint32_t share_per_10k;
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
    {.name = "share",
     .type = CONF_PERCENT,
     CONF_FIELD(struct outer, share_per_10k),
     .max = 10000},
    {.name = "any", .type = CONF_READ, .read = read_any},
    {.name = "later", .type = CONF_LATER},
};
static const struct conf_table OUTER = {.what = "the thing", CONF_ROWS(OUTER_ROWS)};

static void fills_a_struct_from_rows(void **state)
{
    struct reading r;
    struct outer o = {.inner = {.wait_ms = 7}};
    (void)state;
    start(&r, STR("enabled: true\ncount: 9\nlarge: 18446744073709551615\nratio: 0.5\nname: "
                  "${CONF_A}\nsecret: x\nword: blue\nbytes: 4g\ninner: {wait: 1m}\nshare: "
                  "2.5%\nany: [1]\n"));
    uint64_t given = conf_read_map(&r.conf, r.conf.root, &OUTER, &o);
    assert_int_equal(given, 0x7ff);
    assert_int_equal(r.errors.error_count, 0);
    assert_true(o.is_on);
    assert_int_equal(o.count, 9);
    assert_int_equal(o.large, UINT64_MAX);
    assert_true(o.ratio > 0.4 && o.ratio < 0.6);
    assert_string_equal(o.name.ptr, "one");
    assert_int_equal(o.word, 2);
    assert_int_equal(o.bytes, 4ULL << 30);
    assert_int_equal(o.inner.wait_ms, 60000);
    assert_int_equal(o.share_per_10k, 250);
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
        {"share: 20",
         ":1:8: error: 'share' must be a percentage such as 20% or 2.5%, not '20'\n"},
        {"share: 100.01%", "'share' must be from 0% to 100%, not '100.01%'\n"},
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
        cmocka_unit_test(fills_a_struct_from_rows),
        cmocka_unit_test(leaves_fields_without_a_key_alone),
        cmocka_unit_test(names_what_is_wrong_with_a_value),
        cmocka_unit_test(never_shows_the_value_of_a_secret),
        cmocka_unit_test(a_misspelt_key_is_not_also_missing),
    };
    setenv("CONF_A", "one", 1);
    unsetenv("CONF_NONE");
    return cmocka_run_group_tests_name("base/conf_rows", tests, NULL, NULL);
}
